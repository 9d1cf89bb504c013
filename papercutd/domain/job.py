"""What an asker tells a server of a job: the question, and what came of it."""

from __future__ import annotations

from functools import lru_cache

import attrs

from papercutd.domain.chain import Mark, Position
from papercutd.domain.decision import Decision
from papercutd.domain.document import Document


@attrs.frozen
class SessionRef:
    """One session of one asker: who it is, which journal, which session number.

    ``identity`` is ``role:name``, as the certificate says.
    """

    role: str
    name: str
    journal: str
    session: int

    @property
    def identity(self) -> str:
        return f"{self.role}:{self.name}"


@attrs.frozen
class Request:
    """A question: may this be printed? ``key`` is ``job/step``."""

    job: str
    step: str
    #: Whose job it is: a print provider's name, or ``device:NAME`` for a run at a device.
    provider: str
    printer: int
    user_name: str
    document: Document
    hedged: bool = False
    job_uuid: str = ""
    title: str = ""
    host: str = ""
    account: int | None = None
    submitted_at: float = 0.0
    #: Its person has said who pays: ``account``, None for their own.
    chosen: bool = False
    #: They were asked and have not answered: the policy decides.
    unanswered: bool = False
    #: Whether it is to be invoiced, as its person said; None: nothing was said.
    invoice: bool | None = None

    @property
    def key(self) -> str:
        return f"{self.job}/{self.step}"


@attrs.frozen
class Completion:
    """Paper came out, or an end without paper: what always posts."""

    job: str
    step: str
    provider: str
    printer: int
    user_name: str
    document: Document
    #: The whole decision; None where nobody could be asked.
    decision: Decision | None
    #: Sides counted by spooler or printer; None: as analysed.
    pages: int | None
    #: ``completed``, ``canceled`` or ``aborted``.
    outcome: str = "completed"
    assumed: bool = False
    price_version: int = 0
    position: str = ""
    job_uuid: str = ""
    title: str = ""
    host: str = ""
    completed_at: float = 0.0
    #: What its person said of it when asked who pays.
    comment: str = ""

    @property
    def key(self) -> str:
        return f"{self.job}/{self.step}"


@attrs.frozen
class Receipt:
    """What stands in the books for a key: ``posted``, ``already`` or ``journalled``."""

    state: str
    amount_e4: int
    pages: int
    #: Where the history stood that it is in: the application server's, ...
    position: Position | None = attrs.field(default=None, eq=False)
    #: ... or the site's stream, at the server that journalled it.
    mark: Mark | None = attrs.field(default=None, eq=False)


@attrs.frozen
class Told:
    """The newest places of our history that came to an asker with an acknowledgement."""

    #: The application server's.
    position: Position | None = None
    #: Of the site's stream of that id.
    stream: str = ""
    mark: Mark | None = None


TOLD_NOTHING = Told()


def is_submit(step: str) -> bool:
    """Whether nobody stands at a printer for this step: it may have to wait for its person."""
    return step.startswith("submit-")


def is_run(step: str) -> bool:
    """Whether this step is a run at a device: its pages are reserved before they are known."""
    return step.startswith("run-")


_DEVICE = "device:"


def device_owner(owner: str) -> str | None:
    """The device's name where a job's owner is a device; no provider's name has a colon."""
    return owner.removeprefix(_DEVICE) if owner.startswith(_DEVICE) else None


def owner_identity(owner: str) -> str:
    """``role:name`` of a job's owner."""
    return owner if owner.startswith(_DEVICE) else f"provider:{owner}"


@lru_cache(maxsize=4096)
def fold_user_name(name: str) -> str:
    """The one form under which a user name is looked up.

    ``DOMAIN\\anna`` and ``Anna`` are ``anna``; a name is never matched by case.
    """
    return name.rsplit("\\", 1)[-1].strip().casefold()

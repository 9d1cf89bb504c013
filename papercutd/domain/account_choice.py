"""Who pays for a job: how that is settled, and what a person is asked about it (design 4.7)."""

from __future__ import annotations

import enum

import attrs

from papercutd.domain.account_mode import Mode
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.job import Request, is_submit
from papercutd.domain.policy import Account, Payer

#: Letters of a comment that a person gives with a choice.
COMMENT_MAX = 255


@attrs.frozen
class Settled:
    """Who pays a job, or why it is not printed yet.

    With ``verdict`` it is held or denied for ``reason``; ``asks``: until its person answers.
    """

    #: A shared account; None: the person's own.
    shared: int | None = None
    verdict: Verdict | None = None
    reason: Reason = Reason.NONE
    asks: bool = False
    #: The person pays; ``shared`` is only named.
    named: bool = False

    @property
    def payer(self) -> int | None:
        """The shared account that pays; None: the person's own."""
        return None if self.named else self.shared


def settle(request: Request, mode: Mode | None, rule: Account | None) -> Settled:
    """Who pays ``request``.

    ``mode``: of the person, else the installation's default; None: neither is set. ``rule`` is
    what holds where nobody can be asked; None: that need not be known.
    """
    settled = _settle(request, mode, rule)
    if mode is None or not mode.names or settled.shared is None:
        return settled
    return attrs.evolve(settled, named=True)


def _settle(request: Request, mode: Mode | None, rule: Account | None) -> Settled:
    if request.account is not None:
        return Settled(request.account)
    known = mode or Mode()
    if request.chosen:
        # Their own account, unless who pays was no question and they only saw the price.
        return Settled(known.shared)
    if not is_submit(request.step):
        # Whoever stands at the printer has seen the price and taken the personal account; who
        # has but one account to pay from has not chosen.
        return Settled(known.shared)
    asks = known.asks_account or known.confirms
    if asks and not request.unanswered:
        reason = Reason.ACCOUNT if known.asks_account else Reason.CONFIRM
        return Settled(known.shared, Verdict.HOLD, reason, asks=True)
    if rule is None or (mode is not None and not asks):
        return Settled(known.shared)
    if rule.payer in (Payer.HOLD, Payer.DENY):
        verdict = Verdict.HOLD if rule.payer is Payer.HOLD else Verdict.DENY
        reason = Reason.CONFIRM if asks and not known.asks_account else Reason.ACCOUNT
        return Settled(known.shared, verdict, reason)
    if asks and not known.asks_account:
        # Who pays was no question.
        return Settled(known.shared)
    return Settled(rule.shared if rule.payer is Payer.SHARED else None)


class Asked(enum.Enum):
    """What a question is about; each is the reason for which the job is held."""

    #: Who pays: the person, or one of the shared accounts open to them.
    ACCOUNT = "account"
    #: Whether it is to be printed at that price at all.
    CONFIRM = "confirm"


#: Reasons for which a job waits for its person to answer a question.
ASKED = frozenset(asked.value for asked in Asked)


@attrs.frozen
class Question:
    """A held job whose person is asked before it may print."""

    job: str
    printer: int
    printer_name: str
    user: int
    title: str
    pages: int
    amount_e4: int
    #: A value of ``Asked``.
    kind: str
    may_choose_personal: bool
    #: When the job goes on without an answer, or is deleted, by the wall clock.
    deadline_s: float


class Chosen(enum.Enum):
    """What a person answers."""

    #: Their own account pays; to ``confirm``: print it.
    PERSONAL = "personal"
    SHARED = "shared"
    #: Do not print it: the job is deleted.
    CANCEL = "cancel"


@attrs.frozen
class Choice:
    """A person's answer to a Question."""

    chosen: Chosen
    #: Minted by whoever answers, a UUIDv7: the same one again is the same answer.
    id: str
    #: With SHARED the account's id.
    shared: int | None = None
    comment: str = ""
    #: With SHARED: whether it is to be invoiced; None: as is usual for the account.
    invoice: bool | None = None

"""What stores answer with, whatever engine they are on."""

from __future__ import annotations

import attrs

from papercutd.domain.chain import Mark, Position
from papercutd.domain.invoicing import CHOOSES
from papercutd.domain.policy import CHOICE_TIMEOUT_S


@attrs.frozen
class StreamWelcome:
    """What a site's handshake found."""

    session: int
    #: The stream's mark here: records up to it are applied.
    mark: Mark
    head: Position
    #: The replica's position is in our history: changes can follow it.
    resume: bool


@attrs.frozen
class PrinterSettings:
    """One printer, as its provider is told of it."""

    id: int
    name: str
    uri: str
    when_alone: str
    #: ``immediate``, ``secure`` or ``find-me``.
    release: str = "immediate"
    group: str = ""
    held_max_s: int = 86_400


#: The columns of a printer in the order of PrinterSettings.
PRINTER_COLUMNS = "id, name, uri, when_alone, release, pull_group, held_max_s"


@attrs.frozen
class ProviderSettings:
    """What ``* CONFIG`` tells a provider."""

    printers: list[PrinterSettings]
    #: (name, host, port) of its site, if it has one.
    site: tuple[str, str, int] | None
    preferred: str
    price_version: int
    retired: list[str]
    #: Serials of certificates of sites that were revoked.
    revoked: list[str] = attrs.field(factory=list)
    #: How long a person is waited for who is asked about a job.
    account_choice_timeout_s: int = CHOICE_TIMEOUT_S


@attrs.frozen
class SiteIdentity:
    """The site's stream and how far it and its acknowledgements are."""

    site: str
    stream: str
    mark: Mark
    acked: Mark
    replaces: str
    position: Position | None
    #: The version of the wire by which the replica came.
    replica_version: int = 1


@attrs.frozen
class JournalBatch:
    """Records after a mark, as they were written."""

    after: Mark
    records: list[str]
    #: Where the journal stands: what the next handshake may not be behind.
    head: Mark


@attrs.frozen
class Chargeable:
    """A shared account that somebody may charge."""

    id: int
    name: str
    #: Whoever chooses it has to give its PIN: it has one, and its access names nobody.
    needs_pin: bool = False
    #: Its invoice option (domain/invoicing.py).
    invoice: str = CHOOSES


@attrs.frozen
class Purse:
    """What a person has, as one server knows it."""

    balance_e4: int
    #: What a reservation may take now; None: there is no limit.
    spendable_e4: int | None
    #: At a site: what it allows by itself while it is cut; None: there is no limit.
    cut_e4: int | None = None
    #: At a site: what quotas that are due will credit, and is not in the balance yet.
    promised_e4: int = 0
    #: (name, balance) of the purses that the balance is made of, in the order of spending; none
    #: where there is but the one.
    purses: tuple[tuple[str, int], ...] = ()

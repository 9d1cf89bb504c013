"""The answer to "may this be printed": its words and its pure making.

A decision belongs to a key: (job id, step). Who took the decision first and
made it durable is its decider, and only the decider settles it.
"""

from __future__ import annotations

import enum

import attrs

from papercutd.domain.pricing import PriceLine, total_e4

#: The decider's name when it is the application server; a site's is its stream id.
APPLICATION = "application"


class Verdict(enum.Enum):
    """What is to happen to the job."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


class Reason(enum.Enum):
    """Why a job is held or denied; NONE for an allowed one."""

    NONE = ""
    FUNDS = "funds"
    UNKNOWN_USER = "unknown-user"
    CLOSED = "closed"
    CAPABILITY = "capability"
    PRINTED_BEFORE = "printed-before"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    #: The queue holds every job until its person releases it.
    RELEASE = "release"
    #: For a reason that a newer release knows.
    HELD = "held"
    #: It waits for its person to say who pays, or to choose another account than one that they
    #: may not charge.
    ACCOUNT = "account"
    #: It waits for its person to say that it is to be printed at that price.
    CONFIRM = "confirm"


#: Reasons for which a second opinion is worth a wait (design 4.1): the server asked
#: second, or a cut site, may only not know enough.
SOFT_REASONS = frozenset(
    {
        *(Reason.FUNDS, Reason.UNKNOWN_USER, Reason.CLOSED, Reason.CAPABILITY),
        *(Reason.ACCOUNT, Reason.CONFIRM),
    }
)


@attrs.frozen
class Decision:
    """One answer to one key, whole: any server can post from it alone."""

    verdict: Verdict
    reason: Reason
    #: ``APPLICATION`` or the stream id of the site that decided.
    decider: str
    user: int | None
    account: int | None
    printer: int
    price_version: int
    lines: tuple[PriceLine, ...]
    #: The application server's position known to the decider: ``timeline.number``.
    position: str = ""
    #: It is paid from what the decider's stream was granted for this user (STRICT).
    allowance: bool = False
    #: The last promise of a quota that was due (domain/schedule.py); empty: not known.
    promise: str = ""
    #: Of a hold: its person is to be asked (True), and cannot be (False); None: nobody is.
    ask: bool | None = None
    #: A shared account that the job is only named for: ``account`` is the person's, and pays.
    named: int | None = None
    #: Whether it is to be invoiced to the shared account that pays, or is named; None: neither
    #: is, or an older release decided.
    invoice: bool | None = None

    @property
    def amount_e4(self) -> int:
        """What was reserved, were it allowed."""
        return total_e4(self.lines)

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOW


class Policy(enum.Enum):
    """How a cut site treats restricted money (design 4.10)."""

    CAPPED = "capped"
    STRICT = "strict"
    CLOSED = "closed"


@attrs.frozen
class Funds:
    """The figures of one account as a decider sees them."""

    restricted: bool
    credits_e4: int
    debits_e4: int
    pending_e4: int
    #: The least balance that reservations may leave; an overdraft makes it negative.
    floor_e4: int
    #: What the person's other purses hold.
    purses_e4: int = 0

    @property
    def own_e4(self) -> int:
        """What is in the account itself, the main purse."""
        return self.credits_e4 - self.debits_e4

    @property
    def balance_e4(self) -> int:
        return self.own_e4 + self.purses_e4

    @property
    def spendable_e4(self) -> int:
        """What a new reservation may take."""
        return self.balance_e4 - self.floor_e4 - self.pending_e4


@attrs.frozen
class SiteMoney:
    """What a site knows beside the account: its policy and what it has outstanding."""

    policy: Policy
    #: None: no cap.
    cap_user_e4: int | None
    #: Journal beyond the replicated mark plus open reservations of this account, here.
    unsettled_e4: int
    #: Deny rather than hold what exceeds the cap.
    deny_beyond_cap: bool = False
    #: What the site was granted for this user and has neither spent, reserved nor returned.
    allowance_e4: int = 0


def available_cut_e4(funds: Funds, site: SiteMoney) -> int | None:
    """What a cut site may allow by itself; None: there is no limit."""
    if site.policy is Policy.CLOSED:
        return 0
    if not funds.restricted:
        return None
    if site.policy is Policy.STRICT:
        return max(0, site.allowance_e4)
    if site.cap_user_e4 is None:
        return max(0, funds.spendable_e4)
    return max(0, min(funds.spendable_e4, site.cap_user_e4 - site.unsettled_e4))


def decide_cut(funds: Funds, site: SiteMoney, amount_e4: int) -> tuple[Verdict, Reason]:
    """A site's own decision on money; ``funds`` include the overlay.

    Under STRICT a site spends only what it was granted, whatever the balance says.
    """
    if site.policy is Policy.CLOSED:
        return Verdict.HOLD, Reason.CLOSED
    if not funds.restricted:
        return Verdict.ALLOW, Reason.NONE
    beyond = Verdict.DENY if site.deny_beyond_cap else Verdict.HOLD
    if site.policy is Policy.STRICT:
        is_covered = amount_e4 <= max(0, site.allowance_e4)
        return (Verdict.ALLOW, Reason.NONE) if is_covered else (beyond, Reason.FUNDS)
    if amount_e4 > funds.spendable_e4:
        return Verdict.HOLD, Reason.FUNDS
    if site.cap_user_e4 is not None and site.unsettled_e4 + amount_e4 > site.cap_user_e4:
        return beyond, Reason.FUNDS
    return Verdict.ALLOW, Reason.NONE

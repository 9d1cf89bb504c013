"""What a person is told of their jobs: a closed list of words, none of them an exception's."""

from __future__ import annotations

import enum

import attrs

from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.job import Completion, Receipt, Request, is_run


class Told(enum.Enum):
    """What a message is about."""

    DENIED = "denied"
    HELD = "held"
    CHARGED = "charged"


@attrs.frozen
class PersonMessage:
    """One message to a person."""

    id: str
    told: Told
    reason: str
    job: str
    title: str
    pages: int
    amount_e4: int | None
    at: float

    @property
    def text(self) -> str:
        """Words for the person."""
        return words_of(self.told, self.reason)


_FIRST = {
    Told.DENIED: "Your job was not printed.",
    Told.HELD: "Your job is held.",
    Told.CHARGED: "Your job was charged.",
}
_WHY = {
    Reason.NONE: "",
    Reason.FUNDS: "There is not enough credit for it.",
    Reason.UNKNOWN_USER: "The server does not know you: tell the administrator.",
    Reason.CLOSED: "The account it was to be charged to is closed: tell the administrator.",
    Reason.CAPABILITY: "The server cannot decide that now: it is tried again.",
    Reason.PRINTED_BEFORE: "It was printed before: the administrator decides what becomes of it.",
    Reason.UNREACHABLE: "No server could be asked: it is tried again.",
    Reason.REFUSED: "It was refused.",
    Reason.RELEASE: "Release it at the printer.",
    Reason.ACCOUNT: "Choose who pays when you release it at the printer.",
    Reason.CONFIRM: "Release it at the printer if you want it at that price.",
}
#: Holds that a person does not expect, and hears of.
_HEARD = frozenset({Reason.FUNDS, Reason.CLOSED, Reason.CAPABILITY})
#: Those of which they are asked instead, where anybody can be.
_ASKED = frozenset({Reason.ACCOUNT, Reason.CONFIRM})


def words_of(told: Told, reason: str) -> str:
    """Total: a reason that is not in the table has none."""
    why = next((text for one, text in _WHY.items() if one.value == reason), "")
    return f"{_FIRST[told]} {why}".rstrip()


def of_decision(request: Request, decision: Decision) -> Told | None:
    """What the person is told of an answer to their job; None: nothing.

    Who stands at a device reads it there.
    """
    if is_run(request.step) or decision.user is None:
        return None
    if decision.verdict is Verdict.DENY:
        return Told.DENIED
    if decision.verdict is not Verdict.HOLD:
        return None
    is_left = decision.reason in _ASKED and decision.ask is None
    return Told.HELD if is_left or decision.reason in _HEARD else None


def of_completion(completion: Completion, receipt: Receipt) -> Told | None:
    """The same of a job that was charged, the first time that it is reported."""
    decision = completion.decision
    if decision is None or decision.user is None or receipt.state == "already":
        return None
    return Told.CHARGED if receipt.pages > 0 else None

"""The rows that a charge leaves beside its transfer: who answered what, and what it came to."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from papercutd.domain.decision import Decision
from papercutd.domain.job import Completion
from papercutd.domain.pricing import PriceLine, total_e4, total_pages

#: What a row of either table goes INTO.
DECISION = (
    "decision (key, provider, job_uuid, user, account, reserved_e4, state, transfer, body, number)"
)
CHARGE = (
    "charge (charge_id, key, provider, printer, user, user_name, account, decider, stream,"
    " stream_number, price_version, lines, pages, sheets, amount_e4, forced, assumed, outcome,"
    " title, claimed_at, received_at, number, named, invoice)"
)
_ENCODE = msgspec.json.Encoder().encode


@attrs.frozen
class Source:
    """Where a completion came from: an asker directly, or a record of a site's stream."""

    who: str
    stream: str = ""
    number: int = 0


def decision_row(
    key: str,
    provider: str,
    job_uuid: str,
    decision: Decision,
    state: str,
    transfer: int | None,
    reserved_e4: int,
    number: int,
) -> tuple[Any, ...]:
    """The answer to ``key``; ``number``: of the transaction, here and below."""
    return (
        *(key, provider, job_uuid, decision.user, decision.account, reserved_e4, state),
        *(transfer, _ENCODE(decision), number),
    )


def charge_row(
    charge_id: str,
    completion: Completion,
    decision: Decision,
    lines: tuple[PriceLine, ...],
    user: int | None,
    account: int,
    forced: bool,
    source: Source,
    received_at: float,
    number: int,
) -> tuple[Any, ...]:
    """``user`` and ``account``: those who were to pay, or whose heirs they are."""
    pages = total_pages(lines)
    sheets = -(-pages // 2) if completion.document.duplex else pages
    return (
        *(charge_id, completion.key, completion.provider, completion.printer),
        *(user, completion.user_name, account, decision.decider),
        *(source.stream, source.number, decision.price_version, _ENCODE(lines).decode()),
        *(pages, sheets, total_e4(lines), int(forced), int(completion.assumed)),
        *(completion.outcome, completion.title, completion.completed_at),
        *(received_at, number),
        *(decision.named, None if decision.invoice is None else int(decision.invoice)),
    )

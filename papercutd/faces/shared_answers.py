"""Answers that devices and people's clients are given alike: lists, and being locked out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from papercutd.services.attempts import LockedOut
from papercutd.services.held_jobs import Listed
from papercutd.storage.values import Chargeable, Purse
from protocols.codes import Code
from protocols.device.messages import AccountList, ChargeableAccount
from protocols.errors import Refusal


def locked_out(locked: LockedOut) -> Refusal:
    """``NO locked-out``, and when to come again."""
    return Refusal(Code.LOCKED_OUT, {"retry_after_s": round(locked.left_s, 1)})


def account_list(
    found: Sequence[tuple[Chargeable, Purse]],
    page_max: int,
    available: Callable[[Purse], int | None],
) -> AccountList:
    """A page of shared accounts; one more than that was asked for, to know whether it is the last.

    ``available``: what can be spent of one here now.
    """
    return AccountList(
        accounts=[
            ChargeableAccount(one.id, one.name, available(purse), one.needs_pin, one.invoice)
            for one, purse in found[:page_max]
        ],
        last=len(found) <= page_max,
    )


def jobs_after(jobs: Sequence[Listed], after: str) -> Sequence[Listed]:
    """Those behind the job ``after``; all, where it is not among them."""
    places = [number for number, one in enumerate(jobs, 1) if one.job.job == after]
    return jobs[places[0] if places else 0 :]


def fields_of(listed: Listed) -> dict[str, Any]:
    """What both protocols say of one."""
    job = listed.job
    return {
        "job": job.job,
        "title": job.title,
        "pages": job.pages,
        "copies": job.copies,
        "colour": job.colour,
        "duplex": job.duplex,
        "amount_e4": job.amount_e4,
        "reason": job.reason,
        "print_server": listed.provider,
        "held_at": job.held_at,
    }

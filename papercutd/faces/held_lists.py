"""Held jobs as devices and people's clients list them: page by page, with the same fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from papercutd.services.held_jobs import Listed


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

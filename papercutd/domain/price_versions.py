"""Which version of the prices holds, and what became, or will become, of the others.

The newest of those whose day has come is in force: so one that is given out later and holds
sooner takes the place of one that still waited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from papercutd.domain.user_fields import show_until

IN_FORCE, WAITS, OVER, NEVER = "in force", "waits", "over", "never in force"


def standings(versions: Sequence[tuple[int, float]], now: float) -> Mapping[int, str]:
    """Of every (version, effective from) how it stands."""
    found: dict[int, str] = {}
    begun = [version for version, since in versions if since <= now]
    in_force = max(begun, default=0)
    for version, since in versions:
        if since <= now:
            found[version] = IN_FORCE if version == in_force else OVER
        elif any(other > version and begins <= since for other, begins in versions):
            found[version] = NEVER
        else:
            found[version] = WAITS
    return found


def overtaken(waiting: Iterable[tuple[int, float]], version: int, since: float) -> list[str]:
    """In words, which versions that waited never come into force now that ``version`` is made."""
    holds = f"from {show_from(since)}" if since else show_from(since)
    return [
        f"version {other}, from {show_from(begins)}, never comes into force:"
        f" version {version} is newer and holds {holds}"
        for other, begins in waiting
    ]


def show_from(since: float) -> str:
    """From when, as ``effective_from`` of a file reads it."""
    if since == 0:
        return "at once"
    at = datetime.fromtimestamp(since, UTC)
    return f"{at:%Y-%m-%d}" if not (at.hour or at.minute or at.second) else show_until(since)

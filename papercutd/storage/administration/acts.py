"""The act under way: what an administrator asked for, as the transactions it leads to see it.

It travels with the coroutine of the operation (a context variable), so that no operation and
no store has to hand it on. What an operation leaves running behind it is not part of the act.
"""

from __future__ import annotations

from contextvars import ContextVar

import attrs


@attrs.define(eq=False)
class Act:
    """One administrative act."""

    id: str
    at: float
    who: str
    place: str
    operation: str
    #: JSON, without secrets.
    arguments: str
    #: (kind, name) of the objects it is about.
    subjects: tuple[tuple[str, str], ...] = ()
    #: Site and group of the policy that it is about, None: any site, everybody.
    policy: tuple[str | None, str | None] | None = None
    #: Entries that are on the disk.
    entries: int = 0
    is_over: bool = False


UNDER_WAY: ContextVar[Act | None] = ContextVar("act", default=None)


def under_way() -> Act | None:
    """The act that this step is part of."""
    act = UNDER_WAY.get()
    return None if act is None or act.is_over else act

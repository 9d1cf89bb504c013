"""Whether a job that names a shared account is to be invoiced: by the account's option, or by
what its person says."""

from __future__ import annotations

ALWAYS, NEVER = "always", "never"
#: The person says so; where nobody does it is, or is not.
CHOOSES, CHOOSES_NO = "user-chooses", "user-chooses-no"
OPTIONS = (ALWAYS, NEVER, CHOOSES, CHOOSES_NO)


def may_choose(option: str) -> bool:
    """Whether its person is asked."""
    return option not in (ALWAYS, NEVER)


def is_invoiced(option: str, wish: bool | None = None) -> bool:
    """``wish``: what the person said; None: nothing.

    An account of which nothing is set, or what a newer release has set, is ``CHOOSES``.
    """
    if not may_choose(option):
        return option == ALWAYS
    return option != CHOOSES_NO if wish is None else wish

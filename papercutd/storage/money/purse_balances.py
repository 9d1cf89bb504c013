"""What one purse of each of many people holds, as they are shown it: with what sites hold of it."""

from __future__ import annotations

from papercutd.domain.purses import MAIN
from papercutd.storage.administration.listings import AT_SITES

#: All of them together, in place of the number of a kind.
TOGETHER = 0
_LENT = (
    "(SELECT COALESCE(SUM(l.left_e4), 0) FROM purse_lent AS l JOIN allowance AS a"
    ' ON a.id = l.allowance WHERE a."user" = account."user"{})'
)


def balance_of(kind: int) -> str:
    """An expression beside ``account``, the personal one."""
    if kind == TOGETHER:
        return f"credits_e4 - debits_e4 + purses_e4 + {AT_SITES}"
    if kind == MAIN:
        return f"credits_e4 - debits_e4 + {AT_SITES} - {_LENT.format('')}"
    held = (
        "(SELECT COALESCE(SUM(p.credits_e4 - p.debits_e4), 0) FROM account AS p"
        f" WHERE p.parent = account.id AND p.kind = 'purse' AND p.purse = {int(kind)})"
    )
    return f"{held} + {_LENT.format(f' AND l.purse = {int(kind)}')}"

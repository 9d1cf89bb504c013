"""How much of a person's money a STRICT site should hold (design 4.10)."""

from __future__ import annotations

#: In pages of grey A4 at the price in force.
SMALL_BALANCE_PAGES = 80
SMALL_GRANT_PAGES = 40
GRANT_PAGES = 100
#: Of the balance, in a hundred.
GRANT_SHARE = 25
#: Sites of a person's last uses that hold something.
SITES_MAX = 2


def target_e4(balance_e4: int, page_e4: int, place: int) -> int:
    """What the site of the last use (``place`` 0) or of the last but one (1) should hold.

    A small balance goes to one site whole, up to 40 pages; a larger one in quarters of
    at most 100 pages to two.
    """
    if balance_e4 <= 0 or page_e4 <= 0 or place >= SITES_MAX:
        return 0
    if balance_e4 < SMALL_BALANCE_PAGES * page_e4:
        return min(balance_e4, SMALL_GRANT_PAGES * page_e4) if place == 0 else 0
    return min(GRANT_PAGES * page_e4, balance_e4 * GRANT_SHARE // 100)

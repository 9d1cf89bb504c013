"""Whether an adjustment has room: no amount, balance or total reaches the limit of the books."""

from __future__ import annotations

from papercutd.domain.money import AMOUNT_LIMIT_E4
from papercutd.errors import InvalidValue
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import ADJUSTMENT


def has_room(connection: Connection, account: int, amount_e4: int) -> bool:
    """Whether neither side of an adjustment comes to the limit of any amount."""
    credit, debit = (account, ADJUSTMENT) if amount_e4 > 0 else (ADJUSTMENT, account)
    query = "SELECT id, credits_e4, debits_e4 FROM account WHERE id IN (?, ?)"
    found = {row[0]: row[1:] for row in connection.execute(query, (credit, debit))}
    return bool(max(found[credit][0], found[debit][1]) + abs(amount_e4) < AMOUNT_LIMIT_E4)


def check_room(connection: Connection, account: int, amount_e4: int) -> None:
    """Raises InvalidValue: the books would hold more than they can."""
    if not has_room(connection, account, amount_e4):
        raise InvalidValue("amount", "would bring an account to the limit of any amount")

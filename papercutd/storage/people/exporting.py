"""Users as a file of papercutd/domain/import_formats.py has them."""

from __future__ import annotations

from papercutd.domain.import_formats import Format
from papercutd.domain.money import show_amount
from papercutd.domain.user_fields import DETAILS
from papercutd.storage.administration.listings import PAGE_ROWS
from papercutd.storage.engine import Connection
from papercutd.storage.money.purse_balances import TOGETHER, balance_of


def read_export(
    connection: Connection, format: Format, after: str, purse: int = TOGETHER
) -> tuple[list[list[str]], str | None]:
    """Columns of the users beyond ``after``, and the folded name of the last; None: no more.

    Cards, PINs and passwords are kept as what proves them: their columns are empty, and an
    import of the same file leaves them as they are. ``purse``: the kind that balances are of.
    """
    details = ", ".join(f"COALESCE({detail}, '')" for detail in DETAILS)
    found = connection.execute(
        "SELECT user.folded, user.name, full_name, restricted,"
        f" {balance_of(purse)}, {details}"
        " FROM user JOIN account ON account.id = user.account"
        " LEFT JOIN user_detail ON user_detail.user = user.id"
        " WHERE user.folded > ? AND user.merged_into IS NULL AND deleted_at IS NULL"
        f" ORDER BY user.folded LIMIT {PAGE_ROWS}",
        (after,),
    ).fetchall()
    lines = []
    for _, name, full_name, restricted, balance_e4, *rest in found:
        values = {
            "name": name,
            "full_name": full_name,
            "restricted": "Y" if restricted else "N",
            "balance": show_amount(balance_e4),
            **dict(zip(DETAILS, rest, strict=True)),
        }
        lines.append([values.get(column, "") for column in format.columns])
    return lines, found[-1][0] if len(found) == PAGE_ROWS else None

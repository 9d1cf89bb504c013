"""What an administrator should see in the statement: one line of it."""

from __future__ import annotations

from papercutd.storage.engine import Connection


def list_item(
    connection: Connection,
    number: int,
    wall_s: float,
    kind: str,
    key: str,
    who: str,
    detail: str,
    amount_e4: int = 0,
) -> None:
    """Put something into the statement; ``number`` is that of the change under way."""
    connection.execute(
        "INSERT INTO listed (kind, key, who, detail, amount_e4, at, number)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kind, key, who, detail, amount_e4, wall_s, number),
    )

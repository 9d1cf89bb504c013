"""The monthly sums of a whole history at once, added up by the database itself.

monthly.py adds some thousand charges at a time, in Python, beside a server's work: for ten
million that takes longer than to make them.
"""

from __future__ import annotations

from papercutd.storage.engine import Connection
from papercutd.storage.history.monthly import read_rolled
from papercutd.storage.proof.monthly_check import summed

#: Where ``month_of`` puts a time that is none.
_NO_MONTH = "'1970-01'"


def make_sums(connection: Connection) -> None:
    """All sums anew, up to the newest change, in the transaction under way."""
    until = read_rolled(connection).of
    connection.execute("DELETE FROM monthly")
    for charges, kinds, places in summed(connection, _NO_MONTH):
        # Each kind comes in the order of its keys: pages of the table are written once each.
        sums = " UNION ALL ".join(
            f"SELECT '{of}' AS of, sums.* FROM ({kind}) AS sums" for of, kind in kinds.items()
        )
        connection.execute(f"INSERT INTO monthly {charges} {sums}", (until,) * places)
    connection.execute("UPDATE monthly_mark SET number = ?, stale = 0", (until,))

"""The purses of the installation, and of one user: each method is one transaction or one read."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.money.purses import PurseKinds, read_kinds
from papercutd.storage.replication.change_log import ChangeLog

_HELD = (
    "SELECT purse, COUNT(*), SUM(credits_e4 - debits_e4) FROM account WHERE kind = 'purse'"
    " AND credits_e4 <> debits_e4 GROUP BY purse"
)


class PurseStore:
    """At the application server."""

    def __init__(self, store: Transactions, log: ChangeLog) -> None:
        self._store = store
        self._kinds = PurseKinds(log)

    def list(self) -> Deferred[list[Row]]:
        """All kinds, in the order of spending; of the others than the main one who has any."""

        def read(connection: Connection) -> list[Row]:
            held = {kind: of for kind, *of in connection.execute(_HELD).fetchall()}
            return [
                {
                    "name": kind.name,
                    "rank": at,
                    "is_main": not kind.rank,
                    "refundable": kind.refundable,
                    "transferable": kind.transferable,
                    "people": held.get(kind.id, (0, 0))[0] if kind.rank else None,
                    "total_e4": int(held.get(kind.id, (0, 0))[1]) if kind.rank else None,
                }
                for at, kind in enumerate(read_kinds(connection), 1)
            ]

        return self._store.read(read)

    def add(
        self, name: str, place: int | None, refundable: bool, transferable: bool
    ) -> Deferred[None]:
        """Raises InvalidValue, AlreadyExists."""
        return self._store.write(
            lambda c: self._kinds.add(c, name, place, refundable, transferable)
        )

    def order(self, names: Sequence[str]) -> Deferred[None]:
        """Raises InvalidValue."""
        return self._store.write(lambda c: self._kinds.order(c, names))

    def remove(self, name: str) -> Deferred[None]:
        """Raises NotFound, InvalidValue while anybody has money in it."""
        return self._store.write(lambda c: self._kinds.remove(c, name))

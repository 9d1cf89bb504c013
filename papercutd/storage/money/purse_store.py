"""The purses of the installation, and of one user: each method is one transaction or one read."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from papercutd.domain.purses import MAIN
from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.money.purses import Kind, PurseKinds, find_kind, read_kinds
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
                    "is_main": kind.id == MAIN,
                    "refundable": kind.refundable,
                    "transferable": kind.transferable,
                    "fillable": kind.fillable,
                    "people": held.get(kind.id, (0, 0))[0] if kind.id != MAIN else None,
                    "total_e4": int(held.get(kind.id, (0, 0))[1]) if kind.id != MAIN else None,
                }
                for at, kind in enumerate(read_kinds(connection), 1)
            ]

        return self._store.read(read)

    def add(
        self,
        name: str,
        place: int | None,
        refundable: bool,
        transferable: bool,
        fillable: bool = True,
    ) -> Deferred[None]:
        """Raises InvalidValue, AlreadyExists."""
        return self._store.write(
            lambda c: self._kinds.add(c, name, place, refundable, transferable, fillable)
        )

    def order(self, names: Sequence[str]) -> Deferred[None]:
        """Raises InvalidValue."""
        return self._store.write(lambda c: self._kinds.order(c, names))

    def rename(self, name: str, new_name: str) -> Deferred[None]:
        """Of the main one; raises NotFound, InvalidValue, AlreadyExists."""
        return self._store.write(lambda c: self._kinds.rename(c, name, new_name))

    def find(self, name: str) -> Deferred[Kind]:
        """The kind called so, the main one for an empty name; raises NotFound."""
        return self._store.read(lambda c: find_kind(c, name))

    def remove(self, name: str) -> Deferred[None]:
        """Raises NotFound, InvalidValue while anybody has money in it."""
        return self._store.write(lambda c: self._kinds.remove(c, name))

"""Top-up vouchers at the application server: made, redeemed once, cancelled.

Each method is one step of the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.domain.purses import MAIN_NAME
from papercutd.domain.voucher import UnknownSerial, check_worth, hash_serial, show_day, told_of
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.engine import Connection, insert_row
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.books import ActsOnMoney
from papercutd.storage.money.purses import find_kind
from papercutd.storage.people.user_settings import living_user
from papercutd.storage.replication.timeline import next_id

#: What the purse that a batch ``b`` fills is called.
_PURSE = f"COALESCE((SELECT name FROM purse_kind WHERE purse_kind.id = b.purse), '{MAIN_NAME}')"
_BATCHES = (
    "SELECT b.id, b.name, b.amount_e4, b.count, b.expires_at, b.made_at,"
    " (SELECT COUNT(*) FROM voucher AS v WHERE v.batch = b.id AND v.redeemed_at IS NOT NULL)"
    " AS redeemed,"
    " (SELECT COUNT(*) FROM voucher AS v WHERE v.batch = b.id AND v.cancelled_at IS NOT NULL)"
    f" AS cancelled, {_PURSE} AS purse FROM voucher_batch AS b"
)


@attrs.frozen
class Redeemed:
    """A voucher that was redeemed just now."""

    batch: str
    place: int
    amount_e4: int
    #: What the purse that it filled is called.
    purse: str


class Vouchers(ActsOnMoney):
    """At the application server."""

    def add(
        self,
        connection: Connection,
        name: str,
        amount_e4: int,
        serials: Sequence[str],
        expires_at: float | None,
        at: float,
        purse: str = "",
    ) -> tuple[str, str]:
        """A batch with these serials, of which the hashes stay; the currency, and the name of the
        purse that they fill.

        Raises AlreadyExists, NotFound and InvalidValue for a purse that is not to be filled so.
        """
        kind = find_kind(connection, purse)
        if not kind.fillable:
            raise InvalidValue("purse", f"{kind.name} is not filled by vouchers")
        taken = connection.execute("SELECT 1 FROM voucher_batch WHERE name = ?", (name,)).fetchone()
        if taken is not None:
            raise AlreadyExists("batch of vouchers", name)
        batch = insert_row(
            connection,
            "INSERT INTO voucher_batch (id, name, amount_e4, count, expires_at, made_at, purse)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(next_id(connection, "voucher_batch"), name, amount_e4, len(serials)),
                *(expires_at, at, kind.id),
            ),
        )
        self._put(connection, batch, 0, serials)
        version = self._directory.newest_prices(connection)
        found = connection.execute(
            "SELECT body FROM price WHERE version = ?", (version,)
        ).fetchone()
        currency = "" if found is None else decode_prices(found[0]).currency
        return currency, kind.name

    def add_more(self, connection: Connection, name: str, serials: Sequence[str]) -> None:
        """Of the same batch: a large one is made in pieces, between which others write."""
        batch = find_batch(connection, name)
        (after,) = connection.execute(
            "SELECT count FROM voucher_batch WHERE id = ?", (batch,)
        ).fetchone()
        connection.execute(
            "UPDATE voucher_batch SET count = ? WHERE id = ?", (after + len(serials), batch)
        )
        self._put(connection, batch, after, serials)

    def _put(self, connection: Connection, batch: int, after: int, serials: Sequence[str]) -> None:
        for first in range(0, len(serials), PAGE_ROWS):
            hashes = [hash_serial(serial) for serial in serials[first : first + PAGE_ROWS]]
            places = ", ".join(["(?, ?, ?, ?)"] * len(hashes))
            connection.execute(
                f"INSERT INTO voucher (hash, batch, place, told) VALUES {places}",
                [
                    value
                    for place, hash in enumerate(hashes, after + first + 1)
                    for value in (hash, batch, place, told_of(hash))
                ],
            )
            for hash in hashes:
                self._log.touch("voucher", told_of(hash))

    def tell_more(self, connection: Connection) -> bool:
        """Sites are told of some that an earlier release made; False: of all already."""
        found = connection.execute(
            f"SELECT hash FROM voucher WHERE told IS NULL LIMIT {PAGE_ROWS}"
        ).fetchall()
        for (hash,) in found:
            connection.execute("UPDATE voucher SET told = ? WHERE hash = ?", (told_of(hash), hash))
            self._log.touch("voucher", told_of(hash))
        return bool(found)

    def redeem(self, connection: Connection, serial: str, name: str, entry: Entry) -> Redeemed:
        """Credit the user called ``name``, once; raises UnknownSerial, NotFound, InvalidValue."""
        user, account = living_user(connection, self._directory, name)
        hash = hash_serial(serial)
        found = connection.execute(
            "SELECT v.place, v.redeemed_at, v.cancelled_at, b.id, b.name, b.amount_e4,"
            f" b.expires_at, b.purse, {_PURSE} FROM voucher AS v"
            " JOIN voucher_batch AS b ON b.id = v.batch WHERE v.hash = ?",
            (hash,),
        ).fetchone()
        if found is None:
            raise UnknownSerial("voucher with that serial", "")
        place, redeemed_at, cancelled_at, batch, batch_name, amount_e4, expires_at, *of = found
        kind, purse = of
        check_worth(redeemed_at, cancelled_at, expires_at, entry.received_at)
        connection.execute(
            "UPDATE voucher SET user = ?, redeemed_at = ? WHERE hash = ?",
            (user, entry.received_at, hash),
        )
        self._log.touch("voucher", told_of(hash))
        said = attrs.evolve(
            entry, key=f"voucher:{batch}.{place}", reason=f"voucher {batch_name} {place}"
        )
        self._directory.adjust(connection, account, amount_e4, said, kind)
        self._charging.refill(connection, user)
        return Redeemed(batch_name, place, amount_e4, purse)

    def cancel(self, connection: Connection, name: str, place: int | None, at: float) -> int:
        """What was not redeemed of a batch, or that one, is worth nothing; how many were that.

        Raises NotFound, and InvalidValue for one that was redeemed.
        """
        batch = find_batch(connection, name)
        if place is None:
            return self._cancel(connection, "batch = ? AND redeemed_at IS NULL", (batch,), at)
        found = connection.execute(
            "SELECT redeemed_at FROM voucher WHERE batch = ? AND place = ?", (batch, place)
        ).fetchone()
        if found is None:
            raise NotFound(f"voucher in batch {name}", str(place))
        if found[0] is not None:
            raise InvalidValue("number", f"{place} was redeemed on {show_day(found[0])}")
        return self._cancel(connection, "batch = ? AND place = ?", (batch, place), at)

    def _cancel(
        self, connection: Connection, which: str, values: tuple[int, ...], at: float
    ) -> int:
        """Those that were not cancelled before; how many."""
        which = f"{which} AND cancelled_at IS NULL"
        for (told,) in connection.execute(
            f"SELECT told FROM voucher WHERE {which} AND told IS NOT NULL", values
        ).fetchall():
            self._log.touch("voucher", told)
        return connection.execute(
            f"UPDATE voucher SET cancelled_at = ? WHERE {which}", (at, *values)
        ).rowcount


def find_batch(connection: Connection, name: str) -> int:
    """Raises NotFound."""
    found = connection.execute("SELECT id FROM voucher_batch WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise NotFound("batch of vouchers", name)
    return int(found[0])


def read_batches(connection: Connection, after: int) -> list[Row]:
    """At most 500 beyond that number."""
    return rows(connection, f"{_BATCHES} WHERE b.id > ? ORDER BY b.id LIMIT {PAGE_ROWS}", after)


def read_vouchers(connection: Connection, name: str, after: int) -> list[Row]:
    """Vouchers of a batch beyond that number, at most 500, who redeemed each and when.

    Raises NotFound.
    """
    return rows(
        connection,
        "SELECT v.place AS number, u.name AS redeemed_by, v.redeemed_at, v.cancelled_at"
        " FROM voucher AS v LEFT JOIN user AS u ON u.id = v.user"
        f" WHERE v.batch = ? AND v.place > ? ORDER BY v.place LIMIT {PAGE_ROWS}",
        *(find_batch(connection, name), after),
    )

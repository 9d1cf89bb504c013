"""Vouchers redeemed at sites, decided at the application server (design 4.11).

The first redemption that comes in wins; what another one gave is booked and taken back, forced,
and listed. A record counts once, by its id, in whatever stream it comes.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from papercutd.domain.money import AMOUNT_LIMIT_E4
from papercutd.domain.voucher import show_day, told_of
from papercutd.errors import Rejected
from papercutd.storage.administration.listed import list_item
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.money.accounts import ADJUSTMENT, Accounts, Entry
from papercutd.storage.people.people import heir_of_user
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.records import Record, VoucherShown

CREDITED = "credited"
CONFLICT = "voucher-conflict"
TWICE = "voucher-twice"
EXPIRED = "voucher-expired"
CANCELLED = "voucher-cancelled"
UNKNOWN = "voucher-unknown"
#: The person is told at each log-in that a voucher is not theirs.
TAKEN_BACK = "voucher-taken-back"


@attrs.frozen
class _Voucher:
    """As the application server has it."""

    batch: int
    place: int
    name: str
    amount_e4: int
    expires_at: float | None
    user: int | None
    redeemed_at: float | None
    cancelled_at: float | None
    purse: int

    @property
    def key(self) -> str:
        return f"voucher:{self.batch}.{self.place}"

    @property
    def words(self) -> str:
        return f"voucher {self.name} {self.place}"


class VoucherClaims:
    """Each method is one step of a transaction."""

    def __init__(self, log: ChangeLog, charging: Charging, wall_s: Callable[[], float]) -> None:
        self._log = log
        self._accounts = Accounts(log)
        self._charging = charging
        self._wall_s = wall_s

    def take(self, connection: Connection, record: Record, shown: VoucherShown, site: str) -> None:
        """A redemption came in. Raises Rejected ``bad-fields`` for somebody who is not there."""
        if not 0 < shown.amount_e4 < AMOUNT_LIMIT_E4 or len(record.key) > 64:
            raise Rejected("bad-fields", "no such redemption")
        done = "SELECT 1 FROM voucher_claim WHERE id = ?"
        if connection.execute(done, (record.key,)).fetchone() is not None:
            return
        if connection.execute("SELECT 1 FROM user WHERE id = ?", (shown.user,)).fetchone() is None:
            raise Rejected("bad-fields", "no such user")
        user = heir_of_user(connection, "", shown.user)
        voucher = _find(connection, shown.hash)
        now = self._wall_s()
        if voucher is None:
            outcome = UNKNOWN
            name = _name(connection, user)
            self._list(connection, site, outcome, f"{name} redeemed it there", shown.amount_e4)
            self._tell(connection, record.key, user)
        else:
            outcome, why = _judge(connection, voucher, user, min(shown.redeemed_at, now))
            self._book(connection, record, voucher, user, site, outcome, why)
        connection.execute(
            "INSERT INTO voucher_claim (id, hash, user, site, outcome, number, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (record.key, shown.hash, shown.user, site, outcome, self._log.number, now),
        )
        # Its number is a place of the history, whatever else this transaction wrote.
        self._log.place()

    def _book(
        self,
        connection: Connection,
        record: Record,
        voucher: _Voucher,
        user: int,
        site: str,
        outcome: str,
        why: str,
    ) -> None:
        now = self._wall_s()
        entry = Entry(
            key=voucher.key,
            price_version=0,
            who=f"site:{site}",
            place=f"site:{site}",
            claimed_at=record.at,
            received_at=now,
            reason=voucher.words,
        )
        (account,) = connection.execute("SELECT account FROM user WHERE id = ?", (user,)).fetchone()
        account = self._accounts.heir(connection, account)
        self._adjust(connection, account, voucher, 1, entry)
        if outcome == CREDITED:
            connection.execute(
                'UPDATE voucher SET "user" = ?, redeemed_at = ? WHERE batch = ? AND place = ?',
                (user, now, voucher.batch, voucher.place),
            )
            self._log.touch("voucher", told_of(record.voucher.hash if record.voucher else ""))
            self._charging.refill(connection, user)
            return
        words = f"{voucher.words} taken back: {why}"
        back = attrs.evolve(entry, forced=True, reason=words)
        self._adjust(connection, account, voucher, -1, back)
        name = _name(connection, user)
        detail = f"{voucher.words}, which {name} redeemed there: {why}; taken back from {name}"
        self._list(connection, site, outcome, detail, voucher.amount_e4)
        self._tell(connection, record.key, user)

    def _adjust(
        self, connection: Connection, account: int, voucher: _Voucher, sign: int, entry: Entry
    ) -> None:
        # No event of the change log: what a restore loses of it, the site offers again.
        kind, amount_e4 = voucher.purse, voucher.amount_e4
        if sign > 0:
            self._accounts.into_purse(connection, ADJUSTMENT, account, kind, amount_e4, entry)
        else:
            # Credited a moment ago: whatever purse it is has so much.
            self._accounts.from_purse(connection, account, kind, ADJUSTMENT, amount_e4, entry)

    def _list(
        self, connection: Connection, site: str, kind: str, detail: str, amount_e4: int
    ) -> None:
        list_item(
            *(connection, self._log.number, self._wall_s(), kind, "", f"site:{site}"),
            *(detail, amount_e4),
        )

    def _tell(self, connection: Connection, id: str, user: int) -> None:
        connection.execute(
            "INSERT INTO notice VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (id, user, TAKEN_BACK, self._wall_s()),
        )
        self._log.touch("notice", id)


def _find(connection: Connection, hash: str) -> _Voucher | None:
    found = connection.execute(
        'SELECT v.batch, v.place, b.name, b.amount_e4, b.expires_at, v."user", v.redeemed_at,'
        " v.cancelled_at, b.purse FROM voucher AS v JOIN voucher_batch AS b ON b.id = v.batch"
        " WHERE v.hash = ?",
        (hash,),
    ).fetchone()
    return None if found is None else _Voucher(*found)


def _judge(
    connection: Connection, voucher: _Voucher, user: int, redeemed_at: float
) -> tuple[str, str]:
    """What comes of it, and why it does not stand."""
    if voucher.user is not None:
        first = heir_of_user(connection, "", voucher.user)
        when = show_day(voucher.redeemed_at or 0.0)
        if first == user:
            return TWICE, f"redeemed before by the same user, on {when}"
        return CONFLICT, f"{_name(connection, first)} was first, on {when}"
    if voucher.cancelled_at is not None:
        return CANCELLED, f"cancelled on {show_day(voucher.cancelled_at)}"
    if voucher.expires_at is not None and voucher.expires_at <= redeemed_at:
        return EXPIRED, f"it was good before {show_day(voucher.expires_at)}"
    return CREDITED, ""


def _name(connection: Connection, user: int) -> str:
    return str(connection.execute("SELECT name FROM user WHERE id = ?", (user,)).fetchone()[0])

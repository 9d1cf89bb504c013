"""People merged, renamed, deleted, and what was charged to nobody: design 4.11.

Nothing of theirs is ever removed: a merged user points to its heir, a former name to
who bore it last, and whatever still comes in of them posts.
"""

from __future__ import annotations

import attrs

from papercutd.domain.job import fold_user_name
from papercutd.domain.site_scope import Owner
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.administration.directory import Directory, check_user_name, take_user_name
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import UNCOLLECTED, Accounts, Entry
from papercutd.storage.replication.change_log import ChangeLog


@attrs.frozen
class _User:
    id: int
    name: str
    folded: str
    account: int
    administrator: bool
    verifier: str
    pin_verifier: str
    deleted_at: float | None


def _why_same(name: str, into: str, heir: str) -> str:
    """Why nobody is merged: in a circle, or with themselves, in words."""
    for called in (name, into):
        if fold_user_name(called) != fold_user_name(heir):
            return f"is the same user: {called!r} is {heir!r} now, by a merge or another name"
    return "is the same user"


class Merging:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog, accounts: Accounts, directory: Directory) -> None:
        self._log = log
        self._accounts = accounts
        self._directory = directory

    def merge(self, connection: Connection, name: str, into: str, entry: Entry) -> None:
        """``name`` is ``into`` for ever: money, reservations, cards and names go to the heir.

        A password or PIN goes where the heir has none, and never to an administrator.
        Raises NotFound, InvalidValue.
        """
        old, heir = self._living(connection, name), self._living(connection, into)
        if old.id == heir.id:
            raise InvalidValue("into", _why_same(name, into, heir.name))
        entry = attrs.evolve(entry, reason=f"{old.name} merged into {heir.name}")
        self._move_reservations(connection, old, heir, entry)
        own_e4 = self._accounts.funds(connection, old.account).own_e4
        if own_e4:
            sides = (old.account, heir.account) if own_e4 > 0 else (heir.account, old.account)
            self._accounts.transfer(connection, *sides, abs(own_e4), entry)
        self._accounts.move_purses(connection, old.account, heir.account, entry)
        connection.execute(
            "UPDATE account SET closed = 1, merged_into = ? WHERE id = ?",
            (heir.account, old.account),
        )
        self._log.touch("account", old.account)
        self._leave_name(connection, old, entry.received_at)
        connection.execute(
            "UPDATE user SET merged_into = ?, verifier = '', pin_verifier = '' WHERE id = ?",
            (heir.id, old.id),
        )
        self._log.touch("user", old.id)
        if not heir.administrator:
            connection.execute(
                "UPDATE user SET verifier = ?, pin_verifier = ? WHERE id = ?",
                (
                    heir.verifier or old.verifier,
                    heir.pin_verifier or old.pin_verifier,
                    heir.id,
                ),
            )
            self._log.touch("user", heir.id)
        for (card,) in connection.execute(
            "SELECT hash FROM card WHERE user = ?", (old.id,)
        ).fetchall():
            connection.execute("UPDATE card SET user = ? WHERE hash = ?", (heir.id, card))
            self._log.touch("card", card, ("user", old.id))

    def rename(self, connection: Connection, name: str, new: str, at: float, now: bool) -> None:
        """The user is called ``new``; the name before still finds this person.

        Raises NotFound, InvalidValue, AlreadyExists, NameKept.
        """
        user = self._living(connection, name)
        folded = check_user_name(new)
        if folded != user.folded:
            take_user_name(connection, self._log, new, user.id, at, now)
            self._leave_name(connection, user, at)
            self._bear_name(connection, user.id, folded)
        connection.execute("UPDATE user SET name = ? WHERE id = ?", (new, user.id))
        connection.execute("UPDATE account SET name = ? WHERE id = ?", (new, user.account))
        self._log.touch("user", user.id)
        self._log.touch("account", user.account)

    def delete(self, connection: Connection, name: str, at: float) -> int:
        """The user prints no more; what was printed still posts. What the account holds."""
        user = self._living(connection, name)
        self._leave_name(connection, user, at)
        connection.execute("UPDATE user SET deleted_at = ? WHERE id = ?", (at, user.id))
        connection.execute("UPDATE account SET closed = 1 WHERE id = ?", (user.account,))
        self._log.touch("user", user.id)
        self._log.touch("account", user.account)
        return self._accounts.funds(connection, user.account).balance_e4

    def undelete(self, connection: Connection, name: str, at: float) -> None:
        """A deleted user is back, under the last name; raises NotFound, AlreadyExists.

        NotFound where the name was given to somebody else meanwhile.
        """
        found = self._directory.find_person(connection, name)
        user = None if found is None else self._read(connection, found.id)
        if user is None or user.deleted_at is None:
            raise NotFound("deleted user", name)
        take_user_name(connection, self._log, user.name, user.id, at, False)
        self._bear_name(connection, user.id, fold_user_name(user.name))
        connection.execute("UPDATE user SET deleted_at = NULL WHERE id = ?", (user.id,))
        connection.execute("UPDATE account SET closed = 0 WHERE id = ?", (user.account,))
        self._log.touch("account", user.account)

    def assign(self, connection: Connection, key: str, name: str, entry: Entry) -> int:
        """What ``key`` was charged to nobody is paid by the user called ``name``; how much.

        It happened, so it posts whatever the funds. Raises NotFound, and AlreadyExists
        for one that was assigned before.
        """
        person = self._directory.find_person(connection, name)
        if person is None:
            raise NotFound("user", name)
        found = connection.execute(
            "SELECT charge_id, amount_e4, price_version, printer FROM charge"
            " WHERE key = ? AND account = ?",
            (key, UNCOLLECTED),
        ).fetchone()
        if found is None:
            raise NotFound("uncollected charge", key)
        charge_id, amount_e4, version, printer = found
        is_written_off = connection.execute(
            "SELECT 1 FROM written_off WHERE charge_id = ?", (charge_id,)
        ).fetchone()
        if is_written_off is not None:
            raise AlreadyExists("write-off of", key)
        done = connection.execute(
            "INSERT INTO assigned VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (charge_id, person.id, entry.received_at, self._log.number),
        )
        if done.rowcount == 0:
            raise AlreadyExists("assignment of", key)
        self._log.place()
        if amount_e4:
            # The charge's own transfers stand as they are: this one has a key of its own.
            entry = attrs.evolve(
                entry,
                key=f"{charge_id}:assigned",
                price_version=version,
                place=f"printer:{printer}",
                forced=True,
            )
            account = self._accounts.heir(connection, person.account)
            self._accounts.pay(connection, account, UNCOLLECTED, amount_e4, entry)
            self._log.adjusted(
                self._accounts.last, account, -amount_e4, entry.reason, entry.received_at
            )
        return int(amount_e4)

    def _move_reservations(
        self, connection: Connection, old: _User, heir: _User, entry: Entry
    ) -> None:
        for key, transfer, reserved_e4, version, place in connection.execute(
            "SELECT d.key, d.transfer, d.reserved_e4, t.price_version, t.place"
            " FROM decision AS d JOIN transfer AS t ON t.id = d.transfer"
            " WHERE d.account = ? AND d.state = 'open'",
            (old.account,),
        ).fetchall():
            moved = attrs.evolve(entry, key=key, price_version=version, place=place)
            transfer = self._accounts.rebook(
                connection, transfer, old.account, heir.account, reserved_e4, moved
            )
            connection.execute(
                "UPDATE decision SET account = ?, transfer = ? WHERE key = ?",
                (heir.account, transfer, key),
            )
            self._log.touch("reservation", key, ("account", old.account))

    def _leave_name(self, connection: Connection, user: _User, at: float) -> None:
        connection.execute(
            "UPDATE user_name SET until = ? WHERE folded = ? AND user = ? AND until IS NULL",
            (self._log.number, user.folded, user.id),
        )
        before = connection.execute(
            "SELECT user FROM former_name WHERE folded = ?", (user.folded,)
        ).fetchone()
        connection.execute(
            "INSERT INTO former_name VALUES (?, ?, ?) ON CONFLICT (folded)"
            " DO UPDATE SET user = excluded.user, left_at = excluded.left_at",
            (user.folded, user.id, at),
        )
        bore: list[Owner] = [] if before is None else [("user", before[0])]
        self._log.touch("former_name", user.folded, *bore)
        # What no name can be: names hold no control characters.
        connection.execute("UPDATE user SET folded = ? WHERE id = ?", (f"\x01{user.id}", user.id))
        self._log.touch("user", user.id)

    def _bear_name(self, connection: Connection, user: int, folded: str) -> None:
        connection.execute("UPDATE user SET folded = ? WHERE id = ?", (folded, user))
        # The same name again within one transaction is the same bearing.
        connection.execute(
            "INSERT INTO user_name VALUES (?, ?, ?, NULL)"
            " ON CONFLICT (folded, since, user) DO UPDATE SET until = NULL",
            (folded, user, self._log.number),
        )
        self._log.touch("user", user)

    def _living(self, connection: Connection, name: str) -> _User:
        person = self._directory.find_person(connection, name)
        user = None if person is None else self._read(connection, person.id)
        if user is None or user.deleted_at is not None:
            raise NotFound("user", name)
        return user

    def _read(self, connection: Connection, user: int) -> _User:
        found = connection.execute(
            "SELECT id, name, folded, account, administrator, verifier, pin_verifier, deleted_at"
            " FROM user WHERE id = ?",
            (user,),
        ).fetchone()
        return _User(*found)


def read_uncollected(connection: Connection, after: str = "") -> list[Row]:
    """Charges that were booked to nobody and not assigned since, the oldest first; ``after``: the
    key of the last one of the page before. Raises NotFound."""
    place = connection.execute(
        "SELECT number, charge_id FROM charge WHERE charge_id = ?", (after,)
    ).fetchone()
    if after and place is None:
        raise NotFound("charge", after[:80])
    return rows(
        connection,
        "SELECT key, user_name, title, pages, amount_e4, provider, claimed_at FROM charge"
        " WHERE account = 3 AND charge_id NOT IN (SELECT charge_id FROM assigned)"
        " AND charge_id NOT IN (SELECT charge_id FROM written_off)"
        " AND (number, charge_id) > (?, ?)"
        f" ORDER BY number, charge_id LIMIT {PAGE_ROWS}",
        *(place or (0, "")),
    )

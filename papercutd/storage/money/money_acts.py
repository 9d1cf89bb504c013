"""Adjustments of many accounts, and transfers between users: each once, by the id of the act.

An act on many is written down whole before any of it is done; then it is done in pieces, after
a restart too. Each method is one step of the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.domain.money import AMOUNT_LIMIT_E4, show_amount
from papercutd.domain.purses import MAIN
from papercutd.errors import InvalidValue
from papercutd.storage.administration.listings import PAGE_ROWS
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.allowances import Shortage
from papercutd.storage.money.books import ActsOnMoney
from papercutd.storage.money.purses import find_kind, read_purses
from papercutd.storage.money.room import has_room
from papercutd.storage.people.groups import find_group
from papercutd.storage.people.nested_groups import with_inner
from papercutd.storage.people.people import heir_of_user
from papercutd.storage.people.user_settings import living_user

#: Accounts adjusted in one transaction: what others who write wait for at the most.
PIECE_ROWS = 100


@attrs.frozen
class Act:
    """What an administrator does; ``digest`` is of everything that was asked for."""

    id: str
    kind: str
    digest: str
    reason: str


@attrs.frozen
class ActState:
    """How far an act is: of how many users, and how much all of them got."""

    state: str
    users: int
    failed: int
    total_e4: int


class MoneyActs(ActsOnMoney):
    """At the application server."""

    def begin(self, connection: Connection, act: Act, at: float, purse: str = "") -> None:
        """``put`` says whose accounts it is about, of them that ``purse``; raises NotFound."""
        kind = find_kind(connection, purse).id
        connection.execute(
            "INSERT INTO money_act (id, kind, digest, reason, state, at, purse)"
            " VALUES (?, ?, ?, ?, 'filling', ?, ?)",
            (act.id, act.kind, act.digest, act.reason, at, kind),
        )

    def put(self, connection: Connection, act: str, rows: Sequence[tuple[int, int]]) -> None:
        """(user, amount) of some who are to be adjusted; at most PAGE_ROWS."""
        places = ", ".join(["(?, ?, ?)"] * len(rows))
        connection.execute(
            f"INSERT INTO money_act_row VALUES {places}",
            [value for user, amount_e4 in rows for value in (act, user, amount_e4)],
        )

    def begin_applying(self, connection: Connection, act: str, users: int) -> None:
        """From here on the act is done to its end, whatever happens.

        Raises InvalidValue unless all ``users`` are there: a server that starts forgets what it
        takes for interrupted.
        """
        done = connection.execute(
            "UPDATE money_act SET state = 'applying' WHERE id = ?1 AND state = 'filling'"
            " AND (SELECT COUNT(*) FROM money_act_row WHERE act = ?1) = ?2",
            (act, users),
        )
        if done.rowcount != 1:
            raise InvalidValue("id", f"{act!r} was interrupted, nothing is changed: repeat it")

    def forget(self, connection: Connection, act: str) -> bool:
        """Some of one that is not to be done; True: all of it is gone."""
        done = connection.execute(
            "DELETE FROM money_act_row WHERE act = ?1 AND user IN"
            " (SELECT user FROM money_act_row WHERE act = ?1 ORDER BY user LIMIT ?2)",
            (act, PAGE_ROWS),
        )
        if done.rowcount:
            return False
        connection.execute("DELETE FROM money_act WHERE id = ? AND state = 'filling'", (act,))
        return True

    def apply_piece(self, connection: Connection, act: str, entry: Entry) -> ActState:
        """Adjust the next accounts; ``state`` is ``done`` when there were none."""
        reason, kind = connection.execute(
            "SELECT reason, purse FROM money_act WHERE id = ?", (act,)
        ).fetchone()
        rows = connection.execute(
            "SELECT r.user, r.amount_e4, u.account FROM money_act_row AS r"
            " JOIN user AS u ON u.id = r.user WHERE r.act = ? ORDER BY r.user LIMIT ?",
            (act, PIECE_ROWS),
        ).fetchall()
        failed = total_e4 = 0
        entry = attrs.evolve(entry, key=f"adjust:{act}", reason=reason)
        for user, amount_e4, personal in rows:
            account = self._accounts.heir(connection, personal)
            if not self._has_room(connection, account, amount_e4, kind):
                failed += 1
                continue
            self._directory.adjust(connection, account, amount_e4, entry, kind)
            self._charging.refill(connection, heir_of_user(connection, "", user))
            total_e4 += amount_e4
        if rows:
            connection.execute(
                "DELETE FROM money_act_row WHERE act = ? AND user <= ?", (act, rows[-1][0])
            )
        connection.execute(
            "UPDATE money_act SET users = users + ?, failed = failed + ?, total_e4 = total_e4 + ?,"
            " state = ? WHERE id = ?",
            (len(rows) - failed, failed, total_e4, "applying" if rows else "done", act),
        )
        found = find_act(connection, act)
        assert found is not None
        return found[1]

    def transfer(
        self,
        connection: Connection,
        act: Act,
        giver: str,
        receiver: str,
        amount_e4: int,
        entry: Entry,
        purse: str = "",
        may_recall: bool = False,
    ) -> bool | Shortage:
        """Both sides in one transaction; False: it was done before.

        With ``may_recall`` nobody is refused while connected sites hold some of what is missing:
        then nothing is done, and the answer says who they are. It goes by way of the adjustments,
        an entry for each side, so that the history of either names the other and a site that
        knows but one of them hears of that one. ``purse``: of the giver, and it fills the
        receiver's of that name. Raises NotFound, InvalidValue.
        """
        before = check_same(find_act(connection, act.id), act)
        if before is not None:
            return False
        from_user, from_account = living_user(connection, self._directory, giver)
        to_user, to_account = living_user(connection, self._directory, receiver)
        if from_account == to_account:
            raise InvalidValue("to", "is the same user")
        kind = find_kind(connection, purse)
        if not kind.transferable:
            raise InvalidValue("purse", f"{kind.name} is not to be given to others")
        free_e4 = self._free_e4(connection, from_account, kind.id)
        if amount_e4 > free_e4:
            missing_e4 = amount_e4 - free_e4
            shortage = self._allowances.shortage(connection, from_account, missing_e4)
            if may_recall and shortage is not None:
                return shortage
            left = show_amount(max(0, free_e4))
            raise InvalidValue("amount", f"is more than {giver} may spend now: {left}")
        if not self._has_room(connection, to_account, amount_e4, kind.id):
            raise InvalidValue("amount", f"is more than the account of {receiver} can hold")
        connection.execute(
            "INSERT INTO money_act (id, kind, digest, reason, state, users, total_e4, at)"
            " VALUES (?, 'transfer', ?, ?, 'done', 2, ?, ?)",
            (act.id, act.digest, act.reason, amount_e4, entry.received_at),
        )
        words = f": {act.reason}" if act.reason else ""
        for account, sign, reason in (
            (from_account, -1, f"to {receiver}{words}"),
            (to_account, 1, f"from {giver}{words}"),
        ):
            said = attrs.evolve(entry, key=f"transfer:{act.id}", reason=reason)
            self._directory.adjust(connection, account, sign * amount_e4, said, kind.id)
        for user in (from_user, to_user):
            self._charging.refill(connection, user)
        return True

    def _free_e4(self, connection: Connection, account: int, kind: int) -> int:
        """What may be given away of that purse: as a reservation may take; who is not restricted
        gives what is there, since nobody gives money that there is none of."""
        funds = self._accounts.funds(connection, account)
        is_bounded = funds.restricted
        free_e4 = funds.spendable_e4 if is_bounded else funds.balance_e4 - funds.pending_e4
        if kind == MAIN:
            # What is reserved is paid from the other purses as far as they go.
            return min(free_e4, funds.own_e4 - (funds.floor_e4 if is_bounded else 0))
        held = {one.kind: one.balance_e4 for one in read_purses(connection, account)}
        return min(free_e4, held.get(kind, 0))

    def _has_room(
        self, connection: Connection, account: int, amount_e4: int, kind: int = MAIN
    ) -> bool:
        """Whether no limit of any amount is met, and a purse other than the main one holds what
        is taken from it."""
        if kind != MAIN:
            held = {one.kind: one.balance_e4 for one in read_purses(connection, account)}
            if amount_e4 + held.get(kind, 0) < 0:
                return False
            together_e4 = self._accounts.funds(connection, account).purses_e4
            if amount_e4 + together_e4 >= AMOUNT_LIMIT_E4:
                return False
        return has_room(connection, account, amount_e4)


def find_act(connection: Connection, id: str) -> tuple[Act, ActState] | None:
    """The act of that id, and how far it is."""
    found = connection.execute(
        "SELECT id, kind, digest, reason, state, users, failed, total_e4 FROM money_act"
        " WHERE id = ?",
        (id,),
    ).fetchone()
    return None if found is None else (Act(*found[:4]), ActState(*found[4:]))


def check_same(found: tuple[Act, ActState] | None, act: Act) -> ActState | None:
    """How far ``act`` is; raises InvalidValue where its id is another act's."""
    if found is None:
        return None
    if (found[0].kind, found[0].digest) != (act.kind, act.digest):
        raise InvalidValue(
            "id", f"{act.id!r} was given to another act: repeat that one as it was, or choose anew"
        )
    return found[1]


def waiting_acts(connection: Connection) -> list[tuple[str, str]]:
    """(id, state) of each that was begun and is not at its end."""
    return [
        (id, state)
        for id, state in connection.execute(
            "SELECT id, state FROM money_act WHERE state <> 'done' ORDER BY id"
        )
    ]


def members_after(connection: Connection, group: str, nested: bool, after: int) -> list[int]:
    """Users of a group beyond the id ``after``, at most PAGE_ROWS; raises NotFound."""
    found = find_group(connection, group)
    groups = with_inner(connection, [found]) if nested else [found]
    places = ", ".join("?" * len(groups))
    return [
        id
        for (id,) in connection.execute(
            "SELECT id FROM user WHERE merged_into IS NULL AND deleted_at IS NULL AND id > ?"
            f" AND id IN (SELECT user FROM group_member WHERE user_group IN ({places}))"
            f" ORDER BY id LIMIT {PAGE_ROWS}",
            (after, *groups),
        )
    ]

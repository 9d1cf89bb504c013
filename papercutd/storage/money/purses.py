"""Purses beside the personal account: accounts of their own, whose parent that is.

What they hold together stands in the personal account's row, and changes with them: who asks
whether there is money enough looks at one row. Money moves in storage/money/accounts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from papercutd.domain.money import show_amount
from papercutd.domain.purses import (
    KINDS_MAX,
    MAIN,
    MAIN_NAME,
    REASON,
    Parts,
    check_name,
    ranks_of,
)
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.timeline import next_id

#: At the application server, in the order of spending.
_OF_ACCOUNT = (
    "SELECT a.id, a.purse, k.name, k.rank, a.credits_e4 - a.debits_e4 FROM account AS a"
    " JOIN purse_kind AS k ON k.id = a.purse WHERE a.parent = ? AND a.kind = 'purse'"
    " ORDER BY k.rank, k.id"
)
#: The same at a site.
_HERE = (
    "SELECT p.account, p.kind, k.name, k.rank, p.balance_e4 FROM replica.purse AS p"
    " JOIN replica.purse_kind AS k ON k.id = p.kind WHERE p.owner = ? ORDER BY k.rank, k.id"
)


@attrs.frozen
class Held:
    """One purse of one person."""

    account: int
    kind: int
    name: str
    rank: int
    balance_e4: int


@attrs.frozen
class Kind:
    """One kind of purse of the installation."""

    id: int
    name: str
    rank: int
    refundable: bool
    transferable: bool
    #: Whether people may fill it themselves, as by a voucher.
    fillable: bool = True


def read_purses(connection: Connection, account: int) -> list[Held]:
    """The purses of a personal account, in the order of spending, without itself."""
    return [Held(*row) for row in connection.execute(_OF_ACCOUNT, (account,)).fetchall()]


def read_purses_here(connection: Connection, account: int) -> list[Held]:
    """The same at a site, as its replica has them."""
    return [Held(*row) for row in connection.execute(_HERE, (account,)).fetchall()]


def read_kinds(connection: Connection) -> list[Kind]:
    """All kinds, in the order of spending: with the main one, which is a row only where it
    was called otherwise."""
    found = {
        id: Kind(id, name, rank, bool(refundable), bool(transferable), bool(fillable))
        for id, name, rank, refundable, transferable, fillable in connection.execute(
            "SELECT id, name, rank, refundable, transferable, fillable FROM purse_kind"
            " WHERE removed = 0"
        )
    }
    kinds = {MAIN: Kind(MAIN, MAIN_NAME, 0, True, True), **found}.values()
    return sorted(kinds, key=lambda kind: (kind.rank, kind.id))


def find_kind(connection: Connection, name: str) -> Kind:
    """The kind called so, the main one for an empty name; raises NotFound."""
    for kind in read_kinds(connection):
        if kind.name == name or (not name and kind.id == MAIN):
            return kind
    raise NotFound("purse", name)


def main_name(connection: Connection, schema: str = "") -> str:
    """What the main purse is called; ``schema``: ``replica.`` at a site."""
    found = connection.execute(
        f"SELECT name FROM {schema}purse_kind WHERE id = ?", (MAIN,)
    ).fetchone()
    return MAIN_NAME if found is None else str(found[0])


def parts_of(amounts: Mapping[int, int], order: Sequence[tuple[int, int]], main_e4: int) -> Parts:
    """``amounts`` by kind as Parts; ``order``: (kind, rank) of each other than the main one."""
    first, last = (
        tuple(amounts.get(kind, 0) for kind, rank in order if (rank < 0) is is_first)
        for is_first in (True, False)
    )
    return Parts(first, main_e4, last)


def by_kind(parts: Parts, order: Sequence[tuple[int, int]]) -> dict[int, int]:
    """What is above zero of ``parts``, the main one's apart."""
    kinds = [
        *(kind for kind, rank in order if rank < 0),
        *(kind for kind, rank in order if rank >= 0),
    ]
    amounts = zip(kinds, (*parts.first, *parts.last), strict=True)
    return {kind: amount_e4 for kind, amount_e4 in amounts if amount_e4 > 0}


def open_purse(connection: Connection, account: int, kind: int) -> int:
    """The purse of that kind of a personal account, made where there is none yet."""
    found = connection.execute(
        "SELECT id FROM account WHERE parent = ? AND purse = ? AND kind = 'purse'", (account, kind)
    ).fetchone()
    if found is not None:
        return int(found[0])
    made = next_id(connection, "account")
    connection.execute(
        "INSERT INTO account (id, kind, name, user, parent, purse) SELECT ?, 'purse',"
        " (SELECT name FROM purse_kind WHERE id = ?), user, id, ? FROM account WHERE id = ?",
        (made, kind, kind, account),
    )
    return made


def gave_for(connection: Connection, charge: str) -> dict[int, int]:
    """What purses gave for a charge, also by way of an allowance, and have not back; by kind."""
    kinds = {f"{REASON}{kind.name}": kind.id for kind in read_kinds(connection)}
    left: dict[int, int] = {}
    for sign, side, keys in (
        (1, "debit", "t.key IN (?1, ?1 || ':assigned')"),
        (-1, "credit", "t.key > ?1 || ':refund:' AND t.key < ?1 || ':refund;'"),
    ):
        for reason, amount_e4 in connection.execute(
            "SELECT t.reason, SUM(t.amount_e4) FROM transfer AS t"
            f" JOIN account AS a ON a.id = t.{side} WHERE {keys} AND t.kind = 'direct'"
            " AND a.kind IN ('purse', 'escrow') GROUP BY t.reason",
            (charge,),
        ).fetchall():
            if reason in kinds:
                kind = kinds[reason]
                left[kind] = left.get(kind, 0) + sign * amount_e4
    return left


def check_purse(connection: Connection, account: int, kind: int, amount_e4: int) -> None:
    """Raises InvalidValue unless the purse of that kind, if not the main one, holds so much."""
    if kind == MAIN:
        return
    for purse in read_purses(connection, account):
        if purse.kind == kind and purse.balance_e4 >= amount_e4:
            return
        if purse.kind == kind:
            held = show_amount(purse.balance_e4)
            raise InvalidValue("amount", f"is more than the purse {purse.name} holds: {held}")
    raise InvalidValue("amount", "is more than that purse holds: 0.00")


def purse_in_words(connection: Connection, kind: int) -> str:
    """`` (purse quota)``, empty for the main one: what stands behind a reason."""
    if kind == MAIN:
        return ""
    (name,) = connection.execute("SELECT name FROM purse_kind WHERE id = ?", (kind,)).fetchone()
    return f" ({REASON}{name})"


class PurseKinds:
    """The kinds of purses of the installation. Each method is one step of a transaction."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    def add(
        self,
        connection: Connection,
        name: str,
        place: int | None,
        refundable: bool,
        transferable: bool,
        fillable: bool = True,
    ) -> None:
        """A new kind, which nobody has yet; spent as the ``place``-th, None: before the main one.

        Raises InvalidValue, AlreadyExists.
        """
        check_name(name)
        kinds = read_kinds(connection)
        names = [kind.name for kind in kinds]
        if name.casefold() in (one.casefold() for one in names):
            raise AlreadyExists("purse", name)
        if len(kinds) >= KINDS_MAX:
            raise InvalidValue("name", f"is one too many: there are {KINDS_MAX} purses already")
        if place is not None and not 1 <= place <= len(kinds) + 1:
            raise InvalidValue("rank", f"is from 1, spent first, to {len(kinds) + 1}, spent last")
        id = max(MAIN + 1, next_id(connection, "purse_kind"))
        connection.execute(
            "INSERT INTO purse_kind (id, name, rank, refundable, transferable, fillable)"
            " VALUES (?, ?, 0, ?, ?, ?)",
            (id, name, int(refundable), int(transferable), int(fillable)),
        )
        main = next(at for at, kind in enumerate(kinds) if kind.id == MAIN)
        names.insert(main if place is None else place - 1, name)
        self.order(connection, names)
        self._log.touch("purse_kind", id)

    def order(self, connection: Connection, names: Sequence[str]) -> None:
        """Purses are spent in that order from now on; raises InvalidValue."""
        kinds = read_kinds(connection)
        called = main_name(connection)
        ranks = ranks_of(names, [kind.name for kind in kinds], called)
        for kind in kinds:
            if kind.rank != ranks[kind.name]:
                connection.execute(
                    "UPDATE purse_kind SET rank = ? WHERE id = ?", (ranks[kind.name], kind.id)
                )
                self._log.touch("purse_kind", kind.id)

    def rename(self, connection: Connection, name: str, new_name: str) -> None:
        """Call the main purse otherwise; raises NotFound, InvalidValue, AlreadyExists."""
        check_name(new_name)
        kind = find_kind(connection, name)
        if kind.id != MAIN:
            # What it paid is told by its name, for ever (``gave_for``).
            raise InvalidValue("name", f"{name} keeps its name: the main purse alone has another")
        kinds = read_kinds(connection)
        if new_name.casefold() in (one.name.casefold() for one in kinds if one.id != MAIN):
            raise AlreadyExists("purse", new_name)
        connection.execute(
            "INSERT INTO purse_kind (id, name, rank) VALUES (?, ?, 0)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            (MAIN, new_name),
        )
        self._log.touch("purse_kind", MAIN)

    def remove(self, connection: Connection, name: str) -> None:
        """Nobody has such a purse any more; raises NotFound, InvalidValue."""
        kind = find_kind(connection, name)
        if kind.id == MAIN:
            raise InvalidValue("name", "is the main purse: everybody has it")
        for is_used, words in (
            (
                "SELECT 1 FROM account WHERE kind = 'purse' AND purse = ?"
                " AND credits_e4 <> debits_e4 LIMIT 1",
                "holds somebody's money: every balance must be zero",
            ),
            (
                "SELECT 1 FROM purse_lent WHERE purse = ? AND left_e4 > 0 LIMIT 1",
                "has money at sites: every balance must be zero, there too",
            ),
            (
                "SELECT 1 FROM schedule WHERE purse = ? AND removed = 0 LIMIT 1",
                "is filled by a quota: remove that first",
            ),
            (
                "SELECT 1 FROM voucher AS v JOIN voucher_batch AS b ON b.id = v.batch"
                " WHERE b.purse = ? AND v.redeemed_at IS NULL AND v.cancelled_at IS NULL LIMIT 1",
                "is filled by vouchers that nobody has redeemed: cancel those first",
            ),
            (
                "SELECT 1 FROM money_act WHERE purse = ? AND state <> 'done' LIMIT 1",
                "is being filled by `user adjust-many`: try again when that is done",
            ),
        ):
            if connection.execute(is_used, (kind.id,)).fetchone() is not None:
                raise InvalidValue("name", f"{name} {words}")
        connection.execute("UPDATE purse_kind SET removed = 1 WHERE id = ?", (kind.id,))
        self._log.touch("purse_kind", kind.id)


def verify_purses(connection: Connection) -> list[str]:
    """Sums that are not those of the purses, purses below zero, and more lent than is there."""
    problems = [
        f"ledger: the purses of account {row[0]} hold {row[2]}, its row says {row[1]}"
        for row in connection.execute(
            "SELECT account.id, account.purses_e4, COALESCE(held_e4, 0) FROM account"
            " LEFT JOIN (SELECT parent, SUM(credits_e4 - debits_e4) AS held_e4 FROM account"
            " WHERE kind = 'purse' GROUP BY parent) AS held ON held.parent = account.id"
            " WHERE account.purses_e4 <> COALESCE(held_e4, 0)"
        )
    ]
    problems += [
        f"ledger: the purse {row[0]} of account {row[1]} holds {row[2]}: less than nothing"
        for row in connection.execute(
            "SELECT name, parent, credits_e4 - debits_e4 FROM account"
            " WHERE kind = 'purse' AND credits_e4 < debits_e4 ORDER BY id"
        )
    ]
    problems += [
        f"ledger: purses lent {row[1]} of allowance {row[0]}, which holds {row[2]}"
        for row in connection.execute(
            "SELECT a.id, lent_e4, granted_e4 - returned_e4 - settled_e4 FROM allowance AS a"
            " JOIN (SELECT allowance, SUM(left_e4) AS lent_e4 FROM purse_lent GROUP BY allowance)"
            " AS lent ON lent.allowance = a.id"
            " WHERE lent_e4 > granted_e4 - returned_e4 - settled_e4"
        )
    ]
    return problems

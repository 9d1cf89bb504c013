"""Double entry: accounts and the transfers between them. Nothing is changed, all is added.

A pending transfer reserves; it resolves once, by a post or a void. A direct
transfer moves at once. Each function is one step of a transaction.

What is paid empties a person's purses in the order of spending (domain/purses.py), each by a
transfer of its own beside that of the account.
"""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.domain.decision import Funds
from papercutd.domain.purses import MAIN, REASON, spend
from papercutd.storage.engine import Connection, insert_row
from papercutd.storage.money.purses import by_kind, open_purse, parts_of, read_purses
from papercutd.storage.replication.change_log import ChangeLog

#: Accounts that every installation has.
REVENUE = 1
ADJUSTMENT = 2
UNCOLLECTED = 3
TRANSFER = (
    "transfer (kind, refers, debit, credit, amount_e4, key, price_version,"
    " who, place, claimed_at, received_at, forced, reason, number)"
)


@attrs.frozen
class Entry:
    """What every transfer says of itself."""

    key: str
    price_version: int
    who: str
    place: str
    claimed_at: float
    received_at: float
    forced: bool = False
    reason: str = ""


class Accounts:
    """The transfers of the ledger; ``log`` learns which accounts changed."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log
        #: The id of the transfer that was written last.
        self.last = 0

    def funds(self, connection: Connection, account: int) -> Funds:
        """The figures of ``account``."""
        restricted, *figures = connection.execute(
            "SELECT restricted, credits_e4, debits_e4, pending_e4, floor_e4, purses_e4"
            " FROM account WHERE id = ?",
            (account,),
        ).fetchone()
        return Funds(bool(restricted), *figures)

    def heir(self, connection: Connection, account: int) -> int:
        """Where postings to ``account`` land: itself, or what it was merged into."""
        for _ in range(100):
            found = connection.execute(
                "SELECT merged_into FROM account WHERE id = ?", (account,)
            ).fetchone()
            if found is None or found[0] is None:
                break
            account = found[0]
        return account

    def reserve(
        self, connection: Connection, account: int, amount_e4: int, entry: Entry
    ) -> int | None:
        """Reserve for revenue; the pending transfer's id, None when the funds do not admit it."""
        guarded = connection.execute(
            "UPDATE account SET pending_e4 = pending_e4 + ?1 WHERE id = ?2 AND closed = 0"
            " AND (restricted = 0 OR ?1 = 0"
            " OR debits_e4 + pending_e4 + ?1 <= credits_e4 + purses_e4 - floor_e4)",
            (amount_e4, account),
        )
        if guarded.rowcount != 1:
            return None
        self._log.touch("account", account)
        return self._write(connection, "pending", None, account, REVENUE, amount_e4, entry)

    def rebook(
        self,
        connection: Connection,
        pending: int,
        old: int,
        new: int,
        reserved_e4: int,
        entry: Entry,
    ) -> int:
        """A reservation on ``old`` becomes one on ``new``, whatever its funds; its id."""
        self.void(connection, pending, old, reserved_e4, entry)
        connection.execute(
            "UPDATE account SET pending_e4 = pending_e4 + ? WHERE id = ?", (reserved_e4, new)
        )
        self._log.touch("account", new)
        return self._write(connection, "pending", None, new, REVENUE, reserved_e4, entry)

    def post(
        self,
        connection: Connection,
        pending: int,
        account: int,
        reserved_e4: int,
        amount_e4: int,
        entry: Entry,
    ) -> dict[int, int]:
        """Resolve a reservation: up to ``reserved_e4`` by its post, the excess beside it.

        What purses gave, by kind; the rest is the account's own.
        """
        given = self._spend_purses(connection, account, REVENUE, amount_e4, entry)
        own_e4 = amount_e4 - sum(given.values())
        excess_e4 = min(own_e4, max(0, amount_e4 - reserved_e4))
        within_e4 = own_e4 - excess_e4
        self._move(connection, account, REVENUE, within_e4, released_e4=reserved_e4)
        self._write(connection, "post", pending, account, REVENUE, within_e4, entry)
        if excess_e4:
            excess = attrs.evolve(entry, reason="excess")
            self.transfer(connection, account, REVENUE, excess_e4, excess)
        return given

    def void(
        self,
        connection: Connection,
        pending: int,
        account: int,
        reserved_e4: int,
        entry: Entry,
    ) -> None:
        """Resolve a reservation by giving it back."""
        connection.execute(
            "UPDATE account SET pending_e4 = pending_e4 - ? WHERE id = ?", (reserved_e4, account)
        )
        self._log.touch("account", account)
        self._write(connection, "void", pending, account, REVENUE, reserved_e4, entry)

    def transfer(
        self,
        connection: Connection,
        debit: int,
        credit: int,
        amount_e4: int,
        entry: Entry,
    ) -> int:
        """Move ``amount_e4`` at once, whatever the funds: what has happened always posts.

        The transfer's id.
        """
        self._move(connection, debit, credit, amount_e4)
        return self._write(connection, "direct", None, debit, credit, amount_e4, entry)

    def pay(
        self,
        connection: Connection,
        account: int,
        credit: int,
        amount_e4: int,
        entry: Entry,
    ) -> dict[int, int]:
        """Money leaves for good: from the purses in their order, the rest from ``account``.

        What purses gave, by kind.
        """
        given = self._spend_purses(connection, account, credit, amount_e4, entry)
        own_e4 = amount_e4 - sum(given.values())
        if own_e4 or not given:
            self.transfer(connection, account, credit, own_e4, entry)
        return given

    def from_purse(
        self,
        connection: Connection,
        account: int,
        kind: int,
        credit: int,
        amount_e4: int,
        entry: Entry,
    ) -> int:
        """Move out of one purse of the person whose ``account`` it is; the transfer's id.

        The caller has seen that it holds so much.
        """
        if kind == MAIN:
            return self.transfer(connection, account, credit, amount_e4, entry)
        purse = open_purse(connection, account, kind)
        return self._move_purse(connection, (account, purse), purse, credit, amount_e4, entry)

    def into_purse(
        self,
        connection: Connection,
        debit: int,
        account: int,
        kind: int,
        amount_e4: int,
        entry: Entry,
    ) -> int:
        """Move into one purse of the person whose ``account`` it is; the transfer's id."""
        if kind == MAIN:
            return self.transfer(connection, debit, account, amount_e4, entry)
        purse = open_purse(connection, account, kind)
        return self._move_purse(connection, (account, purse), debit, purse, amount_e4, entry)

    def move_purses(self, connection: Connection, old: int, heir: int, entry: Entry) -> None:
        """All that the purses of ``old`` hold is in those of ``heir``, kind by kind."""
        for purse in read_purses(connection, old):
            if purse.balance_e4:
                into = open_purse(connection, heir, purse.kind)
                for owner, own in ((old, purse.account), (heir, into)):
                    sign = 1 if own == into else -1
                    self._hold(connection, owner, own, sign * purse.balance_e4)
                sides = (purse.account, into)
                self._move(connection, *sides, purse.balance_e4, untouched=sides)
                self._write(connection, "direct", None, *sides, purse.balance_e4, entry)

    def _spend_purses(
        self, connection: Connection, account: int, credit: int, amount_e4: int, entry: Entry
    ) -> dict[int, int]:
        own_e4, purses_e4 = connection.execute(
            "SELECT credits_e4 - debits_e4, purses_e4 FROM account WHERE id = ?", (account,)
        ).fetchone()
        if not purses_e4 or amount_e4 <= 0:
            return {}
        purses = {purse.kind: purse for purse in read_purses(connection, account)}
        order = [(purse.kind, purse.rank) for purse in purses.values()]
        held = parts_of({kind: one.balance_e4 for kind, one in purses.items()}, order, own_e4)
        given = by_kind(spend(amount_e4, held), order)
        for kind, part_e4 in given.items():
            purse = purses[kind]
            said = attrs.evolve(entry, reason=f"{REASON}{purse.name}")
            self._move_purse(
                connection, (account, purse.account), purse.account, credit, part_e4, said
            )
        return given

    def _move_purse(
        self,
        connection: Connection,
        purse: tuple[int, int],
        debit: int,
        credit: int,
        amount_e4: int,
        entry: Entry,
    ) -> int:
        """``purse``: (the personal account, the purse), of which the latter is a side."""
        owner, own = purse
        self._hold(connection, owner, own, amount_e4 if credit == own else -amount_e4)
        self._move(connection, debit, credit, amount_e4, untouched=(own,))
        return self._write(connection, "direct", None, debit, credit, amount_e4, entry)

    def _hold(self, connection: Connection, owner: int, purse: int, more_e4: int) -> None:
        connection.execute(
            "UPDATE account SET purses_e4 = purses_e4 + ? WHERE id = ?", (more_e4, owner)
        )
        self._log.touch("account", owner)
        self._log.touch("purse", purse)

    def _move(
        self,
        connection: Connection,
        debit: int,
        credit: int,
        amount_e4: int,
        released_e4: int = 0,
        untouched: tuple[int, ...] = (),
    ) -> None:
        """``untouched``: purses, which no site has among the accounts."""
        connection.execute(
            "UPDATE account SET debits_e4 = debits_e4 + ?, pending_e4 = pending_e4 - ?"
            " WHERE id = ?",
            (amount_e4, released_e4, debit),
        )
        connection.execute(
            "UPDATE account SET credits_e4 = credits_e4 + ? WHERE id = ?", (amount_e4, credit)
        )
        for account in (debit, credit):
            # No site has the installation's own.
            if account > UNCOLLECTED and account not in untouched:
                self._log.touch("account", account)

    def _write(
        self,
        connection: Connection,
        kind: str,
        refers: int | None,
        debit: int,
        credit: int,
        amount_e4: int,
        entry: Entry,
    ) -> int:
        self.last = insert_row(
            connection,
            f"INSERT INTO {TRANSFER} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.transfer_row(kind, refers, debit, credit, amount_e4, entry),
        )
        return self.last

    def transfer_row(
        self,
        kind: str,
        refers: int | None,
        debit: int,
        credit: int,
        amount_e4: int,
        entry: Entry,
    ) -> tuple[Any, ...]:
        """What goes INTO ``TRANSFER`` in the transaction under way."""
        return (
            *(kind, refers, debit, credit, amount_e4, entry.key, entry.price_version),
            *(entry.who, entry.place, entry.claimed_at, entry.received_at),
            *(int(entry.forced), entry.reason, self._log.number),
        )


def verify_accounts(connection: Connection) -> list[str]:
    """Problems of the books: unequal sides, accounts that are not the fold of their transfers."""
    problems = []
    (total,) = connection.execute(
        "SELECT COALESCE(SUM(credits_e4 - debits_e4), 0) FROM account"
    ).fetchone()
    if total:
        problems.append(f"ledger: all accounts together hold {total} and should hold 0")
    query = """
        WITH side (account, credit, debit, pending) AS (
            SELECT debit, 0, CASE WHEN kind IN ('post', 'direct') THEN amount_e4 ELSE 0 END,
                CASE WHEN kind = 'pending' AND NOT EXISTS
                    (SELECT 1 FROM transfer r WHERE r.refers = transfer.id)
                THEN amount_e4 ELSE 0 END FROM transfer
            UNION ALL
            SELECT credit, CASE WHEN kind IN ('post', 'direct') THEN amount_e4 ELSE 0 END, 0, 0
                FROM transfer),
        fold AS (SELECT account, SUM(credit) c, SUM(debit) d, SUM(pending) p
            FROM side GROUP BY account)
        SELECT id, credits_e4, debits_e4, pending_e4,
            COALESCE(c, 0), COALESCE(d, 0), COALESCE(p, 0)
        FROM account LEFT JOIN fold ON fold.account = account.id
        WHERE (credits_e4, debits_e4, pending_e4)
            IS NOT (COALESCE(c, 0), COALESCE(d, 0), COALESCE(p, 0))
    """
    for row in connection.execute(query):
        problems.append(
            f"ledger: account {row[0]} says credits {row[1]}, debits {row[2]}, pending {row[3]};"
            f" its transfers say {row[4]}, {row[5]}, {row[6]}"
        )
    return problems

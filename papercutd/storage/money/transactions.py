"""What moved an account's money, the newest first, with the balance after each.

The newest balance is the account's own; each older one follows from the one after it, and a page
tells the next where it is. Nothing is added up, however long the history.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.purses import MAIN
from papercutd.errors import NotFound
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.history.invoicing import add_naming
from papercutd.storage.money.accounts import UNCOLLECTED
from papercutd.storage.money.purses import find_kind, read_purses
from papercutd.storage.money.shared_accounts import find_account
from papercutd.storage.proof.seals import one_moment

_COLUMNS = "id, amount_e4, key, who, place, claimed_at, received_at, forced, reason, price_version"


@attrs.frozen
class Place:
    """Where the page before ended: its last transfer, and the balance before that."""

    transfer: int
    balance_e4: int


@attrs.frozen
class Page:
    """Transactions, and where the next page begins; None: there are no more."""

    rows: list[Row]
    next: Place | None


def read_page(
    connection: Connection, account: int, after: Place | None, count_max: int = PAGE_ROWS
) -> Page:
    """Transactions of ``account`` older than ``after``; raises NotFound."""
    found = connection.execute(
        "SELECT credits_e4 - debits_e4 FROM account WHERE id = ?", (account,)
    ).fetchone()
    if found is None:
        raise NotFound("account", str(account))
    balance_e4 = int(found[0]) if after is None else after.balance_e4
    # No transfer has an id that the engine would not take.
    before = 2**62 if after is None else after.transfer
    page: list[Row] = []
    sides = (
        _side(connection, side, account, before, count_max + 1) for side in ("debit", "credit")
    )
    merged = heapq.merge(*sides, key=lambda row: -int(row["id"]))
    for row in islice(merged, count_max + 1):
        page.append({**row, "balance_e4": balance_e4})
        balance_e4 -= row["amount_e4"]
    beyond = page.pop() if len(page) > count_max else None
    add_naming(connection, page)
    if beyond is None:
        return Page(page, None)
    return Page(page, Place(page[-1]["id"], beyond["balance_e4"]))


def _side(
    connection: Connection, side: str, account: int, before: int, count_max: int
) -> Iterator[Row]:
    """What left or came into ``account``, with its sign; reservations move nothing."""
    # Said so, an index is enough that leaves out the installation's own accounts.
    own = f" AND credit > {UNCOLLECTED}" if side == "credit" else ""
    found = rows(
        connection,
        f"SELECT {_COLUMNS} FROM transfer WHERE {side} = ?{own} AND id < ?"
        f" AND kind IN ('post', 'direct') ORDER BY id DESC LIMIT ?",
        *(account, before, count_max),
    )
    for row in found:
        yield {**row, "amount_e4": row["amount_e4"] * (-1 if side == "debit" else 1)}


class TransactionStore:
    """Reads beside the writer, each at one moment."""

    def __init__(self, store: Transactions, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def of_user(self, name: str, after: Place | None, purse: str = "") -> Deferred[Page]:
        """Of a personal account, or of that purse beside it; raises NotFound."""

        def read(connection: Connection) -> Page:
            account = self._directory.account_of_user(connection, name)
            kind = find_kind(connection, purse).id
            if kind != MAIN:
                held = {one.kind: one.account for one in read_purses(connection, account)}
                if kind not in held:
                    return Page([], None)
                account = held[kind]
            return _at_one_moment(connection, account, after)

        return self._store.read(read)

    def of_account(self, name: str, after: Place | None) -> Deferred[Page]:
        """Of a shared account; raises NotFound."""

        def read(connection: Connection) -> Page:
            return _at_one_moment(connection, find_account(connection, name), after)

        return self._store.read(read)


def _at_one_moment(connection: Connection, account: int, after: Place | None) -> Page:
    with one_moment(connection):
        return read_page(connection, account, after)

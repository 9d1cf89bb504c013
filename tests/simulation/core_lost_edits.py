"""I23: what administrators changed after a backup, and a site had followed, is listed.

Looked up without the product's help: at each restore of the application server the replicas of
the sites, as they are at that moment, are compared with the database that is put back, and money
given by hand is taken from the ledger that is about to be lost. At the end each of it has to be in
the list, told by that site, unless the history has it after all.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from typing import Any

import attrs

from papercutd.errors import PapercutError
from tests.simulation.core_nodes import APPLICATION, PRICES, SITES, USERS, CoreInstallation
from tests.simulation.node import Node

EDITS = 8
#: What is compared of rows: as at a site, so at the centre.
_ROWS = {
    "user": (
        "SELECT id, name, full_name, disabled, administrator, merged_into, verifier, pin_verifier",
        "(SELECT id, name, full_name, disabled OR deleted_at IS NOT NULL AS disabled,"
        " administrator, merged_into, verifier, pin_verifier FROM user)",
    ),
    "price": ("SELECT version, effective_from, body", "price"),
}
Rows = dict[str, dict[int, tuple[Any, ...]]]


class Edits:
    """What administrators do while everything fails: users made, renamed, given PINs; money
    given and taken; prices.
    """

    def __init__(self, installation: CoreInstallation, rng: random.Random) -> None:
        self._in = installation
        self._rng = rng
        self._made = 0

    def start(self, until_s: float) -> None:
        for _ in range(EDITS):
            self._in.world.later(self._rng.uniform(6.0, until_s), self._edit)

    def _edit(self) -> None:
        node, server = self._in.world.nodes[APPLICATION], self._in.application
        if node.clock is None or server is None:
            return
        store, rng = server.store, self._rng
        self._made += 1
        number, user = self._made, rng.choice(sorted(USERS))
        acts: list[Callable[[], Any]] = [
            lambda: store.add_user(f"clerk{number}", balance_e4=1_000),
            lambda: store.rename_user(f"clerk{number - 1}", f"clerk{number}"),
            lambda: store.set_verifier(user, "pin", f"verifier {number}"),
            lambda: store.adjust(user, -1_000, "a fine"),
            lambda: store.adjust(user, 2_000, "paid in"),
            lambda: store.add_prices(PRICES),
        ]
        act = rng.choice(acts)
        # Whom it does not find it does not rename.
        refused = lambda failure: failure.trap(PapercutError) and None  # noqa: E731
        node.clock.callLater(0, lambda: act().addErrback(refused))


@attrs.frozen
class Followed:
    """A site's replica at the moment of a restore."""

    number: int
    chain: str
    #: The place of its own snapshot.
    first: int
    rows: Rows


@attrs.frozen
class Demand:
    """One edit that has to be listed, told by ``site``."""

    site: str
    table: str
    key: int | str
    #: The change that made it: had the history that, nothing would be lost.
    number: int
    chain: str
    row: tuple[Any, ...]


class LostEditChecks:
    """Fed by the oracle with every restore of the application server."""

    def __init__(self, installation: CoreInstallation, struck: set[str]) -> None:
        self._world = installation.world
        self._struck = struck
        self._followed: dict[str, Followed] = {}
        self._chains: dict[int, str] = {}
        #: (table, key) to the newest change that touched that row.
        self._touched: dict[tuple[str, Any], int] = {}
        #: (transfer, account, amount, change) of money given or taken by hand.
        self._adjusted: list[tuple[int, int, int, int]] = []
        self._demands: dict[tuple[str, str, int | str, str], Demand] = {}

    def before_restore(self, node: Node) -> None:
        centre = node.disk.connection("application.db")
        self._followed.clear()
        if node.name != APPLICATION or centre is None:
            return
        self._chains = _chains(centre)
        self._touched = {
            (table, key): number
            for number, body in centre.execute(
                "SELECT number, body FROM change_log ORDER BY number"
            )
            for table, key, *_ in json.loads(body)
        }
        self._adjusted = centre.execute(
            # Of a purse it is told of the account beside which it is.
            "SELECT id, COALESCE((SELECT parent FROM account WHERE account.id = MAX(debit, credit)"
            " AND kind = 'purse'), MAX(debit, credit)),"
            " CASE debit WHEN 2 THEN amount_e4 ELSE -amount_e4 END,"
            " number FROM transfer WHERE kind = 'direct' AND who = 'administrator'"
            " AND (debit = 2 OR credit = 2)"
        ).fetchall()
        for site in SITES:
            connection = self._world.nodes[site].disk.connection("journal.db")
            found = None if connection is None else _followed(connection)
            # Of an earlier history than this one it had told its losses, or will.
            if found is not None and self._chains.get(found.number) == found.chain:
                self._followed[site] = found

    def after_restore(self, node: Node) -> None:
        centre = node.disk.connection("application.db")
        if node.name != APPLICATION or centre is None:
            return
        chains = _chains(centre)
        common = max((n for n, c in self._chains.items() if chains.get(n) == c), default=0)
        now = _rows(centre, lambda table: _ROWS[table][1])
        # What an earlier restore lost may be in a newer backup: nobody lacks it then.
        self._demands = {
            name: one for name, one in self._demands.items() if chains.get(one.number) != one.chain
        }
        for site, had in self._followed.items():
            if had.number <= common:
                continue
            for table, rows in had.rows.items():
                for key, row in rows.items():
                    # What that history never touched is older in it than in the one put back.
                    number = self._touched.get((table, key), 0)
                    if number > common and now[table].get(key) != row:
                        chain = self._chains[number]
                        self._demand(Demand(site, table, key, number, chain, row))
            for transfer, account, amount_e4, number in self._adjusted:
                # What its own snapshot had, nobody told it one by one.
                if max(common, had.first) < number <= had.number:
                    key, row = f"{number}.{transfer}", (account, amount_e4)
                    chain = self._chains[number]
                    self._demand(Demand(site, "adjusted", key, number, chain, row))

    def _demand(self, demand: Demand) -> None:
        self._demands[(demand.site, demand.table, demand.key, demand.chain)] = demand
        self._world.count("edits lost that a site had followed")

    def check_end(self, centre: sqlite3.Connection) -> None:
        self._world.findings.checked["I23"] += 1
        chains, now = _chains(centre), _rows(centre, lambda table: _ROWS[table][1])
        listed: dict[tuple[str, str, Any], list[Any]] = {}
        for site, table, key, was in centre.execute(
            "SELECT site.name, tbl, key, was FROM lost_edit"
            " JOIN lost_edit_site ON edit = lost_edit.id JOIN site ON site.id = site"
        ):
            listed.setdefault((site, table, key), []).append(json.loads(was))
        if listed and APPLICATION not in self._struck:
            self._world.find("I23", "edits are listed as lost, and nothing was restored")
        for demand in self._demands.values():
            if demand.site in self._struck or chains.get(demand.number) == demand.chain:
                continue
            if demand.table in now and now[demand.table].get(int(demand.key)) == demand.row:
                continue
            found = listed.get((demand.site, demand.table, demand.key), [])
            if demand.table == "adjusted":
                told = [(one["account"], one["amount_e4"]) for one in found]
                found = [one for one in told if one == demand.row]
            if found:
                self._world.sometimes(f"lost {demand.table} listed")
            else:
                text = f"{demand.table} {demand.key} of change {demand.number} is lost, not listed"
                self._world.find("I23", text, demand.site)


def _chains(centre: sqlite3.Connection) -> dict[int, str]:
    return dict(centre.execute("SELECT number, chain FROM change_log"))


def _followed(connection: sqlite3.Connection) -> Followed | None:
    try:
        number, chain, first, complete = connection.execute(
            "SELECT number, chain, first, complete FROM replica.position"
        ).fetchone()
    except sqlite3.OperationalError:
        # No replica is attached: the site is off.
        return None
    if not complete:
        return None
    return Followed(number, chain, first, _rows(connection, lambda table: f"replica.{table}"))


def _rows(connection: sqlite3.Connection, source: Callable[[str], str]) -> Rows:
    return {
        table: {row[0]: row[1:] for row in connection.execute(f"{columns} FROM {source(table)}")}
        for table, (columns, _) in _ROWS.items()
    }

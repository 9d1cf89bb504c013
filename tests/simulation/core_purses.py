"""Purses beside the personal accounts (I24): some users have them, quotas fill one of them.

The judge replays the transfers one after the other on balances of its own, and says by a rule of
its own who should have paid.
"""

from __future__ import annotations

import random
import sqlite3
from itertools import groupby
from typing import Any

from tests.simulation.core_nodes import APPLICATION, CoreInstallation
from tests.simulation.disk import Commit
from tests.simulation.stage import Stage

#: In the order of spending; and which administrators fill while everything fails.
FILLED = ("quota", "gift")
TOP_UPS = 4
#: Quotas of a run whose number is divisible by this fill the quota.
EVERY = 2


def top_up(
    installation: CoreInstallation, stage: Stage, rng: random.Random, until_s: float
) -> None:
    """Administrators fill, and empty, purses now and then."""

    def adjust() -> None:
        node, server = stage.world.nodes[APPLICATION], installation.application
        if node.clock is None or server is None:
            return
        user = rng.choice(sorted(installation.purses))
        purse, amount_e4 = rng.choice(FILLED), rng.choice((-1_000, 1_000, 2_500, 4_000))
        node.clock.callLater(0, _adjust, server.store, user, purse, amount_e4)

    for _ in range(TOP_UPS):
        stage.world.later(rng.uniform(6.0, until_s), adjust)


def _adjust(store: Any, user: str, purse: str, amount_e4: int) -> None:
    # Nobody takes more than there is: then it is refused.
    store.adjust(user, amount_e4, "purse", purse).addErrback(lambda failure: None)


class PurseChecks:
    """I24: fed with every commit by the oracle."""

    def __init__(self, installation: CoreInstallation) -> None:
        self._world = installation.world
        self._last = 0
        self._balances: dict[int, int] = {}

    def restored(self, node: str) -> None:
        """What is there now is its history: it is gone through anew."""
        if node == APPLICATION:
            self._last = 0
            self._balances.clear()

    def committed(self, commit: Commit) -> None:
        if commit.database != "application.db":
            return
        self._world.findings.checked["I24"] += 1
        centre = commit.connection
        purses = {
            row[0]: row[1:]
            for row in centre.execute(
                "SELECT a.id, a.parent, k.rank, a.credits_e4 - a.debits_e4 FROM account AS a"
                " JOIN purse_kind AS k ON k.id = a.purse WHERE a.kind = 'purse'"
            )
        }
        self._check_sums(centre, purses)
        self._replay(centre, purses)
        for purse, (_, _, balance_e4) in purses.items():
            model_e4 = self._balances.get(purse, 0)
            if balance_e4 < 0 or balance_e4 != model_e4:
                text = f"purse {purse} holds {balance_e4}, its transfers say {model_e4}"
                self._world.find("I24", text, APPLICATION)

    def _check_sums(self, centre: sqlite3.Connection, purses: dict[int, Any]) -> None:
        held: dict[int, int] = {}
        for owner, _, balance_e4 in purses.values():
            held[owner] = held.get(owner, 0) + balance_e4
        for account, said_e4 in centre.execute(
            "SELECT id, purses_e4 FROM account WHERE kind <> 'purse'"
        ):
            if said_e4 != held.get(account, 0):
                text = f"account {account}: {said_e4} in purses that hold {held.get(account, 0)}"
                self._world.find("I24", text, APPLICATION)
        for row in centre.execute(
            "SELECT a.id FROM allowance AS a JOIN (SELECT allowance, SUM(left_e4) AS lent_e4"
            " FROM purse_lent GROUP BY allowance) AS l ON l.allowance = a.id"
            " WHERE lent_e4 > granted_e4 - returned_e4 - settled_e4"
        ):
            self._world.find("I24", f"purses lent more of {row[0]} than it holds", APPLICATION)

    def _replay(self, centre: sqlite3.Connection, purses: dict[int, Any]) -> None:
        moved = centre.execute(
            "SELECT t.id, t.debit, t.credit, t.amount_e4, t.key, payer.kind, payee.kind"
            " FROM transfer AS t JOIN account AS payer ON payer.id = t.debit"
            " JOIN account AS payee ON payee.id = t.credit"
            " WHERE t.id > ? AND t.kind IN ('post', 'direct') ORDER BY t.id",
            (self._last,),
        ).fetchall()
        for (key, credit), group in groupby(moved, lambda row: (row[4], row[2])):
            rows = list(group)
            is_paid = rows[0][5] in ("personal", "purse") and rows[0][6] in ("revenue", "escrow")
            if is_paid:
                self._check_order(key, rows, purses)
            for id, debit, _, amount_e4, *_ in rows:
                self._balances[debit] = self._balances.get(debit, 0) - amount_e4
                self._balances[credit] = self._balances.get(credit, 0) + amount_e4
                self._last = id

    def _check_order(self, key: str, rows: list[Any], purses: dict[int, Any]) -> None:
        """Somebody paid: each purse all it had before the next one gave anything."""
        paid: dict[int, int] = {}
        for _, debit, _, amount_e4, *_ in rows:
            paid[debit] = paid.get(debit, 0) + amount_e4
        owners = {purses[one][0] if one in purses else one for one in paid}
        if len(owners) != 1:
            # Charges of two people with nothing between them have two keys.
            self._world.find("I24", f"{key} is paid by {sorted(owners)}", APPLICATION)
            return
        (owner,) = owners
        mine = sorted((rank, one) for one, (of, rank, _) in purses.items() if of == owner)
        in_order = [one for rank, one in mine if rank < 0]
        in_order += [owner, *(one for rank, one in mine if rank > 0)]
        left_e4, expected = sum(paid.values()), dict[int, int]()
        for one in in_order:
            expected[one] = min(left_e4, max(0, self._balances.get(one, 0)))
            left_e4 -= expected[one]
        expected[owner] += left_e4
        for one in in_order:
            if paid.get(one, 0) != expected[one]:
                text = f"{key}: {one} of {in_order} paid {paid.get(one, 0)}, not {expected[one]}"
                self._world.find("I24", text, APPLICATION)
                return
        gave = sum(1 for one in in_order if one != owner and paid.get(one, 0))
        self._world.sometimes("a purse paid", gave)
        self._world.sometimes("a purse and the account paid", bool(gave and paid.get(owner, 0)))

"""I22: nobody who could have paid is refused while all links are up.

Looked at when a provider's journal says that a job was refused or held for want of money: was
nothing wrong for a while, and had who was to pay, the person or a shared account, the money all the
time from the asking on?
"""

from __future__ import annotations

import collections
import sqlite3
from collections.abc import Callable

import msgspec

from papercutd.domain.decision import APPLICATION as CENTRE
from tests.simulation.core_nodes import SITES, CoreInstallation
from tests.simulation.core_records import price_e4
from tests.simulation.disk import Commit

#: Nothing has failed for so long: everybody is connected, trusted and up to date again.
CALM_S = 25.0
#: What was looked up for the decision may be so old when the provider has it on its disk.
LOOKED_S = 4.0


class Refusals:
    """Fed by the oracle with every commit; ``trouble_s``: when something last was wrong."""

    def __init__(self, installation: CoreInstallation, struck: set[str]) -> None:
        self._in = installation
        self._world = installation.world
        self._struck = struck
        #: When a fault was last under way; set by the scenario.
        self.trouble_s: Callable[[], float] = lambda: 0.0
        #: Account to what could be spent of it lately: (since when, how much).
        self._had: dict[int, collections.deque[tuple[float, int]]] = {}
        #: Accounts of people, of which sites may hold some.
        self._personal: set[int] = set()
        self._judged: set[str] = set()

    def committed(self, commit: Commit) -> None:
        if commit.database == "application.db":
            self._note(commit.connection)
        elif commit.database == "provider.db":
            self._judge(commit)

    def _note(self, centre: sqlite3.Connection) -> None:
        now = self._world.now
        for account, kind, spendable_e4 in centre.execute(
            "SELECT id, kind, credits_e4 - debits_e4 + purses_e4 - pending_e4 - floor_e4"
            " FROM account WHERE kind IN ('personal', 'shared')"
        ):
            if kind == "personal":
                self._personal.add(account)
            found = self._had.setdefault(account, collections.deque(maxlen=64))
            if not found or found[-1][1] != spendable_e4:
                found.append((now, spendable_e4))

    def _least_e4(self, account: int) -> int:
        """The least that could be spent of it of late."""
        least_e4, since = None, self._world.now - LOOKED_S
        for at, spendable_e4 in reversed(self._had.get(account, ())):
            least_e4 = spendable_e4 if least_e4 is None else min(least_e4, spendable_e4)
            if at < since:
                break
        return 0 if least_e4 is None else least_e4

    def _at_sites_e4(self, user: int) -> int:
        """What sites hold of it and could give back."""
        left_e4 = 0
        for site in SITES:
            connection = self._world.nodes[site].disk.connection("journal.db")
            if connection is None or self._world.now - self.trouble_s() < CALM_S:
                continue
            found = connection.execute(
                "SELECT granted_e4 - returned_e4 - spent_e4 - pending_e4 FROM allowance"
                " WHERE user = ?",
                (user,),
            ).fetchone()
            left_e4 += 0 if found is None else max(0, int(found[0]))
        return left_e4

    def _judge(self, commit: Commit) -> None:
        for job, phase, step in commit.connection.execute(
            "SELECT job, phase, step FROM job WHERE ((state = 'held' AND reason = 'funds')"
            " OR outcome = 'denied') AND decision IS NOT NULL"
        ).fetchall():
            key = f"{job}/{phase}-{step}"
            if key in self._judged:
                continue
            self._judged.add(key)
            if self._world.now - self.trouble_s() < CALM_S or self._struck:
                continue
            decision, decider = commit.connection.execute(
                "SELECT decision, decider FROM job WHERE job = ?", (job,)
            ).fetchone()
            found = msgspec.json.decode(decision)
            if found["reason"] != "funds" or found["user"] is None:
                continue
            self._world.findings.checked["I22"] += 1
            amount_e4 = price_e4(decision)
            had_e4 = self._least_e4(found["account"])
            if decider != CENTRE:
                self._world.sometimes("a site refused though nothing was wrong")
            if had_e4 >= amount_e4:
                text = f"{key}: {amount_e4} refused by {decider}, {had_e4} were there"
                self._world.find("I22", text, commit.node)
            elif self._in.policy == "strict" and found["account"] in self._personal:
                held_e4 = self._at_sites_e4(found["user"])
                if had_e4 + held_e4 >= amount_e4:
                    text = f"{key}: {amount_e4} refused, {had_e4} were there, {held_e4} at sites"
                    self._world.find("I22", text, commit.node)

"""What is decided while sites are cut: F53, a quota run; F54, a card claimed at two sites."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.schedule import Rule
from papercutd.services.quotas import run_due
from papercutd.storage.money.quota_lists import verify_quotas
from papercutd.storage.money.schedules import Schedule
from papercutd.storage.people.people import heir_of_user
from tests.simulation.core_nodes import APPLICATION, SITES, USERS, CoreInstallation
from tests.simulation.core_purses import EVERY
from tests.simulation.stage import End, Fault, Stage

QUOTA_E4, QUOTA_CAP_E4 = 5_000, 12_000


def quota_due_soon(name: str, wall_s: float) -> tuple[Schedule, float]:
    """A daily quota of the next whole minute after ``wall_s``, and the seconds until then."""
    minute = int(wall_s // 60) + 1
    rule = Rule("daily", 0, minute % 1_440)
    return Schedule(name, QUOTA_E4, rule, cap_e4=QUOTA_CAP_E4), minute * 60 - wall_s


class Absence:
    """Makes these faults and judges them. ``Absence(stage, installation, rng).register()``."""

    def __init__(self, stage: Stage, installation: CoreInstallation, rng: random.Random) -> None:
        self._stage = stage
        self._world = stage.world
        self._in = installation
        self._rng = rng
        self._quotas = 0
        #: Claims to one card, by site: each is in that site's journal.
        self._claims: list[dict[str, str]] = []

    def register(self) -> None:
        self._stage.logic["F53"] = self._run_quota
        self._stage.logic["F54"] = self._claim_twice

    # F53.

    def _run_quota(self, fault: Fault) -> End:
        """A site is cut while a quota that it may know of or not is run."""
        heal = self._world.network.links.cut_both(*fault.targets)
        node, server = self._world.nodes[APPLICATION], self._in.application
        done: list[object] = []
        if node.clock is not None and server is not None:
            self._quotas += 1
            quota, wait_s = quota_due_soon(f"quota-{self._quotas}", node.wall_s())
            if self._quotas % EVERY == 0:
                quota = attrs.evolve(quota, purse="quota")
            clock, store = node.clock, server.store

            def add() -> None:
                store.add_quota(quota).addErrback(lambda failure: None)

            def run() -> None:
                running = Deferred.fromCoroutine(run_due(store))
                running.addCallbacks(done.extend, lambda failure: None)

            clock.callLater(0, add)
            # Its own look may be up to a minute later, after the heal.
            clock.callLater(wait_s + 0.5, run)

        def end() -> bool:
            heal()
            return bool(done)

        return end

    # F54.

    def _claim_twice(self, fault: Fault) -> End:
        """Two people link one card, each at a site that hears nothing of the other's."""
        links = self._world.network.links
        heals = [links.cut_both(APPLICATION, site) for site in SITES]
        number = f"found-{len(self._claims) + 1}"
        claims: dict[str, str] = {}
        self._claims.append(claims)
        for site, user in zip(SITES, self._rng.sample(sorted(USERS), 2), strict=True):
            # What was under way when it was cut is held: nothing of the other comes after it.
            self._world.later(self._rng.uniform(0.1, 2.0), self._claim, site, user, number, claims)

        def end() -> bool:
            for heal in heals:
                heal()
            return len(claims) == len(SITES)

        return end

    def _claim(self, site: str, user: str, number: str, claims: dict[str, str]) -> None:
        node, server = self._world.nodes[site], self._in.sites.get(site)
        replica = node.disk.connection("journal.db")
        if node.clock is None or server is None or replica is None:
            return
        try:
            found = replica.execute(
                "SELECT id FROM replica.user WHERE name = ?", (user,)
            ).fetchone()
        except sqlite3.OperationalError:
            # None is attached yet.
            return
        if found is None:
            return

        def link() -> None:
            id = server.env.new_id()
            done = server.store.link_card(int(found[0]), number, id)
            done.addCallbacks(lambda state: claimed(state, id), lambda failure: None)

        def claimed(state: Any, id: str) -> None:
            if state == "claimed":
                claims[site] = id
                server.uplink.journal_grew()

        node.clock.callLater(0, link)

    # The end.

    def check_end(self) -> None:
        """Each run credited everybody once, and a card that two claimed is nobody's."""
        connection = self._world.nodes[APPLICATION].disk.connection("application.db")
        assert connection is not None
        if self._quotas:
            self._check_quotas(connection)
        for claims in self._claims:
            self._check_claims(connection, claims)

    def _check_quotas(self, connection: sqlite3.Connection) -> None:
        self._world.findings.checked["I2"] += 1
        for problem in verify_quotas(connection):
            self._world.find("I2", problem, APPLICATION)
        for schedule, period, finished in connection.execute(
            "SELECT schedule, period, finished_at FROM quota_run"
        ).fetchall():
            if finished is None:
                self._world.find("I14", f"run {schedule}/{period} is not over", APPLICATION)

    def _check_claims(self, connection: sqlite3.Connection, claims: dict[str, str]) -> None:
        self._world.findings.checked["I14"] += 1
        states: dict[str, tuple[str, str, int]] = {}
        for site, id in claims.items():
            found = connection.execute(
                "SELECT state, hash, user FROM card_claim WHERE id = ?", (id,)
            ).fetchone()
            if found is None:
                self._world.find("I14", f"the claim {id} of {site} did not arrive", APPLICATION)
                return
            states[site] = found
        if len(states) < len(SITES):
            return
        hashes = {hashed for _, hashed, _ in states.values()}
        people = {heir_of_user(connection, "", user) for _, _, user in states.values()}
        owner = connection.execute(
            "SELECT user FROM card WHERE hash = ?", (min(hashes),)
        ).fetchone()
        # Two who were merged meanwhile are one person, and it is theirs.
        state, expected = ("linked", (min(people),)) if len(people) == 1 else ("void", None)
        if len(hashes) != 1 or owner != expected or {one[0] for one in states.values()} != {state}:
            text = f"a card claimed twice is {owner}'s, not {expected}'s: {states}"
            self._world.find("I3", text, APPLICATION)
        self._world.sometimes("a card claimed twice is nobody's", len(people) - 1)
        self._world.sometimes("a card claimed by two who are one", 2 - len(people))

"""A month with many sites that are cut at random: every balance is what its transfers say.

The application server and the sites are the real ones; of a print server there is what it asks.
It prints at its site or at the application server, and while the link is cut at the site alone.
A day is some minutes: at night every clock goes on, and nothing else does. People print when
lessons end, many at once. ``python -m`` runs 20 sites and 100,000 users.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from unittest import mock

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.chain import MARK_START
from papercutd.domain.decision import APPLICATION as CENTRE
from papercutd.domain.decision import Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion, Request, SessionRef
from papercutd.domain.schedule import Rule
from papercutd.services.application_server import ApplicationServer
from papercutd.services.link import LinkSettings
from papercutd.storage.money.schedules import Schedule
from tests.simulation import core_nodes
from tests.simulation.core_nodes import APPLICATION, CoreInstallation
from tests.simulation.world import World

SETTINGS = LinkSettings(reconnect_min_s=0.5, reconnect_max_s=3.0)
DAYS = 30
#: What of a day is simulated.
DAY_S = 240.0
NIGHT_S = 86_400.0 - DAY_S
#: Lessons of a day, and how long after their end it is printed.
LESSONS, BREAK_S = 16, 0.01
#: Of all days, for each site, so many begin a cut, which lasts so many days at the most.
CUT_SHARE, CUT_DAYS_MAX = 0.25, 2.5
OPENING_E4, QUOTA_E4 = 6_000, 1_500
PAGES_MAX = 4
#: Users of one commit.
ADDED_AT_ONCE = 500
SETTLE_S = 600.0
_BALANCES = (
    "SELECT id, name, credits_e4 - debits_e4, pending_e4 FROM {}account"
    " WHERE kind = 'personal' ORDER BY id"
)


@attrs.define
class Month:
    """What came of it."""

    sites: int
    users: int
    jobs: int = 0
    allowed: int = 0
    decided_at_cut_sites: int = 0
    cuts: int = 0
    quota_runs: int = 0
    balances_compared: int = 0
    found: list[str] = attrs.field(factory=list)


class MonthRun:
    """One of them."""

    def __init__(
        self,
        sites: int,
        users: int,
        jobs: int,
        seed: int = 6,
        days: int = DAYS,
        told: Callable[[str], None] = lambda words: None,
    ) -> None:
        """``told``: how far it is."""
        self.names = tuple(f"site-{number:02}" for number in range(sites))
        self.month = Month(sites, users)
        self._users = [f"user-{number:06}" for number in range(users)]
        self._balances_e4 = dict.fromkeys(self._users, OPENING_E4)
        self._jobs_a_day, self._days = jobs // days, days
        self._rng = random.Random(f"month/{seed}")
        self._told = told
        self._is_cut: dict[str, Callable[[], None]] = {}
        self._sessions: dict[tuple[str, str], SessionRef] = {}
        providers = {f"provider-{name}": name for name in self.names}
        with (
            mock.patch.object(core_nodes, "SITES", self.names),
            mock.patch.object(core_nodes, "PROVIDERS", providers),
        ):
            self.world = World(seed)
            self.installation = CoreInstallation(self.world)

    def run(self) -> Month:
        """All of it; what it found is in the end of it."""
        with mock.patch.object(core_nodes, "SETTINGS", SETTINGS):
            self._begin()
            for day in range(self._days):
                self._live(day)
                self._told(f"day {day + 1} of {self._days}, {self.month.jobs} jobs")
            self._heal_all()
            self._told("every site has told everything")
        self._look()
        return self.month

    # What happens.

    def _begin(self) -> None:
        world = self.world
        world.nodes[APPLICATION].boot()
        world.run(world.now + 1.0)
        for start in range(0, len(self._users), ADDED_AT_ONCE):
            for name in self._users[start : start + ADDED_AT_ONCE]:
                self._heed(self.application.store.add_user(name, balance_e4=OPENING_E4), name)
            world.run(world.now + 0.1)
        self._told("the users are there")
        # On the third day of every week: whatever day it begins, four runs or five.
        schedule = Schedule("weekly", QUOTA_E4, Rule("weekly", 3, 1))
        self._heed(self.application.store.add_quota(schedule), "the quota")
        for name in self.names:
            world.nodes[name].boot()
        self._until("every site has a replica", self._are_level)
        self._told("every site has a replica")
        for name in self.names:
            self._do(self._open(name), f"sessions of {name}")
        world.run(world.now + 1.0)

    async def _open(self, site: str) -> None:
        """Sessions of the print server there with both servers."""
        asker, journal = f"provider-{site}", self.application.env.new_id()
        for place, server in ((CENTRE, self.application), (site, self._site(site))):
            seen = await server.begin_provider(asker, journal, MARK_START, "")
            self._sessions[asker, place] = SessionRef("provider", asker, journal, seen.session)

    def _live(self, day: int) -> None:
        world, rng, began_s = self.world, self._rng, self.world.now
        for name in self.names:
            if name not in self._is_cut and rng.random() < CUT_SHARE:
                world.later(rng.uniform(0.0, DAY_S), self._cut, name)
        ends_s = [rng.uniform(0.0, DAY_S - BREAK_S) for _ in range(LESSONS)]
        for _ in range(self._jobs_a_day):
            at_s = rng.choice(ends_s) + rng.uniform(0.0, BREAK_S)
            world.later(at_s, self._print, rng.choice(self.names))
        world.run(began_s + DAY_S)
        for node in world.nodes.values():
            node.step_wall(NIGHT_S)

    def _cut(self, site: str) -> None:
        if site in self._is_cut:
            return
        self.month.cuts += 1
        self._is_cut[site] = self.world.network.links.cut_both(APPLICATION, site)
        self.world.later(self._rng.uniform(0.1, CUT_DAYS_MAX) * DAY_S, self._heal, site)

    def _heal(self, site: str) -> None:
        end = self._is_cut.pop(site, None)
        if end is not None:
            end()

    def _print(self, site: str) -> None:
        self.month.jobs += 1
        user, pages = self._rng.choice(self._users), self._rng.randint(1, PAGES_MAX)
        at_site = site in self._is_cut or self._rng.random() < 0.5
        job = self._job(site, user, pages, site if at_site else CENTRE)
        self._do(job, f"a job of {user} at {site}")

    async def _job(self, site: str, user: str, pages: int, place: str) -> None:
        asker, server = f"provider-{site}", self._server(place)
        printer = self.names.index(site) + 1
        document = Document((PageGroup("A4", pages, 0),))
        job = self.application.env.new_id()
        request = Request(job, "submit-1", asker, printer, user, document)
        decision = await server.authorize(self._sessions[asker, place], request)
        if decision.verdict is not Verdict.ALLOW:
            return
        self.month.allowed += 1
        decider = CENTRE if decision.decider == CENTRE else site
        self.month.decided_at_cut_sites += decider == site
        completion = Completion(job, "submit-1", asker, printer, user, document, decision, pages)
        receipt = await self._server(decider).complete(self._sessions[asker, decider], completion)
        self._balances_e4[user] -= receipt.amount_e4

    def _heal_all(self) -> None:
        for name in list(self._is_cut):
            self._heal(name)
        self._until("every site has told everything", self._is_told)

    # What is looked at.

    @property
    def application(self) -> ApplicationServer:
        assert self.installation.application is not None
        return self.installation.application

    def _site(self, name: str) -> Any:
        return self.installation.sites[name]

    def _server(self, place: str) -> Any:
        return self.application if place == CENTRE else self._site(place)

    def _are_level(self) -> bool:
        sites = self.installation.sites
        return len(sites) == len(self.names) and all(
            site.link.session is not None and site.position == self.application.position
            for site in sites.values()
        )

    def _is_told(self) -> bool:
        sites = self.installation.sites.values()
        return self._are_level() and all(one.uplink.acked == one.uplink._head for one in sites)

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        if not self.world.run_until(condition, self.world.now + SETTLE_S):
            self.month.found.append(f"not within {SETTLE_S:.0f} s: {what}")

    def _do(self, work: Coroutine[Deferred[Any], Any, None], what: str) -> None:
        self._heed(Deferred.fromCoroutine(work), what)

    def _heed(self, work: Deferred[Any], what: str) -> None:
        work.addErrback(lambda failure: self.month.found.append(f"{what}: {failure}"))

    def _look(self) -> None:
        month = self.month
        connection = self.installation.database(APPLICATION)
        (month.quota_runs,) = connection.execute(
            "SELECT COUNT(*) FROM quota_run WHERE finished_at IS NOT NULL"
        ).fetchone()
        given_e4 = month.quota_runs * QUOTA_E4
        folded_e4: Counter[int] = Counter()
        for debit, credit, amount_e4 in connection.execute(
            "SELECT debit, credit, amount_e4 FROM transfer WHERE kind IN ('post', 'direct')"
        ):
            folded_e4[debit] -= amount_e4
            folded_e4[credit] += amount_e4
        centre = connection.execute(_BALANCES.format("")).fetchall()
        for account, name, balance_e4, pending_e4 in centre:
            if name not in self._balances_e4:
                continue
            month.balances_compared += 1
            wanted_e4 = self._balances_e4[name] + given_e4
            if not balance_e4 == folded_e4[account] == wanted_e4 or pending_e4:
                told = f"{balance_e4}, by its transfers {folded_e4[account]}, wanted {wanted_e4}"
                month.found.append(f"{name} has {told}, reserved {pending_e4}")
        for site in self.names:
            replica = self.world.nodes[site].disk.connection("journal.db")
            assert replica is not None
            if replica.execute(_BALANCES.format("replica.")).fetchall() != centre:
                month.found.append(f"{site} has other balances than the application server")
        problems: list[Any] = []
        self._heed(self.application.store.verify().addCallback(problems.extend), "verify")
        self.world.run(self.world.now + 1.0)
        month.found += [*problems, *(str(one) for one in self.world.finish().found)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.month", description=__doc__)
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=30_000)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args(argv)
    began_s = time.process_time()

    def told(words: str) -> None:
        print(f"{time.process_time() - began_s:7.1f} s: {words}", file=sys.stderr, flush=True)

    run = MonthRun(options.sites, options.users, options.jobs, options.seed, options.days, told)
    month = run.run()
    print(json.dumps(attrs.asdict(month) | {"cpu_s": round(time.process_time() - began_s, 1)}))
    return 1 if month.found else 0


if __name__ == "__main__":
    sys.exit(main())

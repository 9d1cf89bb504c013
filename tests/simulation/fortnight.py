"""Profile fortnight: fourteen days cut, and everything that happens in fourteen days.

Both sites, with their print servers, are cut from the application server, which runs on. On some
days people come, the sites are switched on for a while and they print; at night and between
those days the sites are off. Meanwhile quotas run, prices change, somebody is merged into another,
two people link one card at two sites, one site reboots with its clock at 1970, and a print
server's certificate expires. Then the links heal: nothing is lost, nothing doubled.

Looks and ticks that go by the minute go by the quarter of a day here, and links wait long: what
those are for is tested by the other profiles, and this one would be millions of events.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from papercutd.domain.schedule import Rule
from papercutd.services import application_server, freshness, quotas, site_server
from papercutd.services.link import LinkSettings
from papercutd.storage.money.schedules import Schedule
from tests.simulation import core_nodes, core_running
from tests.simulation.core import CoreScenario
from tests.simulation.core_nodes import APPLICATION, PROVIDERS, SITES, USERS
from tests.simulation.core_statements import open_statements
from tests.simulation.faults_disk import odd_year
from tests.simulation.findings import Findings
from tests.simulation.profiles import Profile
from tests.simulation.scenario import Scenario
from tests.simulation.stage import End, Fault
from tests.simulation.world import World

DAY_S = 86_400.0
DAYS = 14
#: Before the cut, and on each day on which people come, with a quarter for what they began.
BEFORE_S, OPEN_S = 60.0, 90.0
JOBS_BEFORE, JOBS_A_DAY = 8, 7
#: Days of the cut on which people come; nothing of the others is seen at a site.
OPEN_DAYS = (1, 4, 6, 10, 13)
PRICES_DAY, MERGE_DAY, CARD_DAY, YEAR_1970_DAY, EXPIRED_DAY = 3, 5, 6, 10, 12
SLOW_S = DAY_S / 4
DAILY = Schedule("daily", 3_000, Rule("daily", 0, 180), cap_e4=80_000)
WEEKLY = Schedule("weekly", 8_000, Rule("weekly", 3, 600))
#: Nobody answers for a fortnight.
LINKS = LinkSettings(
    back_jitter_s=2.0,
    reconnect_min_s=5.0,
    reconnect_max_s=60.0,
    ping_interval_s=30.0,
)


@contextmanager
def _slowly() -> Iterator[None]:
    """What runs by the minute runs by the quarter of a day."""
    changed: list[tuple[Any, str, Any]] = [
        (core_nodes, "SETTINGS", LINKS),
        (core_running, "STEP_S", 30.0),
        (application_server, "UNSEEN_INTERVAL_S", SLOW_S),
        (site_server, "UNSEEN_INTERVAL_S", SLOW_S),
        (freshness, "KEEP_INTERVAL_S", SLOW_S),
        (quotas, "LOOK_INTERVAL_S", 3_600.0),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in changed]
    for place, name, value in changed:
        setattr(place, name, value)
    try:
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)


class Fortnight(CoreScenario):
    """One seed of it."""

    def run(self) -> Findings:
        with _slowly():
            return self._run()

    def _run(self) -> Findings:
        world, rng = self.world, self._rng
        self.installation.boot_all()
        world.later(5.0, self._at_centre, "add_quota", DAILY)
        world.later(6.0, self._at_centre, "add_quota", WEEKLY)
        for _ in range(JOBS_BEFORE):
            world.later(rng.uniform(10.0, BEFORE_S), self._print)
        world.run(BEFORE_S)
        links = world.network.links
        heals = [links.cut_both(APPLICATION, other) for other in (*SITES, *PROVIDERS)]
        # Who is refused while nobody hears of top-ups and runs is refused rightly.
        self.oracle.refusals.trouble_s = lambda: world.now
        # Askers are away for more than seven days: what they had reserved may be given up.
        self.oracle.running.is_long_away = True
        self._plan_the_centre()
        for day in OPEN_DAYS:
            self._close(BEFORE_S + day * DAY_S)
            self._open(day)
        self._close(BEFORE_S + DAYS * DAY_S)
        world.count("days cut", DAYS)
        self._heal(heals)
        self.oracle.check_end()
        self.absence.check_end()
        self._check_fortnight()
        return world.finish()

    # The sites.

    def _close(self, until_s: float) -> None:
        """Sites and print servers are off."""
        world = self.world
        for name in (*SITES, *PROVIDERS):
            if world.nodes[name].is_up:
                world.nodes[name].cut_power()
            world.nodes[name].down_until_s = until_s
        self.oracle.running.step_s = 3_600.0
        world.run(until_s)
        self.oracle.running.step_s = 30.0

    def _open(self, day: int) -> None:
        """People come, and print without the application server."""
        world, rng = self.world, self._rng
        ends: list[tuple[str, End]] = []
        for name in (*SITES, *PROVIDERS):
            world.nodes[name].down_until_s = 0.0
            world.nodes[name].boot()
        world.run(world.now + 10.0)
        if day == CARD_DAY:
            ends.append(("F54", self._stage.logic["F54"](self._fault("F54"))))
        if day == YEAR_1970_DAY:
            values = {"which": 0.0, "start": 0.0}
            fault = self._fault("F66", APPLICATION, rng.choice(SITES), **values)
            year = odd_year(self._stage, fault)
            ends.append(("F66", lambda: year() or True))
        for _ in range(JOBS_A_DAY):
            world.later(rng.uniform(0.0, OPEN_S * 0.75), self._print)
        world.run(world.now + OPEN_S)
        for code, end in ends:
            self.world.sometimes(f"{code} of a fortnight", end())

    def _heal(self, heals: list[Any]) -> None:
        for heal in heals:
            heal()
        self._stage.mend_all()
        world = self.world
        until_s = world.now + self._profile.quiet_s
        # Its certificate is expired: it is refused until it has another.
        world.later(30.0, self.installation.certificates.join_again, self._expired)
        world.run(world.now + 40.0)
        world.sometimes("expired, and refused", self.installation.certificates.refused_expired)
        world.run_until(self._is_settled, until_s, every_s=5.0)
        world.run(world.now + 30.0)

    def _is_settled(self) -> bool:
        """What the askers tell of the outage may come when all else is settled."""
        connection = self.world.nodes[APPLICATION].disk.connection("application.db")
        assert connection is not None
        return self.oracle.is_settled() and not open_statements(connection)

    def _fault(self, kind: str, *targets: str, **values: float) -> Fault:
        return Fault(self.world.now, kind, kind, targets, OPEN_S, values)

    # The application server, which nobody reaches.

    def _plan_the_centre(self) -> None:
        rng = self._rng
        self._old, self._heir = rng.sample(sorted(USERS), 2)
        self._expired = rng.choice(sorted(PROVIDERS))
        self._at_day(PRICES_DAY, self._change_prices, self._fault("F42"))
        self._at_day(MERGE_DAY, self._at_centre, "merge_users", self._old, self._heir)
        self._at_day(EXPIRED_DAY, self._expire)

    def _at_day(self, day: int, act: Any, *arguments: Any) -> None:
        self.world.later(day * DAY_S - rng_s(self._rng), act, *arguments)

    def _at_centre(self, method: str, *arguments: Any) -> None:
        node, server = self.world.nodes[APPLICATION], self.installation.application
        assert node.clock is not None and server is not None
        call = getattr(server.store, method)
        node.clock.callLater(0, lambda: call(*arguments).addErrback(self._failed, method))

    def _failed(self, failure: Any, method: str) -> None:
        self.world.find("defect", f"{method}: {failure.getErrorMessage()}", APPLICATION)

    def _expire(self) -> None:
        """As the servers see it: that certificate is good no more."""
        name = self._expired
        self.installation.certificates.expire("provider", name)

    # The end.

    def _check_fortnight(self) -> None:
        connection = self.world.nodes[APPLICATION].disk.connection("application.db")
        assert connection is not None
        self._check_runs(connection)
        self._check_merged(connection)
        (versions,) = connection.execute("SELECT COUNT(DISTINCT version) FROM price").fetchone()
        if versions != 2:
            self.world.find("I3", f"{versions} price lists", APPLICATION)

    def _check_runs(self, connection: Any) -> None:
        """Each period of each quota was run once, and each purse credited once."""
        began_s = self.world.epoch_s + 10.0
        ended_s = self.world.epoch_s + BEFORE_S + DAYS * DAY_S
        for number, quota in enumerate((DAILY, WEEKLY), 1):
            due, at_s = set(), quota.rule.next_due(began_s)
            while at_s <= ended_s:
                due.add(at_s)
                at_s = quota.rule.next_due(at_s)
            query = "SELECT due_at FROM quota_run WHERE schedule = ? AND due_at <= ?"
            run = [row[0] for row in connection.execute(query, (number, ended_s))]
            # The last may wait for the next look.
            if len(run) != len(set(run)) or set(run) - due or due - set(run) - {max(due)}:
                text = f"{quota.name} was run {len(run)} times, due {len(due)} times"
                self.world.find("I3", text, APPLICATION)
            self.world.count("quota runs", len(run))

    def _check_merged(self, connection: Any) -> None:
        """Nothing is left with whom was merged; what they printed is their heir's."""
        merged = connection.execute(
            "SELECT user.name, heir.name, account.credits_e4 - account.debits_e4"
            " FROM account JOIN user ON user.account = account.id"
            " JOIN user AS heir ON heir.id = user.merged_into"
        ).fetchall()
        # What was decided for either is charged already: what is not the heir's is nobody's.
        if [row[1:] for row in merged] != [(self._heir, 0)]:
            text = f"{self._old} was merged into {self._heir}, and there are {merged}"
            self.world.find("I3", text, APPLICATION)


def rng_s(rng: random.Random) -> float:
    """Some time of the day before."""
    return rng.uniform(0.0, DAY_S / 2)


def make_core(world: World, rng: random.Random, profile: Profile) -> Scenario:
    """The scenario of ``profile``."""
    made = Fortnight if profile.name == "fortnight" else CoreScenario
    return made(world, rng, profile)

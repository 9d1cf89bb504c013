"""F39: very many sites, new ones first, then cut and healed together; ``python -m`` runs 500.

Every site and the application server are the real ones. They come at once for snapshots, then
with their journals; somebody prints at the application server meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any
from unittest import mock

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.chain import MARK_START
from papercutd.domain.decision import Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion, Request, SessionRef
from papercutd.services.application_server import ApplicationServer
from papercutd.services.link import LinkSettings
from papercutd.services.site_server import SiteServer
from papercutd.storage.replication.site_scopes import SiteScope
from tests.simulation import core_nodes
from tests.simulation.core_nodes import APPLICATION, PORT, CoreInstallation
from tests.simulation.desk import CostlyWriter, Desk
from tests.simulation.node import Node
from tests.simulation.world import World

#: Sites come back within seconds: the most that the configuration can ask for.
SETTINGS = LinkSettings(reconnect_min_s=0.5, reconnect_max_s=3.0)
CUT_S = 60.0
#: All are there, or all is told, within.
SETTLE_S = 200.0
PAGE_E4 = 500


@attrs.define
class Herd:
    """What came of it."""

    sites: int
    records: int
    #: Most that loaded a snapshot at once, and how often a site was told to come again.
    loading: int = 0
    loads_turned_away: int = 0
    snapshots_made: int = 0
    #: Most batches of journals at once, and how often one was told to come again.
    batches: int = 0
    batches_turned_away: int = 0
    #: Most operations that waited for the store, and bytes that waited for one site.
    queue: int = 0
    waiting_bytes: int = 0
    first_up_s: float = 0.0
    drained_s: float = 0.0
    desk_answers: int = 0
    desk_p95_s: float = 0.0
    desk_worst_s: float = 0.0
    found: list[str] = attrs.field(factory=list)


class HerdRun:
    """One of them."""

    def __init__(self, sites: int, records: int, seed: int = 39) -> None:
        self.names = tuple(f"site-{number:03}" for number in range(sites))
        self.herd = Herd(sites, records)
        self._records = records
        # The desk's site has no server: its print server has the application server alone.
        providers = {f"provider-{name}": name for name in self.names} | {"desk": "office"}
        with (
            mock.patch.object(core_nodes, "SITES", (*self.names, "office")),
            mock.patch.object(core_nodes, "PROVIDERS", providers),
        ):
            self.world = World(seed)
            self.installation = CoreInstallation(self.world)
        self.desk: Desk | None = None
        self.writers: list[CostlyWriter] = []

    def run(self) -> Herd:
        """All of it; what it found is in the end of it."""
        with (
            mock.patch.object(core_nodes, "SETTINGS", SETTINGS),
            mock.patch.object(CostlyWriter, "submit", self._watched_submit()),
        ):
            self._begin()
            self._print_while_cut()
            self._heal()
        self._look()
        return self.herd

    # What happens.

    def _begin(self) -> None:
        """Every site is new, and comes for its snapshot in the same seconds."""
        world = self.world
        world.nodes[APPLICATION].disk.writer_class = CostlyWriter
        world.nodes["desk"].on_boot = self._boot_desk
        world.nodes[APPLICATION].boot()
        world.run(world.now + 1.0)
        snapshot = self.application.store.snapshot

        def counted(scope: SiteScope, grouped: bool, grew: Any) -> Any:
            self.herd.snapshots_made += 1
            return snapshot(scope, grouped, grew)

        self.application.store.snapshot = counted  # type: ignore[method-assign, assignment]
        for name in self.names:
            world.nodes[name].boot()
        world.nodes["desk"].boot()
        began_s = world.now
        self._until("every site has a replica", self._are_up)
        self.herd.first_up_s = world.now - began_s

    def _boot_desk(self, node: Node) -> None:
        endpoint = self.world.network.endpoint(node, APPLICATION, PORT)
        printer = len(self.names) + 1
        desk = self.desk = Desk(node, endpoint, SETTINGS, printer)
        desk.link.start()
        assert node.clock is not None
        node.clock.callLater(2.0, desk.start)

    def _print_while_cut(self) -> None:
        world, desk = self.world, self.desk
        assert desk is not None
        desk.stop()
        self._ends = [world.network.links.cut_both(APPLICATION, name) for name in self.names]
        world.run(world.now + CUT_S)
        self._check("every site is cut", all(s.is_cut for s in self._servers()))
        work = [self._print(number, name) for number, name in enumerate(self.names)]
        world.run(world.now + 5.0)
        for name, done in zip(self.names, work, strict=True):
            done.addErrback(lambda failure: failure.getTraceback())
            self._check(
                f"{name} prints while cut: {getattr(done, 'result', 'not yet')}",
                getattr(done, "result", "") == "printed",
            )

    def _print(self, number: int, name: str) -> Deferred[Any]:
        """One job that is paid, the others are refused: each is a record."""
        server = self.installation.sites[name]
        asker = f"provider-{name}"
        document = Document((PageGroup("A4", 1, 0),))

        async def one(session: SessionRef, user: str) -> None:
            request = Request(*(server.env.new_id(), "submit-1", asker, number + 1, user, document))
            decision = await server.authorize(session, request)
            if decision.verdict is Verdict.ALLOW:
                completion = Completion(
                    *(request.job, "submit-1", asker, number + 1, user, document, decision, 1)
                )
                await server.complete(session, completion)

        async def all_of_them() -> str:
            journal = server.env.new_id()
            seen = await server.begin_provider(asker, journal, MARK_START, "")
            session = SessionRef("provider", asker, journal, seen.session)
            await one(session, "staff")
            for _ in range(self._records - 1):
                await one(session, "nobody-we-know")
            return "printed"

        return Deferred.fromCoroutine(all_of_them())

    def _heal(self) -> None:
        assert self.desk is not None
        self.desk.start()
        began_s = self.world.now
        for end in self._ends:
            end()
        self._until("every site has told everything", self._is_told)
        self.herd.drained_s = self.world.now - began_s
        self.desk.stop()
        self.world.run(self.world.now + 30.0)

    # What is looked at.

    @property
    def application(self) -> ApplicationServer:
        assert self.installation.application is not None
        return self.installation.application

    def _servers(self) -> list[SiteServer]:
        return list(self.installation.sites.values())

    def _are_up(self) -> bool:
        servers = self._servers()
        return len(servers) == len(self.names) and all(
            server.link.session is not None and server.position is not None for server in servers
        )

    def _is_told(self) -> bool:
        return (
            self._are_up()
            and self._ask_database("SELECT COUNT(*) FROM charge") == len(self.names)
            and all(server.uplink.acked == server.uplink._head for server in self._servers())
        )

    def _ask_database(self, query: str) -> int:
        connection = self.world.nodes[APPLICATION].disk.connection("application.db")
        assert connection is not None
        return int(connection.execute(query).fetchone()[0] or 0)

    def _until(self, what: str, condition: Any) -> None:
        until_s = self.world.now + SETTLE_S
        while not condition():
            if self.world.now >= until_s:
                self.herd.found.append(f"not within {SETTLE_S:.0f} s: {what}")
                return
            self.world.run(self.world.now + 0.5)
            waiting = [session.waiting_bytes for _, session in self.application.sites.all()]
            self.herd.waiting_bytes = max(self.herd.waiting_bytes, *waiting, 0)

    def _check(self, what: str, is_so: bool) -> None:
        if not is_so:
            self.herd.found.append(f"not so: {what}")

    def _watched_submit(self) -> Any:
        submit, writers = CostlyWriter.submit, self.writers

        def watched(writer: CostlyWriter, *args: Any) -> Any:
            if writer not in writers:
                writers.append(writer)
            return submit(writer, *args)

        return watched

    def _look(self) -> None:
        """Exactly once, everywhere the same, and nobody waited at the desk."""
        herd, count, desk = self.herd, len(self.names), self.desk
        assert desk is not None
        server = self.application
        herd.loading = server.snapshots.places.most
        herd.loads_turned_away = server.snapshots.places.turned_away
        herd.batches = server.journal_turns.most
        herd.batches_turned_away = server.journal_turns.turned_away
        herd.queue = max(writer.most for writer in self.writers)
        took_s = sorted(desk.took_s)
        herd.desk_answers = len(took_s)
        herd.desk_p95_s, herd.desk_worst_s = took_s[int(len(took_s) * 0.95)], took_s[-1]
        for what, query, expected in (
            ("charges", "SELECT COUNT(*) FROM charge", count),
            ("keys charged", "SELECT COUNT(DISTINCT key) FROM charge", count),
            ("money", "SELECT SUM(amount_e4) FROM charge", count * PAGE_E4),
            ("parked", "SELECT COUNT(*) FROM parked", 0),
            ("open", "SELECT COUNT(*) FROM decision WHERE state = 'open'", 0),
        ):
            found = self._ask_database(query)
            self._check(f"{what}: {expected}, found {found}", found == expected)
        for site in self._servers():
            self._check(f"all is forwarded: {site.uplink.acked}", site.position == server.position)
        self._check(
            "the desk was never cut off", (desk.lost, desk.owed, desk.suspected) == (0,) * 3
        )
        self._check("jobs were allowed at the desk", desk.allowed > 0)
        herd.found += [str(finding) for finding in self.world.finish().found]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.herd", description=__doc__)
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--records", type=int, default=40, help="of each site")
    parser.add_argument("--seed", type=int, default=39)
    options = parser.parse_args(argv)
    began_s = time.process_time()
    herd = HerdRun(options.sites, options.records, options.seed).run()
    result = attrs.asdict(herd) | {"cpu_s": round(time.process_time() - began_s, 1)}
    print(json.dumps(result))
    return 1 if herd.found else 0


if __name__ == "__main__":
    sys.exit(main())

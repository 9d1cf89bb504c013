"""Held jobs on simulated machines: handed in, released from everywhere at once, deleted, forgotten.

People hand in at secure and find-me printers and collect at devices; others release by a
server's word. What must hold (I21): a document comes out once for its one release, and what is
held has its document.
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.device.errors import DeviceError
from papercutd.errors import PapercutError
from papercutd.services.held_jobs import Listed
from tests.simulation.core_devices import DEVICES, card_of
from tests.simulation.disk import Commit
from tests.simulation.node import Node
from tests.simulation.stage import Fault, Stage
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.core_nodes import CoreInstallation

APPLICATION = "application"
#: Print servers, to the site each stands at.
OWNERS = {"north-provider": "north", "south-provider": "south"}
#: What is after a print server's site in the names of the printers that hold jobs, and how.
HOLDING = {
    "secure": {"release": "secure", "held_max_s": 60},
    "findme": {"release": "find-me", "group": "floor"},
    "floor": {"release": "secure", "group": "floor"},
}
#: Jobs that a run hands in to be held, and how often somebody comes to collect or delete one.
JOBS = 30
ERRANDS = 40
#: Which printers take the jobs of a find-me printer; the others take their own.
_TAKERS = {"findme": ("1", "floor"), "qf": ("q",)}
#: Of those who come, how many delete instead.
DELETING = 0.12


def add_printers(directory: Any, connection: sqlite3.Connection, provider: str, site: str) -> None:
    """The printers of ``provider`` that hold jobs; the device's own takes the floor's too."""
    directory.set_release(connection, f"{site}-1", "immediate", "floor", 86_400)
    for name, settings in HOLDING.items():
        uri = f"sim://{site}-{name}"
        directory.add_printer(connection, f"{site}-{name}", provider, uri, **settings)


@attrs.define
class HeldJob:
    """A job that was handed in to be held, and what people were told of it."""

    #: (release id, answer); of a device's release the id is not known.
    told: list[tuple[str, str]] = attrs.field(factory=list)
    #: Somebody gave it up at its print server.
    is_canceled: bool = False


class HeldLoad:
    """Hands jobs in, and comes for them."""

    def __init__(
        self,
        installation: CoreInstallation,
        rng: random.Random,
        hand_in: Callable[[str], None],
    ) -> None:
        """``hand_in`` submits a job of somebody's at a printer."""
        self._in = installation
        self._world: World = installation.world
        self._rng = rng
        self._hand_in = hand_in
        #: By their ids.
        self.jobs: dict[str, HeldJob] = {}
        #: Documents that vanished, by print server and path.
        self.vanished: set[tuple[str, str]] = set()

    def start(self, chaos_s: float) -> None:
        for _ in range(JOBS):
            self._world.later(self._rng.uniform(6.0, chaos_s * 0.9), self._submit)
        for _ in range(ERRANDS):
            self._world.later(self._rng.uniform(10.0, chaos_s), self._errand)

    def _submit(self) -> None:
        site = self._rng.choice(sorted(OWNERS.values()))
        self._hand_in(f"{site}-{self._rng.choice(sorted(HOLDING))}")

    # Who comes.

    def _errand(self) -> None:
        if self._in.device_names and self._rng.random() < 0.5:
            self._come_to_device(self._rng.choice(sorted(DEVICES)))
            return
        server = self._rng.choice([APPLICATION, *sorted(set(OWNERS.values()))])
        listed = self.listed(server)
        if listed:
            one = self._rng.choice(listed)
            deletes = self._rng.random() < DELETING
            self.release_at(server, one, self.printer_for(one), deletes=deletes)

    def listed(self, server: str) -> list[Listed]:
        """What that server's release stations show."""
        found: Any = self._in.application if server == APPLICATION else self._in.sites.get(server)
        node = self._world.nodes[server]
        if found is None or node.clock is None or node.clock.is_paused:
            return []
        return [one for one in found.held.list() if one.provider in OWNERS]

    def printer_for(self, listed: Listed) -> int:
        """Mostly one that takes it, now and then one that does not."""
        config = self._in.providers[listed.provider].config
        if config is None:
            # Its disk was full when it heard for the first time.
            return listed.job.printer
        ids = {one.name.rpartition("-")[2]: one.id for one in config.printers}
        own = next((name for name, number in ids.items() if number == listed.job.printer), "1")
        if self._rng.random() < 0.9:
            return ids[self._rng.choice(_TAKERS.get(own, (own,)))]
        return ids[self._rng.choice(sorted(ids))]

    def release_at(
        self, server: str, listed: Listed, printer: int, release: str = "", deletes: bool = False
    ) -> bool:
        """Release or delete a job by that server's word; False: it is not there."""
        found: Any = self._in.application if server == APPLICATION else self._in.sites.get(server)
        node = self._world.nodes[server]
        if found is None or node.clock is None:
            return False
        release = release or str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

        def ask() -> None:
            asked: Deferred[Any] = (
                found.held.discard(release, listed)
                if deletes
                else found.held.release(release, listed, printer)
            )
            asked.addCallbacks(
                lambda answer: self._told(listed.job.job, release, answer.answer),
                lambda failure: failure.trap(PapercutError) and self._world.count("unanswered"),
            )

        node.clock.callLater(0, ask)
        return True

    def _told(self, job: str, release: str, answer: str) -> None:
        self._world.count(f"told {answer}")
        # One of CUPS's was handed in there.
        self.jobs.setdefault(job, HeldJob()).told.append((release, answer))

    def come_to_device(self, name: str, user: str, wanted: str = "") -> bool:
        """Somebody logs in and collects one job, ``wanted`` if it is there; False: it is dark."""
        device = self._in.devices.get(name)
        clock = None if device is None else self._world.nodes[name].clock
        if device is None or clock is None:
            return False
        floor = self._of_floor(DEVICES[name])
        picks, deletes = self._rng.random(), self._rng.random() < DELETING

        async def collect() -> None:
            await device.log_in("card", card=card_of(user))
            listed = await device.jobs()
            wished = [one for one in listed if one.job == wanted]
            wished = wished or [one for one in listed if one.job in floor] or listed
            if wished:
                one = wished[int(picks * len(wished))]
                act = device.discard if deletes and not wanted else device.release
                answer = await act(one.job)
                self._world.sometimes("released at a device", answer.answer == "released")
                self._told(one.job, f"{name} {self._world.now}", answer.answer)
            if device.visit is not None:
                await device.log_out()

        def begin() -> None:
            # RuntimeError: the device died, and what it did then went on in vain.
            Deferred.fromCoroutine(collect()).addErrback(
                lambda failure: failure.trap(DeviceError, PapercutError, RuntimeError) and None
            )

        clock.callLater(0, begin)
        return True

    def _of_floor(self, site: str) -> set[str]:
        """Jobs that the device of a site can print."""
        owner = next(one for one, at in OWNERS.items() if at == site)
        provider = self._in.providers.get(owner)
        config = None if provider is None else provider.config
        ids = {one.id for one in config.printers if one.group} if config is not None else set()
        return {job for job, _, _, printer in self.held_at(owner) if printer in ids}

    def _come_to_device(self, name: str) -> None:
        owner = next(one for one, site in OWNERS.items() if site == DEVICES[name])
        floor = self._of_floor(DEVICES[name])
        waiting = [one for one in self.held_at(owner) if one[0] in floor] or self.held_at(owner)
        if waiting:
            self.come_to_device(name, self._rng.choice(waiting)[1])

    def held_at(self, provider: str) -> list[tuple[str, str, str, int]]:
        """(job, user, path, printer) of what its print server has as held."""
        connection = self._world.nodes[provider].disk.connection("provider.db")
        if connection is None:
            return []
        # People who have no card do not come.
        return connection.execute(
            "SELECT job, user_name, CASE job_uuid WHEN '' THEN path ELSE job_uuid END, printer"
            " FROM job WHERE state = 'held' AND user_name NOT IN ('staff', 'stranger') ORDER BY job"
        ).fetchall()


class HeldFaults:
    """What befalls held jobs: F46, F56, F57, F58 and F67."""

    def __init__(self, load: HeldLoad, installation: CoreInstallation, rng: random.Random) -> None:
        self._load = load
        self._in = installation
        self._world: World = installation.world
        self._rng = rng

    def register(self, stage: Stage) -> None:
        stage.logic["F46"] = self._cancel_while_it_completes
        stage.logic["F56"] = self._paper_out
        stage.logic["F57"] = lambda fault: self._restart_between(stage, fault)
        stage.logic["F58"] = self._race
        stage.logic["F67"] = self._vanish

    def _release_one(self) -> tuple[str, str, list[str]] | None:
        """(provider, job, who was asked): one held job, released from two places or one."""
        found = [(owner, *row) for owner in sorted(OWNERS) for row in self._load.held_at(owner)]
        if not found:
            return None
        owner, job, user, _, _ = self._rng.choice(found)
        asked: list[str] = []
        for server in (APPLICATION, OWNERS[owner]):
            for listed in self._load.listed(server):
                if listed.job.job == job and self._load.release_at(
                    server, listed, self._load.printer_for(listed)
                ):
                    asked.append(server)
        device = next(name for name, site in DEVICES.items() if site == OWNERS[owner])
        if self._load.come_to_device(device, user, job):
            asked.append(device)
        return owner, job, asked

    def _race(self, fault: Fault) -> Any:
        """F58: the same job released at a device and by both servers' words, at once."""
        released = self._release_one()
        if released is None:
            return lambda: False
        _, job, asked = released
        told = self._load.jobs.setdefault(job, HeldJob()).told
        return lambda: len(asked) > 1 and len(told) > 1

    def _restart_between(self, stage: Stage, fault: Fault) -> Any:
        """F57: the print server restarts between the release and the paper."""
        released = self._release_one()
        if released is None:
            return lambda: stage.crash(fault.targets[0], 0.1) and False
        owner, _, _ = released
        happened: list[bool] = []
        node = stage.node(owner)
        down_s = min(fault.duration_s, 10.0)

        def act() -> None:
            happened.append(True)
            stage.restart_after(owner, down_s)
            node.crash_here()

        is_before = self._rng.random() < 0.5
        disarm = node.disk.at_commit(act, self._rng.randint(1, 5), is_before, "provider.db")

        def end() -> bool:
            disarm()
            return bool(happened)

        return end

    def _vanish(self, fault: Fault) -> Any:
        """F67: the document of a held job is gone from the disk."""
        owner = self._rng.choice(sorted(OWNERS))
        waiting = self._load.held_at(owner)
        if not waiting:
            return lambda: False
        job, user, path, _ = self._rng.choice(waiting)
        self._load.vanished.add((owner, path))
        self._world.nodes[owner].disk.spool.remove(path)
        for job_of_cups in self._in.cups.cupsd[owner].jobs.values() if self._in.cups else ():
            if job_of_cups.uuid == path:
                job_of_cups.has_document = False
        device = next(name for name, site in DEVICES.items() if site == OWNERS[owner])
        self._load.come_to_device(device, user, job)
        return lambda: True

    def _cancel_while_it_completes(self, fault: Fault) -> Any:
        """F46: a job is given up at its print server while it is decided, printed and posted."""
        done: list[bool] = []
        owner = self._rng.choice(sorted(OWNERS))
        left = 200

        def cancel() -> None:
            # Also by a person at CUPS, with its backend under way.
            cupsd = None if self._in.cups is None else self._in.cups.cupsd[owner]
            if cupsd is not None and cupsd.is_up and cupsd.end_one_printing():
                done.append(True)
            provider, node = self._in.providers.get(owner), self._world.nodes[owner]
            if provider is None or node.clock is None or node.clock.is_paused:
                return
            for job in list(provider._living):
                if provider.cancel(job):
                    done.append(True)
                    self._load.jobs.setdefault(job, HeldJob()).is_canceled = True

        def look() -> None:
            nonlocal left
            left -= 1
            provider, node = self._in.providers.get(owner), self._world.nodes[owner]
            if provider is not None and node.clock is not None and provider._living:
                node.clock.callLater(self._rng.choice((0.0, 0.005, 0.02, 0.2)), cancel)
            elif left:
                self._world.later(0.02, look)

        self._release_one()
        look()
        return lambda: bool(done)

    def _paper_out(self, fault: Fault) -> Any:
        """F56: a printer has no paper; its jobs wait, and the weekend comes perhaps."""
        owner = self._rng.choice(sorted(OWNERS))
        self._in.paper_out[owner] = "off" if self._rng.random() < 0.5 else "out"

        # The weekend says what it found; see core_weekend.
        def end() -> bool:
            if self._rng.random() < 0.5:
                self._in.paper_out.pop(owner, None)
            return False

        return end


class HeldChecks:
    """I21, at every commit of a print server, at each paper and at the end."""

    def __init__(
        self, installation: CoreInstallation, load: HeldLoad, struck: Callable[[], set[str]]
    ) -> None:
        self._in = installation
        self._world: World = installation.world
        self._load = load
        self._struck = struck
        for owner in OWNERS:
            self._world.nodes[owner].disk.on_commit.append(self._committed)

    def _find(self, text: str, node: str = "") -> None:
        self._world.find("I21", text, node)

    def _committed(self, commit: Commit) -> None:
        if commit.database != "provider.db" or commit.node in self._struck():
            return
        node = self._world.nodes[commit.node]
        self._world.findings.checked["I21"] += 1
        for job, path, released in commit.connection.execute(
            "SELECT job, path, (SELECT COUNT(*) FROM release WHERE release.job = job.job"
            " AND answer = 'released') FROM job WHERE state IN ('held', 'asked')"
            " AND job_uuid = ''"
        ).fetchall():
            if released:
                self._find(f"{job} is held again and was released", commit.node)
            is_there = node.disk.spool.get(path) is not None
            if not is_there and (commit.node, path) not in self._load.vanished:
                self._find(f"{job} is held and its document is gone", commit.node)

    def check_end(self) -> None:
        """Each document came out once for its one release, and whoever was told so is right."""
        papers = Counter((paper.provider, paper.path) for paper in self._in.paper)
        for owner in OWNERS:
            if owner not in self._struck():
                self._check_owner(self._world.nodes[owner], papers)

    def _check_owner(self, node: Node, papers: Counter[tuple[str, str]]) -> None:
        connection = node.disk.connection("provider.db")
        assert connection is not None
        self._world.findings.checked["I21"] += 1
        releases: dict[str, list[tuple[str, str]]] = {}
        provider = self._in.providers[node.name]
        holding = {
            one.id
            for one in ([] if provider.config is None else provider.config.printers)
            if one.release != "immediate"
        }
        # Printed without a release they may be by nobody.
        waited = {
            job
            for job, printer in connection.execute("SELECT job, printer FROM job")
            if printer in holding
        }
        for release, job, answer in connection.execute("SELECT id, job, answer FROM release"):
            releases.setdefault(job, []).append((release, answer))
        cupsd = None if self._in.cups is None else self._in.cups.cupsd[node.name]
        there = (
            set()
            if cupsd is None
            else {job.uuid for job in cupsd.jobs.values() if job.has_document and not job.is_final}
        )
        for job, of_cups, path, state, outcome, assumed in connection.execute(
            "SELECT job, job_uuid, CASE job_uuid WHEN '' THEN path ELSE 'cups/' || job END,"
            " state, outcome, assumed FROM job"
        ).fetchall():
            answers = releases.get(job, [])
            if state == "held":
                is_there = of_cups in there if of_cups else node.disk.spool.get(path) is not None
                if not is_there and (node.name, of_cups or path) not in self._load.vanished:
                    self._find(f"{job} is held and its document is gone", node.name)
            known = self._load.jobs.get(job, HeldJob())
            granted = [one for one, answer in answers if answer == "released"]
            if len(granted) > 1:
                self._find(f"{job} was released {len(granted)} times", node.name)
            if any(not answer for _, answer in answers) and state in ("held", "ended"):
                self._find(f"{job} is {state} and a release has no answer", node.name)
            told = {one for one, answer in known.told if answer == "released"}
            if len(told) > 1:
                self._find(f"{job}: {len(told)} people were told that it prints", node.name)
            if told and not granted:
                self._find(f"{job}: somebody was told that it prints", node.name)
            count = papers[(node.name, path)]
            if count and any(answer == "discarded" for _, answer in known.told):
                self._find(f"{job} came out and was deleted", node.name)
            if job not in waited:
                continue
            self._world.count("held jobs")
            self._world.count(f"held jobs {outcome or state}")
            allowed = len(granted) + self._in.reruns[(node.name, path)]
            if count > allowed:
                self._find(f"{job} came out {count} times for {allowed} releases", node.name)
            is_lost = known.is_canceled or (node.name, of_cups or path) in self._load.vanished
            is_lost = is_lost or assumed or (bool(of_cups) and outcome == "canceled")
            if granted and not count and not is_lost:
                text = f"{job} was released and is {state} {outcome} without paper"
                self._find(text, node.name)

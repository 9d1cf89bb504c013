"""What records, links, changes and questions cost the server's processor, each by itself, and what
many of them together should cost by that: docs/scaling.md reckons so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from papercutd.demo import processes
from tests.bench.figures import Row, cpu_s, say
from tests.bench.herd_sites import BATCH
from tests.bench.links import SITES, issue, make_site
from tests.bench.servers import CONNECTIONS, USERS, Server, application

#: A job is two changes: what is reserved, and what is charged.
CHANGES_OF_A_JOB = 2
#: With a scope of nobody, while records come: what each commit costs for a site that hears nothing.
PASSED_SITES = 200


@attrs.frozen
class Costs:
    """Microseconds of the server's processor; and how busy forwarding sites keep it."""

    record_us: float
    #: A site's coming back: handshake, HELLO, SUBSCRIBE.
    link_us: float
    #: A change told to a site that has a scope and knows the person.
    told_us: float
    #: A batch of records, for each site with a scope that hears nothing of it.
    passed_us: float
    question_us: float
    #: Seconds of its processor in each second, while records are forwarded.
    busy: float

    def rows(self) -> list[Row]:
        what = "server's processor time of"
        return [
            Row(f"{what} a record, {SITES} sites that are told nothing", self.record_us, "us"),
            Row(f"{what} a site's coming back", self.link_us, "us"),
            Row(f"{what} a change told to a site with a scope", self.told_us, "us"),
            Row(f"{what} a batch of records, for a site not told", self.passed_us, "us"),
            Row(f"{what} a question", self.question_us, "us"),
        ]

    def cpu_s(self, sites: int, records: int, questions: float) -> float:
        """Of the server: ``records`` in all, each of which one of the sites is told of."""
        passed_us = self.passed_us * (sites - 1) / BATCH
        return (
            records * (self.record_us + self.told_us + passed_us)
            + sites * self.link_us
            + questions * self.question_us
        ) / 1e6

    def seconds(self, sites: int, records: int, questions_per_s: float) -> float:
        """Until everything is acknowledged."""
        of_questions = questions_per_s * self.question_us / 1e6
        return self.cpu_s(sites, records, 0) / max(self.busy - of_questions, 0.01)


def measure(where: Path, seconds: float, passed_sites: int) -> Costs:
    """At a server of their own, one after the other."""
    with application(where, "costs") as server:
        sites = attrs.evolve(server, identities=where / "sites")
        issue(server, sites.identities, "site", SITES, make_site)
        records = sites.load("journals", seconds, connections=SITES, pipeline=1)
        questions = server.load("authorize", seconds, connections=8, pipeline=1)
        passed = attrs.evolve(server, identities=where / "passed")
        issue(server, passed.identities, "site", passed_sites, make_site, "passed")
        nobody = sorted(passed.identities.iterdir())
        server.role.call("group.add", name="nobody")
        _give_scope(server, nobody, "nobody")
        with _subscribed(server, nobody):
            beside_them = sites.load("journals", seconds, connections=SITES, pipeline=1)
        passed_us = (beside_them.cpu_us - records.cpu_us) * BATCH / passed_sites
        alone = server.load("jobs", seconds, connections=CONNECTIONS)
        name = "everybody"
        server.role.call("group.add", name=name)
        people = [f"load{number}" for number in range(USERS)]
        server.role.call("group.add-users", name=name, users=people)
        folders = sorted(sites.identities.iterdir())
        _give_scope(server, folders, name)
        before = cpu_s(server.pid)
        with _subscribed(server, folders):
            link_us = (cpu_s(server.pid) - before) / len(folders) * 1e6
            beside = server.load("jobs", seconds, connections=CONNECTIONS)
    told_us = (beside.cpu_us - alone.cpu_us) / len(folders) / CHANGES_OF_A_JOB
    found = Costs(
        record_us=records.cpu_us,
        link_us=link_us,
        # Less than nothing is what a busy machine makes of little.
        told_us=max(told_us, 0.0),
        passed_us=max(passed_us, 0.0),
        question_us=questions.cpu_us,
        busy=records.server_cpu_s / records.seconds,
    )
    say(f"costs: {found}")
    return found


def _give_scope(server: Server, folders: list[Path], group: str) -> None:
    for folder in folders:
        server.role.call("site.scope", name=folder.name, groups=[group])


@contextmanager
def _subscribed(server: Server, folders: list[Path]) -> Iterator[None]:
    """Sites with nothing to forward, which follow the changes."""
    site = {"people": [], "printer": 0, "provider": ""}
    plan: dict[str, Any] = {"port": server.port, "records": 0, "stay": True}
    plan["sites"] = [{**site, "folder": str(folder)} for folder in folders]
    words = [sys.executable, "-m", "tests.bench.herd_sites"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with processes.spawn(words, text=True, **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(plan) + "\ngo on\n")
            process.stdin.flush()
            while "seconds" not in (said := process.stdout.readline()):
                if not said or "error" in said:
                    raise SystemExit(f"the sites do not come: {said}")
            yield
        finally:
            process.kill()

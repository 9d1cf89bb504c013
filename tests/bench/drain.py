"""How fast a healed site forwards what it journalled while it was cut."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from papercutd.demo.installation import Branch
from papercutd.domain.chain import MARK_START
from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion, SessionRef
from papercutd.domain.pricing import PriceLine
from papercutd.environment import real_environment
from papercutd.storage.site.replica import Directory
from papercutd.storage.site.site_store import SiteStore
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineWriter
from tests.bench.figures import Notes, Row
from tests.support.installation import joined_installation

COUNT, QUICK_COUNT = 10_000, 2_000


def rows(quick: bool, notes: Notes) -> list[Row]:
    """From the healed link to all acknowledged."""
    runs, count = (1, QUICK_COUNT) if quick else (5, COUNT)
    seconds, missing = drain(runs, count, notes)
    # Of fewer records the goal is the same for each.
    return [
        Row(f"{count:,} offline records drained", seconds, "s", 2 * count / COUNT),
        Row("charges missing after it", missing, "", 0),
    ]


def write_records(branch: Branch, count: int) -> None:
    """``count`` completed jobs into the journal of a site that does not run."""
    clock = Clock()
    env = real_environment(clock)
    connection = open_database(str(branch.site.data / "journal.db"), "journal")
    writer = InlineWriter(connection, clock)
    store = SiteStore(writer, Directory(str(branch.site.data)), env.wall_s)
    results: list[Any] = []

    def settle() -> None:
        while clock.getDelayedCalls():
            clock.advance(0)

    async def work() -> None:
        await store.start()
        provider = f"{branch.name}-provider"
        journal = env.new_id()
        seen = await store.begin_provider(provider, journal, MARK_START, "")
        asker = SessionRef("provider", provider, journal, seen.session)
        stream = (await store.identity()).stream
        document = Document((PageGroup("A4", 1),))
        lines = (PriceLine("A4 grey", 1, 500),)
        decision = Decision(Verdict.ALLOW, Reason.NONE, stream, 1, 4, 1, 1, lines)
        for _ in range(count):
            job = env.new_id()
            done = Completion(job, "submit-1", provider, 1, "anna", document, decision, None)
            store.complete(asker, done).addCallback(results.append)

    Deferred.fromCoroutine(work()).addErrback(lambda failure: failure.raiseException())
    settle()
    connection.close()
    assert len(results) == count, len(results)


def drain(runs: int, count: int, notes: Notes) -> tuple[float, int]:
    """(median seconds from the site's start to all acknowledged, charges missing)."""
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    installation = joined_installation()
    seconds = []
    try:
        installation.app.start()
        installation.app.call("user.add", name="anna", restricted=False)
        branch = installation.branches[0]
        for number in range(runs):
            branch.site.start()
            _wait(branch, lambda status: status["position"] is not None)
            branch.site.stop()
            write_records(branch, count)
            branch.site.start()
            _wait(branch, lambda status: status["connected"])
            began = time.monotonic()
            left = count
            while left:
                left = branch.site.call("status")["waiting_records"]
                took = time.monotonic() - began
                notes.point("drain", f"run {number + 1}", took, left)
                if took > 60:
                    raise SystemExit("the site does not drain")
                time.sleep(0.02)
            seconds.append(took)
            branch.site.stop()
        charges = installation.app.call("status")["charges"]
    finally:
        installation.close()
        shutil.rmtree(installation.directory, ignore_errors=True)
    return statistics.median(seconds), runs * count - charges


def _wait(branch: Branch, condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition(branch.site.call("status")):
        if time.monotonic() > deadline:
            raise SystemExit("the site does not drain")
        time.sleep(0.02)

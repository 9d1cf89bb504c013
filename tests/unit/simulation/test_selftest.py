"""The harness finds what it is for: deliberate defects of a toy, and of its own promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

import tests
from papercutd.errors import StorageFull
from protocols.provider.messages import Cancel, Done, Pong
from tests.simulation import runner, selftest
from tests.simulation.clock import NodeClock
from tests.simulation.findings import Finding, Findings
from tests.simulation.oracle import INVARIANTS, Moment, Oracle, When
from tests.simulation.profiles import BASE
from tests.simulation.report import Summary
from tests.simulation.scenario import run_scenario
from tests.simulation.scheduler import Call, Scheduler
from tests.simulation.selftest import SelfTest, ToyAsker, ToyServer
from tests.simulation.transport import SimTransport
from tests.simulation.world import World

SHORT = attrs.evolve(BASE, chaos_s=60.0, quiet_s=100.0)
ROOT = Path(tests.__file__).parent.parent


def run(seed: int) -> Findings:
    return run_scenario(SelfTest, seed, SHORT)


class HonestTests(SynchronousTestCase):
    def test_nothing_is_found(self) -> None:
        for seed in range(1, 9):
            findings = run(seed)
            self.assertEqual(findings.found, [], f"seed {seed}")
            self.assertGreater(findings.checked["I15"], 0)

    def test_same_seed_same_trace(self) -> None:
        first, second = run(3), run(3)
        self.assertEqual((first.trace, first.events), (second.trace, second.events))
        self.assertEqual(first.sometimes, second.sometimes)
        self.assertNotEqual(run(4).trace, first.trace)

    def test_same_trace_whatever_the_hash_seed(self) -> None:
        code = (
            "from tests.unit.simulation.test_selftest import run;"
            " print([run(seed).trace for seed in (5, 6)])"
        )
        traces = set()
        for hash_seed in ("0", "1", "4242"):
            environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
            ran = subprocess.run(
                [sys.executable, "-c", code],
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            self.assertEqual(ran.returncode, 0, ran.stderr)
            traces.add(ran.stdout)
        self.assertEqual(len(traces), 1, traces)


class DefectTests(SynchronousTestCase):
    """Each deliberate defect is found within a few seeds."""

    def found(self, seeds: int = 30) -> set[str]:
        invariants: set[str] = set()
        for seed in range(1, seeds):
            invariants.update(finding.invariant for finding in run(seed).found)
            if invariants:
                break
        self.flushLoggedErrors()
        return invariants

    def test_an_answer_before_the_commit(self) -> None:
        async def request(server: Any, session: Any, message: Any) -> Any:
            if isinstance(message, Cancel):
                number = int(message.job[:8], 16)
                stored = server._writer.submit(
                    lambda c: selftest._store(c, session.peer.name, number)
                )
                stored.addErrback(lambda failure: failure.trap(StorageFull))
                return Done()
            return Pong(message.clock)

        self.patch(ToyServer, "request", request)
        self.assertIn("I15", self.found())

    def test_an_asker_that_forgets_to_ask_again(self) -> None:
        def start_again(asker: Any) -> None:
            asker._is_waiting = False
            asker._in_flight = 0
            asker._next = asker._written + 1
            asker._pump()

        self.patch(ToyAsker, "_start_again", start_again)
        self.assertTrue(self.found() & {"I14", "defect"})

    def test_the_network_changes_bytes(self) -> None:
        give = SimTransport._give

        def changed(transport: SimTransport, data: bytes) -> None:
            give(transport, data.replace(b"7-", b"8-") if len(data) > 9000 else data)

        self.patch(SimTransport, "_give", changed)
        self.assertIn("defect", self.found())

    def test_the_network_loses_an_event(self) -> None:
        give = SimTransport._give

        def lost(transport: SimTransport, data: bytes) -> None:
            is_event = data.startswith(b"* CONFIG") and data.count(b"\n") == 1
            if not (is_event and data.endswith(b"\n") and b'"price_version":3,' in data):
                give(transport, data)

        self.patch(SimTransport, "_give", lost)
        self.assertIn("defect", self.found())

    def test_the_dead_go_on(self) -> None:
        # The gate of dead clocks left open.
        def die(clock: NodeClock) -> None:
            clock.stalled.clear()

        self.patch(NodeClock, "die", die)
        self.assertIn("defect", self.found())

    def test_randomness_from_elsewhere(self) -> None:
        tie = iter(range(10**9))

        def place(scheduler: Scheduler, call: Call, delay_s: float) -> None:
            scheduler._tie = lambda bits: next(tie) * 7919 % 65537
            original(scheduler, call, delay_s)

        original = Scheduler.place
        self.patch(Scheduler, "place", place)
        findings = runner.run_task(runner.Task(1, "base", "selftest", is_twice=True))
        self.assertIn("I18", {finding.invariant for finding in findings.found})


class OracleTests(SynchronousTestCase):
    def test_runs_what_is_registered_for_the_moment(self) -> None:
        world = World(1)
        node = world.add_node("n", "site")
        oracle = Oracle(world)
        seen: list[Moment] = []

        def check(moment: Moment) -> list[str]:
            seen.append(moment)
            return ["wrong"] if moment.when is When.CRASH else []

        oracle.register("I15", check)
        oracle.register("I14", check, When.STEP, every=3)
        oracle.start_steps()
        node.boot()
        world.later(6.5, node.crash)
        world.run(7)
        self.assertEqual([moment.when.value for moment in seen], ["step", "step", "crash"])
        self.assertEqual([(f.invariant, f.node) for f in world.findings.found], [("I15", "n")])
        self.assertEqual(world.findings.checked, {"I15": 1, "I14": 2})

    def test_commits_are_watched(self) -> None:
        world = World(1)
        node = world.add_node("n", "site")
        oracle = Oracle(world)
        oracle.watch(node)
        commits: list[int] = []

        def check(moment: Moment) -> list[str]:
            commits.append(moment.subject.number)
            return []

        oracle.register("I11", check)
        clock = node.boot()
        node.disk.open_database("a.db")
        writer = node.disk.writer("a.db", clock)
        for _ in range(2):
            writer.submit(lambda c: c.execute("CREATE TABLE IF NOT EXISTS t (n)") and None)
            world.run(world.now + 1)
        self.assertEqual(commits, [1, 2])

    def test_what_nobody_judges_is_said(self) -> None:
        oracle = Oracle(World(1))
        self.assertEqual(len({text.split()[0] for text in oracle.unchecked()}), len(INVARIANTS))
        oracle.register("I3", lambda moment: [], When.END)
        self.assertIn("I3 at heal", oracle.unchecked())
        self.assertNotIn("I3 at end", oracle.unchecked())


class RunnerTests(SynchronousTestCase):
    def test_an_error_of_the_harness_is_a_finding(self) -> None:
        self.patch(runner, "run_scenario", lambda *args: [][0])
        findings = runner.run_task(runner.Task(5, "base", "selftest"))
        self.assertEqual([finding.invariant for finding in findings.found], ["harness"])
        self.assertIn("IndexError", findings.found[0].text)

    def test_a_bad_seed_says_how_to_replay_it(self) -> None:
        def bad(*args: object) -> Findings:
            findings = Findings(seed=12, profile="base")
            findings.add(Finding("I3", 1.5, "north", "charged twice"))
            return findings

        self.patch(runner, "run_scenario", bad)
        text = self.printed("--seeds", "1", "--first-seed", "12", "--scenario", "selftest")
        self.assertIn("I3", text)
        self.assertIn("charged twice", text)
        self.assertIn("--scenario selftest --profile base --seeds 1 --first-seed 12", text)
        self.assertIn("1 seeds of profile base, 1 bad", text)
        self.assertEqual(self.status, 1)

    def test_json(self) -> None:
        self.patch(runner, "run_scenario", lambda *args: Findings(seed=1, profile="base"))
        text = self.printed("--seeds", "3", "--jobs", "1", "--json", "--scenario", "selftest")
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([line.get("seed") for line in lines], [1, 1, 1, None])
        self.assertEqual(lines[-1]["summary"]["bad"], [])
        self.assertEqual(self.status, 0)

    def test_coverage_fails_when_a_fault_was_never_met(self) -> None:
        self.patch(runner, "run_scenario", lambda *args: Findings(seed=1, profile="base"))
        text = self.printed("--seeds", "1", "--coverage", "--scenario", "selftest")
        self.assertIn("never had an effect: F1, F2", text)
        self.assertEqual(self.status, 1)

    def test_trace_is_for_one_seed(self) -> None:
        self.patch(sys, "stderr", open(os.devnull, "w"))
        self.addCleanup(sys.stderr.close)
        self.assertRaises(SystemExit, runner.main, ["--seeds", "2", "--trace"])

    def printed(self, *options: str) -> str:
        lines: list[str] = []
        runner.print = lambda *parts, **_: lines.append(" ".join(map(str, parts)))  # type: ignore[attr-defined]
        self.addCleanup(delattr, runner, "print")
        self.status = runner.main(list(options))
        return "\n".join(lines)


class SummaryTests(SynchronousTestCase):
    def test_findings_beyond_the_bound_are_counted(self) -> None:
        findings = Findings(seed=1)
        for number in range(60):
            findings.add(Finding("I1", float(number), "", "wrong"))
        summary = Summary(BASE)
        summary.add(findings)
        self.assertEqual((len(findings.found), findings.more), (50, 10))
        self.assertIn("60 findings", summary.describe(findings, with_plan=False))
        self.assertIn("and 50 more", summary.describe(findings, with_plan=False))
        self.assertIn("bad seeds: 1", summary.text())

    def test_what_was_never_judged_is_said(self) -> None:
        findings = Findings(seed=1)
        findings.checked["I3"] = 1
        summary = Summary(BASE)
        summary.add(findings)
        self.assertEqual(set(INVARIANTS) - set(summary.unjudged()), {"I3"})
        self.assertIn("never judged: I1, I2, I4", summary.text())

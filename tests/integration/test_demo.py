"""The demonstration itself, with real processes: it must hold, and it must find what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo import cups

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    *("ok", "spooler", "sites", "jobs", "copies", "released", "charged_e4", "lost"),
    *("duplicated", "overspent_e4", "decision_ms", "back_s", "drained_records", "drain_ms"),
    "replica_lag_ms",
}


#: The demonstration, whose processes start quickly; how it starts them plainly: InterruptTests.
QUICK = "tests.support.quick_demo"


def start_demo(*words: str, module: str = QUICK) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class DemoCase(SynchronousTestCase):
    timeout = 240

    def run_demo(self, *words: str) -> tuple[int, str, dict[str, Any]]:
        return self.end_demo(start_demo(*words))

    def end_demo(self, running: subprocess.Popen[str]) -> tuple[int, str, dict[str, Any]]:
        """Its exit code, what it said, and the figures."""
        out, err = running.communicate(timeout=200)
        self.assertTrue(out, err)
        result = json.loads(out.splitlines()[-1])
        self.assertEqual(set(result), KEYS)
        return running.returncode, out, result


class HoldsTests(DemoCase):
    def test_nothing_lost_nothing_twice(self) -> None:
        code, out, result = self.run_demo()
        self.assertEqual((code, result["ok"]), (0, True), out)
        for figure in ("lost", "duplicated", "overspent_e4"):
            self.assertEqual(result[figure], 0, out)
        self.assertGreater(result["jobs"], 20)
        # At both sites; at one of them in spite of its death.
        self.assertGreaterEqual(result["copies"], 3)
        self.assertEqual(result["released"], 4)
        self.assertEqual(result["spooler"], "direct" if cups.missing() else "cups")
        self.assertIn("is closed; missing: nobody", out)
        for line in ("user anna", "device south-mfd", "decided by site north", "uncollected"):
            self.assertIn(line, out)
        self.assertGreater(result["drained_records"], 0)
        self.assertLessEqual(result["decision_ms"]["silent_max"], 2_000)


class SabotageTests(DemoCase):
    """Each deliberate fault is found. They take a minute each, and wait for most of it."""

    def test_found(self) -> None:
        faults = ("drop-ack", "double-post", "lose-journal")
        running = {fault: start_demo("--sabotage", fault) for fault in faults}
        found = {fault: self.end_demo(process) for fault, process in running.items()}
        for fault, (code, out, result) in found.items():
            self.assertEqual((code, result["ok"]), (1, False), f"{fault}\n{out}")
        _, out, result = found["drop-ack"]
        self.assertGreater(result["lost"], 0)
        self.assertIn("FOUND: paper without a posted charge", out)
        self.assertGreater(found["double-post"][2]["duplicated"], 0)
        self.assertIn("journal was lost", found["lose-journal"][1])


class InterruptTests(SynchronousTestCase):
    timeout = 60

    def test_ctrl_c_leaves_no_process_behind(self) -> None:
        running = start_demo("--run", module="papercutd.demo")
        assert running.stdout is not None and running.stderr is not None
        line = ""
        while "everybody" not in line and "join" not in line:
            line = running.stdout.readline()
            self.assertTrue(line, running.stderr.read() if running.poll() is not None else "")
        time.sleep(2)
        children = children_of(running.pid)
        self.assertTrue(children)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=40)
        self.assertEqual(running.returncode, 130)
        for child in children:
            self.assertFalse(Path(f"/proc/{child}").exists(), described(child))


def described(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "gone meanwhile"
    return f"{b' '.join(words)!r} {state}"


def children_of(pid: int) -> list[int]:
    """Direct children, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found

"""What thousands of idle devices cost one site server: memory, CPU, and others' patience."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from papercutd.demo import processes as processes_of
from papercutd.demo.scenario import wait_for
from papercutd.identity.authority import Authority, key_pem, make_key, make_request, write_private
from tests.bench.figures import (
    Notes,
    Row,
    cpu_s,
    percentile,
    resident_kb,
    run_case,
    say,
    table,
)
from tests.bench.idle_sessions import OTHER_FILES, raise_limit
from tests.support.devices import CARD, DeviceCase, devices_port

PROCESSES = 4
#: So many tell what one takes.
COUNTED = 1_000
#: Devices that are added at the same time.
ADDING = 32
#: Log-ins, one after the other, while the others ping.
LOGINS = 100


class Bench(DeviceCase):
    """Run as a test, for its servers; the figures are ``rows``."""

    timeout = 3_000
    count = 1_000
    #: Seconds in which the processor's time is counted.
    quiet_s = 30.0
    logins = LOGINS

    def setUp(self) -> None:
        # What is started here has the limit of its parent.
        raise_limit(self.count + 10 * OTHER_FILES)
        super().setUp()
        self.rows: list[Row] = []
        self.idle = self.installation.directory / "idle"
        self.idle.mkdir()

    def runTest(self) -> None:
        self.make_devices()
        site = self.branch.site
        link = self.session(f"{self.branch.name}-mfd", site)
        before = resident_kb(site.pid)
        began = time.monotonic()
        processes = self.open_all(site)
        during: list[float] = []
        self.addCleanup(self.end, processes)
        for process in processes:
            # Reconnecting all at once: somebody logs in meanwhile.
            while not _said(process):
                during.append(self.login_ms(link))
        took = time.monotonic() - began
        self.say(f"{self.count} devices have a session again", took, "s", None)
        if during:
            self.say("log-in by card while they come, p95", percentile(during, 0.95), "ms", 250)
        held = len(site.call("status")["devices_connected"]) - 1
        self.assertEqual(held, self.count, "sessions were lost while others came")
        per_kb = (resident_kb(site.pid) - before) / self.count
        # Among few, what the process itself grows by would count as theirs.
        goal = 40 if self.count >= COUNTED else None
        self.say(f"idle device session, {self.count} held", per_kb, "kB", goal)
        used = cpu_s(site.pid)
        time.sleep(self.quiet_s)
        share = 100 * (cpu_s(site.pid) - used) / self.quiet_s
        self.say(f"CPU of a site server with {self.count} idle devices", share, "%", 50)
        waits = [self.login_ms(link) for _ in range(self.logins)]
        self.say(
            f"log-in by card beside {self.count} idle devices, p95",
            percentile(waits, 0.95),
            "ms",
            250,
        )
        found = self.end(processes)
        self.assertEqual(sum(one["open"] for one in found), self.count)
        self.say("sessions lost", sum(one["lost"] for one in found), "", 0)

    def make_devices(self) -> None:
        """A device and a certificate each, on one key."""
        app, branch = self.installation.app, self.branch
        authority = Authority.load(app.data / "ca")
        key = make_key()
        write_private(self.idle / "key.pem", key_pem(key))
        write_private(self.idle / "ca.pem", authority.pem)
        names = [f"idle-{number}" for number in range(self.count)]

        def add(name: str) -> None:
            app.call("device.add", name=name, printer=f"{branch.name}-1", site=branch.name)
            # Meanwhile the server commits those of others.
            request = make_request(key, "device", name)
            issued = authority.issue(request, "device", name, time.time())
            (self.idle / f"{name}.pem").write_bytes(issued.chain_pem)

        # Many at once share a commit.
        with ThreadPoolExecutor(ADDING) as adding:
            list(adding.map(add, names))
        newest = app.call("status")["position"]
        known = lambda: branch.site.call("status")["position"] == newest  # noqa: E731
        self.assertTrue(wait_for("the site knows them", known))

    def open_all(self, site: object) -> list[subprocess.Popen[str]]:
        each = -(-self.count // PROCESSES)
        processes = []
        for first in range(0, self.count, each):
            words = [sys.executable, "-m", "tests.bench.idle_sessions", str(self.idle)]
            words += [str(devices_port(self.branch.site)), self.branch.name, str(first)]
            words.append(str(min(each, self.count - first)))
            processes.append(
                processes_of.spawn(
                    words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
                )
            )
            assert processes[-1].stdout is not None
            os.set_blocking(processes[-1].stdout.fileno(), False)
        return processes

    def login_ms(self, link: object) -> float:
        began = time.perf_counter()
        word, found = link.ask("LOGIN", method="card", card=CARD)  # type: ignore[attr-defined]
        took = (time.perf_counter() - began) * 1000
        assert word == "OK", (word, found)
        link.ask("LOGOUT", login=found["login"])  # type: ignore[attr-defined]
        time.sleep(0.05)
        return took

    def end(self, processes: list[subprocess.Popen[str]]) -> list[dict[str, int]]:
        found = []
        for process in processes:
            if process.stdin is None or process.stdin.closed:
                continue
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), True)
            out, _ = process.communicate(timeout=120)
            found.append(json.loads(out.strip().rpartition("\n")[2] or "{}"))
        return found

    def say(self, name: str, value: float, unit: str, goal: float | None) -> None:
        self.rows.append(Row(name, value, unit, goal))
        say(f"{name}: {value:.2f} {unit}")


def _said(process: subprocess.Popen[str]) -> bool:
    """Whether it has said that all are open; raises where it has ended."""
    assert process.stdout is not None
    if process.poll() is not None:
        raise SystemExit("a process with idle sessions ended: see above")
    return bool(process.stdout.readline())


def rows(quick: bool, notes: Notes, count: int = 10_000) -> list[Row]:
    """Memory and processor of a site with ``count`` idle devices, and others' waits."""
    bench = Bench()
    bench.count, bench.quiet_s = (100, 2.0) if quick else (count, 30.0)
    bench.logins = 20 if quick else LOGINS
    run_case(bench)
    return bench.rows


if __name__ == "__main__":
    print(table(rows(False, Notes(), int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)))

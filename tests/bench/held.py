"""What CUPS's backend costs a job, and how soon held jobs are listed and on their way."""

from __future__ import annotations

import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from papercutd.demo.documents import make_pdf
from papercutd.identity.authority import Authority
from tests.bench.figures import Notes, Row, run_case, say
from tests.support.certificates import credentials
from tests.support.find_me_case import FindMeCase
from tests.support.raw_link import RawLink, job_id

#: Programs without which there is no CUPS of our own.
PROGRAMS = ("cupsd", "ippeveprinter", "dbus-daemon", "lp", "lpadmin")
LISTED = 1_000
LISTINGS = 20
PAGE = 100
#: Between two jobs: nothing of the one is left when the other comes.
PAUSE_S = 1.2


class Ear:
    """A printer's port: when the first byte of each document came, and when its last."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                if connection.recv(1):
                    self.began.append(time.monotonic())
                    while connection.recv(65_536):
                        pass
                    self.ended.append(time.monotonic())

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Bench(FindMeCase):
    """Run as a test, for its servers; the figures are ``rows``."""

    timeout = 900
    count = 50
    listings = LISTINGS

    def setUp(self) -> None:
        super().setUp()
        self.rows: list[Row] = []
        self.ear = Ear()
        self.addCleanup(self.ear.close)
        self.uri = f"socket://127.0.0.1:{self.ear.port}/?snmp=false"

    def runTest(self) -> None:
        self.backend()
        self.release_by_cups()
        self.release_directly()
        self.listing()
        self.assert_in_order()

    def say(self, name: str, value: float, goal: float | None) -> None:
        self.rows.append(Row(name, value, "ms", goal))
        say(f"{name}: {value:.2f} ms")

    def backend(self) -> None:
        """The same job through a queue that asks nobody and through one that asks, in turn."""
        self.cups.add_queue("bare", self.uri, "raw")
        self.queue("asks", self.uri, "raw")
        path = self.pdf(1)
        took: dict[str, list[float]] = {"bare": [], "asks": []}
        # The first of each is slower: its connection, its programs from the disk.
        for number in range(self.count + 2):
            for queue, times in took.items():
                before = len(self.ear.ended)
                began = time.monotonic()
                self.cups.lp(queue, path)
                self.until(lambda b=before: len(self.ear.ended) > b, "a document")
                if number > 1:
                    times.append((self.ear.ended[before] - began) * 1000)
            time.sleep(PAUSE_S)
        bare, asks = (statistics.median(times) for times in took.values())
        self.say("a job from lp to the printer, bare socket backend, median", bare, None)
        self.say("the same through our backend, median", asks, None)
        more = [a - b for b, a in zip(took["bare"], took["asks"], strict=True)]
        self.say("what our backend adds, median of pairs", statistics.median(more), 30)
        # Whatever else the machine does is in the median.
        self.say("the same, least of pairs", min(more), None)

    def release_by_cups(self) -> None:
        """From the press of the button at a device to the first byte at the printer."""
        self.queue("near", self.uri, "raw", group="house")
        visit = self.visit(self.add_device("near-mfd", "near"), self.devices_port)
        took = []
        for _ in range(self.count):
            _, job = self.hold("follow", 1)
            visit.until_jobs(1)
            time.sleep(PAUSE_S)
            took.append(self._release(visit.release, job))
        self.say("release at a device to the first byte, through CUPS, median", _median(took), 300)
        self.say("the same, longest", max(took), None)

    def release_directly(self) -> None:
        uri = f"socket://127.0.0.1:{self.ear.port}"
        self.admin(
            *("printer", "add", "direct", "--provider", "p1", "--uri", uri),
            *("--release", "secure"),
        )
        visit = self.visit(self.add_device("direct-mfd", "direct"), self.devices_port)
        self.until(lambda: "direct" in self.provider.call("status")["printers"], "the printer")
        took = []
        for number in range(self.count):
            self._hand_in(make_pdf(f"direct {number}", 1, False))
            (job,) = visit.until_jobs(1)
            took.append(self._release(visit.release, job["job"]))
        self.say("the same, printed by the provider itself, median", _median(took), 300)

    def _release(self, release: Callable[[str], Any], job: str) -> float:
        """Milliseconds until the first byte."""
        before = len(self.ear.began)
        began = time.monotonic()
        answer = release(job)
        self.assertEqual(answer["answer"], "released")
        self.until(lambda: len(self.ear.began) > before, "a document")
        self.until(lambda: self.job(job)["state"] == "ended", "its end")
        return (self.ear.began[before] - began) * 1000

    def _hand_in(self, data: bytes) -> None:
        import json

        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.provider.data / "submit.sock"))
        with connection, connection.makefile("rb") as answers:
            header = {"printer": "direct", "user": "anna", "size": len(data), "title": "direct"}
            connection.sendall(json.dumps(header).encode() + b"\n" + data)
            said = json.loads(answers.readline())
        self.assertIn("job", said)

    def listing(self) -> None:
        """A provider of ours announces a thousand jobs; a device asks for them, page by page."""
        self.admin("provider", "add", "many")
        self.admin(
            *("printer", "add", "many-1", "--provider", "many", "--uri", "socket://127.0.0.1:9"),
            *("--release", "secure"),
        )
        identity = self.cups.folder / "identity-many"
        identity.mkdir()
        authority = Authority.load(self.app.data / "ca")
        credentials(authority, "provider", "many", time.time()).save(identity)
        self._announce(RawLink(self.links, identity))
        visit = self.visit(self.add_device("many-mfd", "many-1"), self.devices_port)
        took = []
        for _ in range(self.listings):
            began = time.monotonic()
            found = _list(visit.link, visit.login)
            took.append((time.monotonic() - began) * 1000)
            self.assertEqual(len(found), LISTED)
        self.say(f"{LISTED} held jobs listed at a device, median", _median(took), 100)
        self.say("the same, longest", max(took), None)

    def _announce(self, link: RawLink) -> None:
        self.addCleanup(link.close)
        word, found = link.hello("many")
        self.assertEqual(word, "OK", found)
        self.assertEqual(link.ask("OPEN", page=0, last=True, keys=[])[0], "OK")
        printer = next(
            one["id"] for one in self.app.call("printer.list") if one["name"] == "many-1"
        )
        for page in range(LISTED // PAGE):
            jobs = [
                {
                    **{"job": job_id(page * PAGE + number), "printer": printer},
                    **{"user_name": "anna", "reason": "release", "title": f"job {number}"},
                    **{"pages": 3, "copies": 1, "held_at": 1000.0 + number},
                }
                for number in range(PAGE)
            ]
            is_last = page == LISTED // PAGE - 1
            word, found = link.ask("HELD", page=page, last=is_last, jobs=jobs)
            self.assertEqual(word, "OK", found)


def _list(link: RawLink, login: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = {"after": found[-1]["job"]} if found else {}
        word, page = link.ask("JOBS", login=login, **after)
        assert word == "OK", page
        found += page["jobs"]
        if page["last"]:
            return found


def _median(times: list[float]) -> float:
    return statistics.median(times)


def why_not() -> str:
    """Why this cannot be measured here; empty: it can."""
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"{' '.join(missing)} missing" if missing else ""


def rows(quick: bool, notes: Notes) -> list[Row]:
    """Held jobs at devices, and what asking costs a job of CUPS."""
    reason = why_not()
    if reason:
        return [Row("held jobs through CUPS", None, "ms", note=f"not here: {reason}")]
    bench = Bench()
    bench.count, bench.listings = (3, 5) if quick else (50, LISTINGS)
    run_case(bench)
    return bench.rows

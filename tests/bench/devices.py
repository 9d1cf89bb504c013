"""How long people wait at a device, with its site online and cut, and where a copy stops."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

from papercutd.demo.processes import Role
from papercutd.demo.scenario import wait_for
from tests.bench.figures import Notes, Row, percentile, run_case, say
from tests.support.devices import CARD, DeviceCase, devices_port
from tests.support.raw_link import RawLink
from tests.support.slow_relay import SlowRelay

VERBS = ("LOGIN", "ACCOUNTS", "JOBS", "RUN", "PAGES", "OPEN", "FINISH", "PING", "LOGOUT")
ACCOUNTS = 20
#: Visits before those that count: programs and pages of the disk come into memory.
WARM = 5
PAGES_A_MINUTE = 120
ROUND_TRIP_S = 0.2
RESERVED = 4
GUESSING = 25


class Bench(DeviceCase):
    """Run as a test, for its servers; the figures are ``rows``."""

    timeout = 900
    visits = 200
    copies = 5
    guessing = GUESSING

    def setUp(self) -> None:
        super().setUp()
        self.rows: list[Row] = []
        for number in range(ACCOUNTS):
            self.installation.app.call("account.add", name=f"Institute {number}", balance="50.00")

    def runTest(self) -> None:
        north, south = self.installation.branches
        newest = self.installation.app.call("status")["position"]
        self.wait("accounts", lambda b: b.site.call("status")["position"] == newest)
        south.cut()
        is_cut = lambda: south.site.call("status")["state"] == "cut"  # noqa: E731
        self.assertTrue(wait_for("it is cut", is_cut))
        links = {"online": self.device(north.site, north), "cut": self.device(south.site, south)}
        self.visit_in_turn(links)
        self.while_others_guess(links["online"])
        for branch in (north, south):
            links["online" if branch is north else "cut"].close()
            self.zero_stop(branch.site, branch.name, "online" if branch is north else "cut")
        south.heal()
        forwarded = lambda b: b.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.wait("all is forwarded", forwarded)
        for role in (self.installation.app, north.site, south.site):
            self.assertEqual(role.call("verify")["problems"], [])

    def visit_in_turn(self, links: dict[str, RawLink]) -> None:
        """The same visit at both, one after the other; only calls are timed."""
        took: dict[str, dict[str, list[float]]] = {s: {v: [] for v in VERBS} for s in links}
        for number in range(self.visits + WARM):
            # Each goes first every other time: who comes second meets the other's afterwork.
            for state in sorted(links, reverse=bool(number % 2)):
                found = _visit(links[state])
                if number >= WARM:
                    for verb, wait_ms in found.items():
                        took[state][verb].append(wait_ms)
        p95 = {
            state: {v: percentile(times, 0.95) for v, times in took[state].items()}
            for state in took
        }
        for state in links:
            self.say(f"log-in by card at a device, {state}, p95", p95[state]["LOGIN"], "ms", 20)
        for verb in VERBS:
            online, cut = p95["online"][verb], p95["cut"][verb]
            name = f"{verb} at a device, p95 cut ({cut:.1f} ms) to online ({online:.1f} ms)"
            self.say(name, cut / online, "x", 2)

    def while_others_guess(self, link: RawLink) -> None:
        """Cards are shown while other devices try PINs of cards nobody has, until locked out."""
        names = [f"guess-{number}" for number in range(self.guessing)]
        self.add_devices(*names)
        others = [self.session(name, self.branch.site) for name in names]
        is_over = threading.Event()
        thread = threading.Thread(target=_guess, args=(others, is_over), daemon=True)
        thread.start()
        took = []
        while not is_over.is_set():
            took.append(_visit(link)["LOGIN"])
        thread.join(10.0)
        name = f"log-in by card while {self.guessing} devices guess PINs, p95"
        self.say(name, percentile(took, 0.95), "ms", None)

    def zero_stop(self, site: Role, name: str, state: str) -> None:
        """An engine that knows nothing of reservations and stops only when it hears STOP."""
        relay = SlowRelay(devices_port(site), ROUND_TRIP_S / 2)
        self.addCleanup(relay.close)
        branch = next(b for b in self.installation.branches if b.name == name)
        link = RawLink(relay.port, self.identity(branch), server=("site", name))
        self.addCleanup(link.close)
        self.assertEqual(link.hello(f"{name}-mfd", role="device")[0], "OK")
        self.assertEqual(link.ask("OPEN", page=0, last=True, runs=[])[0], "OK")
        beyond = [_copy(link) for _ in range(self.copies)]
        self.say(
            f"pages beyond the reservation at {PAGES_A_MINUTE} a minute and"
            f" {ROUND_TRIP_S * 1000:.0f} ms round trip, {state}, most",
            *(max(beyond), "pages", 1),
        )

    def say(self, name: str, value: float, unit: str, goal: float | None) -> None:
        self.rows.append(Row(name, value, unit, goal))
        say(f"{name}: {value:.2f} {unit}")


def _visit(link: RawLink) -> dict[str, float]:
    """Somebody logs in, copies two pages and leaves: milliseconds of each call."""
    waits: dict[str, float] = {}

    def ask(verb: str, **fields: Any) -> dict[str, Any]:
        began = time.perf_counter()
        word, found = link.ask(verb, **fields)
        waits[verb] = (time.perf_counter() - began) * 1000
        assert word == "OK", (verb, word, found)
        return found

    login = ask("LOGIN", method="card", card=CARD)["login"]
    ask("ACCOUNTS", login=login, find="institute")
    ask("JOBS", login=login)
    started = ask("RUN", login=login, function="copy", pages=2)
    assert started["granted"], started
    ask("PAGES", job=started["job"], step=started["step"], pages=1)
    ask("OPEN", page=0, last=True, runs=[{"grant": started["grant"], "pages": 1}])
    ask("FINISH", grant=started["grant"], pages=2)
    ask("PING", clock=time.time())
    ask("LOGOUT", login=login)
    return waits


def _guess(links: list[RawLink], is_over: threading.Event) -> None:
    """Two guesses at once at each, until every device is locked out."""
    try:
        words = {""}
        while words != {"locked-out"}:
            for link in links:
                for tag in ("a", "b"):
                    shown = {"method": "card-pin", "card": uuid.uuid4().hex, "pin": "0000"}
                    link.send(_line(tag, "LOGIN", shown))
            words = {link.answer()[1] for link in links for _ in "ab"}
    finally:
        is_over.set()


def _copy(link: RawLink) -> int:
    """Pages that came out beyond the reservation.

    The engine draws the next sheet in as soon as the one before is out, and lets a sheet
    that is in it come out: STOP keeps the next from being drawn in.
    """
    word, person = link.ask("LOGIN", method="card", card=CARD)
    assert word == "OK", person
    login = person["login"]
    word, started = link.ask("RUN", login=login, function="copy", pages=RESERVED)
    assert word == "OK" and started["granted"], started
    link.events.clear()
    stopped = threading.Event()
    said: list[str] = []

    def listen() -> None:
        tag = ""
        while tag not in ("last", "end"):
            tag, word, _ = link.answer()
            said.append(word)
            if any(name == "STOP" for name, _ in link.events):
                stopped.set()

    ear = threading.Thread(target=listen, daemon=True)
    ear.start()
    key = {"job": started["job"], "step": started["step"]}
    out, next_at = 0, time.monotonic()
    while not stopped.is_set() and out < RESERVED + 20:
        next_at += 60.0 / PAGES_A_MINUTE
        time.sleep(max(0.0, next_at - time.monotonic()))
        out += 1
        link.send(_line(f"p{out}", "PAGES", {**key, "pages": out}))
    link.send(_line("last", "PING", {}))
    ear.join(10.0)
    assert not ear.is_alive() and said == ["OK"] * (out + 1), said
    word, receipt = link.ask("FINISH", grant=started["grant"], pages=out)
    assert (word, receipt["pages"]) == ("OK", out), receipt
    return out - RESERVED


def _line(tag: str, verb: str, fields: dict[str, Any]) -> bytes:
    return f"{tag} {verb} {json.dumps(fields)}\n".encode()


def rows(quick: bool, notes: Notes) -> list[Row]:
    """Waits at devices, online and cut, and pages beyond a reservation."""
    bench = Bench()
    bench.visits, bench.copies, bench.guessing = (20, 1, 5) if quick else (300, 5, GUESSING)
    run_case(bench)
    return bench.rows

"""The load generator: many connections over mutual TLS, each with requests in flight.

``python -m tests.bench.load PLAN``, PLAN being a JSON object: ``kind`` (tests/bench/talk.py),
``identities``, ``port`` and ``pid`` of the server, ``seconds``, ``connections``, ``pipeline``,
for a paced load ``rate_per_s``, to end sooner ``stop``, a file that is there then, for
tests/bench/sampled.py ``sampled``, its file. Prints one JSON object.

Lines are put together from their parts: generator and server share the same processors.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.tls import ClientTls, Credentials
from tests.bench.figures import cpu_s
from tests.bench.talk import KINDS, Slot, Talk

reactor: Any = _reactor
#: Waits of one load that are told: enough for its 99.9th percentile.
WAITS_MAX = 20_000
#: Requests of a paced load in flight on each connection; a server refuses more than 32.
IN_FLIGHT_MAX = 8


class Line(LineOnlyReceiver):
    """One connection: what its slots say, and to whom each answer goes."""

    delimiter = b"\n"
    MAX_LENGTH = 65_536

    def __init__(self, talk: Talk, tally: Tally) -> None:
        self._talk = talk
        self._tally = tally
        self._greetings = list(talk.greetings())
        self._asked: dict[bytes, tuple[Slot, float, Deferred[bytes] | None]] = {}
        self._tag = 0
        #: Fires when the session is open.
        self.ready: Deferred[Line] = Deferred()

    def connectionMade(self) -> None:
        self._greet()

    def _greet(self) -> None:
        if self._greetings:
            self._send(self._greetings.pop(0), None).addCallback(lambda answer: self._greet())
        elif not self.ready.called:
            self.ready.callback(self)

    def _send(self, words: bytes, slot: Slot | None) -> Deferred[bytes]:
        done: Deferred[bytes] = Deferred()
        self.ask(words, slot or Slot(), done)
        return done

    def ask(self, words: bytes, slot: Slot, done: Deferred[bytes] | None = None) -> None:
        """Send ``words`` under the next tag."""
        self._tag += 1
        tag = b"%d" % self._tag
        self._asked[tag] = (slot, time.perf_counter(), done)
        assert self.transport is not None
        self.transport.write(b"%b %b\n" % (tag, words))

    def run(self, slot: Slot) -> None:
        """Begin the next piece of work of ``slot``."""
        self.ask(self._talk.begin(slot), slot)

    def lineReceived(self, line: bytes) -> None:
        tag, _, rest = line.partition(b" ")
        found = self._asked.pop(tag, None)
        if found is None:
            # An event: not needed here.
            return
        slot, began, done = found
        if done is not None:
            done.callback(rest)
            return
        if not self._talk.is_answer(rest):
            self._tally.fail(rest)
            return
        if slot.step == 0:
            self._tally.waited(time.perf_counter() - began)
        slot.step += 1
        following = self._talk.go_on(slot, rest[3:])
        if following is not None:
            self.ask(following, slot)
            return
        slot.step = 0
        self._tally.count += self._talk.worth
        if slot.again and time.monotonic() < self._tally.until:
            self.run(slot)
        else:
            self._tally.ended(slot)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._tally.fail(str(reason.value).encode())
        if not self.ready.called:
            self.ready.errback(reason)


class Tally:
    """What all connections have done."""

    def __init__(self) -> None:
        self.count = 0
        self.until = 0.0
        self.left = 0
        self.waits_s: list[float] = []
        self.failed: list[str] = []
        self.over: Deferred[None] = Deferred()

    def waited(self, seconds: float) -> None:
        self.waits_s.append(seconds)

    def fail(self, why: bytes) -> None:
        if not self.over.called:
            self.failed.append(why[:200].decode(errors="replace"))
            self.over.callback(None)

    def ended(self, slot: Slot) -> None:
        self.left -= 1
        if not self.left and not self.over.called:
            self.over.callback(None)


def paced(lines: list[Line], tally: Tally, rate_per_s: float) -> None:
    """Begin a piece of work at even distances, at each connection in turn."""
    began = time.monotonic()
    number = 0

    def turn() -> None:
        nonlocal number
        now = time.monotonic()
        while number < (now - began) * rate_per_s and now < tally.until:
            if tally.left > IN_FLIGHT_MAX * len(lines):
                # It cannot follow: what is reached is less, and told.
                break
            tally.left += 1
            lines[number % len(lines)].run(Slot(again=False))
            number += 1
        if now < tally.until:
            reactor.callLater(max(0.001, began + number / rate_per_s - now), turn)
        else:
            # The last may be over already.
            tally.ended(Slot())

    tally.left = 1
    turn()


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    tally = Tally()
    make: Callable[..., Talk] = KINDS[plan["kind"]]
    lines = []
    folders = sorted(Path(plan["identities"]).iterdir())[: plan["connections"]]
    for number, folder in enumerate(folders):
        talk = make(folder, number, plan)
        tls = ClientTls(Credentials.load(folder), *talk.server)
        line = Line(talk, tally)
        factory = Factory.forProtocol(lambda line=line: line)  # type: ignore[arg-type]
        factory.noisy = False
        await tls_endpoint(reactor, "127.0.0.1", plan["port"], tls).connect(factory)
        lines.append(line)
    await DeferredList([line.ready for line in lines], fireOnOneErrback=True)
    began, used_s = time.monotonic(), cpu_s(plan["pid"])
    tally.until = began + plan["seconds"]
    if plan.get("stop"):
        stop = Path(plan["stop"])

        def look() -> None:
            if stop.exists():
                tally.until = time.monotonic()
                looking.stop()

        looking = LoopingCall(look)
        looking.start(0.1)
    if plan.get("sampled"):
        Path(f"{plan['sampled']}.begin").touch()
    if plan.get("rate_per_s"):
        paced(lines, tally, plan["rate_per_s"])
    else:
        slots = [(line, Slot()) for line in lines for _ in range(plan["pipeline"])]
        tally.left = len(slots)
        for line, slot in slots:
            line.run(slot)
    await tally.over
    took = time.monotonic() - began
    if plan.get("sampled"):
        Path(f"{plan['sampled']}.end").touch()
    step = -(-len(tally.waits_s) // WAITS_MAX) or 1
    waits = [round(wait * 1000, 3) for wait in tally.waits_s[::step]]
    return {
        **{"count": tally.count, "seconds": took, "failed": tally.failed[:3]},
        # Without the handshakes.
        "server_cpu_s": cpu_s(plan["pid"]) - used_s,
        "waits_ms": waits,
    }


def main() -> None:
    work = run(json.loads(sys.argv[1]))

    def done(result: Any) -> None:
        print(json.dumps(result if isinstance(result, dict) else {"error": str(result)}))
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(work).addBoth(done))
    reactor.run()


if __name__ == "__main__":
    main()

"""A share of very many sites, real links from one process: ``python -m tests.bench.herd_sites``.

Reads a plan (one JSON line: ``port``, ``records`` of each site, ``sites`` with folder and people),
prints ``ready``, and, once told to go on by a line, connects all sites at once. Each follows the
changes it is sent and forwards its journal, batch after batch; a batch is made when the one before
is acknowledged, so that a million records need no memory. Prints a JSON object every second with
how many are acknowledged, and one with ``seconds`` when all are; then sites that ``stay`` keep
their links until the end of standard input.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from papercutd.domain.chain import CHAIN_START, next_chain
from papercutd.environment import Environment, real_environment
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.tls import ClientTls, Credentials
from papercutd.services.comeback import Comeback
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.limits import CHANGES_CREDIT_BYTES
from tests.bench.talk import COME_BACK_S, new_id

reactor: Any = _reactor
#: Records of one JOURNAL: as many as a line of 16 KiB holds, as a site sends them.
BATCH = 20


class Journal:
    """What people of a site printed while it was cut, batch after batch."""

    def __init__(self, site: dict[str, Any], count: int) -> None:
        self.stream = new_id().decode()
        self.acknowledged = 0
        self.left = count
        self._chain = CHAIN_START
        self._number = 0
        self._at = time.time()
        self._parts = [self._split(site, person) for person in site["people"]]

    def _split(self, site: dict[str, Any], person: tuple[str, int, int]) -> list[str]:
        """A record of that person around its job, which it names twice."""
        name, user, account = person
        line = {"what": "A4 grey", "quantity": 1, "unit_e4": 500}
        decision = {
            **{"verdict": "allow", "reason": "", "decider": self.stream, "user": user},
            **{"account": account, "printer": site["printer"], "price_version": 1},
            "lines": [line],
        }
        done = {
            **{"job": "JOB", "step": "submit-1", "provider": site["provider"]},
            **{"printer": site["printer"], "user_name": name, "pages": None},
            **{"document": {"groups": [{"paper": "A4", "pages": 1, "colour": 0}]}},
            "decision": decision,
        }
        told = {"kind": "completed", "key": "JOB/submit-1", "position": "", "at": self._at}
        return json.dumps({**told, "completion": done}).split("JOB")

    @property
    def forwarded(self) -> int:
        return self._number

    def batch(self) -> bytes:
        """The next request; the one before is acknowledged."""
        count = min(BATCH, self.left)
        people = len(self._parts)
        records = [
            new_id().decode().join(self._parts[(self._number + index) % people])
            for index in range(count)
        ]
        batch = {"stream": self.stream, "after": self._number, "chain": self._chain}
        for record in records:
            self._chain = next_chain(self._chain, record.encode())
        self._number += count
        self.left -= count
        return b"JOURNAL " + json.dumps({**batch, "records": records}).encode()


class Site(LineOnlyReceiver):
    """One site's link."""

    delimiter = b"\n"
    MAX_LENGTH = 65_536

    def __init__(self, name: str, journal: Journal, env: Environment) -> None:
        self._name = name
        #: As a site stays away: sent at once again, what is refused would be half of the load.
        self._comeback = Comeback(env)
        self.journal = journal
        #: What is not acknowledged yet.
        self._request = b""
        self.bytes_heard = 0
        self.turned_away = 0
        #: Fires when everything is acknowledged.
        self.done: Deferred[Site] = Deferred()

    def _say(self, words: bytes) -> None:
        assert self.transport is not None
        self.transport.write(words + b"\n")

    def connectionMade(self) -> None:
        hello = {
            **{
                "versions": [1, 2],
                "role": "site",
                "name": self._name,
                "journal": self.journal.stream,
            },
            "mark": {"number": 0, "chain": CHAIN_START},
        }
        self._say(b"1 HELLO " + json.dumps(hello).encode())

    def lineReceived(self, line: bytes) -> None:
        tag, word, rest = line.split(b" ", 2)
        if tag == b"*":
            if word == b"CHANGES":
                self.bytes_heard += len(line)
                self._say(b'* CREDIT {"bytes":%d}' % len(line))
        elif word == b"NO":
            self._refused(tag, rest)
        elif tag == b"1":
            # It has a copy, as young as can be.
            position = json.loads(rest)["position"]
            asked = {"position": position, "credit_bytes": CHANGES_CREDIT_BYTES}
            self._say(b"2 SUBSCRIBE " + json.dumps(asked).encode())
        elif tag == b"2":
            self._forward()
        elif tag == b"3":
            self._request = b""
            self._comeback.served()
            self.journal.acknowledged = self.journal.forwarded
            self._forward()

    def _refused(self, tag: bytes, rest: bytes) -> None:
        code, _, fields = rest.partition(b" ")
        if tag == b"3" and code == b"busy":
            self.turned_away += 1
            wait_s = self._comeback.wait_s(Refusal(Code.BUSY, json.loads(fields)))
            reactor.callLater(wait_s, self._forward)
        elif not self.done.called:
            self.done.errback(RuntimeError(f"{self._name}: {rest[:200].decode()}"))

    def _forward(self) -> None:
        if not self._request and self.journal.left:
            self._request = self.journal.batch()
        if self._request:
            self._say(b"3 " + self._request)
        elif not self.done.called:
            self.done.callback(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if not self.done.called:
            self.done.errback(reason)


async def run(plan: dict[str, Any]) -> None:
    env = real_environment(reactor)
    made = [(one, Journal(one, plan["records"])) for one in plan["sites"]]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    sites = []
    for index, (one, journal) in enumerate(made):
        folder = Path(one["folder"])
        site = Site(folder.name, journal, env)
        factory = Factory.forProtocol(lambda site=site: site)  # type: ignore[arg-type]
        factory.noisy = False
        tls = ClientTls(Credentials.load(folder), "application", "application")
        endpoint = tls_endpoint(reactor, "127.0.0.1", plan["port"], tls)
        at = COME_BACK_S * index / len(made)
        reactor.callLater(
            max(0.0, began + at - time.monotonic()),
            lambda endpoint=endpoint, factory=factory, site=site: endpoint.connect(
                factory
            ).addErrback(site.done.errback),
        )
        sites.append(site)

    def tell() -> None:
        acknowledged = sum(site.journal.acknowledged for site in sites)
        print(json.dumps({"acknowledged": acknowledged}), flush=True)

    telling = LoopingCall(tell)
    telling.start(1.0, now=False)
    for site in sites:
        await site.done
    telling.stop()
    found = {
        "seconds": time.monotonic() - began,
        "acknowledged": sum(site.journal.acknowledged for site in sites),
        "bytes_heard": sum(site.bytes_heard for site in sites),
        "turned_away": sum(site.turned_away for site in sites),
        "streams": [site.journal.stream for site in sites],
    }
    print(json.dumps(found), flush=True)
    if plan.get("stay"):
        await deferToThread(sys.stdin.readline)


def main() -> None:
    def done(result: Any) -> None:
        if result is not None:
            print(json.dumps({"error": str(result)}), flush=True)
        reactor.stop()

    def begin() -> None:
        plan = json.loads(sys.stdin.readline())
        Deferred.fromCoroutine(run(plan)).addBoth(done)

    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main()

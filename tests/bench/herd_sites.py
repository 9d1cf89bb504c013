"""A share of very many sites, real links from one process: ``python -m tests.bench.herd_sites``.

Reads a plan (one JSON line: ``port``, ``records``, ``sites`` with folder and people), prints
``ready`` when every journal is written, and, once told to go on by a line, connects all sites at
once. Each follows the changes it is sent and forwards its journal, batch after batch. Prints one
JSON object when every record of every site is acknowledged.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from papercutd.domain.chain import CHAIN_START, next_chain
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.tls import ClientTls, Credentials
from protocols.limits import CHANGES_CREDIT_BYTES
from tests.bench.talk import new_id

reactor: Any = _reactor
#: Records of one JOURNAL: as many as a line of 16 KiB holds, as a site sends them.
BATCH = 20
#: A site comes back within these seconds.
COME_BACK_S = 3.0


def journal(site: dict[str, Any], count: int) -> tuple[str, list[bytes]]:
    """(stream, JOURNAL requests) of ``count`` pages that people of the site printed while cut."""
    stream = new_id().decode()
    number, chain = 0, CHAIN_START
    requests = []
    while number < count:
        records = [
            _record(stream, site, number + index) for index in range(min(BATCH, count - number))
        ]
        batch = {"stream": stream, "after": number, "chain": chain, "records": records}
        requests.append(b"JOURNAL " + json.dumps(batch).encode())
        for record in records:
            chain = next_chain(chain, record.encode())
        number += len(records)
    return stream, requests


def _record(stream: str, site: dict[str, Any], number: int) -> str:
    name, user, account = site["people"][number % len(site["people"])]
    job = new_id().decode()
    line = {"what": "A4 grey", "quantity": 1, "unit_e4": 500}
    decision = {
        **{"verdict": "allow", "reason": "", "decider": stream, "user": user, "account": account},
        **{"printer": site["printer"], "price_version": 1, "lines": [line]},
    }
    done = {
        **{"job": job, "step": "submit-1", "provider": site["provider"]},
        **{"printer": site["printer"], "user_name": name, "pages": None},
        **{"document": {"groups": [{"paper": "A4", "pages": 1, "colour": 0}]}},
        "decision": decision,
    }
    told = {"kind": "completed", "key": f"{job}/submit-1", "position": "", "at": time.time()}
    return json.dumps({**told, "completion": done})


class Site(LineOnlyReceiver):
    """One site's link."""

    delimiter = b"\n"
    MAX_LENGTH = 65_536

    def __init__(self, name: str, stream: str, requests: list[bytes]) -> None:
        self._name = name
        self._stream = stream
        self._requests = requests
        self._sent: Iterator[bytes]
        self._next = 0
        self.bytes_heard = 0
        self.turned_away = 0
        #: Fires when everything is acknowledged.
        self.done: Deferred[Site] = Deferred()

    def _say(self, words: bytes) -> None:
        assert self.transport is not None
        self.transport.write(words + b"\n")

    def connectionMade(self) -> None:
        hello = {
            **{"versions": [1, 2], "role": "site", "name": self._name, "journal": self._stream},
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
            self._next += 1
            self._forward()

    def _refused(self, tag: bytes, rest: bytes) -> None:
        code, _, fields = rest.partition(b" ")
        if tag == b"3" and code == b"busy":
            self.turned_away += 1
            wait_s = json.loads(fields).get("retry_after_s", 0.1)
            reactor.callLater(wait_s, self._forward)
        elif not self.done.called:
            self.done.errback(RuntimeError(f"{self._name}: {rest[:200].decode()}"))

    def _forward(self) -> None:
        if self._next < len(self._requests):
            self._say(b"3 " + self._requests[self._next])
        elif not self.done.called:
            self.done.callback(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if not self.done.called:
            self.done.errback(reason)


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    made = [(one, *journal(one, plan["records"])) for one in plan["sites"]]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    sites = []
    for index, (one, stream, requests) in enumerate(made):
        folder = Path(one["folder"])
        site = Site(folder.name, stream, requests)
        factory = Factory.forProtocol(lambda site=site: site)  # type: ignore[arg-type]
        factory.noisy = False
        tls = ClientTls(Credentials.load(folder), "application", "application")
        endpoint = tls_endpoint(reactor, "127.0.0.1", plan["port"], tls)
        at = COME_BACK_S * index / len(made)
        reactor.callLater(max(0.0, began + at - time.monotonic()), endpoint.connect, factory)
        sites.append(site)
    ended = []
    for site in sites:
        await site.done
        ended.append(time.monotonic() - began)
    return {
        "seconds": max(ended),
        "bytes_heard": sum(site.bytes_heard for site in sites),
        "turned_away": sum(site.turned_away for site in sites),
    }


def main() -> None:
    def done(result: Any) -> None:
        print(json.dumps(result if isinstance(result, dict) else {"error": str(result)}))
        reactor.stop()

    def begin() -> None:
        plan = json.loads(sys.stdin.readline())
        Deferred.fromCoroutine(run(plan)).addBoth(done)

    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main()

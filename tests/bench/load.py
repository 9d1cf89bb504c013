"""The load generator: many providers, each pipelining whole jobs over mutual TLS.

``python -m tests.bench.load DIRECTORY PORT SECONDS PIPELINE``: every folder of DIRECTORY is
an identity with its printer's number in ``printer``. Prints one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from papercutd.environment import real_environment
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.tls import ClientTls, Credentials
from protocols.common import Document, PageGroup
from protocols.endpoint import Session, SessionClientFactory
from protocols.handshake import Hello, Mark
from protocols.provider.messages import Authorize, Complete
from protocols.provider.spec import PROVIDER


class Provider:
    """One connection."""

    def __init__(self, directory: Path, tally: list[float]) -> None:
        self._env = real_environment(reactor)  # type: ignore[arg-type]
        self._rng = random.Random(directory.name)
        self._name = directory.name
        self._printer = int((directory / "printer").read_text())
        self._tally = tally
        self.credentials = Credentials.load(directory)
        self.ready: Deferred[Session] = Deferred()

    def make_hello(self) -> Hello:
        mark = Mark(0, "00" * 32)
        return Hello(versions=[1], role="provider", name=self._name, journal=self._id(), mark=mark)

    def opened(self, session: Session) -> None:
        self.ready.callback(session)

    def event(self, session: Session, event: Any) -> None:
        """CONFIG: not needed here."""

    def closed(self, session: Session, reason: str) -> None:
        """The run is over."""

    def refused(self, refusal: Any) -> None:
        self.ready.errback(refusal)

    async def request(self, session: Session, message: Any) -> Any:
        raise NotImplementedError

    def _id(self) -> str:
        return self._env.new_id()

    async def work(self, session: Session, until: float) -> None:
        """Whole jobs, one after the other."""
        document = Document([PageGroup("A4", 1)])
        while time.monotonic() < until:
            job = self._id()
            asked = Authorize(job, "submit-1", self._printer, "load", document)
            decision = await session.call(asked)
            done = Complete(job, "submit-1", self._printer, "load", document, decision, None)
            await session.call(done)
            self._tally.append(time.monotonic())


async def run(directory: Path, port: int, seconds: float, pipeline: int) -> dict[str, Any]:
    tally: list[float] = []
    providers = [Provider(path, tally) for path in sorted(directory.iterdir())]
    for provider in providers:
        tls = ClientTls(provider.credentials, "application", "application")
        factory = SessionClientFactory(PROVIDER, reactor, provider)  # type: ignore[arg-type]
        await tls_endpoint(reactor, "127.0.0.1", port, tls).connect(factory)
    sessions = [await provider.ready for provider in providers]
    began = time.monotonic()
    workers = [
        Deferred.fromCoroutine(provider.work(session, began + seconds))
        for provider, session in zip(providers, sessions, strict=True)
        for _ in range(pipeline)
    ]
    results = await DeferredList(workers, consumeErrors=True)
    failed = [str(result) for ok, result in results if not ok]
    took = time.monotonic() - began
    return {"jobs": len(tally), "seconds": took, "per_s": len(tally) / took, "failed": failed[:3]}


def main() -> None:
    directory, port, seconds, pipeline = sys.argv[1:5]
    work = run(Path(directory), int(port), float(seconds), int(pipeline))

    def done(result: Any) -> None:
        print(json.dumps(result if isinstance(result, dict) else {"error": str(result)}))
        reactor.stop()  # type: ignore[attr-defined]

    reactor.callWhenRunning(  # type: ignore[attr-defined]
        lambda: Deferred.fromCoroutine(work).addBoth(done)
    )
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()

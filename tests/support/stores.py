"""Stores in memory, on a Clock: what tests of rules and services start from."""

from __future__ import annotations

import itertools
import random
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from papercutd.domain.chain import CHAIN_START, MARK_START
from papercutd.domain.decision import Decision
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion, Request, SessionRef
from papercutd.domain.pricing import PagePrice, PriceList
from papercutd.environment import Environment
from tests.support.engines import ENGINES, Engine

T = TypeVar("T")
WALL_S = 1_800_000_000.0
PRICES = PriceList(
    0,
    0.0,
    "EUR",
    (PagePrice("A4", 500, 2000), PagePrice("A3", 1000, 4000)),
    PagePrice("", 2000, 8000),
)
_names = itertools.count()


def job_id(number: int) -> str:
    return f"{number:08x}-0000-7000-8000-000000000000"


def pages(count: int, colour: int = 0) -> Document:
    return Document((PageGroup("A4", count, colour),))


def request(
    number: int, count: int = 1, user: str = "anna", step: str = "submit-1", **more: object
) -> Request:
    fields: dict[str, object] = {"provider": "p1", "printer": 1, **more}
    return Request(job=job_id(number), step=step, user_name=user, document=pages(count), **fields)  # type: ignore[arg-type]


def completion(
    asked: Request, decision: Decision | None, count: int | None = None, **more: object
) -> Completion:
    return Completion(
        job=asked.job,
        step=asked.step,
        provider=asked.provider,
        printer=asked.printer,
        user_name=asked.user_name,
        document=asked.document,
        decision=decision,
        pages=count,
        **more,  # type: ignore[arg-type]
    )


@attrs.define
class Turner:
    """Runs Deferreds of inline writers to their end."""

    clock: Clock = attrs.field(factory=Clock)

    def settle(self) -> None:
        for _ in range(1000):
            calls = [c for c in self.clock.getDelayedCalls() if c.getTime() <= self.clock.seconds()]
            if not calls:
                return
            self.clock.advance(0)
        raise AssertionError("it never comes to rest")

    def result(self, deferred: Deferred[T]) -> T:
        results: list[T | Failure] = []
        deferred.addBoth(results.append)
        self.settle()
        assert results, "no answer"
        found = results[0]
        if isinstance(found, Failure):
            found.raiseException()
        return found  # type: ignore[return-value]

    def run(self, coroutine: object) -> object:
        return self.result(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]

    def environment(self, seed: int = 1) -> Environment:
        return Environment(
            clock=self.clock,
            wall_s=lambda: WALL_S + self.clock.seconds(),
            rng=random.Random(seed),
        )


class Centre:
    """An application server's store with two sites, providers, printers and prices."""

    def __init__(self, turner: Turner, engine: Engine = ENGINES[0]) -> None:
        self.turner = turner
        opened = engine.application(turner.clock, turner.environment().wall_s)
        self.store, self.query, self.refused = opened.store, opened.query, opened.refused
        turner.result(self.store.add_prices(PRICES))
        for site, provider, printer in (("north", "p1", "lp1"), ("south", "p2", "lp2")):
            turner.result(self.store.add_site(site, "", 9195))
            turner.result(self.store.add_provider(provider, site))
            address = "socket://127.0.0.1:9"
            turner.result(self.store.add_printer(printer, provider, address, "print-and-log-later"))

    def user(self, name: str = "anna", balance_e4: int = 100_000, **fields: object) -> int:
        return self.turner.result(self.store.add_user(name, balance_e4=balance_e4, **fields))

    def provider(self, name: str = "p1", journal: str | None = None) -> SessionRef:
        journal = journal or job_id(0xFFFF)
        seen = self.turner.result(self.store.begin_provider(name, journal, MARK_START, ""))
        return SessionRef("provider", name, journal, seen.session)

    def site(self, stream: str, name: str = "north") -> SessionRef:
        welcome = self.turner.result(self.store.begin_site(name, stream, MARK_START, None, ""))
        return SessionRef("site", name, stream, welcome.session)

    def account(self, name: str = "anna") -> dict[str, int]:
        names = ("credits_e4", "debits_e4", "pending_e4")
        (row,) = self.query(f"SELECT {', '.join(names)} FROM account WHERE name = ?", name)
        return dict(zip(names, row, strict=True))

    def listed(self) -> list[str]:
        return [row[0] for row in self.query("SELECT kind FROM listed ORDER BY id")]


class Branch:
    """A site's store, and hands that carry changes and records to and from a Centre."""

    def __init__(
        self,
        turner: Turner,
        name: str = "north",
        stream: str | None = None,
        engine: Engine = ENGINES[0],
    ) -> None:
        self.turner = turner
        self.name = name
        self.stream = stream or job_id(0xABC + next(_names))
        opened = engine.site(turner.clock, turner.environment().wall_s, name, self.stream)
        self.store, self.query = opened.store, opened.query
        turner.result(self.store.start())

    def provider(self, name: str = "p1", journal: str | None = None) -> SessionRef:
        journal = journal or job_id(0xFFFF)
        seen = self.turner.result(self.store.begin_provider(name, journal, MARK_START, ""))
        return SessionRef("provider", name, journal, seen.session)

    def load_snapshot(self, centre: Centre) -> None:
        import msgspec

        image = self.turner.result(centre.store.snapshot())
        self.turner.result(self.store.begin_snapshot())
        for index, chunk in enumerate(image.chunks):
            self.turner.result(self.store.load_chunk("s", index, msgspec.json.decode(chunk)))
        self.turner.run(self.store.finish_snapshot(image.position))
        place = self.turner.result(self.store.seal_rows(None))
        while place is not None:
            place = self.turner.result(self.store.seal_rows(place))

    def follow(self, centre: Centre) -> None:
        """Apply every change the replica lacks."""
        position = self.turner.result(self.store.identity()).position
        assert position is not None
        after = position.number
        for change in self.turner.result(centre.store.changes_after(after, 10_000, 10**9)):
            self.turner.result(
                self.store.apply_changes(after, change.rows, change.position, change.committed_at)
            )
            after = change.position.number

    def forward(self, centre: Centre, session: SessionRef, records_max: int = 100) -> int:
        """Forward one batch; how many records it had."""
        identity = self.turner.result(self.store.identity())
        batch = self.turner.result(self.store.journal_after(identity.acked, records_max, 10**9))
        if not batch.records:
            return 0
        mark = self.turner.result(
            centre.store.apply_journal(
                session, self.stream, batch.after.number, batch.after.chain, batch.records
            )
        )
        assert self.turner.result(self.store.acknowledged(self.stream, mark))
        return len(batch.records)


__all__ = ["CHAIN_START", "MARK_START", "Branch", "Centre", "Turner"]

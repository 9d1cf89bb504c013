"""A batch of forwarded completions comes to the same in a few statements and one by one."""

from __future__ import annotations

import random
from typing import Any

import attrs

from papercutd.domain.chain import CHAIN_START, next_chain
from papercutd.domain.decision import APPLICATION, Decision, Reason, Verdict
from papercutd.domain.pricing import PriceLine
from papercutd.storage.jobs.plain_records import PlainRecords
from papercutd.storage.replication.records import CANCELED, COMPLETED, Record, encode_record
from tests.support.engines import Engine, on_every_engine
from tests.support.quotas import DAILY, SteppedTurner
from tests.support.stores import Centre, completion, job_id, pages, request

STREAM = job_id(0x51)
#: What may come of records; but for ids, of which PostgreSQL leaves out what was undone.
TABLES = {
    "account": "id, credits_e4, debits_e4, pending_e4, purses_e4",
    "change_log": "number, body",
    "charge": "*",
    "decision": "*",
    "early_charge": "*",
    "job_comment": "*",
    "job_log": "*",
    "listed": "kind, key, who, detail, amount_e4, number",
    "parked": "*",
    "quota_run": "*",
    "stream": "id, number, chain, settled_e4, spent_e4",
    "transfer": "kind, debit, credit, amount_e4, key, price_version, who, place, claimed_at,"
    " received_at, forced, reason, number",
    "withheld": "*",
}
PEOPLE = ("anna", "ben", "cleo", "dora", "eve", "paul")


class _Side:
    """A server that a site forwards to."""

    def __init__(self, engine: Engine, is_slow: bool) -> None:
        self.turner = SteppedTurner()
        self.centre = Centre(self.turner, engine)
        self.result = self.turner.result
        store = self.centre.store
        self.users = {name: self.centre.user(name, 10_000) for name in PEOPLE[2:]}
        self.users["anna"] = self.centre.user("anna", restricted=False)
        self.users["ben"] = self.centre.user("ben", 1_200)
        self.result(store.purses.add("gift", 1, True, True))
        self.result(store.adjust("paul", 1_500, "", "gift"))
        found = self.centre.query('SELECT id, account FROM "user"')
        accounts = dict(found)
        self.accounts = {name: accounts[id] for name, id in self.users.items()}
        self.result(store.merge_users("dora", "eve"))
        self.shared = self.result(store.shared.add("lab", 10_000, {}))
        self.result(store.add_quota(DAILY))
        self.turner.clock.advance(1.5 * 86_400)
        while self.result(store.run_quota()) is not None:
            pass
        self.session = self.centre.site(STREAM)
        self.after, self.chain = 0, CHAIN_START
        if is_slow:
            store.charging.plain_records = lambda connection, completions: None

    def forward(self, bodies: list[str]) -> None:
        store = self.centre.store
        self.result(store.apply_journal(self.session, STREAM, self.after, self.chain, bodies))
        self.after += len(bodies)
        for body in bodies:
            self.chain = next_chain(self.chain, body.encode())

    def rows(self, table: str) -> Any:
        return sorted(self.centre.query(f"SELECT {TABLES[table]} FROM {table}"), key=repr)


class _Author:
    """Writes records: most of them plain, some not."""

    def __init__(self, side: _Side, seed: int) -> None:
        self.rng = random.Random(seed)
        self.users, self.accounts, self.shared = side.users, side.accounts, side.shared
        (run,) = side.centre.query("SELECT MAX(due_at), MAX(schedule) FROM quota_run")
        self.runs = ("", f"{run[0]}.{run[1]}", "0.0", f"{run[0] + 86_400}.{run[1]}")
        self.numbers = iter(range(1_000, 9_000))
        self.before: list[Any] = []

    def record(self, plain: bool) -> str:
        rng = self.rng
        name, count = rng.choice(PEOPLE), rng.randint(1, 4)
        done = self.plain(name, count)
        if not plain:
            done = self.odd(done)
        self.before.append(done)
        if not plain and rng.random() < 0.1:
            return encode_record(Record(CANCELED, done.key, "1.1", 0.0))
        needs = ("what nobody has",) if not plain and rng.random() < 0.05 else ()
        return encode_record(Record(COMPLETED, done.key, "1.1", 0.0, done, needs=needs))

    def plain(self, name: str, count: int) -> Any:
        decision = Decision(
            *(Verdict.ALLOW, Reason.NONE, STREAM, self.users[name], self.accounts[name], 1, 1),
            (PriceLine("A4 grey", count, 500),),
            promise=self.runs[self.rng.random() < 0.5],
        )
        return completion(request(next(self.numbers), count, name), decision)

    def odd(self, done: Any) -> Any:
        """Somebody counted otherwise, decided otherwise, said something, or says it again."""
        rng, decision = self.rng, done.decision
        answer = {
            "lines": rng.choice([(PriceLine("A4 grey", 1, unit_e4),) for unit_e4 in (0, 400, -1)]),
            "promise": rng.choice(self.runs),
            "account": rng.choice([None, 1, 9_999, self.accounts["ben"], self.shared]),
            "user": rng.choice([None, 9_999]),
            "decider": APPLICATION,
            "allowance": True,
            "price_version": 77,
            "named": rng.choice([self.accounts["anna"], self.shared]),
            "invoice": True,
            "verdict": Verdict.DENY,
        }
        said = {
            "pages": rng.choice([0, 1, 2, 5, 40]),
            "step": rng.choice(["submit-2", "release-1", "run-1"]),
            "assumed": True,
            "comment": "for the school",
            "outcome": "canceled",
            "printer": 2,
            "provider": "p2",
            "document": attrs.evolve(pages(3), duplex=True),
            "decision": None,
        }
        kind = rng.random()
        if kind < 0.15 and self.before:
            return rng.choice(self.before)
        if kind < 0.25 and self.before:
            return attrs.evolve(rng.choice(self.before), step="submit-3")
        if kind < 0.65:
            (field,) = rng.sample(sorted(answer), 1)
            return attrs.evolve(done, decision=attrs.evolve(decision, **{field: answer[field]}))
        (field,) = rng.sample(sorted(said), 1)
        return attrs.evolve(done, **{field: said[field]})


class PlainRecordsContract:
    engine: Engine
    seeds = (1, 2)

    def test_the_same_comes_of_them(self) -> None:
        posted: list[bool] = []
        post = PlainRecords.post

        def seen(*args: Any) -> bool:
            posted.append(post(*args))
            return posted[-1]

        self.patch(PlainRecords, "post", seen)
        # On an engine to which each statement is a journey one is enough.
        for seed in self.seeds if self.engine.name == "Sqlite" else self.seeds[:1]:
            self.both_ways(seed)
        # Neither way was the only one.
        self.assertGreater(posted.count(True), len(posted) // 5)
        self.assertGreater(posted.count(False), len(posted) // 5)

    def both_ways(self, seed: int) -> None:
        fast, slow = _Side(self.engine, False), _Side(self.engine, True)
        author = _Author(fast, seed)
        for oddness in (0.0, 0.2, 0.2, 0.5, 0.5):
            odd = author.rng.random
            bodies = [author.record(odd() >= oddness) for _ in range(12)]
            for side in (fast, slow):
                side.forward(bodies)
            for table in TABLES:
                self.assertEqual(fast.rows(table), slow.rows(table), (seed, table))
            if self.engine.name == "Sqlite":
                # Ids, chain and seals too.
                self.assertEqual(*(one.result(one.centre.store.head()) for one in (fast, slow)))
        self.assertEqual(fast.result(fast.centre.store.verify()), [])


on_every_engine(globals())

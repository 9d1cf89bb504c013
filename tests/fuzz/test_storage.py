"""What a site reads from above, and what the application server reads from below.

Rows of snapshots and changes, and records of a journal: whatever stands in them the store
says no by an error of its own, or takes it; what was there before stays, and the books add up.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import CHAIN_START, Position
from papercutd.domain.lost_edit import Edit, Lost
from papercutd.errors import PapercutError
from papercutd.storage.replication.records import Record, encode_record
from papercutd.storage.replication.replicated import TABLES
from tests.fuzz.mutator import damage_json
from tests.fuzz.strategies import ANY_JSON, SEEDS
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request

TABLE_NAMES = (*sorted(TABLES), "charge", "position", "identity", "main.journal", "x; --")


class ReplicaTests(SynchronousTestCase):
    """One site for all examples: each finds it as the one before left it."""

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        self.centre.user()
        self.branch = Branch(self.turner)
        self.branch.load_snapshot(self.centre)
        self.rows, self.together = self.read(False), self.read(True)

    def read(self, grouped: bool) -> list[Any]:
        image = self.turner.result(self.centre.store.snapshot(grouped=grouped))
        return [row for chunk in image.chunks for row in msgspec.json.decode(chunk)]

    def position(self) -> Position:
        found = self.turner.result(self.branch.store.identity()).position
        assert found is not None
        return found

    def tell(self, rows: Any) -> bool:
        """Rows as changes and as a chunk of a snapshot; whether the changes were taken."""
        store, before = self.branch.store, self.position()
        counted = self.count()
        after = Position(before.timeline, before.number + 1, "11" * 32)
        taken = True
        try:
            self.turner.result(store.apply_changes(before.number, rows, after, 0.0))
        except PapercutError:
            taken = False
            self.assertEqual(self.position(), before)
            self.assertEqual(self.count(), counted)
        else:
            self.assertEqual(self.position(), after)
        self.turner.result(store.begin_snapshot())
        try:
            self.turner.result(store.load_chunk("s", 0, rows))
        except PapercutError:
            self.assertFalse(taken)
        self.turner.result(store.restart_snapshot())
        return taken

    def count(self) -> list[tuple[Any, ...]]:
        counts = ", ".join(f"(SELECT COUNT(*) FROM replica.{table})" for table in sorted(TABLES))
        return self.branch.query(f"SELECT {counts}")

    def check(self) -> None:
        """A real snapshot still mends everything, and the journal is whole."""
        self.branch.load_snapshot(self.centre)
        self.assertEqual(self.turner.result(self.branch.store.verify()), [])
        asker = self.branch.provider()
        found = self.turner.result(self.branch.store.decide(asker, request(7)))
        self.assertTrue(found.allowed)

    def test_damaged_rows(self) -> None:
        @settings(max_examples=250, deadline=None)
        @given(SEEDS)
        def tell(seed: int) -> None:
            rng = random.Random(seed)
            rows = self.together if seed % 2 else self.rows
            rows = rng.sample(rows, min(len(rows), 1 + seed % 3))
            body = damage_json(rng, msgspec.json.encode(rows), 1 + seed % 2)
            try:
                found = msgspec.json.decode(b'{"rows":%b}' % body)["rows"]
            except (ValueError, RecursionError):
                return
            if isinstance(found, list):
                self.tell(found)

        tell()
        self.check()

    def test_any_rows(self) -> None:
        @settings(max_examples=150, deadline=None)
        @given(
            st.lists(
                ANY_JSON
                | st.tuples(
                    st.sampled_from(TABLE_NAMES) | ANY_JSON,
                    ANY_JSON,
                    st.none() | st.dictionaries(st.sampled_from(["id", "name", "x"]), ANY_JSON),
                ),
                max_size=4,
            )
        )
        def tell(rows: list[Any]) -> None:
            self.tell(rows)

        tell()
        self.check()

    def test_every_column_with_every_type(self) -> None:
        """Of each table one real row, and in each of its columns a value of each type."""
        real = {row[0]: row for row in self.rows}
        for table, key, columns in real.values():
            for name in columns:
                for value in (None, True, -1, 1.5, 2**63, "", "x", [], {}, [[1]], {"a": {}}):
                    self.tell([[table, key, {**columns, name: value}]])
            for name in columns:
                missing = {n: v for n, v in columns.items() if n != name}
                # An older peer does not know what is newer than it.
                is_newer = name in TABLES[table].newer
                self.assertEqual(self.tell([[table, key, missing]]), is_newer, (table, name))
            self.assertFalse(self.tell([[table, "another" if key != "another" else 1, columns]]))
        self.check()

    def test_tables_and_columns_of_a_newer_release(self) -> None:
        for table, key, columns in self.rows:
            self.assertTrue(self.tell([[table, key, {**columns, "newer": [1]}]]))
        self.assertTrue(self.tell([["newer", {"a": 1}, {"x": []}], ["newer", 1, None]]))
        self.check()


class IntakeTests(SynchronousTestCase):
    """Damaged records of a site among honest ones: those land, once."""

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        self.centre.user(balance_e4=10**12)
        self.branch = Branch(self.turner)
        self.site = self.centre.site(self.branch.stream)
        asked = request(1, 2)
        decision = self.turner.result(self.centre.store.authorize(self.site, asked))
        self.bodies = [
            encode_record(Record(kind, f"{job_id(50)}/submit-1", "1.1", 1.0, done, ask, decision))
            for kind, done, ask in (
                ("completed", completion(request(50), None), None),
                ("completed", completion(request(51, 3), decision), None),
                ("completed", completion(request(52, 3), decision, 2), None),
                ("canceled", None, request(53)),
                ("superseded", None, request(54)),
                ("refused", None, request(55)),
                ("link-down", None, None),
                ("link-reported", None, None),
                ("drill-begun", None, None),
                ("drill-asked", None, None),
                ("drill-ended", None, None),
            )
        ]
        edits = (
            Edit("user", 1, "anna", 1.0, {"name": "anne", "merged_into": None}, ("verifier",)),
            Edit("card", "h", "anna", 0.0, None),
            Edit("adjusted", "5.9", "anna", 0.0, dict(account=4, amount_e4=5, reason="", at=0.0)),
        )
        self.bodies.append(
            encode_record(Record("lost-edits", "e", "1.1", 1.0, lost=Lost(edits, 2)))
        )
        self.numbers = iter(range(1_000, 10**6))
        self.honest = 0

    def forward(self, bodies: list[str]) -> None:
        found = self.centre.query("SELECT number, chain FROM stream")
        number, chain = found[0] if found else (0, CHAIN_START)
        store = self.centre.store
        mark = self.turner.result(
            store.apply_journal(self.site, self.branch.stream, number, chain, bodies)
        )
        self.assertEqual(mark.number, number + len(bodies))

    def honest_body(self) -> str:
        self.honest += 1
        done = completion(request(next(self.numbers)), None)
        return encode_record(Record("completed", done.key, "", 0.0, done))

    def check(self) -> None:
        (posted,) = self.centre.query(
            "SELECT COUNT(*) FROM charge WHERE key >= ? AND key < ?", f"{job_id(1000)}/", "1"
        )
        self.assertEqual(posted, (self.honest,))
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])
        # A site never credits anybody.
        (credited,) = self.centre.query(
            "SELECT COUNT(*) FROM transfer WHERE credit <> 1 AND who LIKE 'site:%'"
        )
        self.assertEqual(credited, (0,))

    def test_damaged_records(self) -> None:
        @settings(max_examples=400, deadline=None)
        @given(SEEDS)
        def tell(seed: int) -> None:
            rng = random.Random(seed)
            body = damage_json(rng, rng.choice(self.bodies).encode(), 1 + seed % 3)
            self.forward([body.decode(errors="replace"), self.honest_body()])

        tell()
        self.check()

    def test_any_record(self) -> None:
        @settings(max_examples=150, deadline=None)
        @given(
            ANY_JSON | st.text(max_size=60), st.sampled_from(["completed", "canceled", "refused"])
        )
        def tell(value: object, kind: str) -> None:
            fields = {"kind": kind, "key": value, "completion": value, "request": value}
            for made in (value, {**fields, "position": "", "at": 0.0}):
                try:
                    body = msgspec.json.encode(made).decode()
                except (ValueError, TypeError, RecursionError, OverflowError):
                    continue
                self.forward([body, self.honest_body()])

        tell()
        self.check()

    def test_any_place_and_chain(self) -> None:
        """A batch that stands nowhere is refused by a code, whatever it calls its place."""

        @settings(max_examples=150, deadline=None)
        @given(st.integers(0, 2**53 - 1) | st.integers(0, 3), st.text(max_size=70))
        def tell(after: int, chain: str) -> None:
            store = self.centre.store
            (before,) = self.centre.query("SELECT number, chain FROM stream")
            try:
                self.turner.result(
                    store.apply_journal(self.site, self.branch.stream, after, chain, ["{}"] * 5)
                )
            except PapercutError:
                pass
            self.assertEqual(self.centre.query("SELECT number, chain FROM stream"), [before])

        self.forward([self.honest_body() for _ in range(3)])
        tell()
        self.check()

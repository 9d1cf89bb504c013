"""Rows of a snapshot are sealed when it is in force: in parts, across restarts, beside changes."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.proof import sealing
from papercutd.storage.proof.seals import verify_replica
from tests.support.stores import Branch, Centre, Turner

USERS = 30


class SealingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(sealing, "SEALED_ROWS", 7)
        self.turner = Turner()
        self.centre = Centre(self.turner)
        for number in range(USERS):
            self.centre.user(f"user{number:02d}")
        self.branch = Branch(self.turner)
        self.store = self.branch.store
        self.load()

    def load(self) -> None:
        """As a site does, and not one seal more."""
        image = self.result(self.centre.store.snapshot())
        self.result(self.store.begin_snapshot())
        for index, chunk in enumerate(image.chunks):
            self.result(self.store.load_chunk("s", index, msgspec.json.decode(chunk)))
        self.turner.run(self.store.finish_snapshot(image.position))

    def result(self, deferred: Any) -> Any:
        return self.turner.result(deferred)

    def seal(self, steps: int = 1_000, place: Any = None) -> Any:
        for _ in range(steps):
            place = self.result(self.store.seal_rows(place))
            if place is None:
                break
        return place

    def seals(self, table: str = "user") -> int:
        return int(self.query("SELECT COUNT(*) FROM replica.seal WHERE tbl = ?", table)[0][0])

    def query(self, sql: str, *values: Any) -> Any:
        return self.branch.query(sql, *values)

    def problems(self) -> list[str]:
        return verify_replica(self.store._writer.connection, "replica")

    def test_every_row_once(self) -> None:
        self.assertEqual(self.seals(), 0)
        self.assertEqual(self.problems(), [])
        self.assertIsNone(self.seal())
        self.assertEqual(self.seals(), self.query("SELECT COUNT(*) FROM replica.user")[0][0])
        self.assertEqual(self.problems(), [])
        self.query("DELETE FROM replica.seal WHERE tbl = 'user' AND key = 3")
        self.assertEqual(self.problems(), ["replica: user: row 3 was not written by this server"])

    def test_what_is_sealed_is_compared_at_once(self) -> None:
        self.seal(2)
        (account,) = self.query("SELECT MIN(id) FROM replica.account")[0]
        self.query("UPDATE replica.account SET credits_e4 = 1 WHERE id = ?", account)
        self.assertEqual(len(self.problems()), 1)

    def test_a_restart(self) -> None:
        place = self.seal(7)
        self.assertIsNotNone(place)
        before = self.seals()
        self.assertLess(before, USERS)
        self.seal()
        self.assertGreater(self.seals(), before)
        self.assertEqual(self.problems(), [])
        # Nothing is left: what has no seal from now on was not written by us.
        self.query("DELETE FROM replica.seal")
        self.assertIsNone(self.seal(1))
        self.assertEqual(self.seals(), 0)

    def test_changes_meanwhile(self) -> None:
        place = self.seal(1)
        self.result(self.centre.store.adjust("user29", 5, "a top-up"))
        self.result(self.centre.store.adjust("user00", 5, "a top-up"))
        self.branch.follow(self.centre)
        changed = "SELECT tbl, key, number FROM replica.seal WHERE number > 0 ORDER BY 1, 2"
        before = self.query(changed)
        self.assertTrue(before)
        self.seal(place=place)
        self.assertEqual(self.query(changed), before)
        self.assertEqual(self.problems(), [])

    def test_another_snapshot_meanwhile(self) -> None:
        place = self.seal(7)
        self.load()
        self.assertEqual(self.seals("account"), 0)
        self.seal(place=place)
        self.assertGreaterEqual(self.seals("account"), USERS)
        self.assertEqual(self.problems(), [])

    def test_whole_and_not_yet_named(self) -> None:
        """A crash there: it is gone on with from its end."""
        image = self.result(self.centre.store.snapshot())
        self.result(self.store.begin_snapshot())
        for index, chunk in enumerate(image.chunks):
            self.result(self.store.load_chunk("t", index, msgspec.json.decode(chunk)))
        with mock.patch(
            "papercutd.storage.site.replica.name_incoming", side_effect=ZeroDivisionError
        ):
            with self.assertRaises(ZeroDivisionError):
                self.turner.run(self.store.finish_snapshot(image.position))
        self.assertEqual(self.result(self.store.begin_snapshot()), ("t", len(image.chunks)))
        self.turner.run(self.store.finish_snapshot(image.position))
        self.assertIsNone(self.seal())
        self.assertEqual(self.problems(), [])

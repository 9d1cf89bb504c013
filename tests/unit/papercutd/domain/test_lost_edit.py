"""What of a replica is edited by people, and what of that is nobody's to see."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.lost_edit import (
    TABLES_WATCHED,
    UNWATCHED,
    WATCHED,
    clipped,
    printable,
    watched_of,
)
from papercutd.storage.replication.replicated import TABLES


class WatchedTests(SynchronousTestCase):
    def test_every_replicated_table_is_one_or_the_other(self) -> None:
        """A table that is new has to say which: is what is in it told again, or an edit?"""
        self.assertEqual(TABLES_WATCHED | UNWATCHED, set(TABLES))
        self.assertEqual(TABLES_WATCHED & UNWATCHED, set())

    def test_columns_that_there_are(self) -> None:
        for watched in WATCHED:
            columns = set(TABLES[watched.table].columns)
            self.assertEqual({*watched.shown, *watched.ignored} - columns, set())

    def test_what_is_hidden(self) -> None:
        """What nobody has said is shown is not: the secrets, and what a later release adds."""
        hidden = {
            (one.table, column)
            for one in WATCHED
            for column in one.hidden(TABLES[one.table].key, (*TABLES[one.table].columns, "new"))
        }
        self.assertEqual(
            {one for one in hidden if one[1] != "new"},
            {
                *(("user", "verifier"), ("user", "pin_verifier"), ("secret", "value")),
                ("shared_account", "pin_hash"),
            },
        )
        self.assertIn(("printer", "new"), hidden)

    def test_accounts_by_their_columns(self) -> None:
        shared = watched_of("account", {"name": "physics", "restricted": 1, "floor_e4": 0})
        assert shared is not None
        self.assertNotIn("name", shared.shown)
        whole = {"name": "", "restricted": 1, "floor_e4": 0, "closed": 0, "merged_into": None}
        shared = watched_of("account", whole)
        assert shared is not None
        self.assertIn("name", shared.shown)
        self.assertIsNone(watched_of("decision", None))

    def test_texts_are_bounded_and_printable(self) -> None:
        self.assertEqual(printable("a\x1b[1mb\n", 10), "a [1mb ")
        self.assertEqual(len(printable("x" * 1_000, 255)), 255)
        self.assertEqual(clipped("x" * 1_000), "x" * 1_000)
        self.assertEqual(len(str(clipped("x" * 5_000))), 1_000)
        self.assertEqual([clipped(value) for value in (None, 1, 0.5)], [None, 1, 0.5])

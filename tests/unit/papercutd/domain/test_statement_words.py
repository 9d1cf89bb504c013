"""Statements as people read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.statement_text import ROWS_MAX, show_outages, show_statement
from papercutd.domain.statement_sections import overspend
from papercutd.domain.statement_words import KINDS, words_of
from tests.contract.test_statement import StatementContract as _Outage
from tests.support.engines import ENGINES

MANUAL = Path(__file__).resolve().parents[4] / "docs" / "operations.md"


class WordsTests(SynchronousTestCase):
    def test_every_kind_of_the_manual_has_words(self) -> None:
        section = MANUAL.read_text().partition("## The statement")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        kinds = {kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row.split("|")[1])}
        self.assertTrue(kinds)
        self.assertEqual(kinds - set(KINDS), set())
        counted = {"superseded", "decided-twice"}
        self.assertEqual(set(KINDS) - kinds, counted)

    def test_a_kind_of_a_later_release(self) -> None:
        self.assertEqual(words_of("seen-in-2031").title, "seen in 2031")

    def test_overspend(self) -> None:
        found = {"people": 0, "in_all_e4": 0, "most_per_user_e4": 0, "within_bound": True}
        self.assertEqual(
            overspend({**found, "bound_per_user_e4": 100_000}),
            "Nobody overspent (bound 10.00 a person).",
        )
        over = {**found, "people": 2, "in_all_e4": 30_000, "most_per_user_e4": 20_000}
        self.assertEqual(
            overspend({**over, "bound_per_user_e4": None}),
            "2 people overspent 3.00 in all, nobody more than 2.00 (no bound).",
        )
        beyond = {**over, "bound_per_user_e4": 10_000, "within_bound": False}
        self.assertIn("MORE THAN THE BOUND", overspend(beyond))


class TextTests(SynchronousTestCase):
    engine = ENGINES[0]

    def setUp(self) -> None:
        _Outage.setUp(self)  # type: ignore[arg-type]

    def stated(self) -> dict[str, Any]:
        found: dict[str, Any] = self.turner.run(self.centre.store.statement(None, None))
        return found

    def test_nothing(self) -> None:
        self.assertEqual(show_outages([]), "There has been no outage.")
        self.assertTrue(show_statement(self.stated()).startswith("There has been no outage\n"))

    def test_an_open_one(self) -> None:
        _Outage.cut(self)  # type: ignore[arg-type]
        lines = show_statement(self.stated()).splitlines()
        self.assertEqual(lines[0], "Outage 1 at north: open")
        self.assertIn("Not yet heard of: site:north. The figures may grow.", lines)
        self.assertIn("until now.", lines[1])

    def test_a_closed_one(self) -> None:
        _Outage.cut(self)  # type: ignore[arg-type]
        _Outage.print_at_site(self, 3)  # type: ignore[arg-type]
        _Outage.heal(self)  # type: ignore[arg-type]
        _Outage.forward(self)  # type: ignore[arg-type]
        stated = self.stated()
        shown = show_statement(stated)
        for words in (
            "1 job, 3 pages, 0.15.",
            "0 lost, 0 charged twice.",
            "CAPPED, 10.00 a person",
        ):
            self.assertIn(words, shown)
        self.assertTrue(max(len(line) for line in shown.splitlines()) <= 100)
        (row,) = stated["by_user"]
        many = {**stated, "by_user": [row] * (ROWS_MAX + 3)}
        self.assertIn("and 3 more: --json has them", show_statement(many))

    def test_a_span_of_time(self) -> None:
        found = self.turner.run(self.centre.store.statement(0.0, None))
        self.assertIn("Everything of a span of time", show_statement(found))

"""Which version of the prices holds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.price_draft import as_document, parse_draft
from papercutd.domain.price_versions import (
    IN_FORCE,
    NEVER,
    OVER,
    WAITS,
    overtaken,
    show_from,
    standings,
)
from papercutd.errors import InvalidValue

DAY = 86_400.0


class StandingTests(SynchronousTestCase):
    def test_the_newest_whose_day_has_come(self) -> None:
        versions = [(1, 0.0), (2, 0.0), (3, 10 * DAY), (4, 20 * DAY)]
        found = standings(versions, 5 * DAY)
        self.assertEqual(found, {1: OVER, 2: IN_FORCE, 3: WAITS, 4: WAITS})
        found = standings(versions, 15 * DAY)
        self.assertEqual(found, {1: OVER, 2: OVER, 3: IN_FORCE, 4: WAITS})

    def test_a_newer_one_that_holds_sooner_overtakes(self) -> None:
        found = standings([(1, 0.0), (2, 10 * DAY), (3, 0.0)], 5 * DAY)
        self.assertEqual(found, {1: OVER, 2: NEVER, 3: IN_FORCE})
        self.assertEqual(
            overtaken([(2, 10 * DAY)], 3, 0.0),
            [
                "version 2, from 1970-01-11, never comes into force: version 3 is newer and holds"
                " at once"
            ],
        )

    def test_as_people_read_and_write_it(self) -> None:
        self.assertEqual(show_from(0.0), "at once")
        self.assertEqual(show_from(10 * DAY + 3_600), "1970-01-11 01:00 UTC")
        for text in ("2027-01-31", "2027-01-31 18:00:00"):
            draft = parse_draft({"effective_from": text, "lines": {"*": ["1", "2"]}})
            self.assertEqual(as_document(draft)["effective_from"], text)
            self.assertEqual(parse_draft(as_document(draft)), draft)
        with self.assertRaisesRegex(InvalidValue, "effective_from: is a day such as 2027-01-31"):
            parse_draft({"effective_from": "monday", "lines": {"*": ["1", "2"]}})

"""The staleness clock in a site's journal, and what goes by it."""

from __future__ import annotations

import attrs

from papercutd.domain.staleness import Kept
from papercutd.errors import Rejected
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import PRICES, WALL_S, Branch, Centre, Turner, request


class StalenessContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.branch = Branch(self.turner, engine=self.engine)
        self.store = self.branch.store

    def test_one_row_as_it_was_written_last(self) -> None:
        result = self.turner.result
        self.assertIsNone(result(self.store.staleness()))
        for kept in (Kept(None, 5.0, 1.0), Kept(WALL_S, 7.25, -3.0)):
            result(self.store.keep_staleness(kept))
            self.assertEqual(result(self.store.staleness()), kept)
        self.assertEqual(self.branch.query("SELECT COUNT(*) FROM staleness"), [(1,)])

    def test_a_price_comes_into_force_by_it(self) -> None:
        """The site's wall clock is of 1970, or a year ahead: no price moves by that."""
        self.centre.user()
        self.turner.result(
            self.centre.store.add_prices(attrs.evolve(PRICES, effective_from=WALL_S + 100))
        )
        self.branch.load_snapshot(self.centre)
        asker = self.branch.provider()
        for number, dated_s, version in ((1, WALL_S + 99, 1), (2, WALL_S + 101, 2)):
            self.store.go_by(lambda dated_s=dated_s: dated_s)
            decision = self.turner.result(self.store.decide(asker, request(number)))
            self.assertEqual(decision.price_version, version)

    def test_no_printing_stops_for_a_clock(self) -> None:
        """The application server said it was 1970: no price is in force by that."""
        self.centre.user()
        for later_s in (200, 100):
            self.turner.result(
                self.centre.store.add_prices(attrs.evolve(PRICES, effective_from=WALL_S + later_s))
            )
        self.centre.query("UPDATE price SET effective_from = ? WHERE version = 1", WALL_S)
        self.branch.load_snapshot(self.centre)
        asker = self.branch.provider()
        self.store.go_by(lambda: -1.0)
        decision = self.turner.result(self.store.decide(asker, request(3)))
        self.assertEqual(decision.price_version, 1)

    def test_without_prices_nothing_is_decided(self) -> None:
        self.centre.query("DELETE FROM price")
        self.branch.load_snapshot(self.centre)
        asker = self.branch.provider()
        with self.assertRaises(Rejected):
            self.turner.result(self.store.decide(asker, request(3)))


on_every_engine(globals())

"""Copies: what machines counted is compared with what is charged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.measure import Stores, measure_copies
from papercutd.device.machine import SCHEMA
from papercutd.domain.pricing import PagePrice, PriceList
from papercutd.storage.administration.directory import encode_prices
from papercutd.storage.sqlite.migrate import open_database

GREY_E4 = 500


class CopiesTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.stores = Stores(folder / "application.db", [], [], [], {"mfd": folder / "machine.db"})
        prices = PriceList(1, 0.0, "EUR", (PagePrice("A4", GREY_E4, 2_000),), PagePrice("", 1, 1))
        with closing(open_database(str(self.stores.application), "application")) as database:
            database.execute(
                "INSERT INTO price (version, effective_from, body) VALUES (1, 0.0, ?)",
                (encode_prices(prices),),
            )
            database.commit()
        self.count("a/run-1", 3)

    def count(self, key: str, pages: int) -> None:
        """The machine lets pages come out."""
        with closing(open_database(str(self.stores.machines["mfd"]), SCHEMA)) as engine:
            engine.execute("INSERT INTO run (key, pages) VALUES (?, ?)", (key, pages))
            engine.execute(
                "INSERT INTO counter VALUES ('copy', 0, ?)"
                " ON CONFLICT (function, colour) DO UPDATE SET pages = pages + excluded.pages",
                (pages,),
            )
            engine.commit()

    def charge(self, key: str, pages: int, device: str = "mfd", unit_e4: int = GREY_E4) -> None:
        with closing(sqlite3.connect(self.stores.application)) as database:
            (number,) = database.execute("SELECT COUNT(*) FROM charge").fetchone()
            database.execute(
                "INSERT INTO charge (charge_id, key, provider, printer, user_name, account,"
                " decider, price_version, lines, pages, sheets, amount_e4, forced, assumed,"
                " outcome, title, claimed_at, received_at, number)"
                " VALUES (?, ?, ?, 1, 'anna', 1, 'application', 1, '[]', ?, 1, ?, 0, 0,"
                " 'completed', 'Copy', 0.0, 0.0, 1)",
                (f"c{number}", key, f"device:{device}", pages, pages * unit_e4),
            )
            database.commit()

    def check(self, found: int, **figures: int) -> None:
        measured: dict[str, Any] = measure_copies(self.stores)
        self.assertEqual(len(measured["found"]), found, measured)
        wanted = {"copies": 1, "pages": 3, "lost": 0, "duplicated": 0, **figures}
        self.assertEqual({name: measured[name] for name in wanted}, wanted)

    def test_once_at_its_price(self) -> None:
        self.charge("a/run-1", 3)
        self.check(0)
        self.count("b/run-1", 4)
        self.charge("b/run-1", 4)
        self.check(0, copies=2, pages=7)

    def test_no_charge(self) -> None:
        self.check(1, lost=3)

    def test_too_few_pages(self) -> None:
        self.charge("a/run-1", 2)
        self.check(1, lost=1)

    def test_twice(self) -> None:
        self.charge("a/run-1", 3)
        self.charge("a/run-1", 3)
        self.check(1, duplicated=3)

    def test_a_charge_of_nothing(self) -> None:
        self.charge("a/run-1", 3)
        self.charge("b/run-1", 5)
        self.check(1, duplicated=5)

    def test_at_another_price(self) -> None:
        self.charge("a/run-1", 3, unit_e4=GREY_E4 + 1)
        self.check(1)

    def test_of_another_device(self) -> None:
        self.charge("a/run-1", 3, device="other")
        self.check(1)

"""`papercutd lost-edits`: what may be asked, and what is answered."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.lost_edit import Edit, Lost
from papercutd.errors import InvalidValue, NotFound
from papercutd.services import lost_edit_operations
from papercutd.services.lost_edit_operations import LostEditOperations, lost_edits_check
from papercutd.storage.replication.lost_edits import LostEdits
from tests.support.stores import WALL_S, Centre, Turner


class OperationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        self.operations = LostEditOperations(self.centre.store).all()
        log = self.centre.store.log
        edits = tuple(Edit("user", n, f"u{n}", 0.0, {"name": f"u{n}"}) for n in range(10, 15))
        taken = LostEdits(log, lambda: WALL_S)
        for site, lost in (("north", Lost(edits, 3)), ("south", Lost(edits[:2]))):
            write = self.centre.store.write
            self.turner.result(write(lambda c, s=site, told=lost: taken.take(c, s, told, s)))

    def call(self, name: str, **arguments: Any) -> Any:
        return self.turner.run(self.operations[f"lost-edits.{name}"](arguments, lambda told: None))

    def test_listing(self) -> None:
        found = self.call("list")
        sites = [one["sites"] for one in found["edits"]]
        self.assertEqual(sites, ["north, south"] * 2 + ["north"] * 3)
        self.assertEqual(found["more"], 3)
        south = self.call("list", site="south")
        self.assertEqual((len(south["edits"]), south["more"]), (2, 0))
        with self.assertRaises(NotFound):
            self.call("list", site="nowhere")
        with self.assertRaises(InvalidValue):
            self.call("list", sites="south")

    def test_an_answer_is_bounded(self) -> None:
        self.patch(lost_edit_operations, "LISTED_MAX", 2)
        found = self.call("list")
        self.assertEqual((len(found["edits"]), found["more"]), (2, 6))

    def test_forgetting(self) -> None:
        id = self.call("list")["edits"][0]["id"]
        for arguments in ({}, {"every": True, "ids": [id]}, {"ids": [7]}, {"ids": id}):
            with self.assertRaises(InvalidValue):
                self.call("forget", **arguments)
        self.assertEqual(self.call("forget", ids=[id]), {"forgotten": 1})
        self.assertEqual(len(self.call("list")["edits"]), 4)
        self.assertEqual(len(self.call("list", every=True)["edits"]), 5)
        self.assertEqual(self.call("forget", every=True), {"forgotten": 4})
        self.assertEqual(self.call("list"), {"edits": [], "more": 0})

    def test_health(self) -> None:
        counts = self.turner.result(self.centre.store.counts())
        check = lost_edits_check(counts["lost_edits"])
        self.assertEqual((check["ok"], check["detail"]), (False, "8"))
        self.assertTrue(lost_edits_check(0)["ok"])

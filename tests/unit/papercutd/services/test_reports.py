"""Reports as administrators ask for them, and the clock that keeps their sums up to date."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.main import parser
from papercutd.commands.report import as_csv
from papercutd.errors import InvalidValue, StorageFull
from papercutd.services.reports import ROLL_INTERVAL_S, Monthly, ReportOperations
from papercutd.services.tasks import Tasks
from papercutd.storage.history.monthly import month_of
from tests.support.stores import WALL_S, Centre, Turner, completion, request


class ReportTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        self.centre.user()
        asker = self.centre.provider()
        asked = request(1, 4)
        decision = self.turner.result(self.centre.store.authorize(asker, asked))
        self.turner.result(self.centre.store.complete(asker, completion(asked, decision)))
        self.operations = ReportOperations(self.centre.store).all()

    def ask(self, operation: str, **arguments: Any) -> Any:
        work = self.operations[operation](arguments, lambda figures: None)
        return self.turner.result(Deferred.fromCoroutine(work))  # type: ignore[arg-type]

    def test_report(self) -> None:
        month = month_of(WALL_S)
        figures = {"jobs": 1, "pages": 4, "sheets": 4, "amount_e4": 2_000}
        self.assertEqual(self.ask("report", what="pages"), [{"month": month, **figures}])
        for by, name in (("user", "anna"), ("site", "north"), ("printer", "lp1")):
            found = self.ask("report", what="money", by=by, since=month, until=month)
            self.assertEqual(found, [{by: name, **figures}])
        self.assertEqual(self.ask("report", what="pages", until="2001-01"), [])

    def test_anything_else_is_refused(self) -> None:
        for wrong in (
            *({"what": "paper"}, {"by": "day"}, {"since": "2027"}, {"until": "2027-13"}),
            *({"count": 0}, {"count": 5_001}, {"since": "2027-02", "until": "2027-01"}),
        ):
            with self.assertRaises(InvalidValue, msg=str(wrong)):
                self.ask("report", **{"what": "pages", **wrong})

    def test_told_though_the_disk_is_full(self) -> None:
        self.patch(self.centre.store.monthly, "roll", lambda: fail(StorageFull()))
        self.assertEqual(self.ask("report", what="pages")[0]["pages"], 4)

    def test_rebuild(self) -> None:
        self.centre.query("UPDATE monthly SET pages = 99")
        self.ask("report.rebuild")
        self.ask("report.rebuild")
        self.assertEqual(self.ask("report", what="pages")[0]["pages"], 4)
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])

    def test_the_clock_follows(self) -> None:
        tasks = Tasks()
        clock = Monthly(self.turner.environment(), self.centre.store, tasks)
        clock.start()
        self.turner.settle()
        self.assertTrue(self.turner.result(self.centre.store.monthly.rolled()).is_whole)
        self.turner.result(self.centre.store.adjust("anna", 1, ""))
        self.assertFalse(self.turner.result(self.centre.store.monthly.rolled()).is_whole)
        self.turner.clock.advance(ROLL_INTERVAL_S)
        self.turner.settle()
        self.assertTrue(self.turner.result(self.centre.store.monthly.rolled()).is_whole)
        clock.stop()
        self.assertEqual(self.turner.clock.getDelayedCalls(), [])

    def test_as_a_table_for_spreadsheets(self) -> None:
        rows = [{"user": "=1+1", "jobs": 1, "amount_e4": 12_500}]
        self.assertEqual(as_csv(rows), "user,jobs,amount\n'=1+1,1,1.25")
        self.assertEqual(as_csv([]), "")

    def test_commands(self) -> None:
        for words in ("report pages", "report money --by user --from 2027-01 --to 2027-02 --csv"):
            self.assertIn(parser().parse_args(words.split()).what, words)
        self.assertEqual(parser().parse_args(["report", "rebuild"]).subcommand, "rebuild")
        asked = parser().parse_args(["sample-data", "10", "20", "--years", "3", "--not-empty"])
        self.assertEqual((asked.users, asked.jobs, asked.years), (10, 20, 3))

"""The job log: every job once, in order, on pages of any size; and as a print log."""

from __future__ import annotations

import io
from typing import Any

from papercutd.commands.job_log import HEADING, write_print_log
from papercutd.errors import InvalidValue, NotFound
from papercutd.services.job_log_operations import JobLogOperations
from papercutd.storage.history import job_log
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import WALL_S, Centre, Turner, completion, request


class JobLogContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        for name in ("anna", "ben"):
            self.centre.user(name, 10_000)
        result, store = self.turner.result, self.centre.store
        askers = {name: self.centre.provider(name) for name in ("p1", "p2")}
        for number in range(1, 9):
            self.turner.clock.advance(10.0)
            side = 1 + number % 2
            more = {"provider": f"p{side}", "printer": side, "title": f"=job {number}"}
            user = "anna" if number < 5 else "ben"
            asked = request(number, 50 if number == 8 else number % 3 + 1, user, **more)
            decision = result(store.authorize(askers[f"p{side}"], asked))
            if decision.allowed:
                done = completion(asked, decision, assumed=number == 3, title=f"=job {number}")
                result(store.complete(askers[f"p{side}"], done))
        tracked = completion(request(20, 40, "ben", provider="p1", printer=1), None, 40)
        result(store.complete(askers["p1"], tracked))

    def call(self, **asked: Any) -> Any:
        operation = JobLogOperations(self.centre.store).all()["job-log"]
        return self.turner.run(operation(asked, lambda told: None))

    def numbers(self, **asked: Any) -> list[int]:
        return [int(row["key"][:8], 16) for row in self.call(**asked)["jobs"]]

    def test_each_job_once_on_pages_of_any_size(self) -> None:
        every = self.numbers()
        self.assertEqual(every, [20, 8, 7, 6, 5, 4, 3, 2, 1])
        for size in (1, 2, 4, 9):
            self.patch(job_log.read_jobs, "__defaults__", (size,))
            for oldest_first, wanted in ((False, every), (True, every[::-1])):
                found: list[Any] = []
                more: dict[str, Any] = {}
                while True:
                    page = self.call(oldest_first=oldest_first, **more)
                    found += page["jobs"]
                    if page["next"] is None:
                        break
                    more = {"after": page["next"]}
                self.assertEqual([int(row["key"][:8], 16) for row in found], wanted)

    def test_filters(self) -> None:
        self.assertEqual(self.numbers(user="anna"), [4, 3, 2, 1])
        self.assertEqual(self.numbers(printer="lp1", user="anna"), [4, 2])
        self.assertEqual(self.numbers(site="south", user="anna"), [3, 1])
        self.assertEqual(self.numbers(assumed=True), [3])
        self.assertEqual(self.numbers(forced=True), [20])
        self.assertEqual(self.numbers(refused=True), [8])
        self.assertEqual(len(self.numbers(decider="application")), 8)
        between = {"since": str(WALL_S + 20.0), "until": str(WALL_S + 40.0)}
        self.assertEqual(self.numbers(**between), [3, 2])
        self.assertEqual(self.numbers(since="2100-01-01"), [])

    def test_bad_input(self) -> None:
        for asked in ({"user": "x"}, {"printer": "x"}, {"site": "x"}, {"account": "x"}):
            with self.assertRaises(NotFound):
                self.call(**asked)
        for asked in ({"after": "x"}, {"after": "1\0"}, {"since": "soon"}, {"forced": 1}):
            with self.assertRaises(InvalidValue):
                self.call(**asked)

    def test_print_log(self) -> None:
        out = io.StringIO()
        jobs = self.call(oldest_first=True, charged=True)["jobs"]
        self.assertEqual(write_print_log(out, iter(jobs)), 8)
        lines = out.getvalue().splitlines()
        self.assertEqual(lines[0], HEADING)
        self.assertTrue(lines[1].startswith("Time,User,Pages,Copies,Printer,Document Name,Client"))
        self.assertIn(",anna,2,1,lp2,'=job 1,,A4,,,,NOT DUPLEX,GRAYSCALE,", lines[2])


on_every_engine(globals())

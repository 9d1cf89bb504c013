"""Quotas as administrators give them, and the clock that runs them."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.main import parser
from papercutd.domain.schedule import Rule
from papercutd.errors import AlreadyExists, InvalidValue, NotFound, StorageFull
from papercutd.services.quota_operations import QuotaOperations, parse_rule
from papercutd.services.quotas import LOOK_INTERVAL_S, Quotas
from papercutd.services.tasks import Tasks
from tests.support.quotas import DAY_S, PLAIN, QuotaWorld


class RuleTests(SynchronousTestCase):
    def test_as_people_say_it(self) -> None:
        for words, rule in (
            (("daily", "", "00:00"), Rule("daily", 0, 0)),
            (("daily", "", "6:30"), Rule("daily", 0, 390)),
            (("weekly", "", "00:00"), Rule("weekly", 1, 0)),
            (("weekly", "Friday", "23:59"), Rule("weekly", 5, 1_439)),
            (("monthly", "", "00:00"), Rule("monthly", 1, 0)),
            (("monthly", "31", "12:00"), Rule("monthly", 31, 720)),
        ):
            self.assertEqual(parse_rule(*words), rule)

    def test_anything_else_is_refused(self) -> None:
        for words in (
            ("yearly", "", "00:00"),
            ("daily", "monday", "00:00"),
            ("weekly", "1", "00:00"),
            ("weekly", "someday", "00:00"),
            ("monthly", "friday", "00:00"),
            ("monthly", "0", "00:00"),
            ("monthly", "32", "00:00"),
            ("monthly", "-1", "00:00"),
            ("daily", "", "24:00"),
            ("daily", "", "12:60"),
            ("daily", "", "noon"),
            ("daily", "", "1:2:3"),
        ):
            self.assertRaises(InvalidValue, parse_rule, *words)


class OperationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = QuotaWorld()
        self.all = QuotaOperations(self.world.centre.store).all()

    def call(self, operation: str, **arguments: object):
        work = self.all[f"quota.{operation}"](arguments, lambda figures: None)
        return self.world.turner.result(Deferred.fromCoroutine(work))

    def test_from_its_making_to_its_end(self) -> None:
        made = self.call("add", name="students", amount="5.00", period="daily", cap="1.20")
        self.assertEqual(made["when"], "daily at 00:00 UTC")
        self.assertEqual((made["next_run"], made["last_run"]), ("2027-01-16 00:00 UTC", None))
        self.assertEqual([row["name"] for row in self.call("list")], ["students"])
        self.assertEqual(self.call("run"), {"runs": [], "skipped": [], "waiting": []})
        self.world.advance(2)
        (first, second) = self.call("run", name="students")["runs"]
        self.assertEqual((first["period"], first["users"]), ("2027-01-16", 3))
        self.assertEqual((first["credited_e4"], first["withheld_e4"]), (6_000, 144_000))
        self.assertEqual(second["credited_e4"], 0)
        shown = self.call("show", name="students")
        self.assertEqual(len(shown["runs"]), 2)
        self.assertEqual(shown["last_run"], "2027-01-17 00:00 UTC")
        self.call("remove", name="students")
        self.assertEqual(self.call("list"), [])

    def test_custom_and_of_an_account(self) -> None:
        store = self.world.centre.store
        self.world.turner.result(store.shared.add("School", 0, {"restricted": True}))
        made = self.call(
            "add",
            name="term",
            amount="5.00",
            period="custom",
            days=10,
            first="2027-01-20",
            time="06:30",
            account="school",
        )
        self.assertEqual(made["when"], "custom, every 10 days at 06:30 UTC")
        self.assertEqual(made["whom"], "account School")
        self.assertEqual(made["next_run"], "2027-01-20 06:30 UTC")
        changed = self.call("set", name="term", amount="6.00", cap="20.00")
        self.assertEqual((changed["amount_e4"], changed["cap_e4"]), (60_000, 200_000))
        self.assertIsNone(self.call("set", name="term", cap="none")["cap_e4"])
        given = {"name": "x", "amount": "5.00", "period": "custom"}
        for bad in (
            {},
            {"days": 0},
            {"days": "3"},
            {"days": 3, "first": "soon"},
            {"days": 3, "day": "monday"},
            {"days": 3, "period": "daily"},
            {"days": 3, "amount": "5,00"},
            {"days": 3, "cap": "1e3"},
        ):
            self.assertRaises(InvalidValue, self.call, "add", **given | bad)
        self.assertRaises(NotFound, self.call, "add", **given | {"days": 3, "account": "none"})
        self.assertRaises(InvalidValue, self.call, "set", name="term")

    def test_long_overdue(self) -> None:
        for missed, runs, skipped in (("skip", 0, ["a"]), ("make-up", 50, [])):
            self.call("add", name="a", amount="5.00", period="daily")
            self.world.advance(50)
            found = self.call("run")
            self.assertEqual((found["runs"], found["waiting"]), ([], ["a"]))
            found = self.call("run", missed=missed)
            self.assertEqual((len(found["runs"]), found["skipped"]), (runs, skipped))
            self.assertEqual(found["waiting"], [])
            self.call("remove", name="a")

    def test_refusals(self) -> None:
        good = {"name": "a", "amount": "5.00", "period": "daily"}
        self.call("add", **good)
        for error, name, given in (
            (AlreadyExists, "add", good),
            (InvalidValue, "add", {**good, "amount": "5,00"}),
            (InvalidValue, "add", {**good, "amount": "-5.00"}),
            (InvalidValue, "add", {**good, "name": "b", "cap": "1e9"}),
            (InvalidValue, "add", {**good, "period": "hourly"}),
            (InvalidValue, "add", {**good, "group": "students"}),
            (InvalidValue, "add", {"name": "b"}),
            (InvalidValue, "run", {"missed": "both"}),
            (NotFound, "run", {"name": "b"}),
            (NotFound, "run", {"name": "b", "missed": "skip"}),
            (NotFound, "show", {"name": "b"}),
            (NotFound, "remove", {"name": "b"}),
        ):
            with self.assertRaises(error):
                self.call(name, **given)

    def test_at_the_command_line(self) -> None:
        words = "quota add students 5.00 --every weekly --day friday --time 06:00 --cap 20".split()
        found = vars(parser().parse_args(words))
        self.assertEqual(
            [found[name] for name in ("name", "amount", "period", "day", "time", "cap")],
            ["students", "5.00", "weekly", "friday", "06:00", "20"],
        )
        self.assertIsNone(parser().parse_args(["quota", "run"]).name)


class ClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = QuotaWorld()
        turner = self.turner = self.world.turner
        store = self.store = self.world.centre.store
        turner.result(store.add_quota(PLAIN))
        self.tasks = Tasks()
        self.quotas = Quotas(turner.environment(), store, self.tasks)
        self.quotas.start()

    def tearDown(self) -> None:
        self.quotas.stop()
        self.turner.result(Deferred.fromCoroutine(self.tasks.stop()))

    def minutes(self, count: int) -> None:
        for _ in range(count):
            self.turner.clock.advance(LOOK_INTERVAL_S)
            self.turner.settle()

    def test_within_a_minute(self) -> None:
        before = self.world.balance("anna")
        self.turner.clock.advance(DAY_S / 6)
        self.minutes(1)
        self.assertEqual(self.world.balance("anna"), before + 2_000)
        self.minutes(5)
        self.assertEqual(self.world.balance("anna"), before + 2_000)

    def test_a_full_disk_is_tried_again(self) -> None:
        run, self.store.run_quota = self.store.run_quota, lambda *given: fail(StorageFull())
        self.turner.clock.advance(DAY_S / 6)
        before = self.world.balance("anna")
        self.minutes(2)
        self.store.run_quota = run
        self.minutes(1)
        self.assertEqual(self.world.balance("anna"), before + 2_000)

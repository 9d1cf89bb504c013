"""Quota runs at the application server: once each, whatever comes in between (design 4.11)."""

from __future__ import annotations

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papercutd.domain.schedule import Rule
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.money import schedules
from papercutd.storage.money.schedules import Schedule
from tests.support.engines import Engine, on_every_engine
from tests.support.quotas import DAILY, DAY_S, OPENING_E4, PLAIN, WEEKLY, QuotaWorld, total_e4
from tests.support.stores import completion

YEAR_S = 365.25 * DAY_S


class Quotas:
    engine: Engine

    def setUp(self) -> None:
        self.patch(schedules, "PIECE_ACCOUNTS", 2)

    def world(self, *given: Schedule) -> QuotaWorld:
        world = self.made = QuotaWorld(*given, engine=self.engine)
        self.result = world.turner.result
        return world

    def tearDown(self) -> None:
        self.assertEqual(self.result(self.made.centre.store.verify()), [])
        self.assertEqual(total_e4(self.made.centre), 0)


class RunContract(Quotas):
    def test_every_restricted_purse_once(self) -> None:
        world = self.world(PLAIN)
        self.assertEqual(world.run(), 0)
        world.advance(1)
        # Three purses are two pieces.
        self.assertEqual(world.run(), 2)
        self.assertEqual(world.run(), 0)
        for name, balance_e4 in (("anna", 12_000), ("cleo", 12_000), ("staff", OPENING_E4)):
            self.assertEqual(world.balance(name), balance_e4)
        shown = self.result(world.centre.store.quota("plain"))
        (run,) = shown["runs"]
        self.assertEqual((run["period"], run["users"]), ("2027-01-15", 3))
        self.assertEqual((run["credited_e4"], run["withheld_e4"]), (6_000, 0))

    def test_missed_runs_are_made_up_for_one_by_one(self) -> None:
        world = self.world(PLAIN, DAILY)
        world.advance(5)
        world.run()
        periods = world.centre.query("SELECT schedule, period FROM quota_run ORDER BY due_at")
        self.assertEqual(len(periods), 10)
        # Daily has its cap applied each time: 10 and 2 of plain, then no room.
        self.assertEqual(world.balance("anna"), world.expected("anna"))

    def test_overdue_for_more_than_35_days_waits_for_a_word(self) -> None:
        for make_up, balance_e4 in ((True, OPENING_E4 + 40 * 2_000), (False, OPENING_E4)):
            world = self.world(PLAIN)
            store = world.centre.store
            world.advance(40)
            self.assertEqual(world.run(), 0)
            self.assertEqual(self.result(store.quotas_waiting()), ["plain"])
            if make_up:
                self.assertEqual(world.run(make_up=True), 40 * 2)
            else:
                next_at = self.result(store.skip_quota("plain"))
                self.assertEqual(next_at, PLAIN.rule.next_due(world.turner.now_s))
            self.assertEqual(world.balance("anna"), balance_e4)
            self.assertEqual(self.result(store.quotas_waiting()), [])
            world.advance(1)
            world.run()
            self.assertEqual(world.balance("anna"), balance_e4 + 2_000)

    def test_a_run_under_way_goes_on_whatever_the_clock_says(self) -> None:
        for offset_s in (-3_600.0, -57 * YEAR_S, 72 * YEAR_S, 40 * DAY_S):
            world = self.world(PLAIN)
            world.advance(0.2)
            self.assertEqual(world.run(1), 1)
            world.turner.offset_s = offset_s
            self.assertEqual(world.run(), 1)
            self.assertEqual(world.balance("cleo"), OPENING_E4 + 2_000)
            world.turner.offset_s = 0.0
            self.assertEqual(world.run(), 0)

    def test_a_clock_of_1970_or_2099_runs_nothing(self) -> None:
        world = self.world(PLAIN)
        for offset_s in (-57 * YEAR_S, 72 * YEAR_S):
            world.turner.offset_s = offset_s
            self.assertEqual(world.run(), 0)

    def test_an_hour_back_repeats_nothing(self) -> None:
        world = self.world(PLAIN)
        world.advance(0.2)
        world.run()
        world.turner.offset_s = -3_600.0
        world.run()
        world.advance(0.1)
        world.run()
        self.assertEqual(world.balance("anna"), OPENING_E4 + 2_000)

    def test_the_period_is_unique_to_the_database_itself(self) -> None:
        world = self.world(PLAIN)
        world.advance(0.2)
        world.run()
        back = "UPDATE schedule SET next_at = next_at - 86400"
        world.centre.query(back)
        with self.assertRaises(world.centre.refused):
            world.run()
        self.assertEqual(world.balance("anna"), OPENING_E4 + 2_000)

    def test_who_comes_during_a_run_has_the_next(self) -> None:
        world = self.world(PLAIN)
        world.advance(0.2)
        world.run(1)
        world.centre.user("dora", 0)
        world.run()
        self.assertEqual(world.balance("dora"), 0)
        world.advance(1)
        world.run()
        self.assertEqual(world.balance("dora"), 2_000)

    def test_closed_and_merged_purses_have_none(self) -> None:
        world = self.world(PLAIN)
        store = world.centre.store
        self.result(store.merge_users("ben", "anna"))
        self.result(store.delete_user("cleo"))
        world.advance(0.2)
        world.run()
        self.assertEqual(world.balance("anna"), 2 * OPENING_E4 + 2_000)
        self.assertEqual(world.balance("cleo"), OPENING_E4)

    def test_escrow_is_part_of_a_purse(self) -> None:
        world = self.world(DAILY)
        ((user,),) = world.centre.query("SELECT id FROM user WHERE name = 'anna'")
        query = world.centre.query
        query(
            "INSERT INTO account (id, kind, name, user, stream) VALUES (99, 'escrow', 'e', ?, 's')",
            user,
        )
        ((escrow,),) = query("SELECT id FROM account WHERE name = 'e'")
        accounts = world.centre.store.accounts
        entry = world.centre.store.admin_entry("grant")
        self.result(
            world.centre.store.write(
                lambda c: accounts.transfer(c, world.account("anna"), escrow, 8_000, entry)
            )
        )
        world.advance(1)
        world.run()
        self.assertEqual(world.balance("anna"), 4_000)

    def test_a_removed_quota_has_no_more_runs(self) -> None:
        world = self.world(PLAIN)
        store = world.centre.store
        world.advance(0.2)
        world.run(1)
        for refused in (store.remove_quota, store.skip_quota):
            with self.assertRaises(InvalidValue):
                self.result(refused("plain"))
        world.run()
        self.result(store.remove_quota("plain"))
        world.advance(3)
        self.assertEqual(world.run(), 0)
        self.assertEqual(self.result(store.quotas()), [])
        # The name may be used again, and is another quota.
        self.result(store.add_quota(PLAIN))
        world.advance(1)
        world.run()
        self.assertEqual(world.balance("anna"), OPENING_E4 + 4_000)

    def test_refusals(self) -> None:
        world = self.world(PLAIN)
        store = world.centre.store
        for error, changed in (
            (AlreadyExists, {}),
            (InvalidValue, {"name": ""}),
            (InvalidValue, {"name": "a\nb"}),
            (InvalidValue, {"amount_e4": 0}),
            (InvalidValue, {"amount_e4": -1}),
            (InvalidValue, {"amount_e4": 10**9 + 1}),
            (InvalidValue, {"name": "x", "cap_e4": 0}),
            (InvalidValue, {"name": "x", "whom": "everybody"}),
            (InvalidValue, {"name": "x", "rule": Rule("hourly")}),
        ):
            with self.assertRaises(error):
                self.result(store.add_quota(attrs.evolve(PLAIN, **changed)))
        for call in (store.remove_quota, store.quota, store.run_quota, store.skip_quota):
            with self.assertRaises(NotFound):
                self.result(call("nobody's"))

    def test_there_are_at_most_a_hundred(self) -> None:
        self.patch(schedules, "SCHEDULES_MAX", 1)
        world = self.world(PLAIN)
        with self.assertRaises(InvalidValue):
            self.result(world.centre.store.add_quota(WEEKLY))


class WithheldContract(Quotas):
    def run_with_a_charge_open(self, schedule: Schedule, pages: int) -> QuotaWorld:
        world = self.world(schedule)
        world.ask("anna", pages, at_site=False)
        world.advance(1)
        world.run()
        return world

    def test_a_charge_of_before_has_it_back_up_to_its_amount(self) -> None:
        for pages, balance_e4 in ((4, 12_000), (10, 10_000)):
            world = self.run_with_a_charge_open(DAILY, pages)
            self.assertEqual(world.balance("anna"), 12_000)
            world.complete()
            # 3000 was withheld: of 2000 charged all comes back, of 5000 those 3000.
            self.assertEqual(world.balance("anna"), balance_e4)
            (run,) = self.result(world.centre.store.quota("daily"))["runs"]
            self.assertEqual(run["withheld_e4"], 9_000)
            self.assertEqual(run["given_back_e4"], min(500 * pages, 3_000))

    def test_once_for_each_charge(self) -> None:
        world = self.run_with_a_charge_open(DAILY, 4)
        charge = world.open[0]
        world.complete()
        again = completion(charge.asked, charge.decision)
        receipt = self.result(world.centre.store.complete(world.asker, again))
        self.assertEqual(receipt.state, "already")
        self.assertEqual(world.balance("anna"), 12_000)

    def test_a_charge_of_after_has_nothing_back(self) -> None:
        world = self.world(DAILY)
        world.advance(1)
        world.run()
        world.ask("anna", 4, at_site=False)
        world.complete()
        self.assertEqual(world.balance("anna"), 10_000)

    def test_a_charge_that_comes_in_before_its_run(self) -> None:
        """Decided at a site after the run that we are late with: to the cap it comes after it,
        whatever our clock says when it comes in."""
        for offset_s in (0.0, -57 * YEAR_S):
            world = self.world(DAILY)
            world.advance(1)
            world.ask("anna", 4, at_site=True)
            world.complete()
            world.turner.offset_s = offset_s
            world.branch.forward(world.centre, world.site)
            world.turner.offset_s = 0.0
            self.assertEqual(world.balance("anna"), 8_000)
            world.run()
            self.assertEqual(world.balance("anna"), 10_000)

    def test_what_stood_above_the_cap_is_spent_first(self) -> None:
        """15 at a cap of 12: without the charge of 2 it had been 13, and no more room."""
        world = self.world(DAILY)
        self.result(world.centre.store.adjust("anna", 5_000, "top-up"))
        world.ask("anna", 4, at_site=False)
        world.ask("anna", 4, at_site=False)
        world.advance(1)
        world.run()
        world.complete()
        self.assertEqual(world.balance("anna"), 13_000)
        world.complete()
        self.assertEqual(world.balance("anna"), 12_000)

    def test_a_release_without_the_field_has_nothing_back(self) -> None:
        world = self.world(DAILY)
        decision = world.ask("anna", 4, at_site=True)
        world.open[0] = attrs.evolve(world.open[0], decision=attrs.evolve(decision, promise=""))
        ((body,),) = world.branch.query("SELECT body FROM decision")
        world.branch.query("UPDATE decision SET body = ?", body.replace(b"promise", b"x"))
        world.advance(1)
        world.run()
        world.complete()
        world.branch.forward(world.centre, world.site)
        self.assertEqual(world.balance("anna"), 10_000)

    def test_kept_for_35_days(self) -> None:
        world = self.world(DAILY)
        world.advance(1)
        world.run()
        for _ in range(36):
            world.advance(1)
            world.run()
        ((oldest, count),) = world.centre.query(
            "SELECT MIN(due_at), COUNT(*) FROM withheld WHERE account = ?", world.account()
        )
        self.assertEqual(count, 36)
        self.assertGreater(oldest, world.began_s)


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.floats(0.01, 1.5)),
        st.tuples(st.just("step"), st.sampled_from((0.0, -3_600.0, -57 * YEAR_S, 72 * YEAR_S))),
        st.tuples(st.just("run"), st.integers(1, 4)),
        st.tuples(
            st.just("ask"), st.sampled_from(("anna", "ben")), st.integers(1, 30), st.booleans()
        ),
        st.tuples(st.just("complete"), st.integers(0, 5)),
        st.tuples(st.just("forward")),
        st.tuples(st.just("follow")),
    ),
    max_size=22,
)


class AnyOrderContract(Quotas):
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(OPS)
    def test_purses_come_out_the_same(self, ops) -> None:
        """Runs, charges of before and after, stepped clocks and replication in any order."""
        if not self.engine.another():
            return
        world = self.world(DAILY, WEEKLY, PLAIN)
        for name in ("anna", "ben"):
            self.result(world.centre.store.adjust(name, 4_000, "top-up"))
        for what, *with_what in ops:
            if what == "advance":
                world.advance(*with_what)
            elif what == "step":
                (world.turner.offset_s,) = with_what
            elif what == "run":
                world.run(*with_what)
            elif what == "ask":
                world.ask(*with_what)
            elif what == "complete" and world.open:
                world.complete(*with_what)
            elif what == "forward":
                world.branch.forward(world.centre, world.site)
            elif what == "follow":
                world.branch.follow(world.centre)
            self.assertEqual(total_e4(world.centre), 0)
        world.heal()
        for name in ("anna", "ben", "cleo"):
            topped_e4 = 0 if name == "cleo" else 4_000
            self.assertEqual(world.balance(name), world.expected(name, topped_e4))
        self.assertEqual(world.balance("staff"), OPENING_E4)
        runs = world.centre.query("SELECT due_at, schedule FROM quota_run ORDER BY 1, 2")
        self.assertEqual(runs, [(due.at_s, due.schedule) for due, _ in world.due()])
        keys = world.centre.query("SELECT key FROM transfer WHERE key LIKE 'quota/%'")
        self.assertEqual(len(keys), len(set(keys)))
        left = "SELECT COUNT(*) FROM quota_run WHERE given_back_e4 > withheld_e4"
        self.assertEqual(world.centre.query(left), [(0,)])
        self.assertEqual(self.result(world.centre.store.verify()), [])


on_every_engine(globals())

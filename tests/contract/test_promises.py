"""Coming quota runs at a site: counted once while cut, and never beside the run (4.11)."""

from __future__ import annotations

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papercutd.domain.decision import Reason
from papercutd.storage.money import schedules
from papercutd.storage.money.schedules import Schedule
from tests.support.engines import Engine, on_every_engine
from tests.support.quotas import DAILY, OPENING_E4, PLAIN, WEEKLY, QuotaWorld
from tests.support.stores import request


class Promises:
    engine: Engine

    def setUp(self) -> None:
        self.patch(schedules, "PIECE_ACCOUNTS", 2)

    def world(self, *given: Schedule) -> QuotaWorld:
        world = QuotaWorld(*given, engine=self.engine)
        self.result = world.turner.result
        return world

    def purse(self, world: QuotaWorld, name: str = "anna"):
        return self.result(world.branch.store.purse(world.account(name)))

    def known(self, world: QuotaWorld, name: str) -> int:
        """Balance and promise as the site shows them, less what is open here."""
        purse = self.purse(world, name)
        overlay = self.result(world.branch.store.overlay(world.account(name)))
        return purse.balance_e4 + purse.promised_e4 - overlay.funds.pending_e4


class DueContract(Promises):
    def poor(self, policy: str) -> QuotaWorld:
        """Somebody with 0, who may not overdraw, at a site of that policy."""
        world = self.world(PLAIN)
        world.centre.user("dora", 0)
        self.result(world.centre.store.set_site("north", {"policy": policy}))
        world.branch.follow(world.centre)
        return world

    def asks(self, world: QuotaWorld, number: int, pages: int):
        asked = request(number, pages, "dora")
        return self.result(world.branch.store.decide(world.site_asker, asked))

    def test_a_cut_capped_site_counts_it_from_its_moment_on(self) -> None:
        world = self.poor("capped")
        self.assertEqual(self.asks(world, 1, 4).reason, Reason.FUNDS)
        world.advance(0.2)
        purse = self.purse(world, "dora")
        self.assertEqual((purse.balance_e4, purse.promised_e4, purse.cut_e4), (0, 2_000, 2_000))
        self.assertTrue(self.asks(world, 2, 4).allowed)
        self.assertEqual(self.asks(world, 3, 1).reason, Reason.FUNDS)
        world.advance(1)
        self.assertTrue(self.asks(world, 4, 4).allowed)

    def test_it_is_bounded_by_the_cap_all_the_same(self) -> None:
        world = self.poor("capped")
        self.result(world.centre.store.set_site("north", {"cap_user_e4": 1_500}))
        world.branch.follow(world.centre)
        world.advance(30)
        self.assertEqual(self.purse(world, "dora").cut_e4, 1_500)
        self.assertFalse(self.asks(world, 1, 4).allowed)
        self.assertTrue(self.asks(world, 2, 3).allowed)

    def test_strict_and_closed_do_not_count_it(self) -> None:
        for policy in ("strict", "closed"):
            world = self.poor(policy)
            world.advance(0.2)
            purse = self.purse(world, "dora")
            self.assertEqual((purse.promised_e4, purse.cut_e4), (2_000, 0))
            self.assertFalse(self.asks(world, 1, 4).allowed)

    def test_the_staleness_clock_makes_it_due_and_no_other(self) -> None:
        world = self.poor("capped")
        world.branch.store.go_by(lambda: world.began_s)
        for offset_s in (0.0, 72 * 365 * 86_400.0, -57 * 365 * 86_400.0):
            world.turner.offset_s = offset_s
            world.advance(1)
            self.assertEqual(self.purse(world, "dora").promised_e4, 0)

    def test_never_both_and_never_neither(self) -> None:
        """At each change of a run in pieces, for who has had it and who has not."""
        world = self.world(PLAIN)
        world.advance(0.2)
        for _ in range(3):
            for name in ("anna", "ben", "cleo"):
                purse = self.purse(world, name)
                self.assertEqual(purse.balance_e4 + purse.promised_e4, OPENING_E4 + 2_000)
            world.run(1)
            world.branch.follow(world.centre)
        self.assertEqual(self.purse(world).promised_e4, 0)
        self.assertEqual(self.purse(world).balance_e4, OPENING_E4 + 2_000)

    def test_a_snapshot_in_the_midst_of_a_run(self) -> None:
        world = self.world(PLAIN)
        world.advance(0.2)
        world.run(1)
        world.branch.load_snapshot(world.centre)
        found = [self.purse(world, name).promised_e4 for name in ("anna", "ben", "cleo")]
        self.assertEqual(found, [0, 0, 2_000])

    def test_who_has_no_run_has_no_promise(self) -> None:
        world = self.world(PLAIN)
        self.result(world.centre.store.delete_user("cleo"))
        world.branch.follow(world.centre)
        world.advance(0.2)
        for name in ("staff", "cleo"):
            self.assertEqual(self.purse(world, name).promised_e4, 0)

    def test_a_quota_that_is_removed_is_promised_no_more(self) -> None:
        world = self.world(PLAIN)
        world.advance(0.2)
        self.result(world.centre.store.remove_quota("plain"))
        world.branch.follow(world.centre)
        self.assertEqual(self.purse(world).promised_e4, 0)

    def test_a_rule_of_a_newer_release_is_not_promised(self) -> None:
        for column, value in (("period", "hourly"), ("whom", "group:7")):
            world = self.world(PLAIN)
            world.branch.query(f"UPDATE replica.schedule SET {column} = ?", value)
            world.advance(1)
            self.assertEqual(self.purse(world).promised_e4, 0)

    def test_the_replica_of_an_older_application_server_promises_nothing(self) -> None:
        world = self.world(PLAIN)
        world.branch.query("DELETE FROM replica.schedule")
        world.advance(1)
        decision = world.turner.result(
            world.branch.store.decide(world.site_asker, request(1, 1, "anna"))
        )
        self.assertEqual((decision.promise, self.purse(world).promised_e4), ("0.0", 0))

    def test_so_many_are_counted_ahead(self) -> None:
        world = self.world(PLAIN)
        world.advance(1_000)
        self.assertEqual(self.purse(world).promised_e4, 100 * 2_000)

    def test_cut_over_a_run_and_healed(self) -> None:
        """F53: due while cut, spent before and after; then everything comes together once."""
        world = self.world(DAILY)
        world.ask("anna", 4, at_site=True)
        world.advance(0.9)
        # 10 less 2 of before: 4 to the cap of 12.
        self.assertEqual(self.purse(world).promised_e4, 4_000)
        world.ask("anna", 10, at_site=True)
        world.complete()
        self.assertEqual(self.known(world, "anna"), 10_000 - 2_000 + 4_000 - 5_000)
        world.run()
        self.assertEqual(world.balance("anna"), 12_000)
        world.branch.follow(world.centre)
        world.heal()
        self.assertEqual(world.balance("anna"), 7_000)
        self.assertEqual(self.purse(world).balance_e4, 7_000)
        self.assertEqual(self.purse(world).promised_e4, 0)
        self.assertEqual(self.result(world.centre.store.verify()), [])


CUTS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.floats(0.01, 2.5)),
        st.tuples(st.just("ask"), st.sampled_from(("anna", "ben")), st.integers(1, 30)),
        st.tuples(st.just("complete"), st.integers(0, 5)),
    ),
    max_size=25,
)


class CutContract(Promises):
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(CUTS)
    def test_a_cut_site_knows_what_it_will_be(self, ops) -> None:
        """While only this site spends, it shows to the last unit what the heal will give."""
        if not self.engine.another():
            return
        world = self.world(DAILY, attrs.evolve(WEEKLY, cap_e4=20_000), PLAIN)
        for what, *with_what in ops:
            if what == "advance":
                world.advance(*with_what)
            elif what == "ask":
                world.ask(*with_what, at_site=True)
            elif world.open:
                world.complete(*with_what)
            for name in ("anna", "ben"):
                self.assertEqual(self.known(world, name), world.expected(name))
        world.heal()
        for name in ("anna", "ben"):
            purse = self.purse(world, name)
            self.assertEqual(purse.balance_e4, world.expected(name))
            self.assertEqual(purse.promised_e4, 0)


on_every_engine(globals())

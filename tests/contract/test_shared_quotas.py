"""Quotas of shared accounts, and quotas that are changed, at both servers (design 4.11)."""

from __future__ import annotations

import attrs

from papercutd.domain.schedule import Rule
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.money import schedules
from papercutd.storage.money.schedules import Schedule, of_account
from tests.support.engines import Engine, on_every_engine
from tests.support.quotas import PLAIN, QuotaWorld, total_e4
from tests.support.stores import completion, request

CAPPED = Schedule("school", 5_000, Rule("daily"), cap_e4=12_000)


class SharedContract:
    engine: Engine

    def setUp(self) -> None:
        self.patch(schedules, "PIECE_ACCOUNTS", 2)
        world = self.world = QuotaWorld(PLAIN, engine=self.engine)
        self.store, self.result = world.centre.store, world.turner.result
        self.account = self.result(self.store.shared.add("School", 10_000, {"restricted": True}))
        self.other = self.result(self.store.shared.add("Library", 10_000, {"restricted": True}))

    def tearDown(self) -> None:
        self.assertEqual(self.result(self.store.verify()), [])
        self.assertEqual(total_e4(self.world.centre), 0)

    def quota(self, schedule: Schedule = CAPPED) -> None:
        whom = of_account(self.account)
        self.result(self.store.add_quota(attrs.evolve(schedule, whom=whom)))
        self.world.branch.follow(self.world.centre)

    def test_it_alone_once_and_to_its_cap(self) -> None:
        self.quota()
        self.world.advance(1)
        # Three purses in two pieces, and the account in one.
        self.assertEqual(self.world.run(), 3)
        self.assertEqual(self.world.run(), 0)
        for name, balance_e4 in (("School", 12_000), ("Library", 10_000), ("anna", 12_000)):
            self.assertEqual(self.world.balance(name), balance_e4)
        shown = self.result(self.store.quota("school"))
        (run,) = shown["runs"]
        self.assertEqual(shown["account"], "School")
        self.assertEqual((run["users"], run["credited_e4"], run["withheld_e4"]), (1, 2_000, 3_000))

    def test_missed_runs(self) -> None:
        self.quota(attrs.evolve(CAPPED, cap_e4=None))
        self.world.advance(5)
        self.world.run()
        self.assertEqual(self.world.balance("School"), 10_000 + 5 * 5_000)

    def test_a_closed_account_has_none(self) -> None:
        self.quota()
        close = "UPDATE account SET closed = 1 WHERE id = ?"
        self.result(self.store.write(lambda c: c.execute(close, (self.account,)) and None))
        self.world.advance(1)
        self.world.run()
        self.assertEqual(self.result(self.store.quota("school"))["runs"][0]["users"], 0)
        self.assertEqual(self.world.balance("School"), 10_000)

    def test_only_an_open_shared_account(self) -> None:
        personal = self.world.account("anna")
        for account in (personal, 1, 999):
            with self.assertRaises(NotFound):
                schedule = attrs.evolve(CAPPED, whom=of_account(account))
                self.result(self.store.add_quota(schedule))
        for whom in ("account:", "account:x", "everybody"):
            with self.assertRaises(InvalidValue):
                self.result(self.store.add_quota(attrs.evolve(CAPPED, whom=whom)))

    def test_a_cut_site_is_promised_it(self) -> None:
        self.quota()
        self.world.advance(1)
        for account, promised_e4 in ((self.account, 2_000), (self.other, 0)):
            purse = self.result(self.world.branch.store.purse(account))
            self.assertEqual(purse.promised_e4, promised_e4)
        anna = self.result(self.world.branch.store.purse(self.world.account("anna")))
        self.assertEqual(anna.promised_e4, 2_000)
        asked = request(900, 23, "anna", account=self.account)
        decision = self.result(self.world.branch.store.decide(self.world.site_asker, asked))
        self.assertTrue(decision.allowed)
        self.assertEqual(decision.account, self.account)
        done = completion(asked, decision)
        self.result(self.world.branch.store.complete(self.world.site_asker, done))
        # 10000 and 2000 of the run, less 11500: whichever of both is posted first.
        self.world.heal()
        self.assertEqual(self.world.balance("School"), 500)
        self.assertEqual(self.result(self.world.branch.store.purse(self.account)).promised_e4, 0)

    def test_decided_before_the_run_and_posted_after_it(self) -> None:
        self.quota()
        asked = request(901, 10, "anna", account=self.account)
        decision = self.result(self.world.branch.store.decide(self.world.site_asker, asked))
        done = completion(asked, decision)
        self.result(self.world.branch.store.complete(self.world.site_asker, done))
        self.world.advance(1)
        self.world.run()
        self.assertEqual(self.world.balance("School"), 12_000)
        self.world.heal()
        # 10000 less 5000, and then all of the run.
        self.assertEqual(self.world.balance("School"), 10_000)


class ChangeContract:
    engine: Engine

    def test_while_it_runs_and_after(self) -> None:
        self.patch(schedules, "PIECE_ACCOUNTS", 2)
        world = QuotaWorld(PLAIN, engine=self.engine)
        store, result = world.centre.store, world.turner.result
        world.advance(1)
        result(store.run_quota())
        for change in (
            lambda: store.change_quota("plain", 9_000, None),
            lambda: store.change_quota("plain", None, "none"),
            lambda: store.remove_quota("plain"),
            lambda: store.skip_quota("plain"),
        ):
            with self.assertRaises(InvalidValue) as raised:
                result(change())
            self.assertIn("run under way", str(raised.exception))
        world.run()
        for name in ("anna", "ben", "cleo"):
            self.assertEqual(world.balance(name), 12_000)
        result(store.change_quota("plain", 9_000, 15_000))
        with self.assertRaises(InvalidValue):
            result(store.change_quota("plain", 0, None))
        with self.assertRaises(NotFound):
            result(store.change_quota("none", 1, None))
        world.advance(1)
        world.run()
        self.assertEqual(world.balance("anna"), 15_000)
        shown = result(store.quota("plain"))
        self.assertEqual((shown["amount_e4"], shown["cap_e4"]), (9_000, 15_000))
        result(store.change_quota("plain", None, "none"))
        self.assertIsNone(result(store.quota("plain"))["cap_e4"])
        self.assertEqual(result(store.verify()), [])


on_every_engine(globals())

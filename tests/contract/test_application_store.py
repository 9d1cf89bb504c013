"""The application server's decisions and charges: design 4.1 to 4.4 and 4.8."""

from __future__ import annotations

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papercutd.domain.chain import Mark
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.document import Document
from papercutd.domain.pricing import PagePrice
from papercutd.errors import AlreadyExists, InvalidValue, NotFound, Rejected
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import PRICES, Branch, Centre, Turner, completion, job_id, request


class Store:
    """Every class below runs on every engine."""

    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.centre.user()
        self.asker = self.centre.provider()

    def authorize(self, asked, asker=None):
        return self.turner.result(self.centre.store.authorize(asker or self.asker, asked))

    def complete(self, done, asker=None):
        return self.turner.result(self.centre.store.complete(asker or self.asker, done))

    def cancel(self, asked, asker=None):
        return self.turner.result(
            self.centre.store.cancel(asker or self.asker, asked.key, "canceled")
        )

    def refuse(self, code, function, *args):
        with self.assertRaises(Rejected) as caught:
            function(*args)
        self.assertEqual(caught.exception.code, code)

    def tearDown(self) -> None:
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])


class AuthorizeContract(Store):
    def test_allowed_reserves(self) -> None:
        decision = self.authorize(request(1, 10))
        self.assertEqual(decision.verdict, Verdict.ALLOW)
        self.assertEqual(decision.amount_e4, 5_000)
        self.assertEqual(self.centre.account()["pending_e4"], 5_000)

    def test_same_key_same_answer_whatever_the_fields(self) -> None:
        first = self.authorize(request(1, 10))
        self.assertEqual(self.authorize(request(1, 99)), first)
        self.assertEqual(self.centre.account()["pending_e4"], 5_000)

    def test_denial_is_stored(self) -> None:
        denied = self.authorize(request(1, 10_000))
        self.assertEqual((denied.verdict, denied.reason), (Verdict.DENY, Reason.FUNDS))
        self.turner.result(self.centre.store.adjust("anna", 10**9, "top-up"))
        self.assertEqual(self.authorize(request(1, 10_000)), denied)
        self.assertTrue(self.authorize(request(1, 10_000, step="submit-2")).allowed)

    def test_reservations_count_against_each_other(self) -> None:
        self.assertTrue(self.authorize(request(1, 150)).allowed)
        self.assertFalse(self.authorize(request(2, 60)).allowed)
        self.assertTrue(self.authorize(request(3, 50)).allowed)

    def test_overdraft_is_spendable(self) -> None:
        self.centre.user("ben", 0, overdraft_e4=5_000)
        self.assertTrue(self.authorize(request(1, 10, "ben")).allowed)
        self.assertFalse(self.authorize(request(2, 1, "ben")).allowed)

    def test_unrestricted_is_never_refused(self) -> None:
        self.centre.user("staff", 0, restricted=False)
        self.assertTrue(self.authorize(request(1, 10_000, "staff")).allowed)

    def test_names_fold(self) -> None:
        self.assertTrue(self.authorize(request(1, 1, "CAMPUS\\Anna")).allowed)

    def test_unknown_user(self) -> None:
        decision = self.authorize(request(1, 1, "nobody"))
        self.assertEqual((decision.verdict, decision.reason), (Verdict.DENY, Reason.UNKNOWN_USER))

    def test_unknown_and_foreign_printer(self) -> None:
        self.refuse("unknown-printer", self.authorize, request(1, printer=77))
        self.refuse("not-yours", self.authorize, request(1, printer=2))

    def test_another_providers_job(self) -> None:
        self.authorize(request(1))
        other = self.centre.provider("p2")
        for step in ("submit-1", "submit-2"):
            asked = request(1, step=step, provider="p2", printer=2)
            self.refuse("not-yours", self.authorize, asked, other)

    def test_replaced_session_commits_nothing(self) -> None:
        self.centre.provider()
        self.refuse("stale-session", self.authorize, request(1))

    def test_ended_session_commits_nothing(self) -> None:
        self.turner.result(self.centre.store.end_session(self.asker))
        self.refuse("stale-session", self.authorize, request(1))


class AccountContract:
    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.centre.user()
        self.asker = self.centre.provider()

    def test_the_account_chosen_pays_or_nobody(self) -> None:
        shared = self.turner.result(self.centre.store.shared.add("Physics", 1_000))
        authorize = self.centre.store.authorize
        decision = self.turner.result(authorize(self.asker, request(1, account=shared)))
        self.assertEqual((decision.account, decision.allowed), (shared, True))
        for number, account in ((2, 999), (3, 1), (4, 0)):
            refused = self.turner.result(authorize(self.asker, request(number, account=account)))
            self.assertEqual((refused.allowed, refused.reason.value), (False, "closed"))
        self.assertEqual(self.centre.account()["pending_e4"], 0)


class CompleteContract(Store):
    def test_posts_once(self) -> None:
        asked = request(1, 10)
        decision = self.authorize(asked)
        self.assertEqual(self.complete(completion(asked, decision)).state, "posted")
        again = self.complete(completion(asked, decision, 3))
        self.assertEqual((again.state, again.pages, again.amount_e4), ("already", 10, 5_000))
        self.assertEqual(
            self.centre.account(), {"credits_e4": 100_000, "debits_e4": 5_000, "pending_e4": 0}
        )
        self.assertEqual(self.centre.listed(), ["repeated-complete"])
        self.refuse("settled", self.authorize, asked)
        self.refuse("settled", self.cancel, asked)

    def test_fewer_pages_return_the_rest(self) -> None:
        asked = request(1, 10)
        receipt = self.complete(completion(asked, self.authorize(asked), 4))
        self.assertEqual(receipt.amount_e4, 2_000)
        self.assertEqual(self.centre.account()["pending_e4"], 0)

    def test_a_counter_raises_by_two_pages_or_a_tenth(self) -> None:
        for number, counted, charged in ((1, 12, 12), (2, 13, 10)):
            asked = request(number, 10)
            receipt = self.complete(completion(asked, self.authorize(asked), counted))
            self.assertEqual(receipt.pages, charged)
        self.assertEqual(self.centre.listed(), ["count-set-aside"])

    def test_without_authorize_posts_forced(self) -> None:
        asked = request(1, 10)
        self.assertEqual(self.complete(completion(asked, None)).amount_e4, 5_000)
        self.assertIn("forced", self.centre.listed())
        self.refuse("settled", self.authorize, asked)

    def test_of_nobody_posts_to_uncollected(self) -> None:
        asked = request(1, 10, "nobody")
        self.complete(completion(asked, None))
        self.assertIn("uncollected", self.centre.listed())
        self.assertEqual(self.centre.account("uncollected")["debits_e4"], 5_000)

    def test_after_cancel_posts(self) -> None:
        asked = request(1, 10)
        decision = self.authorize(asked)
        self.cancel(asked)
        self.assertEqual(self.centre.account()["pending_e4"], 0)
        self.refuse("voided", self.authorize, asked)
        self.assertEqual(self.complete(completion(asked, decision)).state, "posted")
        self.assertEqual(self.centre.account()["debits_e4"], 5_000)

    def test_given_back_and_printed_alone(self) -> None:
        """The answer came too late and was given back: nobody decided what came out."""
        asked = request(1, 10)
        self.assertTrue(self.authorize(asked).allowed)
        self.cancel(asked)
        self.assertEqual(self.complete(completion(asked, None)).amount_e4, 5_000)
        self.assertEqual(
            [tuple(row) for row in self.centre.query("SELECT decider, forced FROM charge")],
            [("tracker", 1)],
        )

    def test_posts_below_the_floor(self) -> None:
        asked = request(1, 1_000)
        self.complete(completion(asked, None))
        self.assertEqual(self.centre.account()["debits_e4"], 500_000)

    def test_no_paper_no_charge(self) -> None:
        asked = request(1, 10)
        done = completion(asked, self.authorize(asked), 0, outcome="aborted")
        self.assertEqual(self.complete(done).amount_e4, 0)
        self.assertEqual(self.centre.account()["pending_e4"], 0)
        (count,) = self.centre.query("SELECT COUNT(*) FROM charge")
        self.assertEqual(count, (0,))

    def test_uncounted_document_is_charged_by_the_printer(self) -> None:
        from attrs import evolve

        asked = evolve(request(1), document=Document((), analysed=False, format="x/y"))
        self.assertEqual(
            self.complete(completion(asked, self.authorize(asked), 3)).amount_e4, 1_500
        )

    def test_price_is_that_of_the_decision(self) -> None:
        asked = request(1, 10)
        decision = self.authorize(asked)
        self.turner.result(
            self.centre.store.add_prices(attrs.evolve(PRICES, papers=(PagePrice("A4", 900, 900),)))
        )
        self.assertEqual(self.complete(completion(asked, decision)).amount_e4, 5_000)
        self.assertEqual(self.authorize(request(2, 10)).amount_e4, 9_000)


class HoldContract(Store):
    def test_open_drops_what_is_not_listed(self) -> None:
        first, second = request(1), request(2)
        self.authorize(first)
        self.authorize(second)
        again = self.centre.provider()
        third = request(3)
        self.authorize(third, again)
        dropped = self.turner.result(self.centre.store.open_keys(again, [first.key]))
        self.assertEqual(dropped, 1)
        self.refuse("voided", self.authorize, second, again)
        self.assertTrue(self.authorize(first, again).allowed)
        self.assertTrue(self.authorize(third, again).allowed)

    def test_held_by_every_asker(self) -> None:
        branch = Branch(self.turner, engine=self.engine)
        site = self.centre.site(branch.stream)
        asked = request(1)
        self.authorize(asked, site)
        self.authorize(asked)
        self.cancel(asked)
        self.assertEqual(self.centre.account()["pending_e4"], 500)
        self.cancel(asked, site)
        self.assertEqual(self.centre.account()["pending_e4"], 0)

    def test_a_new_journal_voids_nothing(self) -> None:
        asked = request(1, job_uuid="urn:uuid:x")
        decision = self.authorize(asked)
        new = self.centre.provider(journal=job_id(0xEEEE))
        self.turner.result(self.centre.store.open_keys(new, []))
        self.assertEqual(self.centre.account()["pending_e4"], 500)
        found = self.turner.result(self.centre.store.open_keys_of_lost("provider:p1"))
        ((journal, keys),) = found
        self.assertEqual(journal, self.asker.journal)
        self.assertEqual([(one.key, one.job_uuid) for one in keys], [(asked.key, "urn:uuid:x")])
        self.assertEqual(keys[0].decision, decision)

    def test_what_a_lost_journal_held_is_settled_or_given_back(self) -> None:
        """An administrator says which; of what is nobody's any more, and of nothing else."""
        store, turner = self.centre.store, self.turner
        printed, other = request(1, 10), request(2, 4)
        self.authorize(printed)
        self.authorize(other)
        for function in (store.settle_lost, store.void_lost):
            with self.assertRaises(InvalidValue):
                turner.result(function(printed.key))
        new = self.centre.provider(journal=job_id(0xEEEE))
        found = turner.result(store.lost_reservations())
        self.assertEqual([row["key"] for row in found], [printed.key, other.key])
        self.assertEqual({row["user"] for row in found}, {"anna"})
        receipt = turner.result(store.settle_lost(printed.key))
        self.assertEqual((receipt.state, receipt.amount_e4, receipt.pages), ("posted", 5_000, 10))
        turner.result(store.void_lost(other.key))
        self.assertEqual(
            self.centre.account(), {"credits_e4": 100_000, "debits_e4": 5_000, "pending_e4": 0}
        )
        self.assertEqual(turner.result(store.lost_reservations()), [])
        self.assertEqual(sorted(self.centre.listed()), ["assumed", "lost-voided"])
        for function in (store.settle_lost, store.void_lost):
            with self.assertRaises(NotFound):
                turner.result(function(printed.key))
        # Who had it after all is told that its paper is known.
        self.assertEqual(self.complete(completion(printed, None), new).state, "already")

    def test_a_lost_journal_is_away_for_seven_days(self) -> None:
        """Its asker is there all the time, with another one."""
        self.authorize(request(1))
        new = self.centre.provider(journal=job_id(0xEEEE))
        self.authorize(request(2), new)
        for elapsed, pending in ((7 * 86_400.0, 1_000), (60.0, 500)):
            self.turner.result(self.centre.store.count_unseen(elapsed))
            self.assertEqual(self.centre.account()["pending_e4"], pending)

    def test_seven_days_away(self) -> None:
        self.authorize(request(1))
        self.turner.result(self.centre.store.end_session(self.asker))
        for elapsed, pending in ((6 * 86_400.0, 500), (86_401.0, 0)):
            self.turner.result(self.centre.store.count_unseen(elapsed))
            self.assertEqual(self.centre.account()["pending_e4"], pending)
        self.assertEqual(self.centre.listed(), ["unseen"])

    def test_a_journal_behind_is_refused(self) -> None:
        begin = self.centre.store.begin_provider
        journal = self.asker.journal
        self.turner.result(begin("p1", journal, Mark(5, "aa" * 32), ""))
        for mark in (Mark(4, "bb" * 32), Mark(5, "bb" * 32)):
            with self.assertRaises(Rejected) as caught:
                self.turner.result(begin("p1", journal, mark, ""))
            self.assertEqual(caught.exception.code, "journal-behind")


class DirectoryContract(Store):
    def test_refusals(self) -> None:
        cases = (
            (AlreadyExists, "ANNA", {}),
            (InvalidValue, "", {}),
            (InvalidValue, "a\x00b", {}),
            (InvalidValue, "x" * 256, {}),
            (InvalidValue, "c", {"balance_e4": 10**15}),
            (InvalidValue, "c", {"overdraft_e4": -1}),
        )
        for error, name, fields in cases:
            with self.assertRaises(error):
                self.turner.result(self.centre.store.add_user(name, **fields))
        with self.assertRaises(NotFound):
            self.turner.result(self.centre.store.adjust("nobody", 1, "x"))

    def test_transfers_are_never_changed(self) -> None:
        for statement in ("UPDATE transfer SET amount_e4 = 1", "DELETE FROM transfer"):
            with self.assertRaises(self.centre.refused):
                self.centre.query(statement)


class VerifyContract:
    def test_finds_what_was_changed(self) -> None:
        for statement, word in (
            ("UPDATE account SET debits_e4 = debits_e4 + 1 WHERE id = 4", "account 4"),
            ("UPDATE change_log SET body = x'5b5d' WHERE number = 2", "entry 2"),
            ("DELETE FROM change_log WHERE number = 2", "missing"),
            ("UPDATE charge SET amount_e4 = 1", "charges"),
        ):
            turner = Turner()
            centre = Centre(turner, self.engine)
            centre.user()
            asker = centre.provider()
            asked = request(1)
            decision = turner.result(centre.store.authorize(asker, asked))
            turner.result(centre.store.complete(asker, completion(asked, decision)))
            self.assertEqual(turner.result(centre.store.verify()), [])
            centre.query(statement)
            problems = turner.result(centre.store.verify())
            self.assertTrue(any(word in problem for problem in problems), problems)


class BooksContract:
    steps = st.lists(
        st.tuples(
            st.sampled_from(("ask", "complete", "cancel", "force", "again")),
            st.integers(1, 6),
            st.integers(0, 120),
        ),
        max_size=25,
    )

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(steps)
    def test_any_order_balances(self, steps) -> None:
        if not self.engine.another():
            return
        turner = Turner()
        centre = Centre(turner, self.engine)
        centre.user()
        asker = centre.provider()
        decisions = {}
        forced_e4 = 0
        for what, number, count in steps:
            asked = request(number, count)
            try:
                if what == "ask":
                    decisions[number] = turner.result(centre.store.authorize(asker, asked))
                elif what == "cancel":
                    turner.result(centre.store.cancel(asker, asked.key, "canceled"))
                elif what == "force":
                    receipt = turner.result(centre.store.complete(asker, completion(asked, None)))
                    forced_e4 += receipt.amount_e4 if receipt.state == "posted" else 0
                elif number in decisions and decisions[number].allowed:
                    receipt = turner.result(
                        centre.store.complete(asker, completion(asked, decisions[number]))
                    )
                    forced_e4 += receipt.amount_e4 if "forced" in centre.listed() else 0
            except Rejected as error:
                self.assertIn(error.code, ("voided", "settled"))
            funds = centre.account()
            self.assertGreaterEqual(
                funds["credits_e4"] - funds["debits_e4"] - funds["pending_e4"] + forced_e4, 0
            )
        self.assertEqual(turner.result(centre.store.verify()), [])


on_every_engine(globals())

"""A site's journal, replica and overlay: design 4.9 and 4.10."""

from __future__ import annotations

from papercutd.domain.chain import CHAIN_START
from papercutd.domain.decision import APPLICATION, Reason, Verdict
from papercutd.errors import Rejected
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.replication.site_scopes import EVERYBODY, SiteScope, within
from papercutd.storage.site import replica
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request


class Site:
    """Every class below runs on every engine."""

    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.user = self.centre.user()
        self.branch = Branch(self.turner, engine=self.engine)
        self.branch.load_snapshot(self.centre)
        self.asker = self.branch.provider()
        self.site = self.centre.site(self.branch.stream)

    def decide(self, asked):
        return self.turner.result(self.branch.store.decide(self.asker, asked))

    def complete(self, asked, decision, count=None):
        return self.turner.result(
            self.branch.store.complete(self.asker, completion(asked, decision, count))
        )

    def overlay(self):
        ((account,),) = self.centre.query("SELECT account FROM user WHERE id = ?", self.user)
        return self.turner.result(self.branch.store.overlay(account))

    def set_site(self, **columns) -> None:
        self.turner.result(self.centre.store.set_site("north", columns))
        self.branch.follow(self.centre)

    def assertReplicaIsCentre(self, scope: SiteScope = EVERYBODY) -> None:
        """The replica is the rows within ``scope``."""
        for spec in (within(spec, scope) for spec in TABLES.values()):
            columns = ", ".join(spec.columns)
            theirs = self.centre.query(
                f"SELECT {columns} FROM {spec.source} WHERE {spec.condition} ORDER BY {spec.key}"
            )
            ours = self.branch.query(
                f"SELECT {columns} FROM replica.{spec.table} ORDER BY {spec.key}"
            )
            self.assertEqual(ours, theirs, spec.table)

    def tearDown(self) -> None:
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])
        self.assertEqual(self.turner.result(self.branch.store.verify()), [])


class CutContract(Site):
    def test_decides_from_the_replica(self) -> None:
        decision = self.decide(request(1, 10))
        self.assertEqual((decision.verdict, decision.decider), (Verdict.ALLOW, self.branch.stream))
        self.assertEqual(self.overlay().funds.pending_e4, 5_000)
        self.assertEqual(self.overlay().unsettled_e4, 5_000)

    def test_known_balance_counts(self) -> None:
        decision = self.decide(request(1, 201))
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.FUNDS))

    def test_the_cap_bounds_what_is_unsettled(self) -> None:
        self.turner.result(self.centre.store.adjust("anna", 10**7, "rich"))
        self.branch.follow(self.centre)
        first = request(1, 150)
        self.complete(first, self.decide(first))
        self.assertEqual(self.decide(request(2, 51)).reason, Reason.FUNDS)
        self.assertTrue(self.decide(request(3, 50)).allowed)
        self.branch.forward(self.centre, self.site)
        self.branch.follow(self.centre)
        self.assertTrue(self.decide(request(4, 51)).allowed)

    def test_no_cap(self) -> None:
        self.turner.result(self.centre.store.adjust("anna", 10**7, "rich"))
        self.set_site(cap_user_e4=-2)
        self.assertTrue(self.decide(request(1, 1_000)).allowed)

    def test_deny_where_the_administrator_says_so(self) -> None:
        self.set_site(cap_user_e4=0, deny_beyond_cap=1)
        self.assertEqual(self.decide(request(1)).verdict, Verdict.DENY)

    def test_closed_holds_everyone(self) -> None:
        self.centre.user("staff", 0, restricted=False)
        self.set_site(policy="closed")
        for number, name in ((1, "anna"), (2, "staff")):
            decision = self.decide(request(number, 1, name))
            self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.CLOSED))

    def test_unrestricted_and_unknown(self) -> None:
        self.centre.user("staff", 0, restricted=False)
        self.branch.follow(self.centre)
        self.assertTrue(self.decide(request(1, 9_999, "staff")).allowed)
        self.assertEqual(self.decide(request(2, 1, "new")).reason, Reason.UNKNOWN_USER)

    def test_unknown_capability_holds(self) -> None:
        self.centre.query("UPDATE price SET needs = 'by-area'")
        self.branch = Branch(self.turner, engine=self.engine)
        self.branch.load_snapshot(self.centre)
        self.asker = self.branch.provider()
        self.assertEqual(self.decide(request(1)).reason, Reason.CAPABILITY)

    def test_stored_answers(self) -> None:
        asked = request(1, 10)
        decision = self.decide(asked)
        self.assertEqual(self.decide(asked), decision)
        self.complete(asked, decision)
        again = self.complete(asked, decision, 4)
        self.assertEqual((again.state, again.pages), ("already", 10))
        with self.assertRaises(Rejected) as caught:
            self.decide(asked)
        self.assertEqual(caught.exception.code, "settled")

    def test_complete_without_authorize_is_journalled(self) -> None:
        """Whoever decided it: what has happened always posts, once."""
        asked = request(1, 10)
        decision = self.decide(request(2, 10))
        self.assertEqual(self.complete(asked, decision).state, "journalled")
        self.assertEqual(self.complete(asked, decision).state, "already")
        self.branch.forward(self.centre, self.site)
        self.assertEqual(self.centre.account()["debits_e4"], 5_000)

    def test_cancel_voids_and_is_told(self) -> None:
        asked = request(1, 10)
        self.decide(asked)
        self.turner.result(self.branch.store.cancel(self.asker, asked.key, "canceled"))
        self.assertEqual(self.overlay().unsettled_e4, 0)
        with self.assertRaises(Rejected):
            self.decide(asked)
        self.branch.forward(self.centre, self.site)
        rows = self.centre.query("SELECT key, verdict FROM job_log")
        self.assertEqual(rows, [(asked.key, "canceled")])


class HealContract(Site):
    def test_each_record_once_whatever_is_sent_again(self) -> None:
        for number in range(1, 8):
            asked = request(number, number)
            self.complete(asked, self.decide(asked))
        batch = self.turner.result(
            self.branch.store.journal_after(
                self.turner.result(self.branch.store.identity()).acked, 100, 10**9
            )
        )
        apply = self.centre.store.apply_journal
        for count in (3, 5, 2, 7, 7):
            mark = self.turner.result(
                apply(self.site, self.branch.stream, 0, CHAIN_START, batch.records[:count])
            )
        self.assertEqual(mark.number, 7)
        self.assertEqual(self.centre.account()["debits_e4"], 500 * 28)
        self.assertEqual(self.centre.query("SELECT COUNT(*) FROM charge"), [(7,)])
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        self.assertEqual(self.overlay().unsettled_e4, 0)

    def test_gap_and_foreign_chain_are_refused(self) -> None:
        asked = request(1)
        self.complete(asked, self.decide(asked))
        apply = self.centre.store.apply_journal
        for after, chain, code in ((1, CHAIN_START, "gap"), (0, "11" * 32, "chain")):
            with self.assertRaises(Rejected) as caught:
                self.turner.result(apply(self.site, self.branch.stream, after, chain, ["{}"]))
            self.assertEqual(caught.exception.code, code)

    def test_poison_is_parked_and_blocks_nothing(self) -> None:
        asked = request(1)
        self.complete(asked, self.decide(asked))
        good = self.turner.result(
            self.branch.store.journal_after(
                self.turner.result(self.branch.store.identity()).acked, 1, 10**9
            )
        ).records
        mark = self.turner.result(
            self.centre.store.apply_journal(
                self.site, self.branch.stream, 0, CHAIN_START, ["not json", '{"kind":1}', *good]
            )
        )
        self.assertEqual(mark.number, 3)
        (parked,) = self.centre.query("SELECT COUNT(*) FROM parked")
        self.assertEqual(parked, (2,))
        self.assertEqual(self.centre.account()["debits_e4"], 500)

    def test_shown_figures_never_jump(self) -> None:
        asked = request(1, 10)
        self.complete(asked, self.decide(asked))
        before = self.overlay().funds
        self.branch.forward(self.centre, self.site)
        self.assertEqual(self.overlay().funds, before)
        self.branch.follow(self.centre)
        after = self.overlay().funds
        self.assertEqual(after.debits_e4, before.debits_e4)
        self.assertEqual(after.pending_e4, before.pending_e4)

    def test_the_same_key_reserved_at_both_counts_once(self) -> None:
        asked = request(1, 10)
        at_centre = self.turner.result(self.centre.store.authorize(self.centre.provider(), asked))
        self.branch.follow(self.centre)
        self.assertEqual(self.overlay().funds.pending_e4, 5_000)
        self.decide(asked)
        self.assertEqual(self.overlay().funds.pending_e4, 5_000)
        self.turner.result(
            self.centre.store.complete(self.centre.provider(), completion(asked, at_centre))
        )
        self.branch.follow(self.centre)
        funds = self.overlay().funds
        self.assertEqual((funds.debits_e4, funds.pending_e4), (5_000, 0))

    def test_a_charge_that_came_before_our_answer_counts_once(self) -> None:
        """The provider asked both, and printed on the other's answer before ours was stored."""
        asked = request(1, 10)
        at_centre = self.turner.result(self.centre.store.authorize(self.centre.provider(), asked))
        self.turner.result(
            self.centre.store.complete(self.centre.provider(), completion(asked, at_centre))
        )
        self.branch.follow(self.centre)
        self.assertTrue(self.decide(asked).allowed)
        shown = self.overlay()
        self.assertEqual((shown.funds.debits_e4, shown.funds.pending_e4), (5_000, 0))
        self.assertEqual(shown.unsettled_e4, 0)

    def test_charges_of_others_are_forgotten(self) -> None:
        self.patch(replica, "CHARGED_EARLY_MAX", 100)
        for number in (1, 2):
            asked = request(number, 1)
            answer = self.turner.result(self.centre.store.authorize(self.centre.provider(), asked))
            self.turner.result(
                self.centre.store.complete(self.centre.provider(), completion(asked, answer))
            )
        self.branch.follow(self.centre)
        self.decide(request(2, 1))
        for _ in range(210):
            self.turner.result(self.centre.store.adjust("anna", 1_000, "given"))
        self.branch.follow(self.centre)
        kept = self.branch.query("SELECT key, number FROM replica.charged")
        self.assertEqual(kept, [(request(2, 1).key, 0)])
        self.assertEqual(self.overlay().unsettled_e4, 0)

    def test_a_site_decided_key_voids_the_centres_reservation(self) -> None:
        asked = request(1, 10)
        self.turner.result(self.centre.store.authorize(self.centre.provider(), asked))
        self.complete(asked, self.decide(asked))
        self.branch.forward(self.centre, self.site)
        self.assertEqual(
            self.centre.account(), {"credits_e4": 100_000, "debits_e4": 5_000, "pending_e4": 0}
        )

    def test_adopted_answer_settles_by_the_record(self) -> None:
        asked = request(1, 10)
        answer = self.turner.result(self.centre.store.authorize(self.site, asked))
        taken = self.turner.result(self.branch.store.adopt(self.asker, asked, answer))
        self.assertEqual(taken.decider, APPLICATION)
        self.assertEqual(self.turner.result(self.branch.store.open_at_application()), [asked.key])
        self.complete(asked, taken)
        self.branch.forward(self.centre, self.site)
        self.assertEqual(self.turner.result(self.branch.store.open_at_application()), [])
        self.assertEqual(self.centre.account()["debits_e4"], 5_000)
        self.assertEqual(self.centre.listed(), [])

    def test_late_answer_is_given_back(self) -> None:
        asked = request(1, 10)
        own = self.decide(asked)
        answer = self.turner.result(self.centre.store.authorize(self.site, asked))
        self.assertEqual(
            self.turner.result(self.branch.store.adopt(self.asker, asked, answer)), own
        )
        self.branch.forward(self.centre, self.site)
        self.assertEqual(self.centre.account()["pending_e4"], 0)

    def test_snapshot_in_the_middle(self) -> None:
        asked = request(1, 10)
        self.complete(asked, self.decide(asked))
        self.branch.forward(self.centre, self.site)
        before = self.overlay().funds
        self.branch.load_snapshot(self.centre)
        self.assertEqual(self.overlay().funds.debits_e4, before.debits_e4)
        self.assertReplicaIsCentre()

    def test_a_replaced_stream_is_listed_and_frozen(self) -> None:
        self.turner.result(self.branch.store.take_new_stream(job_id(0xBEEF)))
        self.centre.site(job_id(0xBEEF))
        self.assertEqual(self.centre.listed(), ["stream-replaced"])
        with self.assertRaises(Rejected) as caught:
            self.centre.site(self.branch.stream)
        self.assertEqual(caught.exception.code, "new-stream")

    def test_salvage_after_a_new_stream_charges_once(self) -> None:
        asked = request(1, 10)
        self.complete(asked, self.decide(asked))
        self.branch.forward(self.centre, self.site)
        late = request(2, 10)
        self.complete(late, self.decide(late))
        self.turner.result(self.branch.store.take_new_stream(job_id(0xBEEF)))
        self.branch.stream = job_id(0xBEEF)
        self.branch.forward(self.centre, self.centre.site(job_id(0xBEEF)))
        self.assertEqual(self.centre.account()["debits_e4"], 10_000)

    def test_anothers_provider_is_out_of_scope(self) -> None:
        asked = request(1, provider="p2", printer=2)
        with self.assertRaises(Rejected) as caught:
            self.turner.result(self.centre.store.authorize(self.site, asked))
        self.assertEqual(caught.exception.code, "not-yours")


on_every_engine(globals())

"""STRICT: what a stream holds of people's money, from the grant to the end: design 4.10, 4.12."""

from __future__ import annotations

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papercutd.domain.allowance import target_e4
from papercutd.domain.chain import MARK_START
from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import SessionRef
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.money.allowances import Shortage
from papercutd.storage.replication import timeline
from papercutd.storage.replication.records import ALLOWANCE, Record, encode_record
from tests.support.engines import ENGINES, Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request

#: A grey A4 page of the tests' prices.
PAGE_E4 = 500
STEPS = ("online", "cut", "open", "end", "void", "heal", "recall", "top-up")


class Strict:
    """One STRICT site with one provider, connected, and a person who prints there."""

    engine: Engine

    def setUp(self) -> None:
        self.begin(100_000)

    def begin(self, balance_e4: int) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.user = self.centre.user(balance_e4=balance_e4)
        self.result(self.centre.store.set_site("north", {"policy": "strict"}))
        self.branch = Branch(self.turner, engine=self.engine)
        self.site = self.centre.site(self.branch.stream)
        self.branch.load_snapshot(self.centre)
        self.result(self.branch.store.tell_allowances())
        self.online = self.centre.provider()
        self.asker = self.branch.provider()
        self.numbers = iter(range(1, 1_000))
        self.heal()

    def new_stream(self) -> str:
        """The site's journal was restored: its records go on in a new stream."""
        old = self.branch.stream
        self.branch.stream = job_id(0xFEED)
        self.result(self.branch.store.take_new_stream(self.branch.stream))
        identity = self.result(self.branch.store.identity())
        welcome = self.result(
            self.centre.store.begin_site("north", self.branch.stream, identity.mark, None, "")
        )
        self.site = SessionRef("site", "north", self.branch.stream, welcome.session)
        return old

    def result(self, deferred):
        return self.turner.result(deferred)

    def heal(self) -> None:
        """Journal up, changes down."""
        while self.branch.forward(self.centre, self.site):
            pass
        self.branch.follow(self.centre)

    def print_online(self, count: int = 1, user: str = "anna"):
        asked = request(next(self.numbers), count, user)
        decision = self.result(self.centre.store.authorize(self.online, asked))
        self.result(self.centre.store.complete(self.online, completion(asked, decision)))
        self.branch.follow(self.centre)
        return decision

    def decide(self, count: int, user: str = "anna"):
        asked = request(next(self.numbers), count, user)
        return asked, self.result(self.branch.store.decide(self.asker, asked))

    def complete(self, asked, decision, count=None):
        done = completion(asked, decision, count)
        return self.result(self.branch.store.complete(self.asker, done))

    def print_cut(self, count: int, pages: int | None = None):
        asked, decision = self.decide(count)
        if decision.allowed:
            self.complete(asked, decision, pages)
        return decision

    def held_e4(self) -> int:
        """What the site may spend, as it is shown."""
        ((account,),) = self.centre.query("SELECT account FROM user WHERE id = ?", self.user)
        purse = self.result(self.branch.store.purse(account))
        return purse.cut_e4

    def balance_e4(self) -> int:
        return self.result(self.centre.store.user("anna"))["balance_e4"]

    def totals(self, stream: str | None = None) -> tuple[int, int, int]:
        """(granted, returned, settled)"""
        query = "SELECT granted_e4, returned_e4, settled_e4 FROM stream WHERE id = ?"
        (found,) = self.centre.query(query, stream or self.branch.stream)
        return found

    def assertExact(self) -> None:
        """I19, and what the site believes is what the centre holds for it, once all is in."""
        self.assertEqual(self.result(self.centre.store.verify()), [])
        for row in self.result(self.centre.store.allowances_of_sites()):
            (held,) = self.centre.query(
                "SELECT COALESCE(SUM(credits_e4 - debits_e4), 0) FROM account"
                " WHERE kind = 'escrow' AND stream = ?",
                row["stream"],
            )
            self.assertEqual(row["escrow_e4"], held[0])


class GrantContract(Strict):
    def test_nothing_is_granted_before_somebody_prints_there(self) -> None:
        self.assertEqual(self.held_e4(), 0)
        _, decision = self.decide(1)
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.FUNDS))

    def test_a_quarter_of_the_balance_at_the_site_of_the_last_use(self) -> None:
        self.print_online()
        self.assertEqual(self.held_e4(), (100_000 - PAGE_E4) // 4)
        self.assertEqual(self.balance_e4(), 100_000 - PAGE_E4)

    def test_a_small_balance_goes_whole_up_to_forty_pages(self) -> None:
        self.begin(21 * PAGE_E4)
        self.print_online()
        self.assertEqual(self.held_e4(), 20 * PAGE_E4)
        self.begin(70 * PAGE_E4)
        self.print_online()
        self.assertEqual(self.held_e4(), 40 * PAGE_E4)

    def test_a_large_balance_is_bounded(self) -> None:
        self.begin(10**8)
        self.print_online()
        self.assertEqual(self.held_e4(), 100 * PAGE_E4)

    def test_not_again_with_every_page(self) -> None:
        self.begin(10**8)
        self.print_online()
        granted, _, _ = self.totals()
        self.print_cut(10)
        self.heal()
        self.assertEqual(self.totals()[0], granted)
        self.print_cut(45)
        self.heal()
        self.assertEqual(self.held_e4(), 100 * PAGE_E4)
        self.assertExact()

    def test_a_top_up_is_granted(self) -> None:
        self.begin(PAGE_E4)
        self.print_online()
        self.assertEqual(self.held_e4(), 0)
        self.result(self.centre.store.adjust("anna", 10_000, "top-up"))
        self.branch.follow(self.centre)
        self.assertEqual(self.held_e4(), 10_000)

    def test_nothing_to_a_site_that_is_cut_or_has_not_reported(self) -> None:
        self.result(self.centre.store.end_session(self.site))
        self.print_online()
        self.assertEqual(self.totals(), (0, 0, 0))
        other = Branch(self.turner, engine=self.engine)
        self.site = self.centre.site(other.stream)
        self.print_online()
        self.assertEqual(self.totals(other.stream), (0, 0, 0))

    def test_nobody_unrestricted_and_nobody_closed(self) -> None:
        self.centre.user("staff", 50_000, restricted=False)
        self.print_online(user="staff")
        self.assertEqual(self.totals(), (0, 0, 0))

    def test_a_whole_site_is_refilled(self) -> None:
        self.print_online()
        other = Branch(self.turner, engine=self.engine)
        self.site = self.centre.site(other.stream)
        other.load_snapshot(self.centre)
        self.result(other.store.tell_allowances())
        while other.forward(self.centre, self.site):
            pass
        after = 0
        while after is not None:
            after = self.result(self.centre.store.refill_site("north", after))
        self.assertGreater(self.totals(other.stream)[0], 0)


class SpendContract(Strict):
    def setUp(self) -> None:
        super().setUp()
        self.print_online()
        self.whole_e4 = self.held_e4()

    def test_what_is_held_and_not_a_page_more(self) -> None:
        decision = self.print_cut(self.whole_e4 // PAGE_E4 + 1)
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.FUNDS))
        decision = self.print_cut(self.whole_e4 // PAGE_E4)
        self.assertTrue(decision.allowed)
        self.assertTrue(decision.allowance)
        self.assertLess(self.held_e4(), PAGE_E4)
        self.heal()
        self.assertEqual(self.centre.listed(), [])
        self.assertExact()

    def test_reservations_count_until_they_end(self) -> None:
        asked, decision = self.decide(30)
        self.assertEqual(self.held_e4(), self.whole_e4 - 30 * PAGE_E4)
        self.result(self.branch.store.cancel(self.asker, asked.key, "x"))
        self.assertEqual(self.held_e4(), self.whole_e4)
        self.assertTrue(decision.allowed)

    def test_fewer_pages_give_the_rest_back(self) -> None:
        self.print_cut(30, 10)
        self.assertEqual(self.held_e4(), self.whole_e4 - 10 * PAGE_E4)
        self.heal()
        self.assertEqual(self.totals()[2], 10 * PAGE_E4)
        self.assertExact()

    def test_more_pages_are_the_accounts_then_nobodys(self) -> None:
        asked, decision = self.decide(20)
        self.complete(asked, decision, 22)
        before = self.balance_e4()
        self.heal()
        self.assertEqual(self.balance_e4(), before - 22 * PAGE_E4)
        self.assertEqual(self.totals()[2], 20 * PAGE_E4)
        # All of the account is spent meanwhile.
        asked, decision = self.decide(20)
        row = self.centre.account()
        self.result(
            self.centre.store.adjust("anna", -(row["credits_e4"] - row["debits_e4"]), "spent")
        )
        self.complete(asked, decision, 22)
        self.heal()
        self.assertEqual(self.centre.listed(), ["uncollected"])
        self.assertEqual(self.centre.account()["debits_e4"], self.centre.account()["credits_e4"])
        self.assertExact()

    def test_what_cannot_be_analysed_is_held(self) -> None:
        asked = request(next(self.numbers))
        unknown = Document((PageGroup("A4", 1, 0),), analysed=False)
        asked = attrs.evolve(asked, document=unknown)
        decision = self.result(self.branch.store.decide(self.asker, asked))
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.FUNDS))

    def test_after_a_void_it_is_the_accounts(self) -> None:
        """A reservation that was given back holds the money no more, though paper came."""
        asked, decision = self.decide(20)
        self.result(self.branch.store.cancel(self.asker, asked.key, "x"))
        self.complete(asked, decision)
        self.assertEqual(self.held_e4(), self.whole_e4)
        self.heal()
        self.assertEqual(self.totals()[2], 0)
        self.assertEqual(self.balance_e4(), 100_000 - 21 * PAGE_E4)
        self.assertExact()

    def test_a_reservation_of_both_is_paid_once(self) -> None:
        """The application server's answer came late: it reserves, the site's allowance pays."""
        asked, decision = self.decide(20)
        self.result(self.centre.store.authorize(self.site, asked))
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.centre.account()["pending_e4"], 0)
        self.assertEqual(self.balance_e4(), 100_000 - 21 * PAGE_E4)
        self.assertExact()

    def test_a_merged_persons_allowance_is_the_heirs(self) -> None:
        self.centre.user("bea", 0)
        self.result(self.centre.store.merge_users("anna", "bea"))
        self.branch.follow(self.centre)
        asked, decision = self.decide(40, "bea")
        self.assertTrue(decision.allowed)
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.totals()[2], 40 * PAGE_E4)
        found = self.result(self.centre.store.user("bea"))
        self.assertEqual(found["balance_e4"], 100_000 - 41 * PAGE_E4)
        self.assertExact()

    def test_merged_while_it_was_reserved(self) -> None:
        asked, decision = self.decide(40)
        bea = self.centre.user("bea", 0)
        self.result(self.centre.store.merge_users("anna", "bea"))
        self.branch.follow(self.centre)
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.totals()[2], 40 * PAGE_E4)
        # What is left returns by the name under which it was granted.
        users = (bea, self.user)
        self.result(self.branch.store.give_back(users, 10**9))
        self.heal()
        found = self.result(self.centre.store.user("bea"))
        self.assertEqual(found["balance_e4"], 100_000 - 41 * PAGE_E4)
        self.assertExact()

    def test_another_policy_gives_it_back(self) -> None:
        asked, decision = self.decide(10)
        self.result(self.centre.store.set_site("north", {"policy": "capped"}))
        self.branch.follow(self.centre)
        given = self.result(self.branch.store.give_back_unneeded())
        self.assertEqual(given, self.whole_e4 - 10 * PAGE_E4)
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.totals()[1:], (given, 10 * PAGE_E4))
        self.assertExact()

    def test_without_an_anchor_it_is_not_spent(self) -> None:
        self.branch.store._deciding._is_anchored = lambda: False
        _, decision = self.decide(1)
        self.assertEqual(decision.reason, Reason.FUNDS)

    def test_the_balance_shown_has_it_all(self) -> None:
        row = self.result(self.centre.store.user("anna"))
        self.assertEqual((row["balance_e4"], row["at_sites_e4"]), (99_500, self.whole_e4))
        ((account,),) = self.centre.query("SELECT account FROM user WHERE id = ?", self.user)
        for store in (self.centre.store, self.branch.store):
            self.assertEqual(self.result(store.purse(account)).balance_e4, 99_500)
        self.print_cut(10)
        self.assertEqual(self.result(self.branch.store.purse(account)).balance_e4, 94_500)
        self.heal()
        self.assertEqual(self.result(self.branch.store.purse(account)).balance_e4, 94_500)


class RecallContract(Strict):
    def setUp(self) -> None:
        super().setUp()
        self.print_online()
        self.whole_e4 = self.held_e4()

    def test_a_refusal_is_a_shortage_while_a_site_holds_some(self) -> None:
        asked = request(900, 190)
        answer = self.result(self.centre.store.authorize(self.online, asked, may_recall=True))
        self.assertIsInstance(answer, Shortage)
        self.assertEqual(answer.sites, ("site:north",))
        number = self.result(self.branch.store.give_back(answer.users, answer.missing_e4))
        self.assertGreater(number, 0)
        self.heal()
        again = self.result(self.centre.store.authorize(self.online, asked))
        self.assertTrue(again.allowed)
        self.assertExact()

    def test_what_is_reserved_or_spent_stays(self) -> None:
        _, open_ = self.decide(10)
        self.print_cut(5)
        self.result(self.branch.store.give_back((self.user,), 10**12))
        self.assertEqual(self.held_e4(), 0)
        self.heal()
        self.assertEqual(self.totals()[1], self.whole_e4 - 15 * PAGE_E4)
        self.assertTrue(open_.allowed)

    def test_nothing_is_journalled_where_nothing_is_left(self) -> None:
        self.result(self.branch.store.give_back((self.user,), 10**12))
        self.assertEqual(self.result(self.branch.store.give_back((self.user,), 1)), 0)
        self.assertEqual(self.result(self.branch.store.give_back((77,), 1)), 0)

    def test_a_cut_site_is_not_waited_for(self) -> None:
        self.result(self.centre.store.end_session(self.site))
        asked = request(900, 190)
        answer = self.result(self.centre.store.authorize(self.online, asked, may_recall=True))
        self.assertIsInstance(answer, Decision)
        self.assertEqual(answer.reason, Reason.FUNDS)


class RestoreContract(Strict):
    """The application server has forgotten what it granted."""

    def setUp(self) -> None:
        super().setUp()
        self.print_online()
        self.whole_e4 = self.held_e4()

    def restore(self, is_seen: bool = True) -> None:
        """A server from before the site's first day; the site comes with all it has."""
        old = self.branch
        self.centre = Centre(self.turner, self.engine)
        self.user = self.centre.user()
        self.result(self.centre.store.set_site("north", {"policy": "strict"}))

        def restored(connection) -> None:
            timeline.begin_timeline(connection, self.centre.store.log, "test", 0, 0.0)

        self.result(self.centre.store.write(restored))
        if is_seen:
            self.site = self.centre.site(old.stream)
        self.online = self.centre.provider()
        self.turner.result(old.store.rewind(MARK_START))

    def test_granted_spent_and_returned_are_booked_again(self) -> None:
        self.print_cut(20)
        asked, decision = self.decide(5)
        self.result(self.branch.store.give_back((self.user,), 1_000))
        left_e4 = self.held_e4()
        self.restore()
        # Nothing is granted before the totals are told.
        self.result(self.centre.store.adjust("anna", 1_000, "x"))
        self.assertEqual(self.totals(), (0, 0, 0))
        self.branch.load_snapshot(self.centre)
        self.assertEqual(self.held_e4(), left_e4)
        self.assertTrue(self.result(self.branch.store.tell_allowances()))
        self.heal()
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.totals(), (self.whole_e4, 1_000, 25 * PAGE_E4))
        self.assertEqual(self.held_e4(), left_e4)
        # The page printed online is lost with the history; the top-up came after.
        self.assertEqual(self.balance_e4(), 100_000 + 1_000 - 25 * PAGE_E4)
        self.assertIn("granted-again", self.centre.listed())
        self.assertExact()

    def test_told_once_for_each_timeline(self) -> None:
        self.assertFalse(self.result(self.branch.store.tell_allowances()))
        self.restore()
        self.assertFalse(self.result(self.branch.store.tell_allowances()))
        self.branch.load_snapshot(self.centre)
        self.assertTrue(self.result(self.branch.store.tell_allowances()))
        self.assertFalse(self.result(self.branch.store.tell_allowances()))

    def test_an_unspent_grant_that_was_forgotten_is_forgotten_by_both(self) -> None:
        self.restore()
        self.branch.load_snapshot(self.centre)
        self.result(self.branch.store.tell_allowances())
        self.heal()
        self.assertEqual(self.held_e4(), 0)
        self.assertEqual(self.totals(), (0, 0, 0))
        self.assertEqual(self.balance_e4(), 100_000)

    def check_forgotten(self) -> None:
        """The stream went after its grants were forgotten: the person pays, and has the rest."""
        self.new_stream()
        self.heal()
        self.assertEqual(self.centre.query("SELECT reason FROM parked"), [])
        self.assertEqual(self.balance_e4(), 100_000 - 20 * PAGE_E4)
        self.assertExact()

    def test_a_former_streams_forgotten_grants_are_not_booked_again(self) -> None:
        self.print_cut(20)
        self.result(self.branch.store.give_back((self.user,), 1_000))
        self.restore()
        self.check_forgotten()

    def test_a_former_stream_that_is_forgotten_too(self) -> None:
        self.print_cut(20)
        self.result(self.branch.store.give_back((self.user,), 1_000))
        self.restore(is_seen=False)
        self.check_forgotten()

    def test_a_timeline_that_is_not_known_is_no_last_word(self) -> None:
        """The site heard of it from a server that was put back since."""
        self.restore()
        self.branch.load_snapshot(self.centre)
        body = encode_record(Record(ALLOWANCE, self.branch.stream, "", 0.0, timeline=99))
        self.result(self.branch.store.salvage([body]))
        self.heal()
        self.assertEqual(self.centre.query("SELECT reason FROM parked"), [])
        told = "SELECT reported_timeline FROM stream WHERE id = ?"
        # What it said of the first timeline stands.
        self.assertEqual(self.centre.query(told, self.branch.stream), [(1,)])

    def test_what_is_paid_ahead_is_replicated(self) -> None:
        """A row is made for it, and whoever follows the changes has it too."""
        self.print_cut(20)
        self.restore()
        self.branch.load_snapshot(self.centre)
        self.heal()
        rows = "SELECT id FROM allowance"
        self.assertEqual(
            self.result(
                self.branch.store.read(
                    lambda c: c.execute("SELECT id FROM replica.allowance").fetchall()
                )
            ),
            self.centre.query(rows),
        )


class RetireContract(Strict):
    def setUp(self) -> None:
        super().setUp()
        self.print_online()
        self.whole_e4 = self.held_e4()

    def test_a_new_stream_holds_nothing_and_the_old_one_pays_what_it_decided(self) -> None:
        self.print_cut(10)
        asked, decision = self.decide(5)
        old = self.new_stream()
        self.assertEqual(self.held_e4(), 0)
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.totals(old), (self.whole_e4, 0, 15 * PAGE_E4))
        self.assertEqual(self.balance_e4(), 100_000 - 16 * PAGE_E4)
        self.assertNotIn("forced", self.centre.listed())
        self.assertExact()

    def test_retiring_waits_for_the_provider_and_gives_the_rest_back(self) -> None:
        old = self.new_stream()
        self.heal()
        (ended,) = self.result(self.centre.store.ended_streams("north"))
        self.assertEqual((ended.id, ended.escrow_e4), (old, self.whole_e4))
        self.assertEqual(ended.missing, ["provider:p1"])
        provider = self.centre.provider()
        self.result(self.centre.store.open_keys(provider, []))
        self.result(self.centre.store.report(provider))
        (ended,) = self.result(self.centre.store.ended_streams("north"))
        self.assertEqual(ended.missing, [])
        self.assertEqual(self.result(self.centre.store.retire_stream(old)), self.whole_e4)
        self.assertEqual(self.centre.account()["pending_e4"], 0)
        self.assertEqual(self.totals(old), (self.whole_e4, self.whole_e4, 0))
        self.assertExact()
        with self.assertRaises(InvalidValue):
            self.result(self.centre.store.retire_stream(old))

    def test_the_site_itself_is_waited_for(self) -> None:
        self.print_cut(1)
        self.new_stream()
        (ended,) = self.result(self.centre.store.ended_streams("north"))
        self.assertIn("site:north", ended.missing)
        self.heal()
        (ended,) = self.result(self.centre.store.ended_streams("north"))
        self.assertNotIn("site:north", ended.missing)

    def test_what_comes_after_is_forced(self) -> None:
        asked, decision = self.decide(5)
        old = self.new_stream()
        self.result(self.centre.store.retire_stream(old))
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.balance_e4(), 100_000 - 6 * PAGE_E4)
        self.assertEqual(self.centre.listed().count("forced"), 1)
        self.assertExact()

    def test_a_site_taken_away_keeps_the_money_until_it_is_retired(self) -> None:
        self.result(self.centre.store.remove_site("north"))
        (ended,) = self.result(self.centre.store.ended_streams("north"))
        self.assertEqual(ended.escrow_e4, self.whole_e4)
        self.result(self.centre.store.retire_stream(ended.id))
        self.assertEqual(self.result(self.centre.store.ended_streams("north")), [])
        self.assertEqual(self.balance_e4(), 100_000 - PAGE_E4)
        self.assertExact()

    def test_no_such_site_or_stream(self) -> None:
        with self.assertRaises(NotFound):
            self.result(self.centre.store.ended_streams("east"))
        with self.assertRaises(NotFound):
            self.result(self.centre.store.retire_stream("nothing"))
        with self.assertRaises(InvalidValue):
            self.result(self.centre.store.retire_stream(self.branch.stream))


class AnyOrderContract(Strict):
    """Whatever happens in whatever order: I6, I19, and money is neither made nor lost."""

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(
        balance_pages=st.integers(0, 300),
        steps=st.lists(
            st.tuples(
                st.sampled_from(
                    ("online", "cut", "open", "end", "void", "heal", "recall", "top-up")
                ),
                st.integers(1, 60),
            ),
            max_size=25,
        ),
    )
    def test_any_order(self, balance_pages, steps) -> None:
        if not self.engine.another():
            return
        self.begin(balance_pages * PAGE_E4)
        money_e4, open_ = balance_pages * PAGE_E4, []
        for what, count in steps:
            if what == "online":
                money_e4 -= count * PAGE_E4 if self.print_online_or_recall(count) else 0
            elif what == "cut":
                money_e4 -= count * PAGE_E4 if self.print_cut(count).allowed else 0
            elif what == "open":
                asked, decision = self.decide(count)
                if decision.allowed:
                    open_.append((asked, decision))
            elif what == "end" and open_:
                asked, decision = open_.pop()
                self.complete(asked, decision)
                money_e4 -= decision.amount_e4
            elif what == "void" and open_:
                self.result(self.branch.store.cancel(self.asker, open_.pop()[0].key, "x"))
            elif what == "heal":
                self.heal()
            elif what == "recall":
                self.result(self.branch.store.give_back((self.user,), count * PAGE_E4))
            elif what == "top-up":
                self.result(self.centre.store.adjust("anna", count * PAGE_E4, "top-up"))
                money_e4 += count * PAGE_E4
            self.assertGreaterEqual(money_e4, 0)
        self.heal()
        self.assertEqual(self.balance_e4(), money_e4)
        self.assertEqual([kind for kind in self.centre.listed() if kind != "reported"], [])
        self.assertExact()
        row = self.centre.account()
        self.assertGreaterEqual(row["credits_e4"] - row["debits_e4"] - row["pending_e4"], 0)

    def print_online_or_recall(self, count: int) -> bool:
        """With all links up nobody who could pay is refused (I22)."""
        asked = request(next(self.numbers), count)
        answer = self.result(self.centre.store.authorize(self.online, asked, may_recall=True))
        if isinstance(answer, Shortage):
            self.result(self.branch.store.give_back(answer.users, answer.missing_e4))
            self.heal()
            answer = self.result(self.centre.store.authorize(self.online, asked))
        if answer.allowed:
            self.result(self.centre.store.complete(self.online, completion(asked, answer)))
        return answer.allowed


class TargetContract:
    """Not of a store; here because it is what the grants above go by."""

    engine = ENGINES[0]

    def test_table(self) -> None:
        for balance_pages, place, pages in (
            *((0, 0, 0), (-5, 0, 0), (1, 0, 1), (40, 0, 40), (79, 0, 40), (79, 1, 0)),
            *((80, 0, 20), (80, 1, 20), (400, 0, 100), (10_000, 1, 100), (400, 2, 0)),
        ):
            found = target_e4(balance_pages * 500, 500, place)
            self.assertEqual(found, pages * 500, (balance_pages, place))
        self.assertEqual(target_e4(100, 0, 0), 0)


on_every_engine(globals())

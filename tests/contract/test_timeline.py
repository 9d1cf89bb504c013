"""Restores, as a store finds them out: by what it once told those who now show it."""

from __future__ import annotations

import attrs

from papercutd.domain.chain import MARK_START, Mark, Position
from papercutd.domain.job import Told
from papercutd.errors import NotFound, Rejected
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import PRICES, Branch, Centre, Turner, completion, job_id, request

OTHER = "5a" * 32


class Case:
    """Every class below runs on every engine."""

    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)

    def head(self) -> Position:
        return self.turner.result(self.centre.store.head())

    def hello(self, position: Position | None, name: str = "p1") -> None:
        store = self.centre.store
        self.turner.result(store.begin_provider(name, job_id(1), MARK_START, "", Told(position)))


class TimelineContract(Case):
    def test_what_is_in_the_history_changes_nothing(self) -> None:
        before = self.head()
        for position in (None, before, Position(1, 0, "00" * 32)):
            self.hello(position)
        self.assertEqual(self.head(), before)
        self.assertEqual(self.centre.listed(), [])

    def test_a_place_beyond_the_head(self) -> None:
        before = self.head()
        self.hello(Position(1, before.number + 3, OTHER))
        after = self.head()
        self.assertEqual((after.timeline, after.number), (2, before.number + 1))
        self.assertEqual(self.centre.listed(), ["restored"])
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])
        # What others were told in the history that is lost is no news.
        self.hello(Position(1, before.number + 1, OTHER), "p2")
        self.assertEqual(self.head(), after)

    def test_a_place_with_another_chain(self) -> None:
        before = self.head()
        self.hello(Position(1, before.number, OTHER))
        self.assertEqual(self.head().timeline, 2)

    def test_a_timeline_that_was_lost_too(self) -> None:
        self.hello(Position(4, 2, OTHER))
        self.assertEqual(self.head().timeline, 5)

    def test_a_sites_replica_shows_it(self) -> None:
        ahead = Position(1, self.head().number + 9, OTHER)
        begun = self.centre.store.begin_site("north", job_id(7), MARK_START, ahead, "")
        welcome = self.turner.result(begun)
        self.assertFalse(welcome.resume)
        self.assertEqual(self.head().timeline, 2)

    def test_a_log_that_was_cut_off_below_says_nothing(self) -> None:
        """F41: a replica older than the log is no restore; it needs a snapshot."""
        lagging = self.head()
        self.centre.user("anna")

        def cut_off(connection) -> None:
            connection.execute("DELETE FROM change_log WHERE number <= ?", (lagging.number,))

        self.turner.result(self.centre.store.write(cut_off))
        begun = self.centre.store.begin_site("north", job_id(7), MARK_START, lagging, "")
        self.assertFalse(self.turner.result(begun).resume)
        self.assertFalse(self.turner.result(self.centre.store.in_history(lagging)))
        self.assertEqual(self.head().timeline, 1)

    def test_a_stranger_begins_no_timeline(self) -> None:
        with self.assertRaises(NotFound):
            self.hello(Position(9, 9, OTHER), "nobody")
        self.assertEqual(self.head().timeline, 1)

    def test_ids_of_the_lost_history_are_given_to_nobody(self) -> None:
        before = self.centre.user("anna")
        self.hello(Position(1, self.head().number + 1, OTHER))
        self.assertGreater(self.centre.user("ben"), before + 900_000)
        added = self.turner.result(self.centre.store.add_prices(PRICES))
        self.assertGreater(added, 900_000)

    def test_what_a_lost_decision_names_still_posts(self) -> None:
        """Its account was made in the lost history: who bears the name pays, else nobody."""
        user = self.centre.user("anna")
        p1 = self.centre.provider()
        asked = self.turner.result(self.centre.store.authorize(p1, request(5, 2)))
        lost = attrs.evolve(asked, user=77_777, account=77_777)
        for number, decision, name, debits_e4, kind in (
            (6, lost, "anna", 1_000, "forced"),
            (7, lost, "nobody", 1_000, "uncollected"),
            # Her own account is known: it was a shared one that she chose.
            (8, attrs.evolve(lost, user=user), "anna", 1_000, "uncollected"),
        ):
            told = completion(request(number, 2, user=name), decision, 2)
            done = self.turner.result(self.centre.store.complete(p1, told))
            self.assertEqual((done.state, done.amount_e4), ("posted", 1_000))
            self.assertEqual(self.centre.account()["debits_e4"], debits_e4)
            self.assertEqual(self.centre.listed()[-1], kind)
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])

    def test_what_was_taken_from_the_lost_history_counts_as_it_was(self) -> None:
        """At a price that is lost as well, and though the key was asked here again."""
        self.centre.user("anna")
        p1 = self.centre.provider()
        asked = request(5, 2)
        ours = self.turner.result(self.centre.store.authorize(p1, asked))
        dear = tuple(attrs.evolve(line, unit_e4=9_000) for line in ours.lines)
        place = f"1.{self.head().number + 5}"
        taken = attrs.evolve(ours, lines=dear, price_version=9, position=place)
        honest = self.turner.result(self.centre.store.complete(p1, completion(asked, taken, 2)))
        # Nothing is lost yet: what we stored is what was answered.
        self.assertEqual(honest.amount_e4, 1_000)
        self.hello(Position(1, self.head().number + 9, OTHER), "p2")
        again = request(6, 2)
        self.turner.result(self.centre.store.authorize(p1, again))
        told = completion(again, attrs.evolve(taken, position=place), 2)
        self.turner.result(self.centre.store.complete(p1, told))
        self.assertEqual(self.centre.account()["debits_e4"], 1_000 + 18_000)
        self.assertIn("price-difference", self.centre.listed())
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])

    def test_prices_of_one_number_in_two_histories(self) -> None:
        """Set again before the restore was known: the dearer ones were of the lost history."""
        self.centre.user("anna")
        p1 = self.centre.provider()
        ours = self.turner.result(self.centre.store.authorize(p1, request(5, 2)))
        dear = tuple(attrs.evolve(line, unit_e4=9_000) for line in ours.lines)
        place = f"1.{self.head().number + 5}"
        told = completion(request(6, 2), attrs.evolve(ours, lines=dear, position=place), 2)
        with self.assertRaises(Rejected):
            self.turner.result(self.centre.store.complete(p1, told))
        self.hello(Position(1, self.head().number + 9, OTHER), "p2")
        done = self.turner.result(self.centre.store.complete(p1, told))
        self.assertEqual((done.state, done.amount_e4), ("posted", 18_000))
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])

    def test_a_timeline_that_this_history_never_had(self) -> None:
        """Restored, and restored again from a backup of before the first time."""
        self.centre.user("anna")
        p1 = self.centre.provider()
        ours = self.turner.result(self.centre.store.authorize(p1, request(5, 2)))
        dear = tuple(attrs.evolve(line, unit_e4=9_000) for line in ours.lines)
        for number in range(4):
            self.centre.user(f"ben{number}")
        shown = Position(2, self.head().number - 2, OTHER)
        self.hello(shown, "p2")
        self.assertEqual(self.head().timeline, 3)
        taken = attrs.evolve(ours, lines=dear, position=shown.text)
        forged = attrs.evolve(taken, position=f"4.{shown.number}")
        told = completion(request(6, 2), forged, 2)
        with self.assertRaises(Rejected):
            self.turner.result(self.centre.store.complete(p1, told))
        told = completion(request(6, 2), taken, 2)
        done = self.turner.result(self.centre.store.complete(p1, told))
        self.assertEqual(done.amount_e4, 18_000)


class ReversionContract(Case):
    """A site that is shown what it acknowledged and does not have."""

    def setUp(self) -> None:
        super().setUp()
        self.centre.user("anna")
        self.branch = Branch(self.turner, engine=self.engine)
        self.branch.load_snapshot(self.centre)

    def hello_site(self, stream: str, mark: Mark) -> None:
        store = self.branch.store
        begun = store.begin_provider("p1", job_id(1), MARK_START, "", Told(None, stream, mark))
        self.turner.result(begun)

    def test_acknowledged_and_there(self) -> None:
        p1 = self.branch.provider()
        asked = request(5, 2)
        decision = self.turner.result(self.branch.store.decide(p1, asked))
        receipt = self.turner.result(self.branch.store.complete(p1, completion(asked, decision, 2)))
        assert receipt.mark is not None
        self.assertEqual(receipt.mark, self.turner.result(self.branch.store.identity()).mark)
        self.turner.result(
            self.branch.store.begin_provider(
                "p1", p1.journal, MARK_START, "", Told(None, self.branch.stream, receipt.mark)
            )
        )

    def test_acknowledged_and_gone(self) -> None:
        for mark in (Mark(4, OTHER), Mark(0, OTHER)):
            with self.assertRaises(Rejected) as caught:
                self.hello_site(self.branch.stream, mark)
            self.assertEqual(caught.exception.code, "new-stream")

    def test_another_streams_is_no_matter(self) -> None:
        self.hello_site(job_id(99), Mark(4, OTHER))


on_every_engine(globals())

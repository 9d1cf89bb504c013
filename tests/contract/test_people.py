"""Merged, renamed and deleted people, at the centre and at a cut site: design 4.11."""

from __future__ import annotations

from papercutd.domain.chain import MARK_START, Position
from papercutd.domain.decision import Reason
from papercutd.domain.job import Told
from papercutd.errors import AlreadyExists, InvalidValue, NameKept, NotFound
from papercutd.storage.administration.directory import NAME_KEPT_S
from tests.contract.test_site_store import Site
from tests.support.engines import on_every_engine
from tests.support.stores import completion, job_id, request


class PeopleBase(Site):
    def call(self, name, *arguments, **more):
        return self.turner.result(getattr(self.centre.store, name)(*arguments, **more))

    def head(self) -> Position:
        return self.call("head")

    def balance_e4(self, name="anna"):
        return self.call("user", name)["balance_e4"]

    def authorize(self, asked):
        return self.call("authorize", self.centre.provider(), asked)

    def tracked(self, number, user, position, count=2):
        """A job that no server was asked for."""
        asked = request(number, count, user)
        record = completion(asked, None, count, position=position)
        self.call("complete", self.centre.provider(), record)
        return asked.key


class MergeContract(PeopleBase):
    def setUp(self) -> None:
        super().setUp()
        self.heir = self.centre.user("ben", 20_000)

    def merge(self):
        self.call("merge_users", "anna", "ben")

    def test_money_moves_as_a_transfer(self) -> None:
        self.merge()
        self.assertEqual(self.balance_e4("ben"), 120_000)
        self.assertEqual(self.centre.account("anna")["debits_e4"], 100_000)

    def test_a_debt_moves_too(self) -> None:
        self.call("adjust", "anna", -150_000, "")
        self.merge()
        self.assertEqual(self.balance_e4("ben"), -30_000)

    def test_the_old_name_is_the_heir(self) -> None:
        self.merge()
        self.assertEqual(self.authorize(request(1, 10)).user, self.heir)
        self.assertEqual(self.call("user", "anna")["name"], "ben")
        self.assertEqual([u["name"] for u in self.call("users_after", "")], ["ben"])

    def test_reservations_count_at_the_heir_and_post_there(self) -> None:
        asked = request(1, 100)
        decision = self.authorize(asked)
        self.merge()
        self.assertEqual(self.centre.account("anna")["pending_e4"], 0)
        self.assertEqual(self.centre.account("ben")["pending_e4"], 50_000)
        self.assertFalse(self.authorize(request(2, 150, "ben")).allowed)
        self.call("complete", self.centre.provider(), completion(asked, decision, 100))
        self.assertEqual(self.balance_e4("ben"), 70_000)
        self.assertEqual(self.centre.account("ben")["pending_e4"], 0)
        self.assertEqual(len(self.call("user", "ben")["charges"]), 1)
        self.assertNotIn("forced", self.centre.listed())

    def test_merges_chain(self) -> None:
        self.merge()
        self.centre.user("eva", 0)
        self.call("merge_users", "ben", "eva")
        self.assertEqual(self.balance_e4("anna"), 120_000)
        self.assertEqual(self.call("user", "eva")["merged"], ["anna", "ben"])

    def test_cards_and_verifiers_go_where_there_is_none(self) -> None:
        self.call("ensure_secret", "card-key", "00" * 32)
        self.call("add_card", "anna", "1234")
        self.call("set_verifier", "anna", "password", "annas")
        self.call("set_verifier", "anna", "pin", "annas pin")
        self.call("set_verifier", "ben", "password", "bens")
        self.merge()
        found = self.call("login_by_card", "1234")
        self.assertEqual((found.user, found.verifier), (self.heir, "bens"))
        self.assertEqual(found.pin_verifier, "annas pin")
        self.assertEqual(found.users, {self.user, self.heir})
        self.assertEqual(found.names, {"anna", "ben"})

    def test_an_administrator_inherits_no_password(self) -> None:
        self.centre.user("root", 0, administrator=True)
        self.call("set_verifier", "anna", "password", "annas")
        self.call("merge_users", "anna", "root")
        self.assertEqual(self.call("login_by_name", "root").verifier, "")

    def test_nobody_merges_into_themselves(self) -> None:
        with self.assertRaises(InvalidValue):
            self.call("merge_users", "anna", "ANNA")
        self.merge()
        # The same again, and in a circle.
        for old, into in (("anna", "ben"), ("ben", "anna")):
            with self.assertRaisesRegex(InvalidValue, "'anna' is 'ben' now"):
                self.call("merge_users", old, into)
        with self.assertRaises(NotFound):
            self.call("merge_users", "nobody", "ben")

    def test_what_a_cut_site_charged_lands_on_the_heir(self) -> None:
        first, second = request(1, 10), request(2, 20)
        decision = self.decide(first)
        self.complete(first, decision, 10)
        later = self.decide(second)
        self.merge()
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        ((account,),) = self.centre.query("SELECT account FROM user WHERE id = ?", self.heir)
        overlay = self.turner.result(self.branch.store.overlay(account))
        self.assertEqual(overlay.unsettled_e4, 15_000)
        self.assertEqual(overlay.funds.balance_e4, 115_000)
        # The replica now says who it is.
        self.assertEqual(self.decide(request(3, 1)).user, self.heir)
        self.complete(second, later, 20)
        self.branch.forward(self.centre, self.site)
        self.branch.follow(self.centre)
        overlay = self.turner.result(self.branch.store.overlay(account))
        self.assertEqual((self.balance_e4("ben"), overlay.funds.balance_e4), (105_000, 105_000))
        self.assertEqual(overlay.unsettled_e4, 500)
        self.assertReplicaIsCentre()


class NameContract(PeopleBase):
    def position(self):
        return self.call("head").text

    def test_a_former_name_still_finds_the_person(self) -> None:
        self.call("rename_user", "anna", "Anna.B")
        for name in ("anna", "anna.b"):
            self.assertEqual(self.call("login_by_name", name).user, self.user)
        self.assertEqual(self.authorize(request(1)).user, self.user)
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        self.assertEqual(self.decide(request(2, user="anna")).user, self.user)
        self.assertEqual(self.decide(request(3, user="anna.b")).user, self.user)

    def test_a_name_is_kept_35_days(self) -> None:
        self.call("rename_user", "anna", "eva")
        with self.assertRaises(NameKept) as caught:
            self.centre.user("Anna")
        self.assertIn("is not given again before 20", str(caught.exception))
        self.turner.clock.advance(NAME_KEPT_S)
        second = self.centre.user("Anna", 0)
        self.assertEqual(self.call("login_by_name", "anna").user, second)
        self.assertEqual(self.call("login_by_name", "eva").user, self.user)
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        self.assertEqual(self.decide(request(1)).user, second)

    def test_an_administrator_who_knows(self) -> None:
        self.call("delete_user", "anna")
        second = self.centre.user("anna", 0, now=True)
        self.assertEqual(self.call("login_by_name", "anna").user, second)
        with self.assertRaises(NotFound):
            self.call("undelete_user", "anna")

    def test_to_and_fro(self) -> None:
        for name in ("eva", "anna", "eva", "anna"):
            self.call("rename_user", "anna", name)
        self.assertEqual(self.call("user", "anna")["former_names"], ["eva"])
        self.centre.user("ben")
        with self.assertRaises(AlreadyExists):
            self.call("rename_user", "anna", "BEN")

    def test_a_trackers_name_is_as_of_its_position(self) -> None:
        before = self.position()
        self.call("rename_user", "anna", "eva")
        second = self.centre.user("anna", 50_000, now=True)
        after = self.position()
        self.tracked(1, "anna", before)
        self.tracked(2, "anna", after, 3)
        self.assertEqual((self.balance_e4("eva"), self.balance_e4("anna")), (99_000, 48_500))
        self.assertEqual(
            self.centre.query("SELECT user FROM charge ORDER BY pages"), [(self.user,), (second,)]
        )

    def test_a_position_in_a_history_that_is_lost_tells_nothing(self) -> None:
        """Its number stands in the new timeline too, and there the name was another's."""
        told = Position(1, self.head().number + 4, "5a" * 32)
        self.turner.result(
            self.centre.store.begin_provider("p1", job_id(1), MARK_START, "", Told(told))
        )
        self.call("rename_user", "anna", "eva")
        self.centre.user("anna", 50_000, now=True)
        while self.head().number < told.number:
            self.call("adjust", "eva", 1, "")
        key = self.tracked(1, "anna", told.text)
        self.assertEqual([row["key"] for row in self.call("uncollected")], [key])
        # Before the restore both histories are one.
        self.tracked(2, "eva", self.head().text)
        self.assertEqual(len(self.call("uncollected")), 1)

    def test_an_uncertain_name_is_assigned_by_hand_once(self) -> None:
        self.call("rename_user", "anna", "eva")
        self.tracked(1, "anna", "")
        self.assertEqual(self.balance_e4("eva"), 99_000)
        self.centre.user("anna", 50_000, now=True)
        key = self.tracked(2, "anna", "")
        self.assertEqual([row["key"] for row in self.call("uncollected")], [key])
        with self.assertRaises(NotFound):
            self.call("assign", request(1).key, "eva")
        self.assertEqual(self.call("assign", key, "eva"), 1_000)
        self.assertEqual((self.balance_e4("eva"), self.balance_e4("anna")), (98_000, 50_000))
        with self.assertRaises(AlreadyExists):
            self.call("assign", key, "eva")
        self.assertEqual(self.call("uncollected"), [])
        self.assertEqual(len(self.call("user", "eva")["charges"]), 2)


class DeleteContract(PeopleBase):
    def test_deleted_is_closed_everywhere_and_comes_back(self) -> None:
        self.assertEqual(self.call("delete_user", "anna"), 100_000)
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        self.assertEqual(self.authorize(request(1)).reason, Reason.CLOSED)
        self.assertEqual(self.decide(request(2)).reason, Reason.CLOSED)
        self.assertTrue(self.call("login_by_name", "anna").disabled)
        self.assertTrue(self.call("user", "anna")["deleted"])
        with self.assertRaises(NotFound):
            self.call("delete_user", "anna")
        self.call("undelete_user", "anna")
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        self.assertTrue(self.authorize(request(3)).allowed)
        self.assertTrue(self.decide(request(4)).allowed)

    def test_what_a_cut_site_charged_still_posts(self) -> None:
        asked = request(1, 10)
        self.complete(asked, self.decide(asked), 10)
        self.call("delete_user", "anna")
        self.branch.forward(self.centre, self.site)
        self.assertEqual(self.balance_e4(), 95_000)


on_every_engine(globals())

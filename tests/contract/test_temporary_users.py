"""Users with an end, and what is set of users, at the centre and at a cut site."""

from __future__ import annotations

from papercutd.domain.decision import Reason
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from tests.contract.test_people import PeopleBase
from tests.support.engines import on_every_engine
from tests.support.stores import WALL_S, request


class TemporaryContract(PeopleBase):
    def set(self, name="anna", **settings):
        self.turner.result(self.centre.store.people.set_user(name, settings))

    def now(self) -> float:
        return WALL_S + self.turner.clock.seconds()

    def at_both(self, number):
        """Why a job is refused at the centre, and at the cut site."""
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        there = self.decide(request(2 * number, 1))
        here = self.authorize(request(2 * number + 1, 1))
        return here.reason, there.reason

    def logins(self):
        stores = (self.centre.store, self.branch.store)
        return [self.turner.result(store.login_by_name("anna")).disabled for store in stores]

    def test_refused_from_then_on(self) -> None:
        self.set(expires_at=self.now() + 60.0)
        self.assertEqual(self.at_both(1), (Reason.NONE, Reason.NONE))
        self.assertEqual(self.logins(), [False, False])
        self.turner.clock.advance(60.0)
        self.assertEqual(self.at_both(2), (Reason.CLOSED, Reason.CLOSED))
        self.assertEqual(self.logins(), [True, True])
        self.set(expires_at=None)
        self.assertEqual(self.at_both(3), (Reason.NONE, Reason.NONE))

    def test_a_cut_site_goes_by_the_clock_that_nobody_sets(self) -> None:
        """Design 4.10: as with promises and prices, not the wall clock."""
        self.set(expires_at=self.now() + 3_600.0)
        self.branch.follow(self.centre)
        dated = [self.now()]
        self.branch.store.go_by(lambda: dated[0])
        self.turner.clock.advance(86_400.0)
        self.assertTrue(self.decide(request(1, 1)).allowed)
        dated[0] += 3_600.0
        self.assertEqual(self.decide(request(2, 1)).reason, Reason.CLOSED)

    def test_what_was_printed_posts_all_the_same(self) -> None:
        self.branch.follow(self.centre)
        asked = request(1, 10)
        decision = self.decide(asked)
        self.complete(asked, decision, 10)
        self.set(expires_at=1.0)
        self.branch.forward(self.centre, self.site)
        self.assertEqual(self.balance_e4(), 95_000)

    def test_disabled(self) -> None:
        self.set(disabled=1)
        self.assertEqual(self.at_both(1), (Reason.CLOSED, Reason.CLOSED))
        self.set(disabled=0)
        self.assertEqual(self.at_both(2), (Reason.NONE, Reason.NONE))

    def test_settings(self) -> None:
        self.set(full_name="Anna Ax", restricted=False, overdraft_e4=50_000, email="a@b.c")
        self.set(department="Physics", alias="Ax")
        self.set(notes="x" * 2_000)
        row = self.call("user", "anna")
        self.assertEqual(
            (row["full_name"], row["restricted"], row["overdraft_e4"]), ("Anna Ax", 0, 50_000)
        )
        self.assertEqual((row["email"], row["department"]), ("a@b.c", "Physics"))
        self.centre.user("ben", 0)
        with self.assertRaises(AlreadyExists):
            self.set("ben", alias="aX")
        for bad in ({"email": "x" * 256}, {"notes": "a\0b"}, {"overdraft_e4": -1}, {"x": 1}):
            with self.assertRaises(InvalidValue):
                self.set("ben", office="Room 1", **bad)
        self.assertEqual(self.call("user", "ben")["office"], "")
        with self.assertRaises(NotFound):
            self.set("nobody", email="")
        self.call("delete_user", "ben")
        with self.assertRaises(NotFound):
            self.set("ben", email="")


on_every_engine(globals())

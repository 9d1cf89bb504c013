"""Cards linked at sites: theirs there at once, decided at the application server: design 4.11."""

from __future__ import annotations

from papercutd.domain.job import SessionRef
from papercutd.errors import InvalidValue, Rejected
from papercutd.storage.people.claims import NOTICE_KEPT_S
from papercutd.storage.people.people import CARD_KEY
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, job_id

CARD = "04:A2:2B:91"


class _TwoSites:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.result(self.centre.store.ensure_secret(CARD_KEY, "0" * 64))
        self.users = {name: self.centre.user(name) for name in ("anna", "bea", "cleo")}
        self.north = Branch(self.turner, engine=self.engine)
        self.south = Branch(self.turner, "south", engine=self.engine)
        self.sessions = {}
        for branch in (self.north, self.south):
            branch.load_snapshot(self.centre)
            self.sessions[branch.name] = self.centre.site(branch.stream, branch.name)
        self.ids = iter(range(1, 100))

    def tearDown(self) -> None:
        self.assertEqual(self.result(self.centre.store.verify()), [])
        for branch in (self.north, self.south):
            self.assertEqual(self.result(branch.store.verify()), [])

    def result(self, deferred):
        return self.turner.result(deferred)

    def link(self, branch: Branch, name: str, card: str = CARD) -> str:
        claim = job_id(0xC000 + next(self.ids))
        return self.result(branch.store.link_card(self.users[name], card, claim))

    def heal(self, *branches: Branch) -> None:
        """What they journalled goes up, in this order; then everybody follows."""
        for branch in branches or (self.north, self.south):
            while branch.forward(self.centre, self.sessions[branch.name]):
                pass
        for branch in (self.north, self.south):
            branch.follow(self.centre)

    def whose(self, where, card: str = CARD) -> str | None:
        found = self.result(where.store.login_by_card(card))
        return None if found is None else found.name

    def everywhere(self, card: str = CARD) -> set[str | None]:
        return {self.whose(where, card) for where in (self.centre, self.north, self.south)}

    def notices(self, name: str) -> list[str]:
        found = {
            tuple(self.result(where.store.notices(self.users[name])))
            for where in (self.centre, self.north, self.south)
        }
        (one,) = found
        return list(one)


class ClaimContract(_TwoSites):
    def test_theirs_there_at_once_and_everywhere_after(self) -> None:
        self.assertEqual(self.link(self.north, "anna"), "claimed")
        self.assertEqual(self.whose(self.north), "anna")
        self.assertEqual((self.whose(self.south), self.whose(self.centre)), (None, None))
        self.assertEqual(self.link(self.north, "anna"), "already")
        self.heal()
        self.assertEqual(self.everywhere(), {"anna"})
        self.assertEqual(self.centre.listed(), [])

    def test_two_people_at_one_site(self) -> None:
        self.link(self.north, "anna")
        with self.assertRaises(Rejected) as caught:
            self.link(self.north, "bea")
        self.assertEqual(caught.exception.code, "card-taken")

    def test_two_people_in_cuts_that_overlap(self) -> None:
        """Neither stands, whichever comes first; both are told, both are listed."""
        self.check_overlap(self.north, self.south)

    def test_two_people_and_the_other_one_comes_first(self) -> None:
        self.check_overlap(self.south, self.north)

    def check_overlap(self, first: Branch, second: Branch) -> None:
        self.link(self.north, "anna")
        self.link(self.south, "bea")
        self.assertEqual((self.whose(self.north), self.whose(self.south)), ("anna", "bea"))
        self.heal(first, second)
        self.assertEqual(self.everywhere(), {None})
        for name in ("anna", "bea"):
            self.assertEqual(self.notices(name), ["card-claimed-twice"])
        self.assertEqual(self.centre.listed(), ["card-claimed-twice"] * 2)

    def test_a_third_in_the_same_cut(self) -> None:
        self.link(self.north, "anna")
        third = Branch(self.turner, "south", engine=self.engine)
        third.load_snapshot(self.centre)
        self.link(self.south, "bea")
        self.heal()
        # South's machine was replaced by one that had been cut as long.
        self.result(third.store.link_card(self.users["cleo"], CARD, job_id(0xCCCC)))
        self.sessions["south"] = self.centre.site(third.stream, "south")
        third.forward(self.centre, self.sessions["south"])
        self.assertIsNone(self.whose(self.centre))
        self.assertEqual(
            self.result(self.centre.store.notices(self.users["cleo"])), ["card-claimed-twice"]
        )

    def test_one_who_knew_is_refused_there(self) -> None:
        self.link(self.north, "anna")
        self.heal()
        with self.assertRaises(Rejected):
            self.link(self.south, "bea")

    def test_anothers_at_the_centre_already(self) -> None:
        """Linked by the administrator while the site was cut: the administrator's word stands."""
        self.link(self.north, "anna")
        self.result(self.centre.store.add_card("bea", CARD))
        self.assertEqual(self.whose(self.north), "anna")
        self.heal()
        self.assertEqual(self.everywhere(), {"bea"})
        self.assertEqual(self.notices("anna"), ["card-refused"])
        self.assertEqual(self.notices("bea"), [])
        self.assertEqual(self.centre.listed(), ["card-refused"])

    def test_ones_own_from_two_sites(self) -> None:
        self.link(self.north, "anna")
        self.link(self.south, "anna")
        self.heal()
        self.assertEqual(self.everywhere(), {"anna"})
        self.assertEqual(self.centre.listed(), [])

    def test_again_after_it_was_nobodys(self) -> None:
        self.link(self.north, "anna")
        self.link(self.south, "bea")
        self.heal()
        self.assertEqual(self.link(self.north, "anna"), "claimed")
        self.heal()
        self.assertEqual(self.everywhere(), {"anna"})
        # What she was told is mended, what bea was told is not.
        self.assertEqual((self.notices("anna"), self.notices("bea")), ([], ["card-claimed-twice"]))

    def test_merged_with_who_had_it(self) -> None:
        self.link(self.north, "anna")
        self.link(self.south, "bea")
        self.result(self.centre.store.merge_users("anna", "bea"))
        self.heal()
        self.assertEqual(self.everywhere(), {"bea"})
        self.assertEqual(self.centre.listed(), [])

    def test_deleted_while_it_was_claimed(self) -> None:
        self.link(self.north, "anna")
        self.result(self.centre.store.delete_user("anna"))
        self.heal()
        self.assertTrue(self.result(self.centre.store.login_by_card(CARD)).disabled)

    def test_nothing_twice_when_it_is_forwarded_again(self) -> None:
        """A new stream forwards what the old one had: the same claims."""
        self.link(self.north, "anna")
        self.link(self.south, "bea")
        self.heal()
        self.north.stream = job_id(0xFEED)
        self.result(self.north.store.take_new_stream(self.north.stream))
        mark = self.result(self.north.store.identity()).mark
        begun = self.result(
            self.centre.store.begin_site("north", self.north.stream, mark, None, "")
        )
        self.sessions["north"] = SessionRef("site", "north", self.north.stream, begun.session)
        self.assertEqual(self.whose(self.north), "anna")
        self.heal()
        self.assertEqual(self.everywhere(), {None})
        self.assertEqual(self.centre.listed().count("card-claimed-twice"), 2)

    def test_at_the_application_server(self) -> None:
        self.assertEqual(self.link(self.centre, "anna"), "linked")
        self.assertEqual(self.link(self.centre, "anna"), "already")
        with self.assertRaises(Rejected) as caught:
            self.link(self.centre, "bea")
        self.assertEqual(caught.exception.code, "card-taken")
        self.heal()
        self.assertEqual(self.everywhere(), {"anna"})

    def test_a_month_is_long_enough(self) -> None:
        self.link(self.north, "anna")
        self.link(self.south, "bea")
        self.heal()
        self.turner.clock.advance(NOTICE_KEPT_S + 1)
        self.result(self.centre.store.count_unseen(60.0))
        self.heal()
        self.assertEqual(self.notices("anna"), [])

    def test_what_is_no_card(self) -> None:
        for branch in (self.centre, self.north):
            for number in ("", "\x00", "x" * 500):
                with self.assertRaises(InvalidValue):
                    self.link(branch, "anna", number)

    def test_the_number_is_in_no_journal(self) -> None:
        self.link(self.north, "anna")
        bodies = self.north.query("SELECT body FROM journal")
        normal = CARD.replace(":", "")
        self.assertFalse([b for (b,) in bodies if CARD in b or normal in b.upper()])


on_every_engine(globals())

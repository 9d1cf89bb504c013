"""Outages by number: open ones only grow, closed ones stand for ever."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import fail

from papercutd.domain.signed import Signature, canonical
from papercutd.errors import NotFound, StorageFull
from tests.contract.test_statement import StatementContract as _Outage
from tests.support import stores
from tests.support.engines import on_every_engine
from tests.support.stores import Turner

GROWS = ("jobs", "pages", "amount_e4")


def sign(body: bytes) -> Signature:
    return Signature(f"{len(body):x}", "a certificate")


class OutagesContract:
    """Sites go and come back; what was said of a closed outage is said again."""

    setUp = _Outage.setUp
    print_at_site = _Outage.print_at_site
    cut = _Outage.cut
    heal = _Outage.heal
    forward = _Outage.forward

    def stated(self, outage: int | None = None) -> dict[str, Any]:
        return self.turner.run(self.centre.store.statement(None, None, outage))

    def outages(self) -> list[dict[str, Any]]:
        return self.turner.run(self.centre.store.outages(100))

    def one_outage(self, jobs: int = 2) -> None:
        self.cut()
        for _ in range(jobs):
            self.print_at_site()
        self.heal()
        self.forward()

    def test_listed_newest_first(self) -> None:
        self.one_outage(1)
        self.one_outage(3)
        self.cut()
        found = self.outages()
        self.assertEqual([one["outage"] for one in found], [3, 2, 1])
        self.assertEqual([one["state"] for one in found], ["open", "closed", "closed"])
        self.assertEqual([one["jobs"] for one in found], [0, 3, 1])
        self.assertEqual([one["sites"] for one in found], [["north"]] * 3)
        self.assertEqual(self.stated()["outage"], 3)
        self.assertEqual(self.stated(1)["jobs"], 1)
        with self.assertRaises(NotFound):
            self.stated(4)

    def test_a_closed_one_keeps_its_words(self) -> None:
        """New names, another policy, a correction, another outage: it says what it said."""
        result, store = self.turner.result, self.centre.store
        self.one_outage()
        result(store.settle_outages(sign))
        closed = self.stated(1)
        self.assertEqual(closed["signed"]["signature"], f"{len(canonical(closed)):x}")
        result(store.set_site("north", {"policy": "closed", "cap_user_e4": -2}))
        result(store.rename_user("anna", "bertha"))
        result(store.adjust("bertha", -500_000, "a correction"))
        self.one_outage(0)
        result(store.settle_outages(sign))
        self.assertEqual(self.stated(1), closed)
        self.assertEqual(self.stated(2)["sites"][0]["policy"], "closed")
        self.assertEqual(result(store.verify()), [])

    def test_two_sites_at_once_are_one_outage(self) -> None:
        result, store = self.turner.result, self.centre.store
        south = self.centre.site("s" * 8, "south")
        result(store.end_session(self.session))
        self.turner.clock.advance(5)
        result(store.end_session(south))
        self.turner.clock.advance(100)
        (found,) = self.outages()
        self.assertEqual((found["sites"], found["state"]), (["north", "south"], "open"))
        self.assertEqual(self.stated()["missing"], ["site:north", "site:south"])
        south = self.centre.site("s" * 8, "south")
        result(store.report(south))
        # It goes again while the other one is away: that is another outage.
        self.turner.clock.advance(100)
        result(store.end_session(south))
        self.assertEqual([one["sites"] for one in self.outages()], [["south"], ["north", "south"]])
        self.heal()
        self.forward()
        self.assertEqual([one["state"] for one in self.outages()], ["open", "closed"])

    def test_a_session_that_is_replaced(self) -> None:
        """The site noticed its link going down, this server did not: it was down."""
        self.print_at_site()
        self.heal()
        self.forward()
        (found,) = self.outages()
        self.assertEqual((found["state"], found["jobs"]), ("closed", 1))

    def test_a_clock_that_was_behind_for_a_while(self) -> None:
        """What a print server said then is known when a site goes, soon after it was mended."""
        result, right_s = self.turner.result, stores.WALL_S
        result(self.branch.store.end_session(self.provider))
        self.forward()
        self.patch(stores, "WALL_S", right_s - 130.0)
        self.provider = self.branch.provider()
        result(self.branch.store.open_keys(self.provider, []))
        self.forward()
        self.patch(stores, "WALL_S", right_s)
        result(self.centre.store.end_session(self.session))
        self.heal()
        self.assertEqual((self.stated()["missing"], self.stated()["state"]), ([], "closed"))

    def test_evidence_and_bound(self) -> None:
        """What was overspent, beside what could have been."""
        self.cut()
        for _ in range(3):
            self.print_at_site()
        self.heal()
        self.turner.result(self.centre.store.adjust("anna", -999_000, "spent elsewhere"))
        self.forward()
        stated = self.stated()
        over = stated["overspend"]
        self.assertEqual((over["people"], over["in_all_e4"]), (1, 500))
        self.assertEqual((over["bound_per_user_e4"], over["within_bound"]), (100_000, True))
        evidence = stated["evidence"]
        self.assertEqual((evidence["charges"], evidence["keys"]), (3, 3))
        self.assertEqual((evidence["lost_records"], evidence["ledger_sum_e4"]), (0, 0))
        (stream,) = evidence["streams"]
        self.assertEqual((stream["stream"], stream["first"]), (self.branch.stream, 1))
        self.assertEqual(stream["last"], stream["told"])
        self.assertEqual([one["site"] for one in stated["by_site"]], ["north"])

    def test_a_full_disk(self) -> None:
        """What is known is told; nothing more is closed."""
        self.one_outage()
        self.stated()
        self.cut()
        store = self.centre.store
        store.settle_outages = lambda sign=None: fail(StorageFull("full"))
        self.assertEqual([one["state"] for one in self.outages()], ["open", "closed"])
        self.assertEqual(self.stated(1)["jobs"], 2)

    def test_the_books_say_it_again(self) -> None:
        self.one_outage()
        again = self.turner.result(self.centre.store.state_again(1))
        self.assertEqual(canonical(again), canonical(self.stated(1)))

    def test_a_kept_statement_is_sealed(self) -> None:
        """One changed byte of it is found."""
        self.one_outage()
        self.turner.result(self.centre.store.settle_outages(sign))
        ((body,),) = self.centre.query("SELECT body FROM outage")
        self.centre.query("UPDATE outage SET body = ?", body.replace(b"closed", b"cloSed"))
        found = self.turner.result(self.centre.store.verify())
        self.assertEqual(found, ["outage: row 1 is not what was written"])

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(["cut", "print", "heal", "one", "all", "wait"]), max_size=25))
    def test_whatever_comes(self, steps: list[str]) -> None:
        """Figures of an open one only grow; a closed one never changes again."""
        if not self.engine.another():
            return
        self.turner = Turner()
        _Outage.setUp(self)  # type: ignore[arg-type]
        before: dict[int, dict[str, Any]] = {}
        is_cut = False
        for step in steps:
            if step == "cut" and not is_cut:
                self.cut()
                is_cut = True
            elif step == "heal" and is_cut:
                self.heal()
                is_cut = False
            elif step == "print":
                self.print_at_site()
            elif step in ("one", "all") and not is_cut:
                self.forward(1 if step == "one" else 100)
            elif step == "wait":
                self.turner.clock.advance(30)
            for one in self.outages():
                number = one["outage"]
                now = self.stated(number)
                was = before.get(number, now)
                if was["state"] == "closed":
                    self.assertEqual(now, was)
                for name in GROWS:
                    self.assertGreaterEqual(now[name], was[name])
                before[number] = now


on_every_engine(globals())

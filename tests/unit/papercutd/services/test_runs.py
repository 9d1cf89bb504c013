"""Runs at devices, at both servers: reserved, counted, posted once by their grant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import MARK_START
from papercutd.domain.grant import Grant, unseal
from papercutd.domain.job import SessionRef
from papercutd.domain.pricing import page_e4
from papercutd.errors import Rejected
from papercutd.services.application_server import ApplicationServer
from papercutd.services.attempts import LockedOut
from papercutd.services.devices import Credentials, Visit
from papercutd.services.runs import OPEN_RUNS_MAX, USUAL_PAGES, Started, Wish
from papercutd.services.site_server import SiteServer
from papercutd.storage.jobs.askers import UNSEEN_MAX_S
from papercutd.storage.money.shared_accounts import Access
from papercutd.storage.people.people import CARD_KEY, Device
from tests.support.stores import Branch, Centre, Turner, job_id

CARD = "04A22B91"


@attrs.define
class Desk:
    """One device and its session at one server."""

    case: RunCase
    server: Any
    name: str = "desk"
    journal: str = job_id(0xD1)
    stopped: list[str] = attrs.field(factory=list)
    asker: SessionRef = attrs.field(init=False)
    device: Device = attrs.field(init=False)
    visit: Visit = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        result = self.case.turner.result
        seen = result(self.server.store.begin_device(self.name, self.journal, MARK_START, ""))
        self.asker = SessionRef("device", self.name, self.journal, seen.session)
        device = result(self.server.store.device(self.name))
        assert device is not None
        self.device = device

    def run(self, coroutine: Any) -> Any:
        return self.case.turner.run(coroutine)

    def log_in(self, card: str = CARD) -> None:
        shown = Credentials("card", card=card)
        self.visit, _ = self.run(self.server.devices.login(self.device, shown, lambda *a: None))

    def stop(self, grant: Grant) -> None:
        self.stopped.append(grant.key)

    def copy(self, pages: int | None = 10, **more: Any) -> Started:
        wish = Wish(**{"function": "copy", "pages": pages, **more})
        return self.run(self.server.runs.start(self.asker, self.visit, wish, self.stop))

    def scan(self, pages: int) -> Started:
        return self.copy(pages, function="scan")

    def pages(self, started: Started, pages: int) -> int:
        return self.server.runs.pages(self.device, started.key, pages)

    def finish(self, started: Started, pages: int, outcome: str = "completed") -> Any:
        return self.run(self.server.runs.finish(self.asker, started.grant, pages, outcome, 1.0))

    def resume(self, *kept: tuple[Started, int]) -> int:
        listed = [(started.grant, pages) for started, pages in kept]
        return self.run(self.server.runs.resume(self.asker, listed, self.stop))


class RunCase(SynchronousTestCase):
    """One centre, one site whose link never comes up, and a device of it."""

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        result = self.turner.result
        self.centre.user("anna", 10_000)
        result(self.centre.store.add_device("desk", "lp1", "north", functions="copy scan"))
        result(self.centre.store.add_device("lobby", "lp2", "south"))
        env = self.turner.environment()
        self.app = ApplicationServer(env, self.centre.store)
        self.turner.run(self.app.start())
        self.addCleanup(lambda: self.turner.run(self.app.stop()))
        result(self.centre.store.add_card("anna", CARD))
        self.branch = Branch(self.turner)
        self.branch.load_snapshot(self.centre)
        self.site = SiteServer(env, self.branch.store, None)  # type: ignore[arg-type]
        self.turner.run(self.site.uplink.start())
        self.session = self.centre.site(self.branch.stream)

    def heal(self) -> None:
        self.branch.forward(self.centre, self.session)
        self.branch.follow(self.centre)

    def charges(self) -> list[tuple[Any, ...]]:
        return self.centre.query(
            "SELECT provider, user_name, pages, amount_e4, assumed FROM charge ORDER BY key"
        )

    def spendable(self) -> int:
        (row,) = self.centre.query(
            "SELECT credits_e4 - debits_e4 - pending_e4 FROM account WHERE name = 'anna'"
        )
        return int(row[0])

    def check(self) -> None:
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])
        self.assertEqual(self.turner.result(self.branch.store.verify()), [])
        pending = self.centre.query("SELECT SUM(pending_e4) FROM account")
        self.assertEqual(pending, [(0,)])

    def refused(
        self, code: str, function: Callable[..., Any], *arguments: Any, **more: Any
    ) -> None:
        caught = self.assertRaises(Rejected, function, *arguments, **more)
        self.assertEqual(caught.code, code)


class AtTheApplicationServerTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        self.desk = Desk(self, self.app)
        self.desk.log_in()

    def test_a_copy(self) -> None:
        started = self.desk.copy(10)
        self.assertEqual((started.decision.allowed, started.pages), (True, 10))
        self.assertEqual(self.spendable(), 5_000)
        self.assertEqual([self.desk.pages(started, n) for n in (1, 2, 7)], [9, 8, 3])
        self.assertEqual(self.desk.stopped, [])
        receipt = self.desk.finish(started, 7)
        self.assertEqual((receipt.state, receipt.amount_e4, receipt.pages), ("posted", 3_500, 7))
        self.assertEqual(self.charges(), [("device:desk", "anna", 7, 3_500, 0)])
        self.assertEqual(self.spendable(), 6_500)
        self.assertEqual(self.centre.listed(), [])
        self.check()

    def test_what_devices_have_in_common_is_held_once(self) -> None:
        # There is a Device for each session, thousands of them.
        first, second = (self.turner.result(self.app.store.device("desk")) for _ in range(2))
        for field in ("functions", "logins", "provider", "printer_name", "site"):
            self.assertIs(getattr(first, field), getattr(second, field), field)

    def test_finished_again(self) -> None:
        started = self.desk.copy(10)
        self.desk.finish(started, 7)
        self.assertEqual(self.desk.finish(started, 7).state, "already")
        self.assertEqual(self.desk.finish(started, 9).amount_e4, 3_500)
        self.assertEqual(len(self.charges()), 1)
        self.assertEqual(self.centre.listed(), ["repeated-complete"])
        self.check()

    def test_stopped_at_the_last_page_reserved(self) -> None:
        """What the money is enough for is what may be copied; the device is told once."""
        started = self.desk.copy(50)
        self.assertEqual(started.pages, 20)
        self.assertEqual(self.spendable(), 0)
        self.assertEqual(self.desk.pages(started, 19), 1)
        self.assertEqual(self.desk.stopped, [])
        self.assertEqual([self.desk.pages(started, n) for n in (20, 20, 21)], [0, 0, 0])
        self.assertEqual(self.desk.stopped, [started.key])
        # One page was on its way: it is charged all the same.
        self.assertEqual(self.desk.finish(started, 21).amount_e4, 10_500)
        self.assertEqual(self.spendable(), -500)
        self.assertEqual(self.centre.listed(), ["forced"])
        self.check()

    def test_no_money_for_a_page(self) -> None:
        self.desk.finish(self.desk.copy(20), 20)
        started = self.desk.copy(1)
        self.assertEqual((started.grant, started.decision.reason.value), ("", "funds"))
        self.check()

    def test_the_device_does_not_know_how_many(self) -> None:
        self.centre.user("rich", 0, restricted=False)
        self.turner.result(self.centre.store.add_card("rich", "0815"))
        self.desk.log_in("0815")
        self.assertEqual(self.desk.copy(None).pages, USUAL_PAGES)
        # Somebody without a limit is not refused, whatever it takes.
        self.assertEqual(self.desk.copy(50_000).pages, 50_000)

    def test_one_run_after_the_other(self) -> None:
        first = self.desk.copy(5)
        second = self.desk.copy(5)
        self.assertEqual([key[-5:] for key in (first.key, second.key)], ["run-1", "run-2"])
        self.desk.finish(first, 5)
        self.desk.finish(second, 2)
        self.assertEqual([row[2] for row in self.charges()], [5, 2])
        self.check()

    def test_scans_are_counted_and_cost_nothing(self) -> None:
        started = self.desk.copy(10, function="scan")
        self.assertEqual(started.pages, 10)
        self.assertEqual(self.spendable(), 10_000)
        self.assertEqual(self.desk.finish(started, 12).amount_e4, 0)
        self.assertEqual([row[2:4] for row in self.charges()], [(12, 0)])
        self.check()

    def test_colour_and_paper(self) -> None:
        started = self.desk.copy(2, colour=True, paper="A3", duplex=True)
        self.assertEqual(started.decision.amount_e4, 8_000)
        self.assertEqual(self.desk.finish(started, 1).amount_e4, 4_000)
        self.check()

    def test_nothing_came_out(self) -> None:
        started = self.desk.copy(10)
        self.desk.finish(started, 0)
        self.assertEqual((self.charges(), self.spendable()), ([], 10_000))
        self.assertEqual(self.desk.finish(started, 0).state, "already")
        self.check()

    def test_far_more_than_reserved_is_charged_and_listed(self) -> None:
        started = self.desk.copy(2)
        self.assertEqual(self.desk.finish(started, 30).amount_e4, 15_000)
        self.assertEqual(sorted(self.centre.listed()), ["beyond-reservation", "forced"])
        self.check()

    def test_a_count_that_falls(self) -> None:
        started = self.desk.copy(10)
        self.desk.pages(started, 5)
        self.refused("fewer-pages", self.desk.pages, started, 4)
        self.assertEqual(self.app.runs.fallen, {"desk": 1})
        self.turner.settle()
        # Pages that were seen coming out did come out.
        self.assertEqual(self.desk.finish(started, 3).pages, 5)
        self.check()

    def test_of_another_device(self) -> None:
        started = self.desk.copy(10)
        lobby = Desk(self, self.app, "lobby", job_id(0xD2))
        lobby.log_in()
        self.refused("no-run", lobby.pages, started, 1)
        self.refused("not-yours", lobby.finish, started, 1)
        lobby.resume((started, 3))
        self.assertEqual(self.desk.pages(started, 1), 9)
        self.refused("bad-grant", lobby.finish, attrs.evolve(started, grant="x"), 1)
        self.refused("not-allowed", lobby.scan, 1)

    def test_accounts(self) -> None:
        result = self.turner.result
        physics = result(self.centre.store.shared.add("Physics", 2_000))
        result(self.centre.store.shared.add("Chemistry", 0, {"restricted": False}))
        found = self.accounts()
        shown = [(one.name, purse.spendable_e4) for one, purse in found]
        self.assertEqual(shown, [("Chemistry", None), ("Physics", 2_000)])
        found = self.accounts("phy", after="Chemistry")
        self.assertEqual([one.name for one, _ in found], ["Physics"])
        started = self.desk.copy(10, account=physics)
        self.assertEqual((started.pages, started.decision.account), (4, physics))
        self.desk.finish(started, 3)
        self.assertEqual(self.spendable(), 10_000)
        # Its mark-up is in what a page costs, and in what the money is enough for.
        result(self.centre.store.shared.set("Physics", {"markup_e4": 2_500}))
        started = self.desk.copy(10, account=physics)
        self.assertEqual((started.pages, page_e4(started.decision.lines)), (0, 625))
        # One that is not there: nobody else pays for it.
        refused = self.desk.copy(1, account=999)
        self.assertEqual((refused.grant, refused.decision.reason.value), ("", "closed"))
        self.check()

    def accounts(self, find: str = "", pin: str = "", after: str = "") -> Any:
        visit = self.desk.visit
        return self.desk.run(self.app.devices.accounts(visit, find, pin, after, 10))

    def test_an_account_by_its_pin(self) -> None:
        """PINs that are guessed are failed log-ins: of the person, durably, and of the device."""
        result, shared = self.turner.result, self.centre.store.shared
        result(self.centre.store.ensure_secret(CARD_KEY, "0" * 64))
        for name, pin in (("Physics", "12-34"), ("Law", "5678")):
            result(shared.add(name, 0, {"pin": pin}))
        result(shared.change_access("Law", Access((), ())))
        result(shared.set("Law", {"access": "listed"}))
        self.assertEqual([one.name for one, _ in self.accounts(pin="1234")], ["Physics"])
        self.assertEqual([one.name for one, _ in self.accounts()], ["Physics"])
        refused = self.desk.copy(1, account=result(shared.show("Law"))["id"])
        self.assertEqual((refused.grant, refused.decision.reason.value), ("", "account"))
        for pin in ("5678", "1", "!", "12345"):
            self.assertEqual(self.accounts(pin=pin), [])
        # In between a right one forgives nothing.
        self.assertEqual(len(self.accounts(pin="1234")), 1)
        self.assertEqual(self.accounts(pin="9"), [])
        for pin in ("1234", "9"):
            with self.assertRaises(LockedOut):
                self.accounts(pin=pin)
        (locked,) = result(self.centre.store.lockouts())
        self.assertEqual(locked[0].name, "anna")

    def test_an_account_with_a_pin_is_chosen_by_it(self) -> None:
        """At both servers, and at each log-in anew; who its access names needs no PIN."""
        result, shared = self.turner.result, self.centre.store.shared
        result(self.centre.store.ensure_secret(CARD_KEY, "0" * 64))
        physics = result(shared.add("Physics", 5_000, {"pin": "12-34"}))
        law = result(shared.add("Law", 5_000, {"pin": "5678"}))
        result(shared.change_access("Law", Access(("anna",), ())))
        self.branch.follow(self.centre)
        for server in (self.app, self.site):
            desk = Desk(self, server)
            desk.log_in()
            listed = desk.run(server.devices.accounts(desk.visit, "", "", "", 10))
            self.assertEqual([one.needs_pin for one, _ in listed], [False, True])
            self.assertTrue(desk.copy(1, account=law).grant)
            self.refused("bad-credentials", desk.copy, 1, account=physics)
            release = desk.visit, job_id(1), job_id(2), None, None, physics
            self.refused("bad-credentials", desk.run, server.devices.release(*release))
            (found,) = desk.run(server.devices.accounts(desk.visit, "", "1234", "", 10))
            self.assertEqual(found[0].id, physics)
            self.assertTrue(desk.copy(1, account=physics).grant)
            desk.log_in()
            self.refused("bad-credentials", desk.copy, 1, account=physics)
            # One that is not there, or not theirs: the decision says so.
            self.assertEqual(desk.copy(1, account=999).decision.reason.value, "closed")

    def test_open_runs_are_bounded(self) -> None:
        for _ in range(OPEN_RUNS_MAX):
            self.desk.copy(1)
        self.refused("busy", self.desk.copy, 1)

    def test_resumed(self) -> None:
        """The session broke: what the device lists goes on, what it never heard of is void."""
        kept, lost = self.desk.copy(4), self.desk.copy(5)
        self.desk.pages(kept, 2)
        self.turner.settle()
        self.app.runs.left("desk")
        self.desk.connect()
        self.refused("no-run", self.desk.pages, kept, 3)
        self.assertEqual(self.desk.resume((kept, 3)), 1)
        self.assertEqual(self.spendable(), 8_000)
        self.assertEqual(self.desk.pages(kept, 4), 0)
        self.assertEqual(self.desk.stopped, [kept.key])
        self.desk.finish(kept, 4)
        # The one that was void posts all the same, if it comes after all.
        self.assertEqual(self.desk.finish(lost, 1).state, "posted")
        self.assertEqual(self.spendable(), 7_500)
        self.check()

    def test_a_device_that_never_comes_back(self) -> None:
        """After seven days its runs settle at their last page event, and are listed."""
        started, idle = self.desk.copy(10), self.desk.copy(5)
        self.desk.pages(started, 6)
        self.turner.settle()
        self.turner.result(self.centre.store.end_session(self.desk.asker))
        self.turner.result(self.centre.store.count_unseen(UNSEEN_MAX_S))
        self.assertEqual(self.charges(), [])
        self.turner.result(self.centre.store.count_unseen(1.0))
        self.assertEqual(self.charges(), [("device:desk", "anna", 6, 3_000, 1)])
        self.assertEqual(self.spendable(), 7_000)
        self.assertEqual(sorted(self.centre.listed()), ["assumed", "unseen"])
        self.desk.connect()
        self.assertEqual(self.desk.finish(started, 8).state, "already")
        self.assertEqual(self.desk.finish(idle, 1).state, "posted")
        self.check()

    def test_a_device_that_lost_its_memory(self) -> None:
        started, _ = self.desk.copy(10), self.desk.copy(5)
        self.desk.pages(started, 6)
        self.turner.settle()
        self.desk.journal = job_id(0xD9)
        self.desk.connect()
        self.assertEqual(self.charges(), [])
        self.assertEqual(self.desk.resume(), 1)
        self.assertEqual(self.charges(), [("device:desk", "anna", 6, 3_000, 1)])
        self.assertEqual(self.spendable(), 7_000)
        self.check()

    def test_a_device_that_was_restored(self) -> None:
        """Another journal id, and it knows the run: it goes on, by the device's own count."""
        started, lost = self.desk.copy(10), self.desk.copy(5)
        self.desk.pages(started, 6)
        self.turner.settle()
        self.desk.journal = job_id(0xD9)
        self.desk.connect()
        self.assertEqual(self.desk.resume((started, 4)), 1)
        self.assertEqual(self.spendable(), 5_000)
        self.desk.pages(started, 8)
        self.desk.connect()
        self.desk.resume((started, 8))
        self.assertEqual(self.desk.finish(started, 8).amount_e4, 4_000)
        self.assertEqual(self.charges(), [("device:desk", "anna", 8, 4_000, 0)])
        self.assertEqual(lost.pages, 5)
        self.check()

    def test_finished_elsewhere_it_is_forgotten(self) -> None:
        """What is noted of a run ends with the list that does not name it."""
        at_site = Desk(self, self.site)
        at_site.log_in()
        started = at_site.copy(5)
        self.desk.resume((started, 3))
        self.turner.settle()
        self.assertEqual(len(self.centre.query("SELECT * FROM run")), 1)
        at_site.finish(started, 5)
        self.desk.connect()
        self.desk.resume()
        self.assertEqual(self.centre.query("SELECT * FROM run"), [])
        self.heal()
        self.assertEqual([row[2] for row in self.charges()], [5])
        self.check()


class AtACutSiteTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        self.desk = Desk(self, self.site)
        self.desk.log_in()

    def test_a_copy(self) -> None:
        started = self.desk.copy(10)
        self.assertEqual((started.pages, started.decision.decider), (10, self.branch.stream))
        self.desk.pages(started, 7)
        receipt = self.desk.finish(started, 7)
        self.assertEqual((receipt.state, receipt.amount_e4), ("journalled", 3_500))
        self.assertEqual(self.desk.finish(started, 7).state, "already")
        self.assertEqual(self.desk.copy(50).pages, 13)
        self.heal()
        self.assertEqual(self.charges(), [("device:desk", "anna", 7, 3_500, 0)])
        self.assertEqual(self.centre.listed(), [])
        self.assertEqual(self.centre.query("SELECT * FROM parked"), [])

    def test_the_cap_is_how_far_it_goes(self) -> None:
        self.turner.result(self.centre.store.set_site("north", {"cap_user_e4": 2_000}))
        self.branch.follow(self.centre)
        started = self.desk.copy(10)
        self.assertEqual(started.pages, 4)
        self.desk.finish(started, 4)
        refused = self.desk.copy(1)
        self.assertEqual((refused.grant, refused.decision.reason.value), ("", "funds"))

    def test_closed(self) -> None:
        self.turner.result(self.centre.store.set_site("north", {"policy": "closed"}))
        self.branch.follow(self.centre)
        self.assertEqual(self.desk.copy(1).decision.reason.value, "closed")

    def test_the_site_dies_and_the_application_server_goes_on(self) -> None:
        """The device reports to whom it reaches; the site's own record comes in later, or never."""
        started = self.desk.copy(10)
        self.desk.pages(started, 3)
        self.turner.settle()
        at_app = Desk(self, self.app)
        self.assertEqual(at_app.resume((started, 5)), 0)
        self.assertEqual(at_app.pages(started, 10), 0)
        self.assertEqual(at_app.stopped, [started.key])
        self.assertEqual(at_app.finish(started, 10).state, "posted")
        self.assertEqual(self.spendable(), 5_000)
        # The site is back: its reservation of that key ends with the charge.
        self.heal()
        self.desk.connect()
        self.desk.resume()
        self.heal()
        self.heal()
        self.assertEqual(self.charges(), [("device:desk", "anna", 10, 5_000, 0)])
        self.assertEqual(self.centre.query("SELECT * FROM job_log"), [])
        overlay = self.turner.result(self.branch.store.overlay(self.desk.visit.person.account))
        assert overlay is not None
        self.assertEqual((overlay.funds.spendable_e4, overlay.unsettled_e4), (5_000, 0))
        self.check()

    def test_finished_at_both(self) -> None:
        started = self.desk.copy(10)
        at_app = Desk(self, self.app)
        at_app.finish(started, 6)
        self.desk.finish(started, 6)
        self.heal()
        self.heal()
        self.assertEqual(len(self.charges()), 1)
        self.check()

    def test_a_device_that_never_comes_back(self) -> None:
        started, _ = self.desk.copy(10), self.desk.copy(5)
        self.desk.pages(started, 6)
        self.turner.settle()
        self.turner.result(self.branch.store.end_session(self.desk.asker))
        self.turner.result(self.branch.store.count_unseen(UNSEEN_MAX_S + 1))
        self.heal()
        self.assertEqual(self.charges(), [("device:desk", "anna", 6, 3_000, 1)])
        self.assertEqual(self.centre.listed(), ["assumed"])
        self.check()

    def test_moved_away_with_its_records(self) -> None:
        """What a site journalled of a device comes in after the device was moved."""
        self.desk.finish(self.desk.copy(3), 3)
        self.turner.result(self.centre.store.set_device("desk", {"site": "south"}))
        self.heal()
        self.assertEqual(self.centre.query("SELECT * FROM parked"), [])
        self.assertEqual(len(self.charges()), 1)

    def test_a_device_of_another_site(self) -> None:
        begin = self.branch.store.begin_device("lobby", job_id(0xD2), MARK_START, "")
        self.turner.settle()
        self.assertEqual(self.failureResultOf(begin, Rejected).value.code, "not-yours")

    def test_a_site_asks_for_its_own_devices_only(self) -> None:
        lobby = Desk(self, self.app, "lobby", job_id(0xD2))
        lobby.log_in()
        request = unseal(lobby.copy(1).grant, str(self.app.runs._key)).request
        request = attrs.evolve(request, step="run-9")
        asking = Deferred.fromCoroutine(self.app.authorize(self.session, request))
        self.turner.settle()
        self.assertEqual(self.failureResultOf(asking, Rejected).value.code, "not-yours")

"""Copies: never a page beyond a durable grant, each page charged once, whatever dies."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.device import runs as module
from papercutd.device.errors import DeviceError
from papercutd.device.machine import Trouble
from papercutd.device.runs import Order
from papercutd.errors import StorageFull
from protocols.codes import Code
from protocols.device import messages
from tests.unit.papercutd.device.rig import FakeServer, Rig
from tests.unit.papercutd.provider.rig import Crash


class RunsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.addCleanup(self.rig.close)
        self.site, self.application = self.rig.site, self.rig.application

    def check(self, pages: int) -> None:
        """So many pages are on paper, and charged."""
        self.rig.settle()
        self.assertEqual(self.rig.paper(), pages)
        self.assertEqual(sum(self.rig.books.values()), pages)
        on_paper = {run.key: run.pages for run in self.rig.rows() if run.pages}
        self.assertEqual({k: p for k, p in self.rig.books.items() if p}, on_paper)
        for run in self.rig.rows():
            self.assertLessEqual(run.pages, run.reserved)

    def told(self, server: FakeServer) -> list[int]:
        return [message.pages for message in server.all(messages.Pages)]


class CopyTests(RunsCase):
    def test_a_copy(self) -> None:
        self.rig.start()
        self.rig.log_in()
        work = self.rig.copy(10)
        self.assertEqual((work.pages, work.outcome, work.why), (10, "completed", ""))
        self.assertEqual(work.amount_e4, 5_000)
        self.check(10)
        self.assertEqual(self.told(self.site), list(range(1, 11)))
        (finish,) = self.site.all(messages.Finish)
        self.assertEqual((finish.pages, finish.outcome), (10, "completed"))
        (run,) = self.rig.rows()
        self.assertEqual((run.state, run.answer), ("acknowledged", "posted"))

    def test_a_page_only_after_its_grant_is_durable(self) -> None:
        self.rig.start()
        self.rig.log_in()

        def nothing() -> None:
            raise StorageFull

        self.rig.before_commit = nothing
        error = self.assertRaises(DeviceError, self.rig.begin, 3)
        self.assertEqual((error.code, self.rig.paper()), ("device-full", 0))
        # The server had reserved pages, and has them back.
        self.rig.run(0.2)
        (finish,) = self.site.all(messages.Finish)
        self.assertEqual(finish.pages, 0)
        self.rig.before_commit = lambda: None
        self.assertEqual(self.rig.copy(3).outcome, "completed")
        self.check(3)

    def test_a_full_disk_stops_the_paper_until_there_is_space(self) -> None:
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(6)
        self.rig.run_until(lambda: work.pages == 2)
        full = [True]

        def maybe() -> None:
            if full[0]:
                raise StorageFull

        self.rig.before_commit = maybe
        self.rig.run(10.0)
        self.assertEqual(self.rig.paper(), 3)
        full[0] = False
        self.rig.run_until(lambda: work.outcome)
        self.check(6)

    def test_no_money(self) -> None:
        self.site.credit = 0
        self.rig.start()
        self.rig.log_in()
        error = self.assertRaises(DeviceError, self.rig.copy, 3)
        self.assertEqual((error.code, self.rig.paper()), ("funds", 0))

    def test_fewer_pages_than_asked_for_and_no_more_to_be_had(self) -> None:
        self.site.credit = 5
        self.rig.start()
        self.rig.log_in()
        work = self.rig.copy(12)
        self.assertEqual((work.pages, work.outcome, work.why), (5, "completed", "funds"))
        self.check(5)

    def test_stop_at_the_last_page_reserved(self) -> None:
        self.site.credit = 5

        def left(message: messages.Pages) -> messages.Progress:
            if message.pages == 5:
                self.site.send(messages.Stop(message.job, message.step, 5))
            return messages.Progress(5 - message.pages)

        self.site.say[messages.Pages] = left
        self.rig.start()
        self.rig.log_in()
        work = self.rig.copy(12)
        self.assertEqual((work.pages, work.why), (5, "funds"))
        self.check(5)

    def test_stop_before_the_last_page(self) -> None:
        """At 120 pages a minute and 200 ms there and back, at most one page beyond."""
        self.rig.start()
        self.rig.log_in()

        def left(message: messages.Pages) -> messages.Progress:
            if message.pages == 4:
                self.site.send(messages.Stop(message.job, message.step, 4))
                self.site.credit = 0
            return messages.Progress(20 - message.pages)

        self.site.say[messages.Pages] = left
        for wire in self.site.endpoint.wires:
            wire.latency_s = 0.1
        work = self.rig.copy(20)
        self.assertIn(work.pages, (4, 5))
        self.assertEqual(work.outcome, "aborted")
        self.check(work.pages)

    def test_cancel(self) -> None:
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(30)
        self.rig.run_until(lambda: work.pages == 3)
        self.rig.device.cancel()
        self.rig.run_until(lambda: work.outcome)
        # The page that was in the machine came out.
        self.assertEqual((work.pages, work.outcome), (4, "canceled"))
        self.check(4)

    def test_a_jam(self) -> None:
        self.rig.start(trouble=Trouble(jam_at=4))
        self.rig.log_in()
        work = self.rig.copy(10)
        self.assertEqual((work.pages, work.outcome, work.why), (3, "aborted", "jam"))
        self.check(3)
        self.assertEqual(self.assertRaises(DeviceError, self.rig.begin, 1).code, "jam")
        self.rig.device.machine.clear()
        self.rig.copy(2)
        self.check(5)

    def test_one_at_a_time_and_only_logged_in(self) -> None:
        self.rig.start()
        error = self.assertRaises(DeviceError, self.rig.begin, 1)
        self.assertEqual(error.code, "no-login")
        self.rig.log_in()
        work = self.rig.begin(4)
        self.assertEqual(self.assertRaises(DeviceError, self.rig.begin, 1).code, "machine-busy")
        self.assertEqual(self.assertRaises(DeviceError, self.rig.log_in).code, "logged-in")
        self.rig.run_until(lambda: work.outcome)
        self.check(4)

    def test_a_function_this_device_does_not_offer(self) -> None:
        self.rig.start()
        self.rig.log_in()
        error = self.assertRaises(DeviceError, self.rig.do, self.rig.device.begin(Order("fax", 1)))
        self.assertEqual(error.code, "not-at-this-device")

    def test_too_many_that_nobody_has_taken(self) -> None:
        self.patch(module, "KEPT_MAX", 2)
        self.site.say[messages.Finish] = Code.STORAGE_FULL
        self.application.endpoint.mode = "refuse"
        self.rig.start()
        self.rig.log_in()
        self.rig.copy(1)
        self.rig.copy(1)
        error = self.assertRaises(DeviceError, self.rig.begin, 1)
        self.assertEqual(error.code, "too-many-unreported")


class ChainTests(RunsCase):
    def test_the_paper_does_not_stop_between_two_reservations(self) -> None:
        self.site.reserve_max = 10
        self.rig.start()
        self.rig.log_in()
        began = self.rig.clock.seconds()
        work = self.rig.copy(35)
        took_s = self.rig.clock.seconds() - began
        self.assertEqual((work.pages, work.outcome, len(work.keys)), (35, "completed", 4))
        # Half a second a page; starting and ending take next to nothing.
        self.assertLess(took_s, 35 * 0.5 + 1.5)
        self.check(35)
        self.assertEqual([run.pages for run in self.rig.rows()], [10, 10, 10, 5])

    def test_asked_for_in_time(self) -> None:
        self.site.reserve_max = 50
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(60)
        self.rig.run_until(lambda: len(self.site.all(messages.Run)) == 2)
        # A fifth of fifty is left.
        self.assertEqual(work.pages, 40)
        self.assertEqual(self.site.all(messages.Run)[1].pages, 10)
        self.rig.run_until(lambda: work.outcome)
        self.check(60)

    def test_not_counted_beforehand(self) -> None:
        self.rig.start()
        self.rig.log_in()
        work = self.rig.copy(25, is_counted=False)
        self.assertEqual([run.pages for run in self.rig.rows()], [20, 5])
        self.assertEqual([run.reserved for run in self.rig.rows()], [20, 20])
        self.assertIsNone(self.site.all(messages.Run)[0].pages)
        self.assertEqual(work.outcome, "completed")
        self.check(25)

    def test_a_busy_server_is_asked_again(self) -> None:
        self.site.reserve_max = 10
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(15)
        self.site.say[messages.Run] = Code.BUSY
        self.rig.run_until(lambda: work.pages == 8)
        self.assertGreater(len(self.site.all(messages.Run)), 1)
        del self.site.say[messages.Run]
        self.rig.run_until(lambda: work.outcome)
        self.assertEqual((work.pages, work.outcome), (15, "completed"))
        self.check(15)

    def test_an_answer_that_does_not_come_in_time(self) -> None:
        """The paper stops at the end of the reservation; what is granted late is given back."""
        self.site.reserve_max = 10
        self.rig.start()
        self.rig.log_in()
        late: Deferred[Any] = Deferred()
        work = self.rig.begin(15)
        self.site.say[messages.Run] = lambda message: late
        self.rig.run_until(lambda: work.outcome)
        self.assertEqual((work.pages, work.why), (10, "timeout"))
        del self.site.say[messages.Run]
        late.callback(self.site.started(self.site.all(messages.Run)[1]))
        self.rig.run(5.0)
        self.check(10)
        self.assertEqual(sorted(self.rig.books.values()), [0, 10])

    def test_what_is_granted_late_is_given_back_until_it_is_heard(self) -> None:
        self.rig.start()
        self.rig.log_in()
        late: Deferred[Any] = Deferred()
        self.site.say = {messages.Run: lambda message: late, messages.Finish: Code.UNAVAILABLE}
        with self.assertRaises(DeviceError):
            self.rig.begin(15)
        late.callback(self.site.started(self.site.all(messages.Run)[0]))
        self.rig.run_until(lambda: self.site.all(messages.Finish))
        self.assertEqual(self.rig.books, {})
        self.site.say.clear()
        self.rig.settle()
        self.assertEqual([*self.rig.books.values()], [0])

    def test_canceled_with_a_reservation_in_hand(self) -> None:
        self.site.reserve_max = 10
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(20)
        self.rig.run_until(lambda: work.following)
        self.rig.device.cancel()
        self.rig.run_until(lambda: work.outcome)
        self.check(work.pages)
        self.assertEqual(sorted(self.rig.books.values()), [0, work.pages])

    def test_whoever_left_gets_no_more(self) -> None:
        self.site.reserve_max = 10
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(20)
        self.rig.do(self.rig.device.log_out())
        self.rig.run_until(lambda: work.outcome)
        self.assertEqual((work.pages, work.why), (10, "no-login"))
        self.check(10)


class OutageTests(RunsCase):
    def test_the_server_lost_in_the_middle(self) -> None:
        """The pages reserved come out; the next server is told the count, once."""
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(20)
        self.rig.run_until(lambda: work.pages == 5)
        self.site.unplug()
        self.rig.run_until(lambda: work.outcome)
        self.assertEqual((work.pages, work.outcome), (20, "completed"))
        self.check(20)
        opened = self.application.all(messages.OpenRuns)[-1].runs
        self.assertEqual([(one.grant, one.pages) for one in opened], [(work.grant.grant_text, 5)])
        self.assertGreaterEqual(self.told(self.application)[0], 5)
        self.assertEqual(self.rig.notices[0], ("logged-out", {"why": "session-lost"}))
        self.assertEqual(len(self.application.all(messages.Finish)), 1)

    def test_a_server_that_falls_silent_in_the_middle(self) -> None:
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(20)
        self.rig.run_until(lambda: work.pages == 5)
        self.site.cut()
        self.rig.run_until(lambda: work.outcome)
        self.assertEqual(work.pages, 20)
        self.check(20)

    def test_no_more_than_reserved_without_a_server(self) -> None:
        self.site.reserve_max = 10
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(30)
        for server in (self.site, self.application):
            server.unplug()
        self.rig.run_until(lambda: work.outcome)
        self.assertEqual((work.pages, work.why), (10, "no-login"))
        # Nothing is begun while nobody is in reach.
        self.assertEqual(self.assertRaises(DeviceError, self.rig.log_in).code, "no-server")
        self.rig.run(60.0)
        self.assertEqual(self.rig.books, {})
        self.application.plug()
        self.check(10)

    def test_the_answer_to_finish_is_lost(self) -> None:
        """Posted, and nobody told: told again, it is there already."""
        self.rig.start()
        self.rig.log_in()

        def lose(message: messages.Finish) -> Any:
            self.site.post(message)
            self.site.unplug()
            return Deferred()

        self.site.say[messages.Finish] = lose
        self.rig.copy(3)
        self.check(3)
        (run,) = self.rig.rows()
        self.assertEqual((run.state, run.answer, run.amount_e4), ("acknowledged", "already", 1500))

    def test_a_grant_that_is_lost(self) -> None:
        """The answer to RUN never arrives: nothing is printed, and nothing is listed."""
        self.rig.start()
        self.rig.log_in()

        def lose(message: messages.Run) -> Any:
            self.site.unplug()
            return self.site.started(message)

        self.site.say[messages.Run] = lose
        error = self.assertRaises(DeviceError, self.rig.begin, 3)
        self.assertEqual(error.code, "session-lost")
        self.rig.run(5.0)
        self.assertEqual(self.application.all(messages.OpenRuns)[-1].runs, [])
        self.assertEqual((self.rig.paper(), self.rig.rows()), (0, []))

    def test_sent_elsewhere(self) -> None:
        """A full server is left for the other once nobody stands here."""
        self.site.say[messages.Finish] = Code.STORAGE_FULL
        self.rig.start()
        self.rig.log_in()
        self.rig.copy(3)
        self.rig.run(5.0)
        self.assertEqual(self.rig.books, {})
        self.rig.do(self.rig.device.log_out())
        self.check(3)
        self.assertEqual(len(self.application.all(messages.Finish)), 1)

    def test_refused_for_good_it_is_kept_aside(self) -> None:
        self.site.say[messages.Finish] = Code.BAD_GRANT
        self.rig.start()
        self.rig.log_in()
        self.rig.copy(3)
        self.rig.run(10.0)
        del self.site.say[messages.Finish]
        self.rig.copy(2)
        self.rig.run(60.0)
        self.assertEqual(len(self.site.all(messages.Finish)), 2)
        status = self.rig.do(self.rig.device.status())
        (aside,) = status["aside"]
        self.assertEqual((aside["pages"], aside["code"]), (3, "bad-grant"))

    def test_many_kept_runs_come_in_pages(self) -> None:
        for server in (self.site, self.application):
            server.say[messages.Finish] = Code.STORAGE_FULL
        self.rig.start()
        self.rig.log_in()
        for _ in range(9):
            self.rig.copy(1)
        self.site.heard.clear()
        self.rig.kill()
        for server in (self.site, self.application):
            del server.say[messages.Finish]
        self.rig.start()
        pages = self.site.all(messages.OpenRuns)
        self.assertEqual([(p.page, p.last, len(p.runs)) for p in pages][:3], [
            (0, False, 4), (1, False, 4), (2, True, 1),
        ])  # fmt: skip
        self.check(9)

    def test_the_first_server_back_in_the_middle(self) -> None:
        """What runs at the other is not listed at the first, which would wait for its end."""
        self.site.endpoint.mode = "refuse"
        self.rig.start(2.0)
        self.rig.log_in()
        work = self.rig.begin(20)
        self.site.plug()
        self.rig.run_until(lambda: work.outcome)
        self.assertEqual(self.site.all(messages.OpenRuns), [])
        self.rig.do(self.rig.device.log_out())
        self.rig.run(3.0)
        (page,) = self.site.all(messages.OpenRuns)
        self.assertEqual(page.runs, [])
        self.check(20)

    def test_the_first_server_back_and_the_other_gone(self) -> None:
        self.site.endpoint.mode = "refuse"
        self.rig.start(2.0)
        self.rig.log_in()
        work = self.rig.begin(30)
        self.site.plug()
        self.rig.run(3.0)
        self.application.unplug()
        self.rig.run(3.0)
        self.assertEqual(work.outcome, "")
        (page,) = self.site.all(messages.OpenRuns)
        self.assertEqual([one.grant for one in page.runs], [work.grant.grant_text])
        self.rig.run_until(lambda: work.outcome)
        self.check(30)


class CrashTests(RunsCase):
    def crash(self, rig: Rig, when: str, number: int) -> bool:
        """Copy six pages in two reservations, dying at the n-th commit; whether it died."""
        passed = [0]

        def pass_by() -> None:
            passed[0] += 1
            if passed[0] == number:
                rig.kill()
                raise Crash

        rig.site.reserve_max = 4
        rig.start()
        rig.log_in()
        setattr(rig, f"{when}_commit", pass_by)
        try:
            rig.copy(6)
            rig.settle()
        except Crash:
            return True
        return False

    def test_dying_at_every_commit(self) -> None:
        for when in ("before", "after"):
            for number in range(1, 40):
                rig = self.rig = Rig()
                self.addCleanup(rig.close)
                died = self.crash(rig, when, number)
                rig.before_commit = rig.after_commit = lambda: None
                rig.run(1.0)
                if died:
                    rig.start()
                rig.run(3.0)
                self.check(rig.paper())
                if not died:
                    break
            self.assertFalse(died)
            self.assertGreater(number, 10)

    def test_power_lost_at_every_page(self) -> None:
        """The engine has counted the page, its controller has not: it is charged."""
        for page in range(1, 7):
            rig = self.rig = Rig()
            self.addCleanup(rig.close)
            rig.site.reserve_max = 4
            rig.start(trouble=Trouble(power_at=page))
            rig.log_in()
            rig.begin(6)
            rig.run(6.0)
            self.assertEqual(rig.paper(), page)
            rig.start()
            self.check(page)
            outcomes = {run.outcome for run in rig.rows() if run.pages % 4}
            self.assertLessEqual(outcomes, {"aborted"})

    def test_power_lost_with_no_server_in_reach(self) -> None:
        self.rig.start(trouble=Trouble(power_at=7))
        self.rig.log_in()
        self.rig.begin(10)
        self.rig.run(2.0)
        for server in (self.site, self.application):
            server.unplug()
        self.rig.run(3.0)
        self.rig.start(30.0)
        self.assertEqual(self.rig.books, {})
        self.application.plug()
        self.check(7)

    def test_finish_answered_in_another_life(self) -> None:
        """Posted by one server, the device dies, the other server says already."""
        self.rig.start()
        self.rig.log_in()

        def die(message: messages.Finish) -> Any:
            receipt = self.site.post(message)
            self.rig.kill()
            self.site.unplug()
            return receipt

        self.site.say[messages.Finish] = die
        self.rig.begin(3)
        self.rig.run(4.0)
        self.rig.start(3.0)
        self.check(3)
        (run,) = self.rig.rows()
        self.assertEqual(run.answer, "already")


class StopTests(RunsCase):
    def test_an_orderly_stop_in_the_middle(self) -> None:
        self.rig.start()
        self.rig.log_in()
        work = self.rig.begin(10)
        self.rig.run_until(lambda: work.pages == 4)
        self.rig.do(self.rig.device.stop())
        self.rig.run(10.0)
        self.assertEqual(self.rig.paper(), 4)
        self.rig.kill()
        self.rig.start()
        self.check(4)

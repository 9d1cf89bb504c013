"""People at a device: log-in, lists, releases; and a log-in that ends by itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.device.errors import DeviceError
from protocols.codes import Code
from protocols.device import messages
from protocols.errors import Refusal
from tests.support.stores import job_id
from tests.unit.papercutd.device.rig import Rig


def held(number: int) -> messages.DeviceJob:
    return messages.DeviceJob(
        job_id(number), f"job {number}", 2, 1, False, False, 1000, "release", "p1", True, 0.0
    )


class PeopleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.addCleanup(self.rig.close)
        self.site, self.application = self.rig.site, self.rig.application
        self.rig.start()
        self.device = self.rig.device

    def code(self, work: Any) -> str:
        error = self.assertRaises(DeviceError, self.rig.do, work)
        return str(error.code)

    def test_who_it_is(self) -> None:
        self.rig.do(self.device.log_in("card-pin", card="4711", pin="0815"))
        (shown,) = self.site.all(messages.Login)
        self.assertEqual((shown.method, shown.card, shown.pin), ("card-pin", "4711", "0815"))
        self.rig.do(self.device.log_out())
        self.assertEqual(len(self.site.all(messages.Logout)), 1)
        self.assertEqual(self.code(self.device.log_out()), "no-login")
        self.assertEqual(self.code(self.device.jobs()), "no-login")

    def test_refused(self) -> None:
        self.site.say[messages.Login] = Code.BAD_CREDENTIALS
        self.assertEqual(self.code(self.device.log_in("card", card="1")), "bad-credentials")
        # Nobody else is asked: it is the same everywhere.
        self.assertEqual(self.application.all(messages.Login), [])

        def locked(message: messages.Login) -> Any:
            raise Refusal(Code.LOCKED_OUT, {"retry_after_s": 90})

        self.site.say[messages.Login] = locked
        error = self.assertRaises(DeviceError, self.rig.do, self.device.log_in("card", card="1"))
        self.assertEqual((error.code, error.retry_after_s), ("locked-out", 90.0))

    def test_a_voucher(self) -> None:
        answer = messages.Redeemed("provisional", "", 50_000, "quota", 100_000, 150_000)
        self.site.say[messages.RedeemVoucher] = lambda message: answer
        self.assertEqual(self.code(self.device.redeem("X")), "no-login")
        self.rig.do(self.device.log_in("card", card="4711"))
        assert self.device.visit is not None
        self.device.visit.spent_e4 = 500
        self.assertEqual(self.rig.do(self.device.redeem("2345-6789")), answer)
        person = self.device.visit.person
        self.assertEqual((person.balance_e4, person.available_e4), (100_000, 150_000))
        self.assertEqual(self.device.visit.spent_e4, 0)
        self.site.say[messages.RedeemVoucher] = lambda message: messages.Redeemed(
            "refused", "expired"
        )
        self.assertEqual(self.rig.do(self.device.redeem("2345")).reason, "expired")
        self.assertEqual(self.device.visit.person, person)
        self.assertEqual(self.code(self.device.redeem("x" * 300)), "bad-fields")

    def test_what_no_reader_sends_is_not_sent(self) -> None:
        self.assertEqual(self.code(self.device.log_in("card", card="x" * 5000)), "bad-fields")
        self.assertEqual(self.code(self.device.log_in("card", card="1\n2")), "bad-fields")
        self.assertEqual(self.site.all(messages.Login), [])

    def test_a_server_without_time_is_left_for_the_next(self) -> None:
        for code in (Code.BUSY, Code.UNAVAILABLE, Code.STORAGE_FULL):
            self.site.say[messages.Login] = code
            self.rig.log_in()
            active = self.device.active
            assert active is not None
            self.assertEqual(active.address.role, "application")
            self.rig.do(self.device.log_out())
            self.rig.run(15.0)

    def test_everywhere_busy(self) -> None:
        for server in (self.site, self.application):
            server.say[messages.Login] = Code.BUSY
        self.assertEqual(self.code(self.device.log_in("card", card="1")), "busy")
        heard = [len(s.all(messages.Login)) for s in (self.site, self.application)]
        self.assertLessEqual(sum(heard), 3)

    def test_an_answer_after_nobody_waits(self) -> None:
        """That log-in is ended, wherever it is."""
        late: Deferred[Any] = Deferred()
        self.site.say[messages.Login] = lambda message: late
        self.rig.log_in()
        person = messages.Person(job_id(5), 7, "anna", "Anna Berg", 0)
        late.callback(person)
        self.rig.run(1.0)
        self.assertEqual([m.login for m in self.site.all(messages.Logout)], [job_id(5)])
        self.assertNotEqual(self.device.login, job_id(5))

    def test_ended_by_the_server(self) -> None:
        person = self.rig.log_in()
        self.site.send(messages.Ended(job_id(99), "idle"))
        self.rig.run(0.2)
        self.assertEqual(self.device.login, person.login)
        self.site.send(messages.Ended(person.login, "idle"))
        self.rig.run(0.2)
        self.assertEqual(
            (self.device.login, self.rig.notices), ("", [("logged-out", {"why": "idle"})])
        )

    def test_a_log_in_is_lost_with_its_server(self) -> None:
        self.rig.log_in()
        self.site.unplug()
        self.rig.run(1.0)
        self.assertEqual(self.device.login, "")
        self.assertEqual(self.rig.notices, [("logged-out", {"why": "session-lost"})])
        self.rig.log_in()
        self.assertEqual(len(self.application.all(messages.Login)), 1)

    def test_a_server_that_forgot_the_log_in(self) -> None:
        self.rig.log_in()
        self.site.say[messages.Jobs] = Code.NO_LOGIN
        self.assertEqual(self.code(self.device.jobs()), "no-login")
        self.assertEqual(self.device.login, "")

    def test_lists_in_pages(self) -> None:
        everything = [held(number) for number in range(1, 251)]
        names = [messages.ChargeableAccount(n, f"account {n:03}") for n in range(250)]

        def jobs(message: messages.Jobs) -> messages.JobList:
            at = [one.job for one in everything].index(message.after) + 1 if message.after else 0
            return messages.JobList(everything[at : at + 100], at + 100 >= 250)

        def accounts(message: messages.Accounts) -> messages.AccountList:
            at = [one.name for one in names].index(message.after) + 1 if message.after else 0
            return messages.AccountList(names[at : at + 100], at + 100 >= 250)

        self.site.say |= {messages.Jobs: jobs, messages.Accounts: accounts}
        self.rig.log_in()
        self.assertEqual(self.rig.do(self.device.jobs()), everything)
        self.assertEqual(self.rig.do(self.device.accounts("acc")), names)
        self.assertEqual({m.find for m in self.site.all(messages.Accounts)}, {"acc"})

    def test_release_and_discard(self) -> None:
        self.site.say[messages.ReleaseJob] = lambda m: messages.ReleaseAnswer(
            "released", "", 1, 1_000
        )
        self.site.say[messages.DiscardJob] = lambda m: messages.ReleaseAnswer("discarded", "", 1)
        self.rig.log_in()
        answer = self.rig.do(self.device.release(job_id(1), copies=2))
        self.assertEqual(answer.answer, "released")
        self.assertEqual(self.rig.do(self.device.discard(job_id(2))).answer, "discarded")
        (released,) = self.site.all(messages.ReleaseJob)
        (discarded,) = self.site.all(messages.DiscardJob)
        self.assertEqual((released.job, released.copies), (job_id(1), 2))
        self.assertNotEqual(released.release, discarded.release)
        assert self.device.visit is not None
        self.assertEqual(self.device.visit.spent_e4, 1_000)
        self.assertEqual(self.code(self.device.release("no id")), "bad-fields")

    def test_no_answer(self) -> None:
        self.rig.log_in()
        self.site.cut()
        self.assertEqual(self.code(self.device.jobs()), "timeout")
        self.assertEqual(self.rig.notices, [("logged-out", {"why": "timeout"})])
        self.rig.log_in()
        self.assertEqual(len(self.application.all(messages.Login)), 1)

    def test_no_session(self) -> None:
        """Nobody stands and waits for an answer that cannot come."""
        self.rig.log_in()
        assert self.device.visit is not None
        session = self.device.visit.server.link.session
        assert session is not None
        # Its end is heard of later.
        session.abort()
        began_s = self.rig.clock.seconds()
        self.assertEqual(self.code(self.device.jobs()), "session-lost")
        self.assertLess(self.rig.clock.seconds() - began_s, 1.0)

    def test_nothing_to_cancel(self) -> None:
        error = self.assertRaises(DeviceError, self.device.cancel)
        self.assertEqual(error.code, "nothing-runs")

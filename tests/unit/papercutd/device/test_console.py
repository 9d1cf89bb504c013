"""Commands at the prompt: a result for every line, words for every code."""

from __future__ import annotations

import typing
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from papercutd.device.console import HELP, Console
from papercutd.device.errors import Local
from papercutd.device.shown import readable
from papercutd.device.words import TEXTS, explain
from papercutd.domain.decision import Reason
from protocols.codes import WORDS, Code
from protocols.device import messages
from tests.support.stores import job_id
from tests.unit.papercutd.device.rig import Rig


class WordsTests(SynchronousTestCase):
    def test_a_code_of_a_later_release_has_words_too(self) -> None:
        self.assertIn("brand-new", explain("brand-new"))
        self.assertIn(WORDS[Code.GAP], explain("gap"))

    def test_every_code_and_reason(self) -> None:
        local = {v for k, v in vars(Local).items() if k.isupper()}
        for code in local:
            self.assertIn(code, TEXTS)
        for reason in Reason:
            if reason not in (Reason.NONE, Reason.RELEASE):
                self.assertIn(reason.value, TEXTS)
        (field,) = [f for f in messages.ReleaseAnswer.__attrs_attrs__ if f.name == "answer"]
        for answer in field.validator.options:  # type: ignore[union-attr]
            if answer not in ("released", "discarded"):
                self.assertIn(answer, TEXTS)
        for known in Code:
            self.assertNotEqual(explain(known.value), "")

    def test_how_long(self) -> None:
        self.assertIn("90 s are left", explain("locked-out", 90.2))
        self.assertNotIn("are left", explain("locked-out"))


class ConsoleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.addCleanup(self.rig.close)
        self.device = self.rig.start()
        self.asked: list[str] = []
        env = self.device._env
        self.console = Console(env, self.device, self.ask_secret)

    def ask_secret(self, prompt: str) -> Deferred[str]:
        self.asked.append(prompt)
        return succeed("a secret")

    def do(self, line: str) -> dict[str, Any]:
        result: dict[str, Any] = self.rig.do(self.console.do(line), 120.0)
        # Everything can be shown, and nothing is shown that was secret.
        self.assertNotIn("a secret", readable(result))
        return result

    def code(self, line: str) -> str:
        result = self.do(line)
        self.assertFalse(result["ok"], result)
        self.assertTrue(result["text"])
        return str(result["code"])

    def login(self) -> dict[str, Any]:
        return self.do("login card 4711")

    def shown(self, line: str) -> str:
        return readable(self.do(line))

    def test_a_voucher(self) -> None:
        say = self.rig.site.say
        self.login()
        for state, words in (
            ("credited", "credited: 5.00"),
            ("provisional", "may be spent here"),
            ("taken-back", "not good"),
        ):
            answer = messages.Redeemed(state, "", 50_000, "cash", 150_000, 150_000)
            say[messages.RedeemVoucher] = lambda message, answer=answer: answer
            shown = self.shown("redeem 2345 6789")
            self.assertIn(words, shown)
            self.assertIn("15.00", shown)
        for reason in ("mistyped", "unknown", "redeemed", "cancelled", "expired"):
            refused = messages.Redeemed("refused", reason)
            say[messages.RedeemVoucher] = lambda message, refused=refused: refused
            code = self.code("redeem 2345")
            self.assertIn(code, TEXTS)
        self.assertEqual(self.code("redeem"), "usage")

    def test_every_command_is_in_the_help(self) -> None:
        for name in self.console._commands():
            if name != "help":
                self.assertIn(f"\n{name} ", f"\n{HELP}")

    def test_who(self) -> None:
        self.assertEqual(self.login()["user_name"], "anna")
        self.do("logout")
        self.do("login card 4711 pin")
        self.do("logout")
        self.do("login anna berg")
        shown = self.rig.site.all(messages.Login)
        self.assertEqual(
            [(m.method, m.card, m.pin, m.user_name, m.password) for m in shown],
            [
                ("card", "4711", "", "", ""),
                ("card-pin", "4711", "a secret", "", ""),
                ("password", "", "", "anna berg", "a secret"),
            ],
        )
        self.assertEqual(self.asked, ["PIN: ", "Password: "])

    def test_no_pin_where_somebody_may_read_it(self) -> None:
        self.console.is_terminal = True
        self.assertEqual(self.code("login card 4711 0815"), "shown-pin")
        self.console.is_terminal = False
        self.assertTrue(self.do("login card 4711 0815")["ok"])

    def test_what_cannot_be_done(self) -> None:
        for line in (
            *("login", "login card", "login card 1 2 3", "copy", "copy 1 sideways", "release"),
            *("delete", "delete 1 2", "account", "account list a b", "wait for-ever"),
            *("copy 1 paper", "copy 1 account"),
        ):
            self.assertEqual(self.code(line), "usage", line)
        for line in ("copy x", "copy 0", "copy -1", "copy 9999999999999999", "copy 100001"):
            self.assertEqual(self.code(line), "bad-number", line)
        for line in ("", "COPY 1", "frob", "\x00"):
            self.assertEqual(self.code(line), "unknown-command", line)
        self.assertEqual(self.code("copy 1"), "no-login")
        self.assertEqual(self.code("balance"), "no-login")
        self.assertEqual(self.code("cancel"), "nothing-runs")

    def test_copies(self) -> None:
        self.login()
        self.assertEqual(self.shown("copy 3 colour duplex paper A3"), (
            "copy: 3 of 3 pages, completed, 0.15"
        ))  # fmt: skip
        (asked,) = self.rig.site.all(messages.Run)
        self.assertEqual((asked.colour, asked.duplex, asked.paper), (True, True, "A3"))
        self.assertIn("balance 9.85", self.shown("balance"))
        self.do("copy 2 account 7")
        # What an account pays is nothing to the person's balance.
        self.assertEqual(self.rig.site.all(messages.Run)[1].account, 7)
        self.assertIn("balance 9.85", self.shown("balance"))
        self.assertEqual(self.do("counters")["counters"], {"copy colour": 3, "copy grey": 2})
        self.assertIn("all: 5", self.shown("counters"))
        self.assertIn("acknowledged posted", self.shown("runs"))

    def test_short_of_money(self) -> None:
        self.rig.site.credit = 2
        self.login()
        result = self.do("copy 5")
        self.assertEqual((result["ok"], result["code"], result["pages"]), (False, "funds", 2))
        self.assertEqual(
            readable(result),
            "copy: 2 of 5 pages, completed, 0.10\nThere is not enough credit for it.",
        )

    def test_in_the_background(self) -> None:
        self.login()
        self.assertTrue(self.do("copy 20 background")["started"])
        self.assertEqual(self.code("copy 1"), "machine-busy")
        self.assertIn("of 20 pages", self.shown("status"))
        self.assertEqual(self.code("wait 1"), "timeout")
        self.do("cancel")
        result = self.do("wait")
        self.assertEqual((result["code"], result["outcome"]), ("canceled", "canceled"))
        self.assertEqual(self.do("wait settled")["is"], "settled")
        self.assertEqual(self.do("wait online")["is"], "online")

    def test_held_jobs(self) -> None:
        job = messages.DeviceJob(
            job_id(1), "Minutes", 6, 1, True, True, 4_200, "release", "p1", False, 0.0
        )
        answers = iter(
            (
                messages.ReleaseAnswer("released", "", 1, 4_200),
                messages.ReleaseAnswer("refused", "funds", 1),
                messages.ReleaseAnswer("already-released", "", 2),
            )
        )
        self.rig.site.say |= {
            messages.Jobs: lambda m: messages.JobList([job], True),
            messages.ReleaseJob: lambda m: next(answers),
            messages.DiscardJob: Code.UNREACHABLE,
        }
        self.login()
        self.assertEqual(self.code("release 1"), "bad-number")
        self.assertEqual(
            self.shown("list"),
            "  1  Minutes  6 pages, colour, two-sided  0.42  (its print server is not in reach)",
        )
        self.assertEqual(self.shown("release 1 copies 2 simplex"), "released, 0.42 reserved")
        (asked,) = self.rig.site.all(messages.ReleaseJob)
        self.assertEqual((asked.job, asked.copies, asked.duplex), (job_id(1), 2, False))
        self.assertEqual(self.code("release all"), "funds")
        self.assertEqual(self.code(f"release {job_id(1)}"), "already-released")
        self.assertEqual(self.code("delete 1"), "unreachable")
        for word in ("0", "2", "99999999999"):
            self.assertEqual(self.code(f"release {word}"), "bad-number")

    def test_accounts(self) -> None:
        self.rig.site.say[messages.Accounts] = lambda m: messages.AccountList(
            [
                messages.ChargeableAccount(3, "Library", 50_000),
                messages.ChargeableAccount(4, "Libyan", None, pin=True),
            ],
            True,
        )
        self.login()
        self.assertEqual(
            self.shown("account list lib"),
            "    3  Library  available 5.00\n    4  Libyan  (by its PIN)",
        )
        self.rig.site.say[messages.Accounts] = lambda m: messages.AccountList([], True)
        self.assertEqual(self.code("account pin 4712"), "no-such-pin")
        self.assertEqual(self.shown("account list"), "there is no account you may charge")
        for verb in (messages.Run, messages.ReleaseJob):
            self.rig.site.say[verb] = Code.BAD_CREDENTIALS
        for command in ("copy 1 account 4", f"release {job_id(1)} account 4"):
            self.assertEqual(self.code(command), "account-pin")

    def test_at_a_cut_site(self) -> None:
        self.rig.site.say[messages.Login] = lambda m: messages.Person(
            job_id(9), 7, "anna", "", 100_000, 25_000, 2, "cut-and-stale"
        )
        shown = self.shown("login card 1")
        self.assertIn("anna: balance 10.00\navailable here: 2.50", shown)
        self.assertIn("the site is cut and stale", shown)
        self.assertIn("jobs held for you: 2", shown)

    def test_what_happened_unasked(self) -> None:
        self.login()
        self.rig.site.unplug()
        self.rig.run(1.0)
        self.assertEqual(
            self.console.take_notices(), [{"notice": "logged-out", "why": "session-lost"}]
        )
        self.assertEqual(self.console.take_notices(), [])

    def test_a_jam(self) -> None:
        self.login()
        self.device.machine.trouble.jam_at = 2
        self.assertEqual(self.code("copy 3"), "jam")
        self.assertIn("Paper is stuck", self.shown("status"))
        self.do("clear")
        self.assertTrue(self.do("copy 1")["ok"])

    def test_the_end(self) -> None:
        """What runs is finished first, and the person is logged out."""
        self.login()
        self.do("copy 5 background")
        self.do("quit")
        self.assertTrue(self.console.is_over)
        self.assertEqual((self.rig.paper(), self.device.login), (5, ""))

    def test_status(self) -> None:
        self.rig.site.say[messages.Finish] = Code.BAD_GRANT
        self.login()
        self.do("copy 2")
        self.rig.run(1.0)
        shown = self.shown("status")
        self.assertIn("served by north", shown)
        self.assertIn("application application at app.example.org:9193: not tried", shown)
        self.assertIn("logged in: anna", shown)
        self.assertIn("kept aside:", shown)
        self.assertTrue(typing.cast(str, self.do("help")["help"]).startswith("login"))

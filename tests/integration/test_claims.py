"""Cards linked and vouchers redeemed at cut sites, with real processes: settled at the heal."""

from __future__ import annotations

from typing import Any

from papercutd.commands.control_client import ControlError
from papercutd.demo.devices import Mfd
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch
from papercutd.demo.scenario import is_ready
from papercutd.domain.voucher import show_serial
from papercutd.services.serial_attempts import MISTYPED_MAX
from tests.support.outage import OutageCase
from tests.support.waiting import wait_for

ONES_OWN, CONTESTED = "04:11:22:33", "04:44:55:66"


class ClaimTests(OutageCase):
    def setUp(self) -> None:
        super().setUp()
        self.app = self.installation.app
        self.devices: dict[str, Mfd] = {}
        for name in ("bea", "cleo"):
            self.app.call("user.add", name=name, balance="5.00")
            self.app.call("user.secret", name=name, kind="password", secret=f"{name}'s word")
        for branch in self.installation.branches:
            device = self.installation.add_device(
                *(f"{branch.name}-mfd", branch.name, branch.relays[2].port),
                printer=branch.queues[0],
                functions="copy link",
                logins="card password",
            )
            branch.device = self.devices[branch.name] = device
            device.start()
        self.wait("devices are connected", lambda b: b.site.call("status")["devices_connected"])

    def at(self, branch: Branch, line: str, secret: str = "") -> dict[str, Any]:
        device = self.devices[branch.name]
        device.say(f"{line}\n{secret}" if secret else line)
        return device.answer()

    def link(self, branch: Branch, name: str, card: str) -> str:
        found = self.at(branch, f"login {name}", f"{name}'s word")
        self.assertTrue(found["ok"], found)
        found = self.at(branch, f"link card {card}")
        self.at(branch, "logout")
        return str(found.get("card") or found["code"])

    def who(self, branch: Branch, card: str) -> str:
        found = self.at(branch, f"login card {card}")
        self.at(branch, "logout")
        return str(found["user_name"] if found["ok"] else found["code"])

    def redeem(self, role: Any, name: str, serial: str) -> str:
        """How it stands, or why it is refused."""
        try:
            found = role.call("voucher.redeem", name=name, voucher=serial)
            return str(found.get("state", "credited"))
        except ControlError as error:
            return str(error)

    def balance_e4(self, name: str) -> int:
        return int(self.app.call("user.show", name=name)["balance_e4"])

    def add_vouchers(self) -> list[str]:
        """Three, and the first is redeemed at a site that is not cut."""
        made = self.app.call("voucher.add", name="may", amount="5.00", count=3)["serials"]
        for branch in self.installation.branches:
            self.wait_for_state(branch, made[0])
        self.app.call("user.adjust", name="bea", amount="-5.00")
        return list(made)

    def wait_for_state(self, branch: Branch, serial: str) -> None:
        north = self.installation.branches[0]
        expected = "credited" if branch is north else "was redeemed before, on"

        def is_known() -> bool:
            branch.site.call("voucher.unlock", name="bea")
            return expected in self.redeem(branch.site, "bea", serial)

        self.assertTrue(wait_for(f"{branch.name} knows it", is_known))

    def redeem_at_two(self, north: Branch, south: Branch, serials: list[str]) -> None:
        """One voucher twice, by two people; wrong ones; and what is typed wrong for long."""
        self.assertEqual(self.redeem(north.site, "bea", serials[1]), "provisional")
        self.assertIn("was redeemed here before", self.redeem(north.site, "cleo", serials[1]))
        self.assertEqual(self.redeem(south.site, "cleo", serials[1].lower()), "provisional")
        new = self.app.call("voucher.add", name="june", amount="5.00", count=1)["serials"][0]
        self.assertIn("made while the site is cut", self.redeem(north.site, "bea", new))
        wrong = show_serial("2" * 15 + "3")
        said = [self.redeem(south.site, "bea", wrong) for _ in range(50)]
        self.assertEqual(sum("is mistyped" in one for one in said), MISTYPED_MAX)
        self.assertIn("papercutd voucher unlock bea", self.redeem(south.site, "bea", serials[2]))
        self.assertTrue(south.site.call("voucher.unlock", name="bea")["was_locked_out"])
        self.assertEqual(self.redeem(south.site, "bea", serials[2]), "provisional")
        self.assertEqual((self.balance_e4("bea"), self.balance_e4("cleo")), (-100_000, 50_000))

    def print_unpaid(self, north: Branch) -> str:
        """Bea prints at a cut site what she cannot pay when it comes in; the charge's key."""
        job = north.print_file(make_pdf("a page", 1, False), "a page", "bea")
        self.accepted.append((north, job))
        self.wait_settled()
        # So much that vouchers make up for it in no order of what comes in.
        self.app.call("user.adjust", name="bea", amount="-15.00")
        return f"{job}/submit-1"

    def refund(self, key: str, amount: str | None = None) -> str:
        given = {} if amount is None else {"amount": amount}
        try:
            self.app.call("refund.give", key=key, words="paper jam", **given)
            return ""
        except ControlError as error:
            return str(error)

    def check_refund(self, key: str) -> None:
        """Of a forced charge: never above it, and not twice."""
        self.assertEqual(self.count(f"charge WHERE charge_id = '{key}' AND forced = 1"), 1)
        self.assertIn("is left of it to give back", self.refund(key, "9.00"))
        self.assertEqual(self.refund(key), "")
        self.assertIn("was given back before", self.refund(key))

    def check_vouchers(self) -> None:
        """One of both has it, and both are named."""
        both = (self.balance_e4("bea"), self.balance_e4("cleo"))
        self.assertIn(both, ((0, 50_000), (-50_000, 100_000)))
        items = self.app.call("statement")["items"]
        (told,) = (one["detail"] for one in items if one["kind"] == "voucher-conflict")
        self.assertIn("bea", told)
        self.assertIn("cleo", told)

    def test_two_cut_sites(self) -> None:
        north, south = self.installation.branches
        serials = self.add_vouchers()
        for branch in (north, south):
            branch.cut()
        self.wait("cut", lambda b: b.site.call("status")["state"] == "cut")
        self.assertEqual(self.who(north, ONES_OWN), "bad-credentials")
        self.assertEqual(self.link(north, "bea", ONES_OWN), "claimed")
        self.assertEqual(self.who(north, ONES_OWN), "bea")
        self.assertEqual(self.who(south, ONES_OWN), "bad-credentials")
        self.assertEqual(self.link(north, "bea", CONTESTED), "claimed")
        self.assertEqual(self.link(south, "cleo", CONTESTED), "claimed")
        self.assertEqual(self.link(south, "bea", CONTESTED), "card-taken")
        unpaid = self.print_unpaid(north)
        self.redeem_at_two(north, south, serials)
        for branch in (north, south):
            branch.heal()
        self.wait("everybody is connected", is_ready)
        forwarded = lambda b: b.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.wait("all is forwarded", forwarded)
        self.wait("south knows it", lambda b: b is north or self.who(b, ONES_OWN) == "bea")
        self.wait("nobody has it", lambda b: self.who(b, CONTESTED) == "bad-credentials")
        kinds = {one["kind"]: one["count"] for one in self.app.call("statement")["listed"]}
        self.assertEqual(kinds.get("card-claimed-twice"), 2)
        found = self.at(south, "login cleo", "cleo's word")
        self.assertIn("card-claimed-twice", found["told"])
        self.check_refund(unpaid)
        self.check_vouchers()
        self.assertEqual(self.app.call("verify")["problems"], [])

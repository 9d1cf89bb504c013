"""Cards linked at devices of cut sites, with real processes: theirs there, settled at the heal."""

from __future__ import annotations

from typing import Any

from papercutd.demo.devices import Mfd
from papercutd.demo.installation import Branch
from papercutd.demo.scenario import is_ready
from tests.support.outage import OutageCase

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

    def test_two_cut_sites(self) -> None:
        north, south = self.installation.branches
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
        self.assertEqual(found["told"], ["card-claimed-twice"])
        self.assertEqual(self.app.call("verify")["problems"], [])

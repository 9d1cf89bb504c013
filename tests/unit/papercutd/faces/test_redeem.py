"""REDEEM: a voucher at a device, at the application server and at a cut site, as elsewhere."""

from __future__ import annotations

from typing import Any, cast

from papercutd.domain.policy import Rule
from papercutd.domain.voucher import make_serial, show_serial
from papercutd.errors import Rejected
from papercutd.faces.device import DeviceFace, _Conversation
from papercutd.services.serial_attempts import MISTYPED_MAX
from protocols.device import messages
from protocols.endpoint import Session
from tests.unit.papercutd.services.test_runs import Desk, RunCase

VOUCHER_E4 = 50_000


class RedeemTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        store = self.centre.store
        self.turner.result(store.purses.add("gift", 1, True, True))
        self.turner.result(store.rules.change_rules([Rule("cap", "e4:1000000")]))
        draw = self.turner.environment(5).rng.randrange
        self.serials = [make_serial(draw) for _ in range(3)]
        add = store.money.add_vouchers
        self.turner.result(add("may", VOUCHER_E4, self.serials, None, "gift"))
        self.branch.follow(self.centre)

    def at(self, server: Any, serial: str) -> messages.Redeemed:
        desk = Desk(self, server)
        desk.log_in()
        face = DeviceFace(self.turner.environment(), server, "here")
        session = cast(Session, object())
        face._conversations[session] = _Conversation(desk.asker, desk.device)
        asked = messages.RedeemVoucher(desk.visit.id, serial)
        work = face._verbs[messages.RedeemVoucher]
        answer: messages.Redeemed = desk.run(work(session, face._conversations[session], asked))
        return answer

    def test_at_the_application_server(self) -> None:
        found = self.at(self.app, show_serial(self.serials[0]).lower())
        self.assertEqual((found.state, found.amount_e4, found.purse), ("credited", 50_000, "gift"))
        self.assertEqual((found.balance_e4, found.available_e4), (60_000, 60_000))
        lines = [(one.name, one.balance_e4) for one in found.purses]
        self.assertEqual(lines, [("gift", 50_000), ("cash", 10_000)])
        again = self.at(self.app, self.serials[0])
        self.assertEqual(again, messages.Redeemed("refused", "redeemed"))

    def test_at_a_cut_site(self) -> None:
        found = self.at(self.site, self.serials[0])
        self.assertEqual((found.state, found.purse), ("provisional", "gift"))
        self.assertEqual((found.balance_e4, found.available_e4), (10_000, 60_000))
        self.heal()
        self.check()
        (row,) = self.centre.query("SELECT purses_e4 FROM account WHERE name = 'anna'")
        self.assertEqual(row, (VOUCHER_E4,))

    def test_lockouts_are_those_of_the_server(self) -> None:
        wrong = self.serials[0][:-1] + ("2" if self.serials[0][-1] != "2" else "3")
        for server in (self.app, self.site):
            for _ in range(MISTYPED_MAX):
                self.assertEqual(self.at(server, wrong).reason, "mistyped")
            for refused in (
                self.assertRaises(Rejected, self.at, server, self.serials[1]),
                self.assertRaises(Rejected, self.redeem, server, self.serials[1]),
            ):
                self.assertEqual(refused.code, "locked-out")
            unlock = server.vouchers.all()["voucher.unlock"]
            self.turner.run(unlock({"name": "anna"}, lambda figures: None))
        self.assertEqual(self.at(self.app, self.serials[1]).state, "credited")

    def redeem(self, server: Any, serial: str) -> Any:
        asked = {"voucher": serial, "name": "anna"}
        return self.turner.run(server.vouchers.redeem(asked, lambda figures: None))

"""Vouchers: redeemed once, expired, cancelled, mistyped a thousand times."""

from __future__ import annotations

from datetime import UTC, datetime

from papercutd.domain.voucher import NoVoucher
from papercutd.errors import AlreadyExists, InvalidValue, NotFound, Rejected
from papercutd.services import voucher_operations
from papercutd.services.attempts import LOCKOUT_S
from papercutd.services.serial_attempts import MISTYPED_MAX
from papercutd.services.voucher_operations import VoucherOperations
from tests.contract.test_money_acts import MoneyBase
from tests.support.engines import on_every_engine
from tests.support.stores import WALL_S


class VoucherContract(MoneyBase):
    def setUp(self) -> None:
        super().setUp()
        self.made = VoucherOperations(self.centre.store, self.turner.environment(7))
        self.centre.user("ben", 0)

    def operations(self):
        return self.made

    def add(self, **given):
        given = {"name": "may", "amount": "5.00", "count": 3, **given}
        return self.run_operation("voucher.add", **given)["serials"]

    def redeem(self, serial, name="anna"):
        return self.run_operation("voucher.redeem", voucher=serial, name=name)

    def assertRefused(self, said, serial, name="anna", error=InvalidValue):
        with self.assertRaises(error) as caught:
            self.redeem(serial, name)
        self.assertIn(said, str(caught.exception))

    def test_redeemed_once(self) -> None:
        one, two, _ = self.add()
        found = self.redeem(f" {one.lower()} ")
        self.assertEqual((found["amount_e4"], found["balance_e4"]), (50_000, 150_000))
        self.assertEqual((found["batch"], found["number"]), ("may", 1))
        self.assertRefused("was redeemed before, on", one)
        self.assertRefused("was redeemed before, on", one, "ben")
        self.redeem(two, "ben")
        self.assertEqual((self.balance_e4(), self.balance_e4("ben")), (150_000, 50_000))
        (batch,) = self.run_operation("voucher.list")
        self.assertEqual((batch["count"], batch["redeemed"], batch["cancelled"]), (3, 2, 0))
        shown = self.run_operation("voucher.show", name="may")
        self.assertEqual([row["redeemed_by"] for row in shown], ["anna", "ben", None])
        self.assertBooksStand()
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()

    def test_no_serial_is_kept(self) -> None:
        serials = self.add()
        kept = repr(self.centre.query("SELECT hash FROM voucher"))
        for serial in serials:
            self.assertNotIn(serial.replace("-", ""), kept)

    def test_expired(self) -> None:
        """On the day after the last."""
        days = (int(WALL_S) // 86_400 + 2) * 86_400 - WALL_S
        last = datetime.fromtimestamp(WALL_S + days - 1, UTC)
        one, two, _ = self.add(until=f"{last:%Y-%m-%d}")
        self.turner.clock.advance(days - 1 - self.turner.clock.seconds())
        self.redeem(one)
        self.turner.clock.advance(1)
        self.assertRefused("has expired", two)
        self.assertEqual(self.balance_e4(), 150_000)

    def test_cancelled(self) -> None:
        one, two, three = self.add()
        self.redeem(one)
        cancel = {"name": "may"}
        found = self.run_operation("voucher.cancel", number=2, **cancel)
        self.assertEqual(found["cancelled"], 1)
        self.assertRefused("was cancelled on", two)
        with self.assertRaises(InvalidValue):
            self.run_operation("voucher.cancel", number=1, **cancel)
        with self.assertRaises(NotFound):
            self.run_operation("voucher.cancel", number=4, **cancel)
        self.assertEqual(self.run_operation("voucher.cancel", **cancel)["cancelled"], 1)
        self.assertRefused("was cancelled on", three)
        self.assertEqual(self.balance_e4(), 150_000)

    def test_a_thousand_mistypes_lock_out(self) -> None:
        one, two, _ = self.add()
        wrong = one[:-1] + ("2" if one[-1] != "2" else "3")
        said = []
        for _ in range(1_000):
            try:
                self.redeem(wrong)
            except (InvalidValue, Rejected) as error:
                said.append(type(error))
        self.assertEqual(said, [NoVoucher] * MISTYPED_MAX + [Rejected] * (1_000 - MISTYPED_MAX))
        self.assertRefused("too many serials of anna were wrong", one, error=Rejected)
        # Nobody else is kept out, and it ends.
        self.redeem(two, "ben")
        self.turner.clock.advance(LOCKOUT_S)
        self.redeem(one)
        self.assertEqual(self.balance_e4(), 150_000)

    def test_a_batch_in_pieces(self) -> None:
        self.patch(voucher_operations, "AT_ONCE", 2)
        serials = self.add(count=5)
        for serial in serials[::2]:
            self.redeem(serial)
        shown = self.run_operation("voucher.show", name="may")
        redeemed = [row["number"] for row in shown if row["redeemed_by"] == "anna"]
        self.assertEqual((len(shown), redeemed), (5, [1, 3, 5]))
        self.assertEqual(self.run_operation("voucher.list")[0]["count"], 5)
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()

    def test_bad_input(self) -> None:
        (one,) = self.add(count=1)
        for given in (
            *({"amount": text} for text in ("5,00", "€5", "5e2", "1" * 20, "0", "-5", "")),
            *({"count": count} for count in (0, -1, 5_001)),
            *({"name": name} for name in ("", " ", "x" * 64, "a\nb")),
            *({"until": text} for text in ("2001-01-01", "tomorrow")),
        ):
            with self.assertRaises(InvalidValue):
                self.add(**{"name": "june", **given})
        with self.assertRaises(AlreadyExists):
            self.add()
        self.assertEqual(len(self.run_operation("voucher.list")), 1)
        self.assertRefused("no user", one, "nobody", error=NotFound)
        other = self.run_operation("voucher.add", name="x", amount="1", count=1)["serials"][0]
        self.centre.query("DELETE FROM voucher WHERE batch = 2")
        self.assertRefused("is that of no voucher", other)


on_every_engine(globals())

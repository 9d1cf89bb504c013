"""Deliberate bugs of vouchers at cut sites, each to be found within fifty seeds."""

from __future__ import annotations

from papercutd.storage.money import voucher_claims
from papercutd.storage.money.voucher_claims import CREDITED, VoucherClaims
from tests.simulation.test_mutants import MutantCase


class VoucherMutants(MutantCase):
    def test_both_stand(self) -> None:
        self.patch(voucher_claims, "_judge", lambda *arguments: (CREDITED, ""))
        self.assertFound("I26", profile="vouchers")

    def test_nothing_comes_of_a_record(self) -> None:
        self.patch(VoucherClaims, "take", lambda *arguments: None)
        self.assertFound("I26", profile="vouchers")

"""Deliberate bugs of purses, each to be found within fifty seeds: see test_mutants.py."""

from __future__ import annotations

from typing import Any

from papercutd.domain.purses import Parts
from papercutd.storage.money import accounts
from papercutd.storage.money.accounts import Accounts
from tests.simulation.test_mutants import MutantCase


class PurseMutants(MutantCase):
    def test_purses_that_are_never_spent(self) -> None:
        def spend_none(self: Any, *arguments: Any) -> dict[int, int]:
            return {}

        self.patch(Accounts, "_spend_purses", spend_none)
        self.assertFound("I24")

    def test_cash_before_the_quota(self) -> None:
        original = accounts.spend

        def spend(amount_e4: int, held: Parts) -> Parts:
            own_e4 = min(amount_e4, max(0, held.main_e4))
            rest = original(amount_e4 - own_e4, Parts(held.first, held.main_e4 - own_e4, held.last))
            return Parts(rest.first, rest.main_e4 + own_e4, rest.last)

        self.patch(accounts, "spend", spend)
        self.assertFound("I24")

"""A mark-up that a site forgets: see test_mutants.py."""

from __future__ import annotations

from typing import Any

from papercutd.storage.money.shared_access import Choice
from papercutd.storage.site import deciding
from tests.simulation.test_mutants import MutantCase


class SharedMutants(MutantCase):
    def test_a_site_forgets_the_mark_up(self) -> None:
        original = deciding.choose

        def choose(*given: Any, **more: Any) -> Choice:
            return Choice(original(*given, **more).refusal)

        self.patch(deciding, "choose", choose)
        self.assertFound("I3", profile="shared", likely=5)

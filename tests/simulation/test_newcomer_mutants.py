"""A deliberate bug of people whom a cut site does not know, to be found within fifty seeds."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.storage.site import deciding
from tests.simulation.test_mutants import MutantCase


class NewcomerMutants(MutantCase):
    def test_a_cut_site_forgets_who_pays_for_them(self) -> None:
        start_here = deciding.start_here

        def forgetful(*arguments: Any) -> Any:
            start = start_here(*arguments)
            return None if start is None else attrs.evolve(start, account_selection=None)

        self.patch(deciding, "start_here", forgetful)
        self.assertFound("I3", profile="newcomers")

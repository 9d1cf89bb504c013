"""Versions of prices are remembered: never one whose commit the disk had no room for."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.pricing import PagePrice
from papercutd.errors import StorageFull
from tests.support.stores import PRICES, Centre, Turner, request


class FullDiskTests(SynchronousTestCase):
    def test_the_version_is_another_list_the_next_time(self) -> None:
        turner = Turner()
        centre = Centre(turner)
        centre.user()
        provider = centre.provider()
        dear = attrs.evolve(PRICES, papers=(PagePrice("A4", 900, 900),))
        cheap = attrs.evolve(PRICES, papers=(PagePrice("A4", 100, 100),))

        def full() -> None:
            raise StorageFull

        batch: Any = centre.store._writer._batch  # type: ignore[attr-defined]
        batch._before_commit = full
        # Of one batch: who asks has read what is not committed.
        lost = [centre.store.add_prices(dear), centre.store.authorize(provider, request(1))]
        turner.settle()
        for one in lost:
            self.failureResultOf(one, StorageFull)
        batch._before_commit = None
        version = turner.result(centre.store.add_prices(cheap))
        decision = turner.result(centre.store.authorize(provider, request(2)))
        self.assertEqual((decision.price_version, decision.amount_e4), (version, 100))

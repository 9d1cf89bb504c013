"""Groups within groups: never in a circle, never too deep, whatever is tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.nested_groups import DEPTH_MAX, above, below, check_place, depth_below, path
from papercutd.errors import InvalidValue

COUNT = 15
NAMES = {group: f"g{group}" for group in range(COUNT)}
places = st.lists(st.tuples(*[st.integers(0, COUNT - 1)] * 2), max_size=60)


class NestedTests(SynchronousTestCase):
    @given(places)
    def test_whatever_is_put_where(self, tried) -> None:
        nested: dict[int, set[int]] = {}
        for outer, inner in tried:
            try:
                check_place(nested, NAMES, outer, inner)
            except InvalidValue:
                continue
            nested.setdefault(outer, set()).add(inner)
        for group in NAMES:
            self.assertLessEqual(depth_below(nested, group), DEPTH_MAX)
            within = below(nested, [group])
            for one in NAMES:
                self.assertEqual(one in within, group in above(nested, one))
                self.assertEqual(one in within, bool(path(nested, group, one)))

    def test_too_deep(self) -> None:
        nested = {group: {group + 1} for group in range(DEPTH_MAX - 2)}
        check_place(nested, NAMES, DEPTH_MAX - 2, DEPTH_MAX - 1)
        nested[DEPTH_MAX - 2] = {DEPTH_MAX - 1}
        with self.assertRaisesRegex(InvalidValue, "more than 10"):
            check_place(nested, NAMES, DEPTH_MAX - 1, DEPTH_MAX)
        with self.assertRaisesRegex(InvalidValue, "more than 10"):
            check_place(nested, NAMES, DEPTH_MAX, 0)

"""``papercutd job-log`` as somebody types it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.job_log import _collect
from papercutd.errors import InvalidValue


class CountTests(SynchronousTestCase):
    def page(self, more: dict[str, Any]) -> dict[str, Any]:
        """Pages of two jobs; seven in all."""
        start = int(more["after"].split(" ")[0]) if more else 8
        jobs = [{"number": n, "id": f"k{n}"} for n in range(start - 1, max(start - 3, 0), -1)]
        return {"jobs": jobs, "next": f"{jobs[-1]['number']} k" if jobs[-1]["number"] > 1 else None}

    def test_as_many_as_were_asked_for(self) -> None:
        for count, last, more in ((1, 7, "7 k7"), (2, 6, "6 k"), (3, 5, "5 k5"), (99, 1, None)):
            found = _collect(self.page, count)
            self.assertEqual(len(found["jobs"]), min(count, 7))
            self.assertEqual((found["jobs"][-1]["number"], found["next"]), (last, more))

    def test_none_is_no_number(self) -> None:
        for count in (0, -1):
            self.assertRaises(InvalidValue, _collect, self.page, count)

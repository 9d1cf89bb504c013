"""F39: new sites at once, then all of them cut and healed together; 500 by ``make herd``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.services import application_server
from papercutd.services.snapshots import LOADING_MAX
from protocols.limits import OUTBOUND_BYTES_MAX
from tests.simulation.herd import HerdRun

#: 500 would be minutes of a processor. So that fewer are too many, fewer are let in, and wait.
SITES, RECORDS, APPLIED_MAX, WAITING_MAX = 90, 20, 2, 2


class HerdTests(SynchronousTestCase):
    timeout = 600

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors(RuntimeError)

    def test_everybody_comes_at_once(self) -> None:
        self.patch(application_server, "JOURNALS_APPLIED_MAX", APPLIED_MAX)
        self.patch(application_server, "JOURNALS_WAITING_MAX", WAITING_MAX)
        herd = HerdRun(SITES, RECORDS).run()
        # Each record once, each replica at the head, nobody at the desk sent elsewhere.
        self.assertEqual(herd.found, [])
        # More came than may, and were told so.
        self.assertGreater(herd.loads_turned_away, 0)
        self.assertGreater(herd.batches_turned_away, 0)
        self.assertEqual(herd.loading, LOADING_MAX)
        self.assertEqual(herd.batches, APPLIED_MAX + WAITING_MAX)
        # One snapshot for all of them.
        self.assertLess(herd.snapshots_made, 4)
        # Nothing piles up: a site has few requests under way, and few bytes.
        self.assertLess(herd.queue, 4 * SITES)
        self.assertLess(herd.waiting_bytes, OUTBOUND_BYTES_MAX // 4)
        # Whoever prints at the application server waits less than a server may take.
        self.assertGreater(herd.desk_answers, 10)
        self.assertLess(herd.desk_worst_s, 1.0)

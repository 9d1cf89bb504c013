"""A refusal waits for what sites give back: once, and 300 ms at the most."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.services.recalls import RECALL_S, Recalls
from papercutd.services.sessions import Sessions
from papercutd.storage.money.allowances import Shortage
from protocols.site.messages import RECALL_USERS_MAX


class Connected:
    """Of a session, what is asked for here."""

    def __init__(self) -> None:
        self.told: list = []
        self.is_open = True

    def notify(self, event) -> None:
        self.told.append(event)


class RecallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        self.sites = Sessions(env)
        self.recalls = Recalls(env, self.sites)
        self.north, self.south = Connected(), Connected()
        self.sites.enter("site:north", self.north)
        self.sites.enter("site:south", self.south)

    def begin(self, *sites: str, users: tuple[int, ...] = (7,)) -> Deferred:
        return Deferred.fromCoroutine(self.recalls.recall(Shortage(500, users, sites)))

    def test_done_once_the_record_is_applied(self) -> None:
        done = self.begin("site:north")
        (event,) = self.north.told
        self.assertEqual((event.users, event.amount_e4), ([7], 500))
        self.assertEqual(self.south.told, [])
        self.recalls.returned("site:north", event.recall, "stream-n", 5)
        self.recalls.applied("stream-n", 4)
        self.assertNoResult(done)
        self.recalls.applied("stream-n", 6)
        self.assertTrue(self.successResultOf(done))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_record_may_come_first(self) -> None:
        done = self.begin("site:north")
        self.recalls.applied("stream-n", 5)
        self.recalls.returned("site:north", self.north.told[0].recall, "stream-n", 5)
        self.successResultOf(done)

    def test_nothing_to_give(self) -> None:
        done = self.begin("site:north", "site:south")
        recall = self.north.told[0].recall
        self.recalls.returned("site:north", recall, "stream-n", 0)
        self.assertNoResult(done)
        self.recalls.returned("site:south", recall, "stream-s", 0)
        self.assertFalse(self.successResultOf(done))

    def test_nobody_waits_longer(self) -> None:
        done = self.begin("site:north")
        self.clock.advance(RECALL_S)
        self.successResultOf(done)
        self.assertEqual((self.recalls.sent, self.recalls.late), (1, 1))
        # What comes later is of no recall any more.
        self.recalls.returned("site:north", self.north.told[0].recall, "stream-n", 5)
        self.recalls.applied("stream-n", 5)

    def test_a_site_that_is_gone(self) -> None:
        self.north.is_open = False
        self.sites.leave("site:south", self.south)
        self.successResultOf(self.begin("site:north", "site:south"))
        self.assertEqual(self.north.told, [])

    def test_another_sites_word_counts_for_nothing(self) -> None:
        done = self.begin("site:north")
        self.recalls.returned("site:south", self.north.told[0].recall, "stream-s", 0)
        self.assertNoResult(done)
        self.recalls.returned("site:north", "another recall", "stream-n", 0)
        self.assertNoResult(done)

    def test_a_person_of_many_names(self) -> None:
        self.begin("site:north", users=tuple(range(2 * RECALL_USERS_MAX)))
        self.assertEqual(len(self.north.told[0].users), RECALL_USERS_MAX)

"""Identities that replace each other."""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.services.peer_versions import versions_check, versions_status
from papercutd.services.sessions import FIGHT_SHOWN_S, Sessions
from protocols.codes import Code
from protocols.handshake import VERSIONS
from protocols.received import Unspoken


class Ended:
    """Of a session, what is asked for here."""

    def __init__(self) -> None:
        self.codes: list[Code] = []
        self.version = max(VERSIONS)
        self.hello = None

    def end(self, code: Code, retry_after_s: float = 0.0) -> None:
        self.codes.append(code)


class UnspokenTests(SynchronousTestCase):
    def test_shown_until_it_speaks_what_we_do(self) -> None:
        sessions = Sessions(Environment(Clock(), lambda: 0.0, random.Random(1)))
        sessions.refuse("provider:p1", Unspoken([4], [1, 2], "4.0.0"))
        sessions.refuse("provider:p1", Unspoken([4], [1, 2], "4.0.0"))
        said = "provider p1 speaks 4, we speak 1 and 2: upgrade this side (its release is 4.0.0)"
        status = versions_status(sessions, refused=["x"])
        self.assertEqual(status["refused_versions"], ["x", said])
        check = versions_check(sessions)
        self.assertEqual((check["ok"], check["detail"]), (False, said))
        session = Ended()
        sessions.enter("provider:p1", session)  # type: ignore[arg-type]
        self.assertTrue(versions_check(sessions)["ok"])
        status = versions_status(sessions)
        self.assertEqual((status["refused_versions"], status["older_peers"]), ([], []))
        session.version = 1
        older = [{"name": "provider:p1", "speaks": 1, "software": ""}]
        self.assertEqual(versions_status(sessions)["older_peers"], older)


class FightTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(Environment(self.clock, lambda: 0.0, random.Random(1)))

    def replace(self, count: int, every_s: float) -> None:
        for _ in range(count):
            self.sessions.enter("device:mfd", Ended())  # type: ignore[arg-type]
            self.clock.advance(every_s)

    def test_three_within_a_minute(self) -> None:
        self.replace(3, 20.0)
        self.assertEqual(self.sessions.fighting, set())
        self.replace(1, 20.0)
        self.assertEqual(self.sessions.fighting, {"device:mfd"})

    def test_now_and_then_is_no_fight(self) -> None:
        self.replace(20, 31.0)
        self.assertEqual(self.sessions.fighting, set())

    def test_over_after_an_hour_and_reported_again(self) -> None:
        self.replace(4, 20.0)
        self.clock.advance(FIGHT_SHOWN_S)
        self.assertEqual(self.sessions.fighting, set())
        self.replace(3, 1.0)
        self.assertEqual(self.sessions.fighting, {"device:mfd"})
        self.assertEqual(len(self.flushLoggedErrors()), 0)


class PassedOverTests(SynchronousTestCase):
    def test_the_live_one_begins_anew(self) -> None:
        """A greeting that was answered when its connection was gone counts in the books."""
        sessions = Sessions(Environment(Clock(), lambda: 0.0, random.Random(1)))
        sessions.passed_over("provider:p1")
        live = Ended()
        sessions.enter("provider:p1", live)  # type: ignore[arg-type]
        sessions.passed_over("provider:p1")
        self.assertEqual(live.codes, [Code.REPLACED])

"""``site remove``: the site hears of it before it is let in no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.services.administration import (
    TOLD_LOOK_S,
    TOLD_LOOKS,
    TOLD_S,
    ApplicationOperations,
)

SITE = "site:north"


class FakeStore:
    """Notes what is asked of it, in order."""

    def __init__(self, server: Any) -> None:
        self.done: list[str] = []
        self._server = server

    def verify(self) -> Deferred[list[str]]:
        raise AssertionError("nobody asked for it")

    def remove_site(self, name: str) -> Deferred[list[str]]:
        self.done.append("removed")
        self._server.position.number += 1
        return succeed([])

    def revoke(self, role: str, name: str) -> Deferred[list[str]]:
        self.done.append("revoked")
        return succeed([])

    def ended_streams(self, name: str) -> Deferred[list[Any]]:
        return succeed([])


class RemovingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions: dict[str, Any] = {}
        self.sent = {"number": 7}
        self.server: Any = SimpleNamespace(
            env=SimpleNamespace(clock=self.clock),
            sites=self.sessions,
            providers={},
            devices=None,
            position=SimpleNamespace(number=7),
        )
        self.server.feed = SimpleNamespace(behind=lambda session, head: head - session.number)
        self.store = FakeStore(self.server)
        self.server.store = self.store
        operations = ApplicationOperations(self.server, None, None, None)  # type: ignore[arg-type]
        work = operations.site_remove({"name": "north"}, lambda figures: None)
        self.begin = lambda: Deferred.fromCoroutine(work)
        self.session = SimpleNamespace(number=7, is_over=False)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / TOLD_LOOK_S)):
            self.clock.advance(TOLD_LOOK_S)

    def test_connected(self) -> None:
        self.sessions[SITE] = self.session
        result = self.begin()
        self.assertEqual(self.store.done, ["removed"])
        self.wait(1.0)
        self.assertEqual(self.store.done, ["removed"], "it has not been sent the change")
        self.session.number = 8
        self.wait(TOLD_S + 2 * TOLD_LOOK_S)
        self.assertTrue(self.successResultOf(result)["site_told"])
        self.assertEqual(self.store.done, ["removed", "revoked"])

    def test_coming_back_just_now(self) -> None:
        """As after a restart of ours: removed at once, it would never hear of it."""
        result = self.begin()
        self.wait(2.0)
        self.assertEqual(self.store.done, [])
        self.sessions[SITE] = self.session
        self.wait(2 * TOLD_LOOK_S)
        self.assertEqual(self.store.done, ["removed"])
        self.session.number = 8
        self.wait(TOLD_S + 2 * TOLD_LOOK_S)
        self.assertTrue(self.successResultOf(result)["site_told"])

    def test_away(self) -> None:
        result = self.begin()
        self.wait(TOLD_LOOKS * TOLD_LOOK_S + 2 * TOLD_LOOK_S)
        self.assertFalse(self.successResultOf(result)["site_told"])
        self.assertEqual(self.store.done, ["removed", "revoked"])

    def test_gone_before_it_was_sent(self) -> None:
        self.sessions[SITE] = self.session
        result = self.begin()
        self.session.is_over = True
        self.wait(2 * TOLD_LOOK_S)
        self.assertFalse(self.successResultOf(result)["site_told"])
        self.assertEqual(self.store.done, ["removed", "revoked"])

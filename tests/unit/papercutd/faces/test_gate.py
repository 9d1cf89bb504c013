"""Tests of papercutd.faces.gate: who may come in at a server that does not write."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.faces.gate import Gate, Gated
from protocols.codes import Code
from protocols.errors import Refusal
from tests.unit.protocols.builders import Recorder, hello


class GateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gate = Gate()
        self.face = Recorder()
        self.gated = Gated(self.gate, lambda: ["b:9195"], self.face)

    def refusal(self, gated: Gated) -> Refusal:
        session: Any = None
        asked = Deferred.fromCoroutine(gated.hello(session, hello()))
        refusal = self.failureResultOf(asked, Refusal).value
        assert isinstance(refusal, Refusal)
        return refusal

    def test_shut_and_open_again(self) -> None:
        self.gate.is_open = False
        refusal = self.refusal(self.gated)
        self.assertEqual((refusal.code, refusal.fields), (Code.NOT_WRITER, {"servers": ["b:9195"]}))
        self.gate.is_open = True
        session: Any = type("Session", (), {"version": 2})()
        self.successResultOf(Deferred.fromCoroutine(self.gated.hello(session, hello())))
        self.gated.opened(session)
        self.assertEqual(self.face.calls, ["opened"])

    def test_one_that_stands_by_lets_nobody_in(self) -> None:
        self.assertIs(self.refusal(Gated(self.gate, list)).code, Code.NOT_WRITER)

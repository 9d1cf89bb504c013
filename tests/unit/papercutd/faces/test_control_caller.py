"""Who asks at the control socket, as the audit will have it."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.protocols.basic import LineOnlyReceiver
from twisted.trial.unittest import TestCase

from papercutd.faces.control import ControlFactory, name_of_user
from papercutd.services.auditing import CALLER


class _Lines(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self) -> None:
        self.said: Deferred[Any] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.said.callback(json.loads(line))


class CallerTests(TestCase):
    timeout = 30

    async def ask(self, **more: Any) -> Any:
        async def who(arguments: dict[str, Any], progress: Any) -> Any:
            caller = CALLER.get()
            assert caller is not None
            return [caller.who, caller.place]

        path = self.mktemp()
        port = reactor.listenUNIX(path, ControlFactory({"who": who}))
        try:
            lines = await connectProtocol(UNIXClientEndpoint(reactor, path), _Lines())
            lines.sendLine(json.dumps({"call": "who", **more}).encode())
            said = await lines.said
            lines.transport.loseConnection()
        finally:
            await port.stopListening()
        self.assertIsNone(CALLER.get())
        return said.get("result", said)

    async def test_the_user_of_the_process(self) -> None:
        me = name_of_user(os.getuid())
        self.assertEqual(await self.ask(), [me, f"control socket, {me}"])

    async def test_who_is_named(self) -> None:
        me = name_of_user(os.getuid())
        self.assertEqual(await self.ask(**{"as": "carl"}), ["carl", f"control socket, {me}"])

    async def test_no_name(self) -> None:
        for bad in ("", "x" * 101, "a\nb", 7):
            self.assertEqual((await self.ask(**{"as": bad}))["error"]["code"], "bad-call")

    def test_a_user_without_a_name(self) -> None:
        self.assertEqual(name_of_user(4_000_000_000), "uid 4000000000")

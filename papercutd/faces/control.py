"""The control socket: what `papercutd` says to a running server, on its own machine.

A Unix socket that only its owner may open. One JSON object a line asks
``{"call": name, "arguments": {...}, "as": "anna"}`` (who asks, if not the user of the
socket); lines ``{"progress": ...}`` may come, then one
``{"result": ...}`` or ``{"error": {"code": ..., "text": ...}}``.
"""

from __future__ import annotations

import json
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from papercutd.errors import PapercutError
from papercutd.services.auditing import CALLER, Caller
from papercutd.services.operation import code_of

_log = Logger()
LINE_MAX = 1_048_576
WHO_MAX = 100
Progress = Callable[[dict[str, Any]], None]
Operation = Callable[[dict[str, Any], Progress], Awaitable[Any]]


class _Control(LineOnlyReceiver):
    delimiter = b"\n"
    MAX_LENGTH = LINE_MAX

    def __init__(self, operations: dict[str, Operation]) -> None:
        self._operations = operations
        #: What may be ended when whoever asked is gone.
        self._interruptible: set[Deferred[Any]] = set()

    def lineReceived(self, line: bytes) -> None:
        running = Deferred.fromCoroutine(self._run(line))
        running.addErrback(lambda failure: _log.failure("control failed", failure=failure))

    async def _run(self, line: bytes) -> None:
        try:
            asked = json.loads(line)
            name, arguments = str(asked["call"]), dict(asked.get("arguments") or {})
            caller = self._caller(asked.get("as"))
        except (ValueError, KeyError, TypeError):
            self._say({"error": {"code": "bad-call", "text": "the call is not understood"}})
            return
        operation = self._operations.get(name)
        if operation is None:
            text = f"this server does not do {name[:64]!r}: -c names the one that does"
            self._say({"error": {"code": "bad-call", "text": text}})
            return
        CALLER.set(caller)
        try:
            result = await self._operate(operation, arguments)
        except CancelledError:
            _log.info("operation {name} ended: nobody waits for it", name=asked["call"])
        except PapercutError as error:
            self._say({"error": {"code": code_of(error), "text": str(error)}})
        except Exception:
            _log.failure("operation {name} failed", failure=Failure(), name=asked["call"])
            text = "the server failed at this, its log says why"
            self._say({"error": {"code": "internal", "text": text}})
        else:
            self._say({"result": result})

    async def _operate(self, operation: Operation, arguments: dict[str, Any]) -> Any:
        working: Any = operation(arguments, lambda figures: self._say({"progress": figures}))
        if not getattr(operation, "is_interruptible", False):
            return await working
        running = Deferred.fromCoroutine(working)
        self._interruptible.add(running)
        try:
            return await running
        finally:
            self._interruptible.discard(running)

    def _caller(self, named: object) -> Caller:
        """Who asks: as the caller says, else the user whose process it is."""
        if named is not None and not (
            isinstance(named, str) and 0 < len(named) <= WHO_MAX and named.isprintable()
        ):
            raise ValueError("who asks is no name")
        user = self._peer()
        who = named or user or Caller().who
        return Caller(who, f"control socket, {user}" if user else "control socket")

    def _peer(self) -> str:
        """The user of the socket's other end; empty where the system does not say."""
        connection = getattr(self.transport, "socket", None)
        if connection is None:
            return ""
        size = struct.calcsize("3i")
        try:
            told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        except OSError:
            return ""
        return name_of_user(struct.unpack("3i", told)[1])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for running in list(self._interruptible):
            running.cancel()

    def _say(self, message: dict[str, Any]) -> None:
        if self.connected:
            self.sendLine(json.dumps(message).encode())


@lru_cache(maxsize=256)
def name_of_user(uid: int) -> str:
    """The login name, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class ControlFactory(Factory):
    """Serves ``operations``, by name."""

    noisy = False

    def __init__(self, operations: dict[str, Operation]) -> None:
        self.operations = operations

    def buildProtocol(self, addr: Any) -> _Control:
        return _Control(self.operations)

"""The control socket: what `papercutd` says to a running server, on its own machine.

A Unix socket that only its owner may open. One JSON object a line asks
``{"call": name, "arguments": {...}}``; lines ``{"progress": ...}`` may come, then one
``{"result": ...}`` or ``{"error": {"code": ..., "text": ...}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from papercutd.errors import PapercutError

_log = Logger()
LINE_MAX = 1_048_576
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
            operation = self._operations[asked["call"]]
            arguments = dict(asked.get("arguments") or {})
        except (ValueError, KeyError, TypeError):
            self._say({"error": {"code": "bad-call", "text": "this server has no such operation"}})
            return
        try:
            result = await self._operate(operation, arguments)
        except CancelledError:
            _log.info("operation {name} ended: nobody waits for it", name=asked["call"])
        except PapercutError as error:
            code = getattr(error, "code", "") or code_of(type(error))
            self._say({"error": {"code": code, "text": str(error)}})
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

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for running in list(self._interruptible):
            running.cancel()

    def _say(self, message: dict[str, Any]) -> None:
        if self.connected:
            self.sendLine(json.dumps(message).encode())


def code_of(error: type[Exception]) -> str:
    """``storage-full`` of StorageFull."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__).lower()


class ControlFactory(Factory):
    """Serves ``operations``, by name."""

    noisy = False

    def __init__(self, operations: dict[str, Operation]) -> None:
        self.operations = operations

    def buildProtocol(self, addr: Any) -> _Control:
        return _Control(self.operations)

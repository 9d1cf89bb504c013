"""Which queues of CUPS ask the provider: shown, put under it, given back as they were."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from papercutd.errors import InvalidValue, NotFound, PapercutError
from papercutd.provider.cups.device_uris import (
    KeptUri,
    kept_name,
    kept_uri,
    may_have_password,
    read_device_uri,
    without_password,
)
from papercutd.provider.cups.server import SCHEME, CupsServer, Queue
from papercutd.provider.cups.spooler import CupsSpooler
from papercutd.provider.journal import ProviderJournal

Operation = Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], Awaitable[Any]]
#: Seconds within which CUPS writes a change to its file of queues, as it is delivered.
WRITTEN_AFTER_S = 35.0
#: The backend as this release has it.
BACKEND = Path(__file__).resolve().parents[1] / "backend" / "papercut"


@attrs.frozen(auto_exc=True, str=False)
class UriHidden(PapercutError):
    """CUPS shows device URIs without their passwords, and its own file does not help.

    State the whole device URI with ``--uri``, or let the provider's user read the file.
    """

    queue: str
    path: str
    why: str

    def __str__(self) -> str:
        return (
            f"the device URI of {self.queue} may hold a password, which CUPS shows to nobody,"
            f" and {self.path} {self.why}: state it with --uri"
        )


class CupsQueues:
    """Operations of ``papercutd provider cups``.

    ``printers_conf`` is CUPS's own file of queues: device URIs stand in it as they are,
    while over IPP their passwords are left out.
    """

    def __init__(
        self,
        cups: CupsServer,
        spooler: CupsSpooler,
        journal: ProviderJournal,
        clock: IReactorTime,
        printers_conf: str,
        backend: str,
        socket: str,
    ) -> None:
        self._cups = cups
        self._spooler = spooler
        self._journal = journal
        self._clock = clock
        self._printers_conf = printers_conf
        #: Where CUPS looks for the backend.
        self._backend = Path(backend)
        #: Where backends reach us.
        self._socket = Path(socket)

    def all(self) -> dict[str, Operation]:
        return {
            "cups.list": self.list,
            "cups.status": self.status,
            "cups.enable": self.enable,
            "cups.disable": self.disable,
        }

    async def list(self, arguments: dict[str, Any], progress: object) -> Any:
        """Every queue: whether it asks the provider, and where it prints."""
        return [self._shown(queue) for queue in await self._cups.queues()]

    async def status(self, arguments: dict[str, Any], progress: object) -> Any:
        """How the provider and CUPS stand with each other."""
        queues = await self._cups.queues()
        enabled = [queue for queue in queues if _is_enabled(queue)]
        return {
            "server": self._cups.place,
            "backend": self._backend_state(),
            "socket": f"{self._socket}: {'there' if self._socket.is_socket() else 'gone'}",
            "queues": len(queues),
            "enabled": [queue.name for queue in enabled],
            "not_known_to_the_server": [
                queue.name for queue in enabled if not self._spooler.knows_queue(queue.name)
            ],
            **self._spooler.status(),
        }

    async def enable(self, arguments: dict[str, Any], progress: object) -> Any:
        """Let a queue ask: its device URI is wrapped, all else of it stays.

        A password in it would be shown to everybody once it is wrapped: it is kept here.
        """
        queue = await self._queue(arguments)
        if not _is_enabled(queue):
            state = self._backend_state()
            if state != "installed":
                raise InvalidValue("backend", f"{self._backend} is {state}: install {BACKEND}")
            shown = queue.device_uri
            if ":" not in shown:
                raise InvalidValue("queue", f"has no device URI of a backend: {shown!r}")
            real = await self._real_uri(queue, str(arguments.get("uri") or ""))
            # Also where it has none: what was kept of another time is forgotten.
            await self._journal.keep_setting(kept_name(queue.name), KeptUri(shown, real))
            await self._cups.set_device_uri(queue.name, SCHEME + shown)
            queue = await self._queue(arguments)
        return self._shown(queue)

    async def disable(self, arguments: dict[str, Any], progress: object) -> Any:
        """Give a queue back its own device URI, exactly."""
        queue = await self._queue(arguments)
        if _is_enabled(queue):
            shown = queue.device_uri.removeprefix(SCHEME)
            kept = await kept_uri(self._journal, queue.name, shown)
            await self._cups.set_device_uri(queue.name, kept or shown)
            queue = await self._queue(arguments)
        return self._shown(queue)

    async def _queue(self, arguments: dict[str, Any]) -> Queue:
        name = str(arguments.get("queue", ""))
        queue = await self._cups.queue(name) if name else None
        if queue is None:
            raise NotFound("queue", name)
        return queue

    def _shown(self, queue: Queue) -> dict[str, Any]:
        return {
            "queue": queue.name,
            "enabled": _is_enabled(queue),
            "known_to_the_server": self._spooler.knows_queue(queue.name),
            "prints_at": queue.device_uri.removeprefix(SCHEME),
            "stopped": queue.is_stopped,
        }

    def _backend_state(self) -> str:
        try:
            mode = self._backend.stat().st_mode
            is_ours = self._backend.read_bytes() == BACKEND.read_bytes()
        except OSError:
            return "missing"
        if not mode & 0o100:
            return "not executable"
        return "installed" if is_ours else "of another release"

    async def _real_uri(self, queue: Queue, stated: str) -> str:
        """The device URI with its password, if it has one.

        Of a queue that was changed just now it takes CUPS half a minute to write it down.
        """
        shown = queue.device_uri
        if not may_have_password(shown):
            return shown
        if stated:
            if without_password(stated) != without_password(shown):
                raise InvalidValue("uri", f"is not that of the queue, {shown}")
            return stated
        give_up_at = self._clock.seconds() + WRITTEN_AFTER_S
        while True:
            try:
                found = read_device_uri(self._printers_conf, queue.name)
            except FileNotFoundError:
                found = None
            except OSError:
                raise UriHidden(queue.name, self._printers_conf, "cannot be read here") from None
            if found is not None and without_password(found) == without_password(shown):
                return found
            if self._clock.seconds() >= give_up_at:
                raise UriHidden(queue.name, self._printers_conf, "does not know the queue")
            await deferLater(self._clock, 0.5, lambda: None)


def _is_enabled(queue: Queue) -> bool:
    return queue.device_uri.startswith(SCHEME)

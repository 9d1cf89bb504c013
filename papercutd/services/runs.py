"""Runs at devices: reserved before the first page, counted page by page, posted by their grant.

The server that a device is connected to asks for it. Its reservation is as many pages as
were asked for, or as the money is enough for; the device stops at the last of them. What
it finishes is posted by whichever server it reaches, under the key in the grant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
from twisted.logger import Logger

from papercutd.domain.decision import Decision
from papercutd.domain.document import RUN_FORMATS, Document, PageGroup
from papercutd.domain.grant import GRANT_KEY, Grant, seal, unseal
from papercutd.domain.job import Completion, Receipt, Request, SessionRef
from papercutd.domain.pricing import total_pages
from papercutd.environment import Environment
from papercutd.errors import Rejected, StorageError
from papercutd.services.devices import Devices, Visit
from papercutd.services.tasks import Tasks
from papercutd.storage.interfaces import IJobStore
from papercutd.storage.people.people import Device

_log = Logger()
#: Pages reserved where the device does not know how many it will take.
USUAL_PAGES = 100
#: Runs of one device that may be open at once.
OPEN_RUNS_MAX = 16


class RunServer(Protocol):
    """What the service needs of its server: the same calls as for a print provider's jobs."""

    tasks: Tasks
    devices: Devices

    async def authorize(self, asker: SessionRef, request: Request) -> Decision: ...
    async def complete(self, asker: SessionRef, completion: Completion) -> Receipt: ...
    async def open_keys(self, asker: SessionRef, keys: Sequence[str]) -> int: ...


@attrs.frozen
class Wish:
    """What somebody at a device is about to do."""

    function: str
    paper: str = "A4"
    colour: bool = False
    duplex: bool = False
    #: None: the device does not know.
    pages: int | None = None
    account: int | None = None
    #: Whether it is to be invoiced; None: as is usual for the account.
    invoice: bool | None = None


@attrs.frozen
class Started:
    """The answer to a wish."""

    key: str
    decision: Decision
    #: Sealed; empty where it was not allowed.
    grant: str
    pages: int


@attrs.define(eq=False)
class _Run:
    grant: Grant
    pages: int
    #: Told once, at the last page of the reservation: the run's key.
    stop: Callable[[Grant], None]
    visit: str = ""
    #: The count is being written; another may have come meanwhile.
    is_writing: bool = False
    is_over: bool = False


class Runs:
    """The open runs of all devices connected to this server."""

    def __init__(self, env: Environment, store: IJobStore, server: RunServer) -> None:
        self._env = env
        self._store = store
        self._server = server
        self._runs: dict[str, _Run] = {}
        self._key: str | None = None
        #: Counts that fell, by device: shown by status.
        self.fallen: dict[str, int] = {}

    @property
    def count(self) -> int:
        """Open runs of the devices that are connected here."""
        return len(self._runs)

    async def start(
        self, asker: SessionRef, visit: Visit, wish: Wish, stop: Callable[[Grant], None]
    ) -> Started:
        """Reserve a run's pages; ``stop`` is called with its grant at the last of them.

        Raises Rejected ``not-allowed`` (the device has no such function), ``busy``,
        ``unavailable``, and what ``authorize`` and Devices.check_choice raise.
        """
        device = visit.device
        if wish.function not in device.functions:
            raise Rejected("not-allowed")
        if len(self._of(device.name)) >= OPEN_RUNS_MAX:
            raise Rejected("busy")
        await self._server.devices.check_choice(visit, wish.account)
        secret = await self._secret()
        visit.runs += 1
        request = Request(
            job=visit.job,
            step=f"run-{visit.runs}",
            provider=asker.identity,
            printer=device.printer,
            user_name=visit.person.name,
            document=_document(wish, wish.pages or USUAL_PAGES),
            title=wish.function.capitalize(),
            host=device.name,
            account=wish.account,
            invoice=wish.invoice,
            submitted_at=self._env.wall_s(),
        )
        decision = await self._server.authorize(asker, request)
        if not decision.allowed:
            return Started(request.key, decision, "", 0)
        pages = total_pages(decision.lines)
        grant = Grant(attrs.evolve(request, document=_document(wish, pages)), decision)
        self._runs[grant.key] = _Run(grant, 0, stop, visit.id)
        return Started(grant.key, decision, seal(grant, secret), pages)

    def pages(self, device: Device, key: str, pages: int) -> int:
        """So many have come out; the pages left of the reservation.

        Raises Rejected ``no-run``, or ``fewer-pages`` where more were counted before.
        """
        run = self._runs.get(key)
        if run is None or run.grant.request.host != device.name:
            raise Rejected("no-run")
        if pages < run.pages:
            self.fallen[device.name] = self.fallen.get(device.name, 0) + 1
            raise Rejected("fewer-pages")
        had_left = run.pages < run.grant.pages
        run.pages = pages
        self._server.devices.active(run.visit)
        self._note(run)
        if had_left and pages >= run.grant.pages:
            run.stop(run.grant)
        return max(0, run.grant.pages - pages)

    async def finish(
        self, asker: SessionRef, sealed: str, pages: int, outcome: str, finished_at: float
    ) -> Receipt:
        """The run is over: what the device counted is posted, once.

        Raises Rejected ``bad-grant``, ``not-yours`` or ``unavailable``.
        """
        grant = await self._unseal(asker, sealed)
        receipt = await self._server.complete(asker, grant.complete(pages, outcome, finished_at))
        run = self._runs.pop(grant.key, None)
        if run is not None:
            run.is_over = True
            if pages < run.pages:
                _log.warn(
                    "{device} finished {key} with {pages} pages after {seen} were seen",
                    device=asker.name,
                    key=grant.key,
                    pages=pages,
                    seen=run.pages,
                )
        return receipt

    async def resume(
        self,
        asker: SessionRef,
        kept: Sequence[tuple[str, int]],
        stop: Callable[[Grant], None],
    ) -> int:
        """The whole list of what a device keeps, (grant, pages); how many others were dropped.

        Grants that are not of this installation or this device are passed over: FINISH will
        say so.
        """
        found: dict[str, _Run] = {}
        for sealed, pages in kept:
            try:
                grant = await self._unseal(asker, sealed)
            except Rejected as error:
                if error.code == "unavailable":
                    raise
                continue
            run = self._runs.get(grant.key)
            visit = run.visit if run is not None else ""
            found[grant.key] = _Run(grant, pages, stop, visit)
        dropped = await self._server.open_keys(asker, list(found))
        for key, run in found.items():
            before = self._runs.get(key)
            if before is not None:
                run.pages = max(run.pages, before.pages)
            self._runs[key] = run
            self._note(run)
        return dropped

    def left(self, device: str) -> None:
        """The device is gone: what it keeps it lists when it comes back."""
        for run in self._of(device):
            del self._runs[run.grant.key]

    def _of(self, device: str) -> list[_Run]:
        return [run for run in self._runs.values() if run.grant.request.host == device]

    async def _secret(self) -> str:
        if self._key is None:
            self._key = await self._store.secret(GRANT_KEY)
        if self._key is None:
            # A replica that has not heard of it yet.
            raise Rejected("unavailable")
        return self._key

    async def _unseal(self, asker: SessionRef, sealed: str) -> Grant:
        grant = unseal(sealed, await self._secret())
        if grant.request.provider != asker.identity:
            raise Rejected("not-yours")
        return grant

    def _note(self, run: _Run) -> None:
        if not run.is_writing and run.pages:
            run.is_writing = True
            self._server.tasks.spawn(self._write(run), "noting pages")

    async def _write(self, run: _Run) -> None:
        """The newest count; those that come while it is written are written together."""
        try:
            written = 0
            while written < run.pages and not run.is_over:
                written = run.pages
                await self._store.note_pages(run.grant, written)
        except StorageError:
            # The device keeps its own count; the next page tries again.
            return
        finally:
            run.is_writing = False


def _document(wish: Wish, pages: int) -> Document:
    group = PageGroup(wish.paper, pages, pages if wish.colour else 0)
    return Document((group,), duplex=wish.duplex, format=RUN_FORMATS[wish.function])

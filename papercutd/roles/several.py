"""This application server among those on one PostgreSQL: it stands by, takes over, steps back.

The rules are domain/writers.py; what is seen and done in the database, storage/postgres/members.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from papercutd.config.model import Listen
from papercutd.domain.writers import BEAT_S, LOOK_S, Move, Watch, may_answer
from papercutd.environment import Environment
from papercutd.errors import AlreadyRunning, SchemaTooNew, StorageError
from papercutd.faces.gate import Gate
from papercutd.roles.common import Stopping
from papercutd.services.places import show_place
from papercutd.storage.application_store import ApplicationStore
from papercutd.storage.engine import DatabaseFailed, Interrupted
from papercutd.storage.postgres.members import Address, Look, Members

_log = Logger()
#: Addresses that are none to anybody else.
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})


class Ports(Protocol):
    """What a server that stands by shows."""

    async def listen(self) -> Address: ...


class Several:
    """One of several, or alone."""

    def __init__(self, reactor: Any, env: Environment, dsn: str, listen: Listen) -> None:
        self._reactor = reactor
        self._env = env
        self._listen = listen
        self.id = env.new_id()
        self.gate = Gate()
        self._members = Members(reactor, dsn, self.id, self._wake)
        self._look: Look | None = None
        self._watch = Watch()
        self._pausing: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._is_over = False
        self._heard_at = env.now()
        #: Called when another writes in our place.
        self.on_replaced: Callable[[], None] = lambda: None
        #: Called when the gate has shut: sessions are ended.
        self.on_shut: Callable[[], None] = lambda: None

    # For the ports.

    def servers(self) -> list[str]:
        """Where the one that writes has its port for links; nowhere while none does."""
        writer = self._writer()
        return [] if writer is None else [show_place(writer.host, writer.links)]

    def device_servers(self) -> list[str]:
        """The same of its port for devices."""
        writer = self._writer()
        return [] if writer is None else [show_place(writer.host, writer.devices)]

    def where(self) -> str:
        """The same in words, for people; empty while none does."""
        return next(iter(self.servers()), "")

    def status(self) -> dict[str, Any]:
        """For ``papercutd status``."""
        look = self._look
        others = [] if look is None else [show_place(one.host, one.links) for one in look.others]
        is_writer = look is not None and look.newest == self.id and self.gate.is_open
        return {"writes": is_writer, "writer": self.where(), "other_servers": others}

    def address(self, links: int, devices: int) -> Address:
        """Ours, and told to the others from now on."""
        host = self._listen.host or self._listen.interface
        if host in _EVERYWHERE:
            _log.warn("listen.host is empty: no other application server can name this one")
            host = ""
        address = Address(host, links, devices)
        self._members.set_address(address)
        return address

    def _writer(self) -> Address | None:
        look = self._look
        if look is None or look.writer is None or look.seen.server == self.id:
            return None
        return look.writer if look.writer.host else None

    # Standing by.

    async def until_writer(
        self, take: Callable[[], Awaitable[ApplicationStore]], ports: Ports
    ) -> ApplicationStore:
        """The store, once nobody else writes; until then ``ports`` are shown.

        Raises Stopping, and whatever the first attempt meets but another writer.
        """
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stop)
        is_standing_by = False
        while not self._is_over:
            move = await self._move()
            if move is Move.TAKE:
                try:
                    return await take()
                except SchemaTooNew:
                    raise
                except AlreadyRunning as error:
                    _log.info("somebody else was first: {error}", error=error)
                except (StorageError, Interrupted, DatabaseFailed) as error:
                    if not is_standing_by:
                        raise
                    _log.error("taking over failed: {error}", error=error)
            if not is_standing_by:
                is_standing_by = True
                self.gate.is_open = False
                await ports.listen()
                _log.info("standing by: another application server writes")
            await self._pause(LOOK_S)
        raise Stopping

    async def _move(self) -> Move:
        try:
            self._look = await self._members.look()
        except Exception as error:
            if self._look is not None:
                _log.error("the database cannot be looked at: {error}", error=error)
            self._look = None
            return Move.WAIT
        seen = self._look.seen
        move = self._watch.look(seen, self._env.now())
        if move is Move.END_HOLDER:
            _log.error(
                "the application server {server} shows no sign of life: its session is ended",
                server=self.where() or seen.server,
            )
            try:
                await self._members.end(seen.holder, seen.server)
            except Exception as error:
                _log.error("it cannot be ended: {error}", error=error)
            return Move.WAIT
        return move

    def _pause(self, seconds: float) -> Deferred[None]:
        pausing = self._pausing = Deferred()
        self._timer = self._reactor.callLater(seconds, self._wake)
        return pausing

    def _wake(self) -> None:
        """The time is over, or the database says that the writer changes."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        pausing, self._pausing = self._pausing, None
        if pausing is not None:
            self._reactor.callLater(0, pausing.callback, None)

    # Writing.

    def hold(self) -> None:
        """We write: show it, for as long as it is so."""
        self.gate.is_open = True
        self._heard_at = self._env.now()
        Deferred.fromCoroutine(self._hold()).addErrback(
            lambda failure: _log.failure("signs of life ended", failure=failure)
        )

    async def _hold(self) -> None:
        while not self._is_over:
            try:
                look = self._look = await self._members.look()
            except Exception as error:
                self._unheard(error)
            else:
                if self._is_over:
                    return
                if look.newest != self.id:
                    self.on_replaced()
                    return
                self._heard_at = self._env.now()
                if not self.gate.is_open:
                    _log.info("the database is reached again: sessions are taken")
                    self.gate.is_open = True
            await self._pause(BEAT_S)

    def _unheard(self, error: Exception) -> None:
        others = 0 if self._look is None else len(self._look.others)
        unheard_s = self._env.now() - self._heard_at
        if self.gate.is_open and not may_answer(unheard_s, others):
            _log.error(
                "no sign of life reaches the database, another server may write by now: {error}",
                error=error,
            )
            self.gate.is_open = False
            self.on_shut()

    async def leave(self) -> None:
        """The lock is free by now: whoever stands by takes it."""
        self.stop()
        try:
            await self._members.say()
        except Exception as error:
            # They look by themselves.
            _log.debug("leaving could not be told: {error}", error=error)
        self._members.close()

    def stop(self) -> None:
        """The process ends."""
        self._is_over = True
        self._wake()

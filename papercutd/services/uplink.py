"""A site's link to the application server: journal up, changes down, questions forwarded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from papercutd import __version__
from papercutd.domain.chain import CHAIN_START, Mark, Position, next_chain
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.points import passing
from papercutd.services import wire
from papercutd.services.tasks import Tasks
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.values import SiteIdentity
from protocols.codes import Code
from protocols.common import Key
from protocols.endpoint import Session
from protocols.errors import Refusal, SessionLost
from protocols.handshake import Hello
from protocols.limits import (
    CHANGES_CREDIT_BYTES,
    CHUNK_LENGTH_MAX,
    JOURNAL_BATCHES_MAX,
    PAGE_ENTRIES_MAX,
)
from protocols.provider import messages
from protocols.site import messages as site

_log = Logger()
_BATCH_BYTES = CHUNK_LENGTH_MAX - 1_024
_BATCH_RECORDS = 200


@attrs.define
class JournalRefused:
    """The application server does not take our journal: since when, how often, and its code."""

    since: float
    code: str
    times: int = 0


@attrs.define
class _Incoming:
    """The parts of one batch of changes received so far."""

    rows: list[Any] = attrs.field(factory=list)
    part: int = 0
    size: int = 0


class Uplink:
    """The handler of the site's Link to the application server."""

    def __init__(
        self,
        env: Environment,
        store: ISiteStore,
        tasks: Tasks,
        on_trust: Callable[[bool], None] = lambda suspect: None,
        on_applied: Callable[[list[Any]], None] = lambda rows: None,
    ) -> None:
        self._env = env
        self._store = store
        self._tasks = tasks
        self._on_trust = on_trust
        self._on_applied = on_applied
        self._identity: SiteIdentity | None = None
        #: The replica's position; None before its first snapshot.
        self.position: Position | None = None
        #: What the application server has acknowledged of our journal.
        self.acked = Mark(0, CHAIN_START)
        self._head = Mark(0, CHAIN_START)
        self._session: Session | None = None
        self._incoming = _Incoming()
        self._received = 0
        self._wake: Deferred[None] | None = None
        self._in_flight = 0
        #: When the last new stream was taken: shown by status.
        self.streams_taken = 0
        #: None again once it takes a batch.
        self.journal_refused: JournalRefused | None = None

    @property
    def stream(self) -> str:
        """This site's stream: what its decisions name as decider."""
        assert self._identity is not None
        return self._identity.stream

    async def start(self) -> None:
        """Read who we are; before the link starts.

        With a journal that was put back we are somebody new, and say so.
        """
        if self._store.was_restored:
            await self.take_new_stream()
        else:
            await self._read_identity()

    async def _read_identity(self) -> None:
        identity = await self._store.identity()
        self._identity = identity
        self._head = identity.mark
        self.acked = identity.acked
        self.position = identity.position

    def journal_grew(self) -> None:
        """There may be a new record to forward."""
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake.callback(None)

    # As a LinkHandler.

    def make_hello(self) -> Hello:
        identity = self._identity
        assert identity is not None
        return Hello(
            versions=[1],
            role="site",
            name=identity.site,
            journal=identity.stream,
            mark=wire.mark_sent(self._head),
            position=wire.position_out(self._resumable()),
            replaces=identity.replaces,
            software=__version__,
            clock=self._env.wall_s(),
        )

    def make_ping(self) -> messages.Ping:
        return messages.Ping(self._env.wall_s(), wire.position_out(self._resumable()))

    def pong(self, pong: messages.Pong) -> None:
        """The application server's clock and position: shown, not used."""

    def refused(self, code: Code) -> None:
        if code in (Code.NEW_STREAM, Code.JOURNAL_BEHIND):
            self._tasks.spawn(self.take_new_stream(), "taking a new stream")

    def link_up(self, session: Session) -> None:
        self._session = session
        self._incoming = _Incoming()
        self._tasks.spawn(self._synchronise(session), "synchronising")

    def link_down(self, reason: str) -> None:
        self._session = None
        self._in_flight = 0
        self.journal_grew()

    def trust_changed(self, suspect: bool) -> None:
        self._on_trust(suspect)

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)

    def event(self, session: Session, event: Any) -> None:
        if isinstance(event, site.Changes):
            self._receive(session, event)

    # The handshake's consequences.

    async def _synchronise(self, session: Session) -> None:
        try:
            await self._begin(session)
        except (SessionLost, Refusal, StorageError) as error:
            # Half a beginning is none: the next session tries all of it again.
            if session.is_open:
                _log.warn("synchronising failed: {error}", error=str(error))
                session.abort()

    async def _begin(self, session: Session) -> None:
        welcome = session.welcome
        assert welcome is not None
        seen = Mark(0, CHAIN_START) if welcome.seen is None else wire.mark_in(welcome.seen)
        if not await self._store.rewind(seen):
            # The application server has records of this stream that are not ours.
            await self.take_new_stream()
            return
        self.acked = seen
        await self._send_open(session)
        self._tasks.spawn(self._forward(session, seen), "forwarding the journal")
        await self._subscribe(session)

    async def take_new_stream(self) -> None:
        """This site's journal was restored, cloned or lost: the session begins anew with it."""
        stream = self._env.new_id()
        _log.error(
            "this site's journal is not what was seen of it: new stream {stream}", stream=stream
        )
        await self._store.take_new_stream(stream)
        passing("stream-begun")
        self.streams_taken += 1
        await self._read_identity()
        if self._session is not None:
            self._session.abort()

    async def _send_open(self, session: Session) -> None:
        keys = await self._store.open_at_application()
        pages = [keys[i : i + PAGE_ENTRIES_MAX] for i in range(0, len(keys), PAGE_ENTRIES_MAX)]
        for number, page in enumerate(pages or [[]]):
            listed = [Key(*key.split("/", 1)) for key in page]
            last = number == max(len(pages) - 1, 0)
            await session.call(messages.Open(page=number, last=last, keys=listed))

    # Up: the journal.

    async def _forward(self, session: Session, sent: Mark) -> None:
        """Send what is journalled, several batches in flight, until the session ends."""
        stream = self.stream
        while session.is_open:
            if self._in_flight >= JOURNAL_BATCHES_MAX:
                await self._woken()
                continue
            batch = await self._store.journal_after(sent, _BATCH_RECORDS, _BATCH_BYTES)
            if batch.head.number > self._head.number:
                self._head = batch.head
            if stream != self.stream or not session.is_open:
                return
            if not batch.records:
                # What was journalled while we read has woken nobody: look once more.
                if batch.head.number == sent.number:
                    await self._woken()
                continue
            chain = sent.chain
            for body in batch.records:
                chain = next_chain(chain, body.encode())
            message = site.Journal(stream, sent.number, sent.chain, batch.records)
            sent = Mark(sent.number + len(batch.records), chain)
            self._in_flight += 1
            self._tasks.spawn(self._send_batch(session, stream, message), "sending a batch")

    async def _send_batch(self, session: Session, stream: str, message: site.Journal) -> None:
        try:
            await self._send_one_batch(session, stream, message)
        except StorageError as error:
            # The acknowledgement cannot be kept: the next session begins at the server's mark.
            _log.warn("an acknowledgement was not kept: {error}", error=type(error).__name__)
            session.abort()

    async def _send_one_batch(self, session: Session, stream: str, message: site.Journal) -> None:
        try:
            ack = await session.call(message)
        except SessionLost:
            return
        except Refusal as refusal:
            _log.warn("the journal was refused: {code}", code=refusal.code.value)
            self._note_refused(refusal.code)
            if refusal.code in (Code.NEW_STREAM, Code.CHAIN) and stream == self.stream:
                await self.take_new_stream()
            # A gap, or a server that cannot write: the next session begins at its mark.
            session.abort()
            return
        self.journal_refused = None
        mark = Mark(ack.number, ack.chain)
        if not await self._store.acknowledged(stream, mark):
            # Not a place of our history: nothing is marked, and we offer again (4.12).
            session.abort()
            return
        passing("journal-acknowledged")
        if mark.number > self.acked.number:
            self.acked = mark
        if session is self._session:
            self._in_flight -= 1
            self.journal_grew()

    def _note_refused(self, code: Code) -> None:
        if self.journal_refused is None:
            self.journal_refused = JournalRefused(self._env.wall_s(), code.value)
        self.journal_refused.code = code.value
        self.journal_refused.times += 1

    def _woken(self) -> Deferred[None]:
        if self._wake is None:
            self._wake = Deferred()
        waiter: Deferred[None] = Deferred()
        self._wake.addCallback(lambda result: waiter.callback(None))
        return waiter

    # Down: changes and snapshots.

    def _resumable(self) -> Position | None:
        """Where changes may go on; None: a snapshot is needed, and the replica serves on."""
        return self.position if self.position is not None and self.position.chain else None

    async def _subscribe(self, session: Session) -> None:
        resumable = self._resumable()
        if resumable is not None:
            if await self._try_subscribe(session, resumable):
                return
        await self._load_snapshot(session)
        assert self.position is not None
        if not await self._try_subscribe(session, self.position):
            session.abort()

    async def _try_subscribe(self, session: Session, position: Position) -> bool:
        wired = wire.position_out(position)
        assert wired is not None
        self._received = position.number
        try:
            await session.call(site.Subscribe(wired, CHANGES_CREDIT_BYTES))
        except Refusal as refusal:
            if refusal.code is Code.SNAPSHOT_GONE:
                return False
            raise
        return True

    async def _load_snapshot(self, session: Session) -> None:
        resume, next_chunk = await self._store.begin_snapshot()
        offer = await session.call(site.Snapshot(resume))
        if offer.snapshot != resume and (resume or next_chunk):
            await self._store.restart_snapshot()
            next_chunk = 0
        _log.info(
            "loading a snapshot of {chunks} chunks from {next}",
            chunks=offer.chunks,
            next=next_chunk,
        )
        for index in range(next_chunk, offer.chunks):
            chunk = await session.call(site.Chunk(offer.snapshot, index))
            await self._store.load_chunk(offer.snapshot, index, chunk.rows)
        position = wire.position_in(offer.position)
        assert position is not None
        await self._store.finish_snapshot(position)
        self.position = position
        # The rows of a snapshot pass nobody by: what is followed row by row is told again.
        serials = await self._store.revoked_serials()
        self._on_applied(
            [["printer", 0, None], *(["revocation", serial, {}] for serial in serials)]
        )

    def _receive(self, session: Session, event: site.Changes) -> None:
        incoming = self._incoming
        follows = event.from_number == self._received < event.to.number
        if event.part != incoming.part or not follows:
            raise ValueError("a batch of changes does not follow the last one")
        incoming.rows.extend(event.rows)
        incoming.size += sum(len(msgspec.json.encode(row)) + 1 for row in event.rows)
        incoming.part += 1
        if not event.last:
            return
        self._incoming = _Incoming()
        position = wire.position_in(event.to)
        assert position is not None
        self._received = position.number
        self._tasks.spawn(
            self._apply(session, event, incoming.rows, incoming.size, position), "applying changes"
        )

    async def _apply(
        self,
        session: Session,
        event: site.Changes,
        rows: list[Any],
        size: int,
        position: Position,
    ) -> None:
        try:
            await self._store.apply_changes(event.from_number, rows, position, event.committed_at)
        except StorageError:
            # Not applied: the next session goes on from the replica's position.
            session.abort()
            return
        except Exception:
            session.abort()
            raise
        self.position = position
        session.notify(site.Credit(size))
        self._on_applied(rows)

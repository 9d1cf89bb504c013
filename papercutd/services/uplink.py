"""A site's link to the application server: journal up, changes down, questions forwarded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd import __version__
from papercutd.domain.capabilities import CAPABILITIES
from papercutd.domain.chain import CHAIN_START, Mark, Position, next_chain
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.points import passing
from papercutd.services import wire
from papercutd.services.comeback import Comeback, JournalPace
from papercutd.services.freshness import Freshness
from papercutd.services.patience import Patience
from papercutd.services.shared_history import find_shared
from papercutd.services.snapshot_loading import ChunkLoader
from papercutd.services.tasks import Tasks, until_space
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.proof.sealing import Place
from papercutd.storage.values import SiteIdentity
from protocols.codes import Code
from protocols.common import Key
from protocols.endpoint import Session
from protocols.errors import Refusal, SessionLost
from protocols.handshake import VERSIONS, Hello, since_of
from protocols.limits import (
    CHANGES_CREDIT_BYTES,
    CHUNK_LENGTH_MAX,
    PAGE_ENTRIES_MAX,
)
from protocols.provider import messages
from protocols.site import messages as site

_log = Logger()
_BATCH_BYTES = CHUNK_LENGTH_MAX - 1_024
_BATCH_RECORDS = 200
#: Between two parts of the rows that a snapshot brought, which are sealed afterwards.
SEALING_PAUSE_S = 0.01
#: The version of the wire that brought allowances.
ALLOWANCES_SINCE = since_of(site.Recall)
#: Between new streams, each of which writes the journal again: a live clone and its original
#: take them from each other for as long as both run.
NEW_STREAM_FIRST_S, NEW_STREAM_LONGEST_S, NEW_STREAM_CALM_S = 5.0, 900.0, 3_600.0


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
        freshness: Freshness,
        on_trust: Callable[[bool], None] = lambda suspect: None,
        on_applied: Callable[[list[Any]], None] = lambda rows: None,
        on_new_stream: Callable[[], None] = lambda: None,
    ) -> None:
        self._env = env
        self._store = store
        self._tasks = tasks
        self._freshness = freshness
        self._on_new_stream = on_new_stream
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
        #: New streams taken since the start: shown by status.
        self.streams_taken = 0
        self._patience = Patience(env, NEW_STREAM_FIRST_S, NEW_STREAM_LONGEST_S, NEW_STREAM_CALM_S)
        self._is_waiting = False
        self._is_looking = False
        self._is_grown = False
        self._is_paused = False
        #: Record up to which the journal is forwarded, paused or not.
        self._owed = 0
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
        # What was not done when the process before this one ended.
        self._tasks.spawn(self._seal(), "sealing the replica")

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
        if self._session is None and self._identity is not None:
            self._is_grown = True
            if not self._is_looking:
                self._tasks.spawn(self._look_at_head(), "looking how far the journal is")

    async def _look_at_head(self) -> None:
        """The next handshake says how far the journal is: a statement waits for so much of it."""
        self._is_looking = True
        try:
            while self._is_grown:
                self._is_grown = False
                identity = await self._store.identity()
                if identity.stream == self.stream and identity.mark.number > self._head.number:
                    self._head = identity.mark
        except StorageError:
            # Looked at again when it grows, and by the session that forwards it.
            return
        finally:
            self._is_looking = False

    def pause(self, is_paused: bool) -> None:
        """Keep the journal back, in a drill; what is in flight is still acknowledged."""
        self._is_paused = is_paused
        self.journal_grew()

    def forward_up_to(self, number: int) -> None:
        """What others wait for goes in a drill too."""
        self._owed = max(self._owed, number)
        self.journal_grew()

    # As a LinkHandler.

    def make_hello(self) -> Hello:
        identity = self._identity
        assert identity is not None
        return Hello(
            versions=list(VERSIONS),
            role="site",
            name=identity.site,
            journal=identity.stream,
            mark=wire.mark_sent(self._head),
            position=wire.position_out(self._resumable()),
            replaces=identity.replaces,
            software=__version__,
            clock=self._env.wall_s(),
            capabilities=sorted(CAPABILITIES),
        )

    def make_ping(self) -> messages.Ping:
        return messages.Ping(self._env.wall_s(), wire.position_out(self._resumable()))

    def pong(self, pong: messages.Pong) -> None:
        """The application server's clock and position: so old is the replica, once it is there."""
        self._freshness.told(wire.position_in(pong.position), pong.clock, self.position)

    def refused(self, code: Code) -> None:
        if code in (Code.NEW_STREAM, Code.JOURNAL_BEHIND):
            self._tasks.spawn(self._take_new_stream_in_time(), "taking a new stream")

    def link_up(self, session: Session) -> None:
        self._session = session
        self._incoming = _Incoming()
        welcome = session.welcome
        if welcome is not None:
            self._freshness.told(
                wire.position_in(welcome.position), welcome.clock, self._resumable()
            )
        self._tasks.spawn(self._synchronise(session), "synchronising")

    def link_down(self, reason: str) -> None:
        self._session = None
        self._freshness.link_down()
        self.journal_grew()

    def trust_changed(self, suspect: bool) -> None:
        self._on_trust(suspect)

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)

    def event(self, session: Session, event: Any) -> None:
        if isinstance(event, site.Changes):
            self._receive(session, event)
        elif isinstance(event, site.Recall):
            self._tasks.spawn(self._give_back(session, event), "giving back what was recalled")

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
            await self._take_new_stream_in_time()
            return
        self.acked = seen
        await self._send_open(session)
        self._tasks.spawn(self._forward(session, seen), "forwarding the journal")
        await self._subscribe(session)
        # The replica is of the application server's timeline now: nothing granted in another
        # one is still to come. One of version 1 grants nothing, and would park the record.
        if session.version >= ALLOWANCES_SINCE and await self._store.tell_allowances():
            self.journal_grew()

    async def _give_back(self, session: Session, recall: site.Recall) -> None:
        try:
            number = await self._store.give_back(recall.users, recall.amount_e4)
        except StorageError:
            # What cannot be journalled is not given back.
            number = 0
        # Nobody is refused elsewhere because of a rehearsal here.
        self.forward_up_to(number)
        try:
            await session.call(site.Return(recall.recall, number))
        except (SessionLost, Refusal):
            # It was asked in vain: the money is free all the same.
            return

    async def _take_new_stream_in_time(self) -> None:
        """Take a new stream: at once the first time, after a longer wait each time after."""
        wrong, wait_s = self.stream, self._patience.wait_s()
        if wait_s > 0:
            if self._session is not None:
                self._session.abort()
            if self._is_waiting:
                return
            _log.error(
                "another new stream in {wait_s:.0f} s: does a copy of this site run?", wait_s=wait_s
            )
            self._is_waiting = True
            try:
                await deferLater(self._env.clock, wait_s, lambda: None)
            finally:
                self._is_waiting = False
        if self.stream == wrong:
            await self.take_new_stream()

    async def take_new_stream(self) -> None:
        """This site's journal was restored, cloned or lost: the session begins anew with it."""
        stream = self._env.new_id()
        _log.error(
            "this site's journal is not what was seen of it: new stream {stream}", stream=stream
        )
        await self._store.take_new_stream(stream)
        self._owed = 0
        passing("stream-begun")
        self.streams_taken += 1
        self._patience.done()
        await self._read_identity()
        self._on_new_stream()
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
        stream, pace = self.stream, JournalPace(Comeback(self._env))
        while session.is_open:
            if pace.is_turned_away and not pace.in_flight:
                wait_s = pace.begin_again()
                await deferLater(self._env.clock, wait_s, lambda: None)
                sent = self.acked
                continue
            is_kept_back = self._is_paused and sent.number >= self._owed
            if pace.is_turned_away or is_kept_back or pace.in_flight >= pace.window:
                await self._woken()
                continue
            batch = await self._store.journal_after(sent, _BATCH_RECORDS, _BATCH_BYTES)
            if batch.head.number > self._head.number:
                self._head = batch.head
            if stream != self.stream or not session.is_open:
                return
            if pace.is_turned_away:
                # While we read: that has woken nobody either.
                continue
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
            pace.in_flight += 1
            self._tasks.spawn(self._send_batch(session, pace, stream, message), "sending a batch")

    async def _send_batch(
        self, session: Session, pace: JournalPace, stream: str, message: site.Journal
    ) -> None:
        try:
            await self._send_one_batch(session, pace, stream, message)
        except StorageError as error:
            # The acknowledgement cannot be kept: the next session begins at the server's mark.
            _log.warn("an acknowledgement was not kept: {error}", error=type(error).__name__)
            session.abort()

    async def _send_one_batch(
        self, session: Session, pace: JournalPace, stream: str, message: site.Journal
    ) -> None:
        try:
            ack = await session.call(message)
        except SessionLost:
            return
        except Refusal as refusal:
            if refusal.code is Code.BUSY or (pace.is_turned_away and refusal.code is Code.GAP):
                pace.turned_away(refusal)
                self.journal_grew()
                return
            _log.warn("the journal was refused: {code}", code=refusal.code.value)
            self._note_refused(refusal.code)
            if refusal.code in (Code.NEW_STREAM, Code.CHAIN) and stream == self.stream:
                await self._take_new_stream_in_time()
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
        pace.acknowledged()
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
        assert self._identity is not None
        # Rows of an older release lacked columns, and whole tables, that ours have.
        is_of_now = self._identity.replica_version == session.version
        if resumable is not None and is_of_now:
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
        offer = await self._patiently(session, site.Snapshot(resume, True, True))
        if offer.snapshot != resume and (resume or next_chunk):
            await self._store.restart_snapshot()
            next_chunk = 0
        _log.info(
            "loading a snapshot of {chunks} chunks from {next}",
            chunks="growing" if offer.growing else offer.chunks,
            next=next_chunk,
        )

        async def ask(index: int) -> tuple[list[Any], bool]:
            chunk = await self._patiently(session, site.Chunk(offer.snapshot, index))
            return list(chunk.rows), chunk.last

        async def load(index: int, rows: list[Any]) -> None:
            await self._store.load_chunk(offer.snapshot, index, rows)

        count = None if offer.growing else offer.chunks
        await ChunkLoader(self._env, ask, load).run(next_chunk, count)
        position = wire.position_in(offer.position)
        assert position is not None
        common = None
        if self.position is not None and self.position.timeline < position.timeline:
            # A restore: what the old replica has beyond it, nobody but us may know.
            common = await find_shared(session, self._store)
        if await self._store.finish_snapshot(position, session.version, common):
            self.journal_grew()
        assert self._identity is not None
        self._identity = attrs.evolve(self._identity, replica_version=session.version)
        self.position = position
        self._freshness.reached(position)
        # The rows of a snapshot pass nobody by: what is followed row by row is told again.
        serials = await self._store.revoked_serials()
        self._on_applied(
            [["printer", 0, None], *(["revocation", serial, {}] for serial in serials)]
        )
        self._tasks.spawn(self._seal(), "sealing the replica")

    async def _seal(self) -> None:
        """Seal what came by a snapshot, with pauses: by now others ask for decisions."""
        place: Place | None = None
        while True:
            place = await until_space(self._env, partial(self._store.seal_rows, place))
            if place is None:
                return
            await deferLater(self._env.clock, SEALING_PAUSE_S, lambda: None)

    async def _patiently(self, session: Session, message: object) -> Any:
        """The answer to ``message``, asked again whenever the server has no time for it."""
        comeback = Comeback(self._env)
        while True:
            try:
                return await session.call(message)
            except Refusal as refusal:
                if refusal.code is not Code.BUSY:
                    raise
                wait_s = comeback.wait_s(refusal)
            await deferLater(self._env.clock, wait_s, lambda: None)

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
        self._freshness.reached(position)
        session.notify(site.Credit(size))
        self._on_applied(rows)

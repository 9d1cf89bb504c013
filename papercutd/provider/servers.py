"""The provider's side of its sessions: one ServerSession for each server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd import __version__
from papercutd.domain.chain import Mark, Position
from papercutd.domain.decision import APPLICATION
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.provider.asking import Server
from papercutd.provider.journal import Owed, ProviderJournal
from papercutd.services import wire
from papercutd.services.link import Link, LinkSettings
from papercutd.services.patience import Patience
from papercutd.services.tasks import Tasks, until_space
from papercutd.storage.replication.asker_journal import Identity
from protocols.codes import Code
from protocols.common import Key
from protocols.endpoint import Session
from protocols.errors import Refusal, SessionLost
from protocols.handshake import VERSIONS, Acked, Hello
from protocols.limits import PAGE_ENTRIES_MAX
from protocols.provider import messages
from protocols.provider.spec import PROVIDER

_log = Logger()
#: Completions and cancellations under way to one server.
OWED_IN_FLIGHT = 16
#: Seconds until what a connected server did not take is sent again.
SETTLE_AGAIN_S = 2.0
#: Printers of one provider that are believed.
PRINTERS_MAX = 20_000
#: Seconds between two notes of the newest position on the disk.
POSITION_KEPT_S = 60.0
#: Waits before another new journal id, and how long none makes the first wait none again.
NEW_JOURNAL_FIRST_S, NEW_JOURNAL_LONGEST_S, NEW_JOURNAL_CALM_S = 5.0, 300.0, 3_600.0
#: Answers to what is owed that mean: not now, again later.
_NOT_NOW = frozenset(
    {
        *(Code.BUSY, Code.NOT_WRITER, Code.UNAVAILABLE, Code.STORAGE_FULL, Code.STALE_SESSION),
        *(Code.UNREACHABLE, Code.INTERNAL, Code.TIMEOUT),
    }
)


class Known:
    """What the provider's sessions share: its identity and the newest position seen."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.position: Position | None = None
        #: The newest that the application server told us itself, with a receipt perhaps. What
        #: its sites know, or pass on, may be of another history with the same timeline: it was
        #: put back and nobody has found out.
        self.told: Position | None = None
        self.position_kept_at = float("-inf")
        #: How far each site's stream stood when it last acknowledged something.
        self.acked: dict[str, Mark] = {}
        #: Answers taken and not yet on the disk: key to giver.
        self.taking: dict[str, str] = {}

    def saw(self, position: Position) -> bool:
        """Whether ``position`` is newer than all before; it is known from now on."""
        known = self.position
        if known is not None and (position.timeline, position.number) <= (
            *(known.timeline, known.number),
        ):
            return False
        self.position = position
        return True

    def was_told(self, position: Position) -> None:
        """The application server itself says that it is at ``position``."""
        told = self.told
        if told is None or (told.timeline, told.number) < (position.timeline, position.number):
            self.told = position

    def saw_mark(self, stream: str, mark: Mark) -> None:
        """``stream`` acknowledged something and stood at ``mark``."""
        known = self.acked.get(stream)
        if known is None or known.number < mark.number:
            self.acked[stream] = mark


class ConfigPages:
    """The pages of ``* CONFIG`` that have come in of one session."""

    def __init__(self) -> None:
        self._printers: list[messages.PrinterSetting] = []
        self._next = 0

    def add(self, page: messages.Config) -> messages.Config | None:
        """The whole settings, as one page, once the last has come; a gap begins anew."""
        if page.page == 0:
            self._printers, self._next = [], 0
        if page.page != self._next or len(self._printers) >= PRINTERS_MAX:
            self._next = -1
            return None
        self._next += 1
        self._printers.extend(page.printers)
        if not page.last:
            return None
        whole = attrs.evolve(page, printers=self._printers, page=0)
        self._printers, self._next = [], 0
        return whole


class ServerSession:
    """Handler of the link to one server: settles what it is owed, learns what it says."""

    def __init__(
        self,
        env: Environment,
        journal: ProviderJournal,
        known: Known,
        tasks: Tasks,
        role: str,
        endpoint: IStreamClientEndpoint,
        settings: LinkSettings,
        on_config: Callable[[str, messages.Config], None],
        on_ready: Callable[[str], None],
        on_owed: Callable[[], None],
        held_pages: Callable[[], Iterator[messages.Held]],
        on_release: Callable[[str, messages.Release | messages.Discard], None],
        on_lost: Callable[[str, messages.Adopt], Coroutine[Any, Any, None]],
    ) -> None:
        self._env = env
        self._journal = journal
        self._known = known
        self._tasks = tasks
        self.role = role
        self._on_config = on_config
        self._on_ready = on_ready
        self._on_owed = on_owed
        self._held_pages = held_pages
        self._on_release = on_release
        self._on_lost = on_lost
        #: A site's stream, from its last WELCOME.
        self.decider = APPLICATION if role == "application" else ""
        self.link = Link(env, endpoint, PROVIDER, self, settings)
        self.server = Server(self.link, lambda: self.decider)
        #: Where to send what is for the application server while it has no session.
        self.relay: ServerSession | None = None
        self._is_settling = False
        self._settle_again = False
        self._settle_timer: IDelayedCall | None = None
        self._is_ready = False
        self._config_pages = ConfigPages()
        #: The journal id of our last HELLO, and the stream it told of.
        self._said = known.identity.journal
        self._told_of = ""
        self._patience = Patience(
            env, NEW_JOURNAL_FIRST_S, NEW_JOURNAL_LONGEST_S, NEW_JOURNAL_CALM_S
        )
        self._is_waiting = False

    # As a LinkHandler.

    def make_hello(self) -> Hello:
        identity = self._known.identity
        self._said = identity.journal
        return Hello(
            versions=list(VERSIONS),
            role="provider",
            name=identity.name,
            journal=identity.journal,
            mark=wire.mark_sent(self._journal.head or identity.mark),
            position=wire.position_out(self._shown()),
            acked=self._acked(),
            replaces=identity.replaces,
            software=__version__,
            clock=self._env.wall_s(),
        )

    def _shown(self) -> Position | None:
        """To the application server what it told us: it finds out by that that it was put back."""
        told = self._known.told if self.role == "application" else None
        return told or self._known.position

    def _acked(self) -> Acked | None:
        """What the site acknowledged last, while it shows the same stream.

        After a start we do not know which one it shows: the one we know, or the first.
        """
        known = self._known.acked
        self._told_of = self.decider or next(iter(known), "")
        mark = known.get(self._told_of)
        return None if mark is None else Acked(self._told_of, wire.mark_sent(mark))

    def make_ping(self) -> messages.Ping:
        return messages.Ping(self._env.wall_s(), wire.position_out(self._known.position))

    def pong(self, pong: messages.Pong) -> None:
        self._saw_position(wire.position_in(pong.position))

    def refused(self, code: Code) -> None:
        _log.warn("the {role} server refused us: {code}", role=self.role, code=code.value)
        if code is Code.JOURNAL_BEHIND:
            self._tasks.spawn(self._take_new_journal(), "taking a new journal id")

    def link_up(self, session: Session) -> None:
        self._is_ready = False
        self._config_pages = ConfigPages()
        if self.role == "site":
            # At once: what is asked from now on is answered by this stream.
            assert session.welcome is not None
            self.decider = session.welcome.decider
        self._tasks.spawn(self._begin(session), "beginning a session")

    def link_down(self, reason: str) -> None:
        self._is_ready = False

    def trust_changed(self, suspect: bool) -> None:
        if not suspect:
            self._on_ready(self.role)

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)

    def event(self, session: Session, event: Any) -> None:
        if isinstance(event, messages.Config):
            whole = self._config_pages.add(event)
            if whole is not None:
                self._saw_position(wire.position_in(whole.position))
                self._on_config(self.role, whole)
        elif isinstance(event, messages.Adopt):
            self._tasks.spawn(
                self._on_lost(self.decider, event), "keeping the keys of a lost journal"
            )
        elif isinstance(event, messages.Release | messages.Discard):
            self._on_release(self.role, event)

    # The beginning of a session.

    async def _begin(self, session: Session) -> None:
        try:
            await self._synchronise(session)
        except (SessionLost, Refusal, StorageError) as error:
            # Half a beginning is none: the next session tries all of it again.
            _log.info("the session did not begin: {error}", error=str(error))
            session.abort()

    async def _synchronise(self, session: Session) -> None:
        welcome = session.welcome
        assert welcome is not None
        if welcome.seen is not None:
            seen = wire.mark_in(welcome.seen)
            if not await self._journal.is_ours(seen):
                session.abort()
                await self._take_new_journal()
                return
        position = wire.position_in(welcome.position)
        if position is not None:
            # Before our open keys are listed: what is offered again is open.
            await self._offer_again(position.timeline)
        self._saw_position(position)
        if self.role == "application":
            await self._journal.offer_relayed()
        if self.role == "site":
            if self._told_of != self.decider and self.decider in self._known.acked:
                # It may have gone back, and has not heard how far it was.
                session.abort()
                return
            turned = await self._journal.saw_stream(welcome.name, welcome.decider)
            if turned:
                _log.warn(
                    "the site has another stream: {count} completions go to the application server",
                    count=turned,
                )
                self._on_owed()
        await self._send_open(session)
        self._is_ready = True
        self.settle()
        self._on_ready(self.role)
        for page in self._held_pages():
            await session.call(page)

    def tell(self, event: object) -> None:
        """Send an event, if there is a session to hear it."""
        session = self.link.session
        if session is not None and session.is_open:
            session.notify(event)

    def say(self, message: object) -> None:
        """Send a request whose answer says nothing; lost with the session."""
        self.link.request(message).addErrback(
            lambda failure: failure.trap(SessionLost, Refusal) and None
        )

    async def _take_new_journal(self) -> None:
        """At once the first time, after a longer wait each time after: a copy may do the same."""
        wrong, wait_s = self._said, self._patience.wait_s()
        if wait_s > 0:
            if self._is_waiting:
                return
            _log.error(
                "another new journal id in {wait_s:.0f} s: does a copy of this print server run?",
                wait_s=wait_s,
            )
            self._is_waiting = True
            try:
                await deferLater(self._env.clock, wait_s, lambda: None)
            finally:
                self._is_waiting = False
        if self._known.identity.journal != wrong:
            # Another server found the same before us.
            return
        journal = self._env.new_id()
        _log.error("our journal is not what was seen of it: new journal id {id}", id=journal)
        self._patience.done()
        try:
            await self._journal.take_new_journal(journal)
        except StorageError as error:
            # The next session finds the same.
            _log.error("the new journal id cannot be kept: {error}", error=str(error))
            return
        self._known.identity = await self._journal.identity()
        if self.link.session is not None:
            self.link.session.abort()

    async def _send_open(self, session: Session) -> None:
        taking = {key for key, giver in self._known.taking.items() if giver == self.decider}
        # An answer is open from the moment it is taken (4.3).
        keys = sorted(taking.union(await self._journal.open_keys(self.decider)))
        pages = [keys[i : i + PAGE_ENTRIES_MAX] for i in range(0, len(keys), PAGE_ENTRIES_MAX)]
        for number, page in enumerate(pages or [[]]):
            listed = [Key(*key.split("/", 1)) for key in page]
            last = number == max(len(pages) - 1, 0)
            await session.call(messages.Open(page=number, last=last, keys=listed))

    def _saw_position(self, position: Position | None, is_told: bool | None = None) -> None:
        known = self._known.position
        if is_told is None:
            is_told = self.role == "application"
        if position is not None and is_told:
            self._known.was_told(position)
        if position is not None and self._known.saw(position):
            is_new_timeline = known is None or position.timeline != known.timeline
            if is_new_timeline and known is not None:
                self._tasks.spawn(self._offer_again(position.timeline), "offering again")
            waited_s = self._env.now() - self._known.position_kept_at
            if is_told and (is_new_timeline or waited_s >= POSITION_KEPT_S):
                self._known.position_kept_at = self._env.now()
                self._tasks.spawn(self._keep_position(position), "keeping the position")

    async def _keep_position(self, position: Position) -> None:
        with suppress(StorageError):
            await self._journal.keep_position(position)

    async def _offer_again(self, timeline: int) -> None:
        """The application server was restored: it is told once more all that we retained."""
        offered = await until_space(self._env, lambda: self._journal.offer_again(timeline))
        if offered:
            _log.warn(
                "the application server was restored: it is offered {count} jobs again",
                count=offered,
            )
            self._on_owed()

    # Settling.

    def settle(self) -> None:
        """Send what this server is owed, until it has all of it."""
        if self._is_settling:
            self._settle_again = True
        else:
            self._is_settling = True
            self._tasks.spawn(self._settle(), "settling")

    @property
    def can_settle(self) -> bool:
        return self._is_ready and self.link.session is not None

    async def _settle(self) -> None:
        try:
            while True:
                self._settle_again = False
                way = self._way()
                if way is None:
                    return
                # A site passes on completions, and nothing else.
                is_relayed = way is not self
                owed = await self._journal.owed_to(self.decider, OWED_IN_FLIGHT, is_relayed)
                if not owed:
                    if self._settle_again:
                        continue
                    return
                sent = [Deferred.fromCoroutine(self._send(one, way)) for one in owed]
                results = [result for _, result in await DeferredList(sent, consumeErrors=True)]
                if True not in results and not self._settle_again:
                    # The server takes nothing now, or we cannot note that it did.
                    self._settle_later()
                    return
        finally:
            self._is_settling = False

    def _settle_later(self) -> None:
        if self._settle_timer is None or not self._settle_timer.active():
            self._settle_timer = self._env.clock.callLater(SETTLE_AGAIN_S, self.settle)

    async def stop(self) -> None:
        """End the session; what is owed waits for the next start."""
        await self.link.stop()
        if self._settle_timer is not None and self._settle_timer.active():
            self._settle_timer.cancel()

    def _way(self) -> ServerSession | None:
        """Whose session leads to this server now: its own, else the relaying site's."""
        if self.link.session is not None:
            return self if self.can_settle else None
        relay = self.relay
        return relay if relay is not None and relay.can_settle else None

    async def _send(self, owed: Owed, way: ServerSession) -> bool:
        """Whether the server has it now."""
        job, step = owed.key.split("/", 1)
        message: Any
        if owed.completion is None:
            message = messages.Cancel(job, step, owed.reason)
        else:
            message = wire.completion_out(owed.completion)
        if way is not self:
            message = messages.Relay(message)
        try:
            receipt = await way.link.request(message)
        except SessionLost:
            return False
        except Refusal as refusal:
            if refusal.code in _NOT_NOW:
                return False
            if owed.completion is not None:
                _log.error(
                    "a completion of {key} was refused for good: {code}",
                    key=owed.key,
                    code=refusal.code.value,
                )
            await self._journal.acknowledged(owed, refusal.code.value)
            return True
        if owed.completion is None:
            await self._journal.acknowledged(owed)
            return True
        position = wire.position_in(receipt.position)
        known = self._known.position
        if position is not None and known is not None and position.timeline < known.timeline:
            # From a history that was lost: it counts for nothing (4.12).
            return False
        mark = None if receipt.mark is None else wire.mark_in(receipt.mark)
        if way is self:
            await self._journal.acknowledged(owed, "", position, mark)
            self._saw_position(position)
        else:
            # The site's session may be with another history than our last one, of a server that
            # was put back: what we were told ourselves is what we show.
            await self._journal.acknowledged(owed, "", None, mark, relayed=True)
            self._saw_position(position, is_told=False)
        if mark is not None:
            self._known.saw_mark(owed.target, mark)
        if owed.decider != owed.target:
            # A stream that was given up, and lives, is owed a word now.
            self._on_owed()
        return True

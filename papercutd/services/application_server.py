"""The application server's use cases, without transport."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.domain.chain import CHAIN_START, Mark, Position
from papercutd.domain.decision import APPLICATION, Decision
from papercutd.domain.grant import GRANT_KEY
from papercutd.domain.job import TOLD_NOTHING, Completion, Receipt, Request, SessionRef, Told
from papercutd.environment import Environment
from papercutd.errors import Rejected, StorageError, StorageFull
from papercutd.identity.verifiers import NoVerifiers, Verifiers
from papercutd.services.adjust_operations import AdjustOperations
from papercutd.services.admission import Turns
from papercutd.services.change_feed import ChangeFeed
from papercutd.services.clients import make_clients
from papercutd.services.devices import Devices
from papercutd.services.held_jobs import HeldJobs
from papercutd.services.import_operations import ImportOperations
from papercutd.services.lockouts import Lockouts
from papercutd.services.questions import Questions
from papercutd.services.quotas import Quotas
from papercutd.services.recalls import RECALL_S, Recalls
from papercutd.services.runs import Runs
from papercutd.services.sessions import Sessions
from papercutd.services.snapshots import KeptSnapshot, Snapshots
from papercutd.services.tasks import Tasks, until_space
from papercutd.services.voucher_operations import VoucherOperations
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.jobs.askers import OpenKey, Seen
from papercutd.storage.people.people import CARD_KEY, Device
from papercutd.storage.replication.change_log import Change
from papercutd.storage.replication.replicated import RangeDigest
from papercutd.storage.replication.site_scopes import scopes_changed
from papercutd.storage.values import ProviderSettings, StreamWelcome
from protocols.codes import Code
from protocols.endpoint import Session

_log = Logger()
#: How often the time of askers that are away is counted.
UNSEEN_INTERVAL_S = 60.0
#: Batches of journals that are with the store at once, and that wait for it, mostly 16 KiB each:
#: a request that people wait for stands behind the former only. Beyond both, sites come again.
JOURNALS_APPLIED_MAX = 5
JOURNALS_WAITING_MAX = 62
JOURNAL_RETRY_AFTER_S = 2.0
#: A change of these reaches providers as CONFIG.
SETTINGS_TABLES = frozenset(
    {"printer", "provider", "site", "price", "stream", "revocation", "device", "site_policy"}
)


#: A bound of a range of keys.
Key = int | str | None


class ApplicationServer:
    """Decides, charges, takes in journals and feeds replicas."""

    role = "application"
    decider = APPLICATION

    #: Devices are served by whom they reach, and this server is never cut from itself.
    state = "online"

    def __init__(
        self, env: Environment, store: IApplicationStore, verifiers: Verifiers | None = None
    ) -> None:
        """Without ``verifiers`` nobody proves a password or PIN here."""
        self.env = env
        self.store = store
        self.providers = Sessions(env)
        self.held = HeldJobs(env, self.providers)
        self.questions = Questions(env, self.held)
        self.device_sessions = Sessions(env)
        self.tasks = Tasks()
        self.lockouts = Lockouts(env, store, self.tasks)
        self.devices = Devices(env, store, self, verifiers or NoVerifiers())
        self.runs = Runs(env, store, self)
        self.clients = make_clients(env, store, self, self.questions)
        #: Host and port that devices are told for this server.
        self.device_address: tuple[str, int] | None = None
        self.sites = Sessions(env)
        self.recalls = Recalls(env, self.sites)
        self.feed = ChangeFeed(env, store, self.tasks)
        self.quotas = Quotas(env, store, self.tasks)
        self.position = Position(1, 0, CHAIN_START)
        #: Host and port that providers are told for this server.
        self.address: tuple[str, int] | None = None
        #: Called when providers are to be told their settings again.
        self.on_settings = lambda: None
        #: Called with the rows of each change (revocations are followed so).
        self.on_change = lambda change: None
        self.snapshots = Snapshots(env, store)
        self.journal_turns = Turns(
            JOURNALS_APPLIED_MAX, JOURNALS_WAITING_MAX, JOURNAL_RETRY_AFTER_S
        )
        self.vouchers = VoucherOperations(store, env)
        self._unseen = LoopingCall(self._count_unseen)
        self._unseen.clock = env.clock
        #: STRICT sites that may lack allowances of people who used them before.
        self._to_refill: set[str] = set()

    async def takes_passwords(self, user: int) -> bool:
        """What proves a password is kept here: it always counts."""
        return True

    async def start(self) -> None:
        """Ready to serve: the store is open, nobody is connected."""
        await self.store.start()
        for name in (CARD_KEY, GRANT_KEY):
            await self.store.ensure_secret(name, f"{self.env.rng.getrandbits(256):064x}")
        self.position = await self.store.head()
        await self.lockouts.refresh()
        self.quotas.start()
        imports = ImportOperations(self.store, self.env, None)
        self.tasks.spawn(imports.resume(), "finishing imports")
        self.tasks.spawn(AdjustOperations(self.store).resume(), "finishing adjustments")
        self.tasks.spawn(self.vouchers.resume(), "telling sites of vouchers")
        self._unseen.start(UNSEEN_INTERVAL_S, now=False).addErrback(
            lambda failure: _log.failure("counting absences ended", failure=failure)
        )

    async def stop(self) -> None:
        """End the sessions and what is under way; the store stays open."""
        self.quotas.stop()
        self.clients.stop()
        if self._unseen.running:
            self._unseen.stop()
        self.providers.end_all(Code.UNAVAILABLE)
        self.device_sessions.end_all(Code.UNAVAILABLE)
        self.sites.end_all(Code.UNAVAILABLE)
        self.feed.stop()
        await self.tasks.stop()

    def committed(self, change: Change) -> None:
        """A transaction is on the disk; called in order, in the reactor's thread."""
        is_new_timeline = change.position.timeline != self.position.timeline
        self.position = change.position
        # Before it hears of this change: its replica is of the former scope, and to be seen so.
        for site in scopes_changed(change):
            self.sites.end(f"site:{site}", Code.UNAVAILABLE)
        self.feed.committed(change)
        self.on_change(change)
        self.lockouts.applied(change.rows)
        self.clients.changed(change.rows)
        if is_new_timeline:
            self.snapshots.begin_timeline(change.position.timeline)
            _log.error(
                "we were restored from a backup: timeline {timeline} begins",
                timeline=change.position.timeline,
            )
            # Whoever comes back is told, and offers again what it retained.
            for sessions in (self.providers, self.device_sessions, self.sites):
                sessions.end_all(Code.UNAVAILABLE)
        self._to_refill.update(
            row[2]["name"] for row in change.rows if row[0] == "site" and row[2] is not None
        )
        if any(row[0] in ("site_policy", "group_member") for row in change.rows):
            connected = self.sites.identities()
            self._to_refill.update(one.removeprefix("site:") for one in connected)
        if any(row[0] in SETTINGS_TABLES for row in change.rows):
            # A stream's mark moves with every batch; only its end concerns providers.
            if any(
                row[0] != "stream" or (row[2] is not None and row[2]["state"] != "live")
                for row in change.rows
                if row[0] in SETTINGS_TABLES
            ):
                self.on_settings()

    # For the provider face.

    async def begin_provider(
        self,
        name: str,
        journal: str,
        mark: Mark,
        software: str,
        told: Told = TOLD_NOTHING,
    ) -> Seen:
        return await self.store.begin_provider(name, journal, mark, software, told)

    async def end_session(self, asker: SessionRef) -> None:
        await until_space(self.env, lambda: self.store.end_session(asker))

    async def authorize(self, asker: SessionRef, request: Request) -> Decision:
        """The answer to a key; nobody is refused for money that a site only holds for them."""
        began = self.env.now()
        may_recall = True
        while True:
            answer = await self.store.authorize(asker, request, may_recall)
            if isinstance(answer, Decision):
                self.clients.decided(request, answer)
                asks = self.questions.asking(answer)
                return answer if asks is answer.ask else attrs.evolve(answer, ask=asks)
            # Two jobs of one person recall what each of them lacks: when both are in, the
            # second may lack what the first has taken.
            left_s = RECALL_S - (self.env.now() - began)
            may_recall = left_s > 0 and await self.recalls.recall(answer, left_s)

    async def complete(self, asker: SessionRef, completion: Completion) -> Receipt:
        receipt = await self.store.complete(asker, completion)
        self.clients.completed(completion, receipt)
        # It is on the disk, and so is all before it: the newest position has it too.
        return attrs.evolve(receipt, position=self.position)

    async def cancel(self, asker: SessionRef, key: str, reason: str) -> None:
        await self.store.cancel(asker, key, reason)

    async def open_keys(self, asker: SessionRef, keys: Sequence[str]) -> int:
        dropped = await self.store.open_keys(asker, keys)
        await self.store.report(asker)
        return dropped

    async def relay(self, asker: SessionRef, completion: Completion) -> Receipt:
        """A provider that can reach us needs no relay."""
        return await self.complete(asker, completion)

    async def settings(self, provider: str) -> ProviderSettings:
        return await self.store.provider_settings(provider)

    async def lost_keys(self, identity: str) -> list[tuple[str, list[OpenKey]]]:
        return await self.store.open_keys_of_lost(identity)

    async def acknowledge_position(self, asker: SessionRef, position: Position) -> None:
        # Shown and no more: another ping says it again.
        try:
            await self.store.acknowledge_position(asker, position.text)
        except StorageFull:
            return

    # For the device face.

    async def begin_device(self, name: str, journal: str, mark: Mark, software: str) -> Seen:
        return await self.store.begin_device(name, journal, mark, software)

    async def device(self, name: str) -> Device | None:
        return await self.store.device(name)

    async def link_card(self, user: int, number: str) -> str:
        return await self.store.link_card(user, number, self.env.new_id())

    def device_servers(self, device: Device) -> list[tuple[str, str, str, int]]:
        """(role, name, host, port), in the order in which a device connects."""
        site, own = device.site, self.device_address
        servers = [] if site is None or not site[1] else [("site", *site)]
        return servers if own is None else [*servers, ("application", "application", *own)]

    # For the site link.

    async def begin_site(
        self, name: str, stream: str, mark: Mark, position: Position | None, software: str
    ) -> StreamWelcome:
        welcome = await self.store.begin_site(name, stream, mark, position, software)
        self._to_refill.add(name)
        return welcome

    async def apply_journal(
        self, asker: SessionRef, stream: str, after: int, chain: str, records: Sequence[str]
    ) -> Mark:
        """Raises Refusal ``busy`` when too many wait to be applied."""
        mark = await self.journal_turns.run(
            lambda: self.store.apply_journal(asker, stream, after, chain, records)
        )
        self.recalls.applied(stream, mark.number)
        return mark

    async def subscribe(
        self, session: Session, site: str, position: Position, credit_bytes: int
    ) -> Position:
        """Raises Rejected ``snapshot-gone`` when ``position`` is not in our history.

        Nor is it where it is of another scope than the site has now.
        """
        if not await self.store.can_go_on(site, position):
            raise Rejected("snapshot-gone")
        reach = await self.store.reach(await self.store.scope(site))
        self.feed.subscribe(session, position, credit_bytes, reach)
        return self.position

    async def snapshot(
        self,
        session: Session,
        site: str,
        resume: str,
        known: Position | None,
        grouped: bool,
        growing: bool,
    ) -> KeptSnapshot:
        """What ``site`` loads; raises Refusal ``busy`` as Snapshots.offer does."""
        scope = await self.store.scope(site)
        return await self.snapshots.offer(session, resume, known, scope, grouped, growing)

    async def digests(
        self, session: Session, site: str, query: tuple[str, Key, Key, int]
    ) -> tuple[Position, RangeDigest]:
        """As the store's: ``query`` is (table, after, until, version)."""
        found = await self.store.digests(*query, await self.store.scope(site))
        # It is compared once the site is there, which hears of what is not for it now and then.
        self.feed.tell_position(session)
        return found

    async def _count_unseen(self) -> None:
        try:
            for identity in await self.store.count_unseen(UNSEEN_INTERVAL_S):
                _log.warn("{identity} was not seen for 7 days: its holds ended", identity=identity)
        except StorageFull:
            # Counted again in a minute: absences are long.
            return
        except Exception:
            _log.failure("counting absences failed")
        for site in sorted(self._to_refill):
            await self._refill(site)

    async def _refill(self, site: str) -> None:
        """Bring a STRICT site's allowances up to what they should be, some people at a time."""
        if self.sites.get(f"site:{site}") is None:
            self._to_refill.discard(site)
            return
        after: int | None = 0
        try:
            while after is not None:
                after = await self.store.refill_site(site, after)
        except (Rejected, StorageError):
            # Not told its totals yet, or not STRICT: looked at again.
            return
        self._to_refill.discard(site)

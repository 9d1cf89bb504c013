"""A site server's use cases: decide beside the printers, whether the centre answers or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.domain.chain import Mark, Position
from papercutd.domain.decision import SOFT_REASONS, Decision, Reason
from papercutd.domain.job import TOLD_NOTHING, Completion, Receipt, Request, SessionRef, Told
from papercutd.environment import Environment
from papercutd.errors import Rejected, StorageError, StorageFull
from papercutd.identity.verifiers import NoVerifiers, Verifiers
from papercutd.points import passing
from papercutd.services import wire
from papercutd.services.application_server import SETTINGS_TABLES, UNSEEN_INTERVAL_S
from papercutd.services.clients import make_clients
from papercutd.services.devices import Devices
from papercutd.services.drill import Drill
from papercutd.services.freshness import Freshness
from papercutd.services.held_jobs import HeldJobs
from papercutd.services.link import Link, LinkSettings
from papercutd.services.lockouts import Lockouts
from papercutd.services.questions import Questions
from papercutd.services.repair import ReplicaRepair
from papercutd.services.runs import Runs
from papercutd.services.sessions import Sessions
from papercutd.services.site_policy import SitePolicy
from papercutd.services.site_voucher_operations import SiteVoucherOperations
from papercutd.services.tasks import Tasks, until_space
from papercutd.services.uplink import Uplink
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.jobs.askers import OpenKey, Seen
from papercutd.storage.people.people import Device
from papercutd.storage.values import ProviderSettings
from protocols.codes import Code
from protocols.errors import Refusal, SessionLost
from protocols.provider import messages
from protocols.site.spec import SITE

_log = Logger()
#: Seconds a site gives the application server before it decides itself.
FORWARD_BUDGET_S = 0.3
#: Seconds after which a site's own refusal is final though the server was not suspect.
REFUSAL_FINAL_S = 1.6
#: A comparison of the replica comes so much earlier or later, as a share of the interval.
REPAIR_JITTER = 0.25
#: Refusals of the application server that a site may not overrule.
_FINAL_CODES = frozenset(
    {Code.VOIDED, Code.SETTLED, Code.NOT_YOURS, Code.UNKNOWN_PRINTER, Code.BAD_FIELDS}
)


@attrs.frozen
class SiteSettings:
    """What the configuration may change."""

    forward_budget_s: float = FORWARD_BUDGET_S
    link: LinkSettings = attrs.field(factory=LinkSettings)
    #: Seconds between comparisons of the replica with the application server; 0: none.
    repair_every_s: float = 86_400.0


class SiteServer:
    """Replica, journal and decisions of one site."""

    role = "site"

    def __init__(
        self,
        env: Environment,
        store: ISiteStore,
        application: IStreamClientEndpoint,
        settings: SiteSettings | None = None,
        verifiers: Verifiers | None = None,
    ) -> None:
        """Without ``verifiers`` nobody proves a password or PIN here."""
        self.env = env
        self.store = store
        settings = settings or SiteSettings()
        self.settings_in_force = settings
        self.providers = Sessions(env)
        self.held = HeldJobs(env, self.providers)
        self.questions = Questions(env, self.held)
        self.device_sessions = Sessions(env)
        self.tasks = Tasks()
        self.lockouts = Lockouts(env, store, self.tasks, lambda: self.uplink.journal_grew())
        self.devices = Devices(env, store, self, verifiers or NoVerifiers())
        self.runs = Runs(env, store, self)
        self.clients = make_clients(env, store, self, self.questions)
        #: Host and port that devices are told for this server.
        self.device_address: tuple[str, int] | None = None
        #: The same of the application server.
        self.application_devices: tuple[str, int] | None = None
        self.address: tuple[str, int] | None = None
        #: Where the application server is, as providers are told it.
        self.on_settings = lambda: None
        self.on_rows = lambda rows: None
        self.freshness = Freshness(env, store, lambda: self.is_cut)
        self.policy = SitePolicy(store, self.freshness, self.tasks)
        self.uplink = Uplink(
            *(env, store, self.tasks, self.freshness),
            on_applied=self._applied,
            on_new_stream=self._end_askers,
        )
        self.link = Link(env, application, SITE, self.uplink, settings.link)
        self.drill = Drill(env, store, self.uplink, self.tasks)
        self.repair = ReplicaRepair(env, store, self.link, self.uplink)
        self.vouchers = SiteVoucherOperations(self)
        self._next_repair: IDelayedCall | None = None
        self._unseen = LoopingCall(self._count_unseen)
        self._unseen.clock = env.clock

    @property
    def decider(self) -> str:
        """This site's stream."""
        return self.uplink.stream

    @property
    def is_cut(self) -> bool:
        """The application server is not asked: this site decides."""
        return self.link.suspect or self.link.session is None

    @property
    def is_alone(self) -> bool:
        """Nobody can be asked but here: cut, or rehearsing it."""
        return self.is_cut or self.drill.is_on

    @property
    def state(self) -> str:
        """``online``, ``cut`` or ``cut-and-stale``, as everybody is shown it; cut in a drill."""
        return "cut" if self.drill.is_on and not self.is_cut else self.policy.state.value

    async def takes_passwords(self, user: int) -> bool:
        return await self.policy.takes_passwords(user)

    @property
    def position(self) -> Position | None:
        """The application server's position as the replica has it."""
        return self.uplink.position

    async def start(self) -> None:
        await self.store.start()
        await self.drill.recover()
        await self.freshness.start()
        await self.policy.refresh()
        await self.lockouts.refresh()
        await self.uplink.start()
        self._unseen.start(UNSEEN_INTERVAL_S, now=False).addErrback(
            lambda failure: _log.failure("counting absences ended", failure=failure)
        )
        if self.settings_in_force.repair_every_s > 0:
            self._plan_repair()
        self.link.start()

    async def stop(self) -> None:
        if self._unseen.running:
            self._unseen.stop()
        if self._next_repair is not None and self._next_repair.active():
            self._next_repair.cancel()
        self._end_askers()
        self.clients.stop()
        await self.drill.stop()
        await self.link.stop()
        await self.freshness.stop()
        await self.tasks.stop()

    # For the provider face.

    async def begin_provider(
        self,
        name: str,
        journal: str,
        mark: Mark,
        software: str,
        told: Told = TOLD_NOTHING,
    ) -> Seen:
        if self.position is None:
            # Without a replica nobody is known here.
            raise Rejected("unavailable")
        try:
            return await self.store.begin_provider(name, journal, mark, software, told)
        except Rejected as rejected:
            if rejected.code == "new-stream":
                # We have lost what we acknowledged: providers turn to the application server.
                await self.uplink.take_new_stream()
                raise Rejected("unavailable") from None
            raise

    def _end_askers(self) -> None:
        """They begin anew: what they hear of this stream from now on is another's."""
        self.providers.end_all(Code.UNAVAILABLE)
        self.device_sessions.end_all(Code.UNAVAILABLE)

    async def end_session(self, asker: SessionRef) -> None:
        await until_space(self.env, lambda: self.store.end_session(asker))
        # For the statement, which is open until it is in.
        self.uplink.journal_grew()

    async def authorize(self, asker: SessionRef, request: Request) -> Decision:
        """The answer to a key: the stored one, the application server's, or our own."""
        answer = await self._answer(asker, request)
        self.clients.decided(request, answer)
        asks = self.questions.asking(answer)
        if asks is False and answer.decider == self.decider and not self.is_alone:
            # The application server hears of the job as well, and who has a client there is asked.
            asks = True
        return answer if asks is answer.ask else attrs.evolve(answer, ask=asks)

    async def _answer(self, asker: SessionRef, request: Request) -> Decision:
        stored = await self.store.stored(asker, request)
        if stored is not None:
            return stored
        if request.hedged or self.link.suspect or self.link.session is None:
            return await self._decide(asker, request)
        if self.drill.is_on:
            return await self._rehearse(asker, request)
        return await self._forward(asker, request)

    async def _rehearse(self, asker: SessionRef, request: Request) -> Decision:
        """In a drill: our own answer, but nobody is refused because of a rehearsal."""
        try:
            own = await self.store.decide(asker, request, soft=False)
            if own.allowed or own.reason is Reason.RELEASE or own.ask is not None:
                # What waits for its person would wait online too.
                return own if own.allowed else await self._decide(asker, request)
            await self.drill.forward_first()
            answer = await self._forward(asker, request)
            if answer.decider != self.decider:
                await self.drill.note_asked(request.key, answer)
            return answer
        except StorageFull:
            self.drill.end("full-disk")
            raise

    async def _forward(self, asker: SessionRef, request: Request) -> Decision:
        """The application server's answer if it comes in time, else our own (design 4.5)."""
        forwarded = self.link.request(wire.request_out(request, provider=request.provider))
        try:
            answer = await self._within(forwarded, self.settings_in_force.forward_budget_s)
        except Refusal as refusal:
            if refusal.code in _FINAL_CODES:
                raise
            return await self._decide(asker, request)
        except SessionLost:
            return await self._decide(asker, request)
        if answer is not None:
            return await self._adopt(asker, request, wire.decision_in(answer))
        return await self._decide_late(asker, request, forwarded)

    async def _decide(self, asker: SessionRef, request: Request) -> Decision:
        decision = await self.store.decide(asker, request)
        self.uplink.journal_grew()
        return decision

    async def _adopt(self, asker: SessionRef, request: Request, answer: Decision) -> Decision:
        try:
            decision = await self.store.adopt(asker, request, answer)
        except Rejected:
            # The asker is gone or the key is settled: the answer has no use.
            await self._supersede(request.key, answer)
            raise
        self.uplink.journal_grew()
        return decision

    async def _decide_late(
        self, asker: SessionRef, request: Request, forwarded: Deferred[Any]
    ) -> Decision:
        """The budget is spent: allow by ourselves; a refusal waits for the better informed.

        Whatever comes of it, an answer that comes later still is given back.
        """
        try:
            return await self._decide_or_wait(asker, request, forwarded)
        finally:
            forwarded.addCallbacks(
                lambda late: self._give_back(request.key, late), lambda lost: None
            )

    def _give_back(self, key: str, late: Any) -> None:
        if late is not None:
            work = self._supersede(key, wire.decision_in(late))
            self.tasks.spawn(work, "giving an answer back")

    async def _decide_or_wait(
        self, asker: SessionRef, request: Request, forwarded: Deferred[Any]
    ) -> Decision:
        own = await self.store.decide(asker, request, soft=False)
        if not own.allowed and own.reason in SOFT_REASONS:
            left_s = REFUSAL_FINAL_S - self.settings_in_force.forward_budget_s
            try:
                answer = await self._within(forwarded, left_s)
            except (Refusal, SessionLost):
                return await self._decide(asker, request)
            if answer is not None:
                return await self._adopt(asker, request, wire.decision_in(answer))
        if not own.allowed:
            own = await self._decide(asker, request)
        self.uplink.journal_grew()
        return own

    async def _supersede(self, key: str, answer: Decision) -> None:
        await until_space(self.env, lambda: self.store.supersede(key, answer))
        self.uplink.journal_grew()

    async def _within(self, answer: Deferred[Any], limit_s: float) -> Any:
        """The answer, or None when it has not come within ``limit_s``; it stays awaited."""
        waiter: Deferred[Any] = Deferred()

        def arrived(result: Any) -> Any:
            if not waiter.called:
                waiter.callback(result)
                return None
            return result

        answer.addBoth(arrived)

        def late() -> None:
            if not waiter.called:
                waiter.errback(DeferredTimeout())

        timer = self.env.clock.callLater(limit_s, late)
        try:
            return await waiter
        except DeferredTimeout:
            return None
        finally:
            if timer.active():
                timer.cancel()

    async def complete(self, asker: SessionRef, completion: Completion) -> Receipt:
        try:
            receipt = await self.store.complete(asker, completion)
        except StorageFull:
            self.drill.end("full-disk")
            raise
        self.clients.completed(completion, receipt)
        self.uplink.journal_grew()
        return receipt

    async def cancel(self, asker: SessionRef, key: str, reason: str) -> None:
        await self.store.cancel(asker, key, reason)
        self.uplink.journal_grew()

    async def open_keys(self, asker: SessionRef, keys: Sequence[str]) -> int:
        dropped = await self.store.open_keys(asker, keys)
        self.uplink.journal_grew()
        return dropped

    async def relay(self, asker: SessionRef, completion: Completion) -> Receipt:
        """Pass it on to the application server; we neither count nor answer it."""
        if self.drill.is_on:
            raise Refusal(Code.UNREACHABLE)
        message = messages.Relay(wire.completion_out(completion), provider=asker.name)
        passing("relaying")
        try:
            answer = await self.link.request(message)
        except SessionLost:
            raise Refusal(Code.UNREACHABLE) from None
        passing("relayed")
        return wire.receipt_in(answer)

    async def settings(self, provider: str) -> ProviderSettings:
        return await self.store.provider_settings(provider)

    async def lost_keys(self, identity: str) -> list[tuple[str, list[OpenKey]]]:
        return await self.store.open_keys_of_lost(identity)

    async def acknowledge_position(self, asker: SessionRef, position: Position) -> None:
        """Providers' positions concern the application server, which hears them itself."""

    # For the device face.

    async def begin_device(self, name: str, journal: str, mark: Mark, software: str) -> Seen:
        if self.position is None:
            # Without a replica nobody is known here.
            raise Rejected("unavailable")
        return await self.store.begin_device(name, journal, mark, software)

    async def device(self, name: str) -> Device | None:
        return await self.store.device(name)

    async def link_card(self, user: int, number: str) -> str:
        """Theirs here at once; online and cut the same, the application server decides."""
        state = await self.store.link_card(user, number, self.env.new_id())
        self.uplink.journal_grew()
        return state

    def device_servers(self, device: Device) -> list[tuple[str, str, str, int]]:
        """(role, name, host, port), in the order in which a device connects."""
        own, centre, site = self.device_address, self.application_devices, device.site
        servers = [] if own is None or site is None else [("site", site[0], *own)]
        return servers if centre is None else [*servers, ("application", "application", *centre)]

    def _applied(self, rows: list[Any]) -> None:
        self.on_rows(rows)
        self.policy.applied(rows)
        self.lockouts.applied(rows)
        self.clients.changed(rows)
        if any(row[0] in ("site", "site_policy", "group_member") for row in rows):
            self.tasks.spawn(self._give_back_unneeded(), "giving back allowances")
        if any(row[0] in SETTINGS_TABLES and row[0] != "stream" for row in rows) or any(
            row[0] == "stream" and row[2] is not None and row[2]["state"] != "live" for row in rows
        ):
            self.on_settings()

    async def _give_back_unneeded(self) -> None:
        """Under another policy than STRICT nothing of people's money has to be here."""
        try:
            if await self.store.give_back_unneeded():
                self.uplink.journal_grew()
        except StorageFull:
            # It is asked back when it is needed.
            return

    def _plan_repair(self) -> None:
        """Sites that were started together, as after a power cut, do not compare together."""
        share = self.env.rng.uniform(1 - REPAIR_JITTER, 1 + REPAIR_JITTER)
        self._next_repair = self.env.clock.callLater(
            self.settings_in_force.repair_every_s * share, self._repair
        )

    def _repair(self) -> None:
        """The next one waits for its time, not for the end of this one."""
        self._plan_repair()
        self.tasks.spawn(self._repair_quietly(), "comparing the replica")

    async def _repair_quietly(self) -> None:
        try:
            await self.repair.run()
        except (SessionLost, Refusal, Rejected, StorageError) as error:
            # Cut, or busy: the next night compares it all.
            _log.warn("the replica was not compared: {error}", error=type(error).__name__)

    async def _count_unseen(self) -> None:
        try:
            await self.store.count_unseen(UNSEEN_INTERVAL_S)
        except StorageFull:
            return
        except Exception:
            _log.failure("counting absences failed")

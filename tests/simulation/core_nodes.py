"""The real servers on simulated machines: one application server, two sites, their providers."""

from __future__ import annotations

import errno
import random
import sqlite3
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from papercutd.device.device import Device
from papercutd.domain.pricing import PagePrice, PriceList
from papercutd.domain.voucher import make_serial
from papercutd.environment import Environment
from papercutd.errors import StorageFull
from papercutd.faces.device import DeviceFace
from papercutd.faces.links import LINKS, LinksFace
from papercutd.faces.provider import ProviderFace
from papercutd.faces.site_link import SiteLinkFace
from papercutd.provider.adapters import Outcome, PrinterUnreachable, PrintOptions
from papercutd.provider.journal import ProviderJournal
from papercutd.provider.provider import PrintProvider
from papercutd.services.application_server import ApplicationServer
from papercutd.services.link import LinkSettings
from papercutd.services.site_server import SiteServer, SiteSettings
from papercutd.storage.application_store import ApplicationStore, create_installation
from papercutd.storage.people.people import CARD_KEY
from papercutd.storage.proof.anchor import ANCHOR, Anchor
from papercutd.storage.replication.asker_journal import create_journal
from papercutd.storage.replication.change_log import Change, ChangeLog
from papercutd.storage.site.site_store import SiteStore, create_site
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter
from protocols.device.spec import DEVICE
from protocols.endpoint import SessionServerFactory
from protocols.handshake import VERSIONS
from protocols.machine import ProtocolSpec
from tests.simulation.core_certificates import Certificates
from tests.simulation.core_choices import ACCOUNTS, CHOOSERS, prepare
from tests.simulation.core_cups import CupsMachines
from tests.simulation.core_devices import DEVICE_PORT, DEVICES, boot_device, card_of
from tests.simulation.core_held import add_printers
from tests.simulation.core_newcomers import Newcomers
from tests.simulation.core_shared import SharedAccounts
from tests.simulation.network import identify
from tests.simulation.node import Node
from tests.simulation.spool import SimAnalyser
from tests.simulation.stage import Topology
from tests.simulation.world import World

PORT = 9195
APPLICATION = "application"
SITES = ("north", "south")
PROVIDERS = {"north-provider": "north", "south-provider": "south"}
PRICES = PriceList(0, 0.0, "EUR", (PagePrice("A4", 500, 2_000),), PagePrice("", 1_000, 4_000))
#: Restricted users and what they have; the last is never refused.
USERS = {"anna": 60_000, "ben": 20_000, "cleo": 5_000, "dora": 400_000}
#: Of whom else than in cash: a quota, spent first, and what is spent last.
PURSES = {"anna": {"quota": 4_000}, "ben": {"quota": 9_000, "gift": 3_000}, "dora": {"gift": 5_000}}
CAP_E4 = 20_000
#: Of an installation with people who come and go; everybody may find these.
VOUCHER_E4, VOUCHERS = 5_000, [make_serial(random.Random(n).randrange) for n in range(8)]
SETTINGS = LinkSettings(back_jitter_s=2.0, reconnect_min_s=0.5, reconnect_max_s=5.0)


@attrs.frozen
class Paper:
    """A document that came out of a printer."""

    provider: str
    path: str
    at_s: float


class SimPrinter:
    """An adapter: takes its time, and its paper stays when the print server dies."""

    def __init__(
        self, node: Node, env: Environment, paper: list[Paper], paper_out: dict[str, str]
    ) -> None:
        self._node = node
        self._clock = node.clock
        self._env = env
        self._paper = paper
        self._paper_out = paper_out

    async def print_document(
        self,
        path: str,
        uri: str,
        started: Callable[[], Awaitable[None]],
        options: PrintOptions,
    ) -> Outcome:
        name = self._node.identity
        await deferLater(self._env.clock, self._env.rng.uniform(0.01, 0.1), lambda: None)
        if self._paper_out.get(name) == "off":
            raise PrinterUnreachable("it is off")
        if self._node.disk.spool.get(path) is None:
            raise FileNotFoundError(path)
        await started()
        await deferLater(self._env.clock, self._env.rng.uniform(0.05, 1.0), lambda: None)
        while name in self._paper_out:
            await deferLater(self._env.clock, 5.0, lambda: None)
        if self._node.clock is self._clock:
            self._paper.append(Paper(self._node.identity, path, self._node.world.now))
        return Outcome("completed")


class SimAnchor:
    """The anchor's file on a simulated disk."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clock = node.clock

    def read(self) -> bytes:
        return self._node.disk.files.get(ANCHOR, b"")

    def write(self, offset: int, data: bytes) -> None:
        if self._node.clock is not self._clock:
            return
        before = self.read()
        whole = before[:offset].ljust(offset) + data + before[offset + len(data) :]
        try:
            self._node.disk.write_file(ANCHOR, whole)
        except StorageFull:
            raise OSError(errno.ENOSPC, "no space") from None


class CoreInstallation:
    """Nodes that boot into real servers, over their own disks."""

    def __init__(
        self,
        world: World,
        has_devices: bool = False,
        *,
        has_held: bool = False,
        has_cups: bool = False,
        people: Mapping[str, int] | None = None,
        policy: str = "capped",
        funds: float = 1.0,
        has_shared: bool = False,
        has_choices: bool = False,
        newcomers: Newcomers | None = None,
    ) -> None:
        """``people``: more users and what they have; ``policy``: of both sites.

        ``funds``: what users have, in parts of USERS.
        """
        self.world = world
        self.has_held = has_held
        self.has_choices = has_choices
        #: The clients at a server, by its name, where people are asked who pays.
        self.clients: Callable[[str], Any] | None = None
        self.cups = CupsMachines(self) if has_cups else None
        #: Paper that CUPS will make once more, having been killed: (print server, path).
        self.reruns: Counter[tuple[str, str]] = Counter()
        #: Print servers whose printers have no paper: ``out``, or ``off`` and take nothing.
        self.paper_out: dict[str, str] = {}
        self.policy = policy
        self.funds = funds
        self.newcomers = newcomers
        self.people = dict(people or {})
        self.purses = PURSES
        self.shared = SharedAccounts(world) if has_shared else None
        self.certificates = Certificates()
        self.device_names = tuple(DEVICES) if has_devices else ()
        devices = {name: DEVICES[name] for name in self.device_names}
        self.topology = Topology(APPLICATION, SITES, PROVIDERS, devices)
        self.devices: dict[str, Device] = {}
        self.paper: list[Paper] = []
        #: Versions of the wire that a node speaks from its next start on, by identity; all of
        #: them where nothing is said. A rolling upgrade: set before, removed, then restarted.
        self.speaks: dict[str, tuple[int, ...]] = {}
        self.providers: dict[str, PrintProvider] = {}
        self.sites: dict[str, SiteServer] = {}
        self.application: ApplicationServer | None = None
        self._prepare_application()
        for name in SITES:
            world.add_node(name, "site").on_boot = self._boot_site
        for name, site in PROVIDERS.items():
            node = world.add_node(name, "provider")
            node.on_boot = self._boot_provider
            if self.cups is not None:
                self.cups.add_machine(node, site)
        for name in self.device_names:
            world.add_node(name, "device").on_boot = self._boot_device

    def print_paper(self, provider: str, path: str) -> None:
        """A document came out of a printer of ``provider``."""
        self.paper.append(Paper(provider, path, self.world.now))

    def is_unsaid(self, provider: str, path: str) -> bool:
        """CUPS canceled it with the paper out, and nobody says so."""
        job = path.partition("cups/")[2]
        return self.cups is not None and job in self.cups.cupsd[provider].unsaid

    def check_shared(self) -> None:
        """At the end, of a run without restores."""
        if self.shared is not None:
            application = self.world.nodes[APPLICATION].disk.connection("application.db")
            assert application is not None
            self.shared.check_end(application)

    def boot_all(self) -> None:
        for name in self.topology.nodes():
            self.world.nodes[name].boot()

    def _prepare_application(self) -> None:
        """The database as an administrator left it."""
        node = self.world.add_node(APPLICATION, "application")
        node.on_boot = self._boot_application
        connection = node.disk.open_database("application.db", "application")
        create_installation(connection, "simulated")
        clock = Clock()
        log = ChangeLog(lambda: self.world.epoch_s)
        writer = InlineWriter(connection, clock, log)
        store = ApplicationStore(writer, InlineReader(writer), log, lambda: self.world.epoch_s)
        directory = store.directory
        store.add_prices(PRICES)
        for name, balance_e4 in USERS.items():
            store.add_user(name, balance_e4=round(balance_e4 * self.funds))
        store.add_user("staff", restricted=False)
        for name, balance_e4 in self.people.items():
            store.add_user(name, balance_e4=balance_e4)
        store.purses.add("quota", None, True, True)
        store.purses.add("gift", 3, True, True)
        for name, purses in self.purses.items():
            for purse, balance_e4 in purses.items() if name in USERS else ():
                store.adjust(name, balance_e4, "", purse)
        if self.has_choices:
            for name, (_, balance_e4) in CHOOSERS.items():
                store.add_user(name, balance_e4=balance_e4, restricted=balance_e4 > 0)
            for name in ACCOUNTS:
                store.shared.add(name, 0, {"restricted": False})
        if self.people:
            store.money.add_vouchers("simulated", VOUCHER_E4, VOUCHERS[::2], None)
            store.money.add_vouchers("gifts", VOUCHER_E4, VOUCHERS[1::2], None, "gift")

        def objects(c: Any) -> None:
            for name in SITES:
                directory.add_site(c, name, name, PORT)
            c.execute("UPDATE site SET cap_user_e4 = ?, policy = ?", (CAP_E4, self.policy))
            for name, site in PROVIDERS.items():
                directory.add_provider(c, name, site)
                directory.add_printer(c, f"{site}-1", name, "sim://printer")
                if self.has_held:
                    add_printers(directory, c, name, site)
                if self.cups is not None:
                    self.cups.add_printers(directory, c, name, site)

            if self.device_names or self.people:
                directory.ensure_secret(c, CARD_KEY, "0" * 64)
            for name in self.device_names:
                directory.add_device(c, name, f"{DEVICES[name]}-1", DEVICES[name])
            for user in USERS if self.device_names else ():
                directory.add_card(c, user, card_of(user), self.world.epoch_s)
            if self.has_choices:
                prepare(store, c)

        store.write(objects)
        if self.shared is not None:
            self.shared.prepare(store)
        if self.newcomers is not None:
            self.newcomers.prepare(store, self.world.epoch_s)
        for _ in range(10):
            clock.advance(0)
        node.disk.crashed()

    def database(self, node: str) -> sqlite3.Connection:
        """What the application server or a print server has on its disk."""
        name = {"application": "application.db"}.get(self.world.nodes[node].role, "provider.db")
        connection = self.world.nodes[node].disk.connection(name)
        assert connection is not None
        return connection

    def settings(self, node: Node) -> LinkSettings:
        """Of the node's links, at the versions it speaks."""
        return attrs.evolve(SETTINGS, versions=self.speaks.get(node.identity, VERSIONS))

    def _spec(self, node: Node, spec: ProtocolSpec) -> ProtocolSpec:
        """Of what the node listens to, the same."""
        return attrs.evolve(spec, versions=self.speaks.get(node.identity, VERSIONS))

    def _start(self, node: Node, starting: Any) -> None:
        """A start that fails ends the process, and what watches over it starts it again."""
        clock = node.clock

        def failed(failure: object) -> None:
            if node.clock is clock and clock is not None:
                node.crash()
                self.world.later(2.0, again)

        def again() -> None:
            if not node.is_up and self.world.now >= node.down_until_s:
                node.boot()

        Deferred.fromCoroutine(starting).addErrback(failed)

    def _boot_application(self, node: Node) -> None:
        assert node.clock is not None
        clock, env = node.clock, node.environment
        node.disk.open_database("application.db", "application")
        log = ChangeLog(env.wall_s)
        writer = node.disk.writer("application.db", clock, log)
        store = ApplicationStore(writer, InlineReader(writer), log, env.wall_s)
        server = ApplicationServer(env, store)
        committed: deque[Change] = deque()

        def heard() -> None:
            # In the order of the commits, whatever the order of calls at one instant.
            server.committed(committed.popleft())

        def hear(change: Change) -> None:
            committed.append(change)
            clock.callLater(0, heard)

        log.on_commit = hear
        self.application = server
        if self.clients is not None:
            server.questions.clients = self.clients(APPLICATION)

        async def start() -> None:
            await server.start()
            revocations = self.certificates.revocations(
                server.providers, server.sites, server.device_sessions
            )
            revocations.add(await store.revoked_serials())
            server.on_change = lambda change: revocations.add(
                str(row[1]) for row in change.rows if row[0] == "revocation"
            )
            identified = self.certificates.identifier(revocations)
            provider_face = ProviderFace(env, server, APPLICATION)
            server.on_settings = provider_face.push_settings
            server.address = (APPLICATION, PORT)
            face = LinksFace(
                {"provider": provider_face, "site": SiteLinkFace(env, server, APPLICATION)}
            )
            factory = SessionServerFactory(self._spec(node, LINKS), clock, face, identified)
            self.world.network.listen(node, PORT, factory)
            self._listen_to_devices(node, env, server, APPLICATION)

        self._start(node, start())

    def _listen_to_devices(self, node: Node, env: Environment, server: Any, name: str) -> None:
        if self.device_names:
            face = DeviceFace(env, server, name)
            factory = SessionServerFactory(self._spec(node, DEVICE), env.clock, face, identify)
            self.world.network.listen(node, DEVICE_PORT, factory)

    def _boot_device(self, node: Node) -> None:
        device = boot_device(self, node, self.settings(node))
        self.devices[node.name] = device
        self._start(node, device.start())

    def _boot_site(self, node: Node) -> None:
        assert node.clock is not None
        clock, env = node.clock, node.environment
        connection = node.disk.open_database("journal.db", "journal")
        create_site(connection, node.identity, env.new_id())
        anchor = Anchor(SimAnchor(node))
        writer = node.disk.writer("journal.db", clock, anchor)
        store = SiteStore(writer, node.disk.replicas, env.wall_s, anchor)
        endpoint = self.world.network.endpoint(node, APPLICATION, PORT)
        server = SiteServer(env, store, endpoint, SiteSettings(link=self.settings(node)))
        self.sites[node.name] = server
        if self.clients is not None:
            server.questions.clients = self.clients(node.identity)

        async def start() -> None:
            revocations = self.certificates.revocations(server.providers, server.device_sessions)
            server.on_rows = lambda rows: revocations.add(
                str(row[1]) for row in rows if row[0] == "revocation"
            )
            await server.start()
            revocations.add(await store.revoked_serials())
            identified = self.certificates.identifier(revocations)
            face = ProviderFace(env, server, node.identity)
            server.on_settings = face.push_settings
            server.address = (APPLICATION, PORT)
            links = LinksFace({"provider": face})
            factory = SessionServerFactory(self._spec(node, LINKS), clock, links, identified)
            self.world.network.listen(node, PORT, factory)
            self._listen_to_devices(node, env, server, node.identity)

        self._start(node, start())

    def _boot_provider(self, node: Node) -> None:
        assert node.clock is not None
        env = node.environment
        connection = node.disk.open_database("provider.db", "provider")
        create_journal(connection, node.identity, env.new_id())
        writer = node.disk.writer("provider.db", node.clock)
        journal = ProviderJournal(writer, env.wall_s)
        network = self.world.network
        spooler = None if self.cups is None else self.cups.spooler(node, env, journal)
        provider = PrintProvider(
            env,
            journal,
            {"sim": SimPrinter(node, env, self.paper, self.paper_out)},
            SimAnalyser(node.disk.spool),
            network.endpoint(node, APPLICATION, PORT),
            network.endpoint(node, PROVIDERS[node.identity], PORT),
            self.settings(node),
            remove=node.disk.spool.remove,
            spooler=spooler,
        )
        if self.cups is not None and spooler is not None:
            self._start(node, self.cups.start(node, spooler, provider))
        else:
            self._start(node, provider.start())
        self.providers[node.name] = provider

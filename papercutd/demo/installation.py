"""One application server, sites with a provider and a printer each, and the links between."""

from __future__ import annotations

import json
import socket
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from papercutd.demo.cups import PrivateCups
from papercutd.demo.devices import Mfd
from papercutd.demo.network import Printer, Relay, free_port
from papercutd.demo.processes import Role, command, start_together

SITES = ("north", "south")
TIMES = "[times]\nback_jitter_s = 1.0\nreconnect_min_s = 0.2\nreconnect_max_s = 1.0\n"


def _application(port: int, https: int) -> str:
    return f'[application]\nhost = "127.0.0.1"\nport = {port}\nhttps = {https}\n'


def _listen(http: int, https: int, links: int) -> str:
    return (
        f'[listen]\ninterface = "127.0.0.1"\nhttp = {http}\nhttps = {https}\nlinks = {links}\n'
        f"devices = {free_port()}\n"
    )


def _store(stores: Mapping[str, str] | None, role: str) -> str:
    store = (stores or {}).get(role)
    return "" if store is None else f'store = "{store}"\n'


def _spooler(cups: PrivateCups) -> str:
    return (
        f'[cups]\nserver = "{cups.socket}"\nbackend = "{cups.backend}"\n'
        f'printers_conf = "{cups.folder}/etc/printers.conf"\n'
    )


@attrs.define
class Branch:
    """A site and what stands beside it."""

    name: str
    site: Role
    provider: Role
    printer: Printer
    #: The links of the site, its provider and its device to the application server.
    relays: tuple[Relay, ...]
    #: The spooler of its print server; None: the provider prints by itself.
    cups: PrivateCups | None = None
    #: Beside the printer, where the installation has been furnished with devices.
    device: Mfd | None = None

    @property
    def queues(self) -> tuple[str, str]:
        """The printer's, and the one whose jobs wait to be collected at a printer."""
        return f"{self.name}-1", f"{self.name}-follow"

    @property
    def mfd(self) -> Mfd:
        """Its device."""
        assert self.device is not None
        return self.device

    def cut(self) -> None:
        for relay in self.relays:
            relay.cut()

    def heal(self) -> None:
        for relay in self.relays:
            relay.heal()

    def print_file(self, data: bytes, title: str, user: str, queue: str = "") -> str:
        """Print a document at ``queue``, else at the printer's; what its spooler calls the job."""
        queue = queue or self.queues[0]
        if self.cups is not None:
            path = self.cups.folder / "document.pdf"
            path.write_bytes(data)
            return f"{queue}-{self.cups.lp(queue, path, '-t', title, user=user)}"
        header = {"printer": queue, "user": user, "size": len(data), "title": title}
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(str(self.provider.data / "submit.sock"))
        with connection, connection.makefile("rb") as answers:
            connection.sendall(json.dumps(header).encode() + b"\n" + data)
            said = json.loads(answers.readline())
        if "error" in said:
            raise RuntimeError(said["error"])
        return str(said["job"])

    def states(self) -> dict[str, str]:
        """The state of each job that the provider knows, by what its spooler calls it."""
        return {one["cups"] or one["job"]: one["state"] for one in self.provider.call("job.list")}

    def job(self, job: str) -> dict[str, Any]:
        return next(one for one in self.provider.call("job.list") if one["job"] == job)


@attrs.define
class Installation:
    """All of it, in one directory."""

    directory: Path
    app: Role
    http_port: int
    https_port: int
    #: ``cups``, one at each print server, or ``direct``.
    spooler: str = "direct"
    branches: list[Branch] = attrs.field(factory=list)

    @classmethod
    def make(
        cls,
        directory: Path,
        sabotage: str = "",
        init: Sequence[str] | None = (),
        spooler: str = "direct",
        stores: Mapping[str, str] | None = None,
    ) -> Installation:
        """Initialised (``init``: further words of that command; None: not at all), and off.

        ``stores``: the databases of ``app`` and of sites that are not on SQLite.
        """
        http, https, links = free_port(), free_port(), free_port()
        debug = f'[debug]\nsabotage = "{sabotage}"\n' if sabotage else ""
        app = Role(
            "app",
            "application server",
            directory / "app",
            _store(stores, "app") + _listen(http, https, links) + debug,
        )
        if init is not None:
            command(app.config, "init", *init)
        made = cls(directory, app, http, https, spooler)
        for name in SITES:
            made._add_branch(name, links, _store(stores, name))
        return made

    def _add_branch(self, name: str, links: int, store: str) -> None:
        devices = _port_of(self.app.config, "devices")
        relays = (Relay(links), Relay(links), Relay(devices))
        cups = PrivateCups(self.directory / f"cups-{name}") if self.spooler == "cups" else None
        port = free_port()
        site = Role(
            *("site", f"site {name}", self.directory / f"site-{name}"),
            store
            + _application(relays[0].port, self.https_port)
            + _listen(free_port(), free_port(), port)
            + TIMES,
        )
        provider = Role(
            *("provider", f"provider of {name}", self.directory / f"provider-{name}"),
            _application(relays[1].port, self.https_port)
            + f'[site]\nhost = "127.0.0.1"\nport = {port}\nname = "{name}"\n'
            + TIMES
            + ("" if cups is None else _spooler(cups)),
        )
        printer = Printer(self.directory / f"printer-{name}")
        self.branches.append(Branch(name, site, provider, printer, relays, cups))

    def join_all(self, tells_https: bool = True) -> None:
        """With the application server running: sites and providers join, printers are made.

        ``tells_https``: where clients find each site, which a server of release 1 is not told.
        """
        server = f"127.0.0.1:{self.https_port}"
        for branch in self.branches:
            port = _port_of(branch.site.config, "links")
            more = ["--https-port", str(_port_of(branch.site.config, "https"))]
            added = command(
                *(self.app.config, "site", "add", branch.name, "--host", "127.0.0.1"),
                *("--port", str(port)),
                *(more if tells_https else ()),
            )
            command(branch.site.config, "join", "--token", added["token"], "--server", server)
            provider = f"{branch.name}-provider"
            added = command(self.app.config, "provider", "add", provider, "--site", branch.name)
            command(branch.provider.config, "join", "--token", added["token"], "--server", server)
            if branch.cups is not None:
                branch.cups.set_backend_socket(branch.provider.data / "cups.sock")
                branch.cups.start()
            self._add_printer(branch, branch.queues[0])

    def _add_printer(self, branch: Branch, queue: str, *words: str) -> None:
        """Known to the application server; with CUPS a queue of the printer too."""
        uri = f"socket://127.0.0.1:{branch.printer.port}"
        if branch.cups is not None:
            # As it is, without a driver; and without SNMP, which nobody would answer.
            branch.cups.add_queue(queue, f"{uri}/?snmp=false", "raw")
            uri = f"cups:{queue}"
        provider = f"{branch.name}-provider"
        command(
            *(self.app.config, "printer", "add", queue, "--provider", provider, "--uri", uri),
            *words,
        )

    def start_branches(self) -> None:
        """Everything at the sites but the devices; queues of CUPS ask from now on."""
        start_together(*self.roles()[1:])
        for branch in self.branches:
            if branch.cups is not None:
                for queue in branch.queues:
                    command(branch.provider.config, "provider", "cups", "enable", queue)

    def furnish(self) -> None:
        """A find-me queue at each site, and a device that releases its jobs and copies."""
        for branch in self.branches:
            printer, follow = branch.queues
            self.app.call("printer.set", name=printer, release="immediate", group=branch.name)
            self._add_printer(branch, follow, "--group", branch.name, "--release", "find-me")
            branch.device = self.add_device(
                *(f"{branch.name}-mfd", branch.name, branch.relays[2].port),
                printer=printer,
                functions="copy release",
                logins="card",
            )

    def add_device(self, name: str, site: str = "", application: int = 0, **fields: str) -> Mfd:
        """A device that has joined, switched off; ``fields`` as ``papercutd device add`` has them.

        ``application``: the port at which it reaches the application server, if not its own.
        """
        words = [w for k, v in fields.items() for w in (f"--{k.replace('_', '-')}", v)]
        words += ["--site", site] if site else []
        added = command(self.app.config, "device", "add", name, *words)
        sites = {b.name: _port_of(b.site.config, "devices") for b in self.branches}
        application = application or _port_of(self.app.config, "devices")
        return Mfd.join(
            *(name, self.directory / f"mfd-{name}", added["token"]),
            *(
                f"127.0.0.1:{self.https_port}",
                f"127.0.0.1:{application}",
                f"{site}=127.0.0.1:{sites[site]}" if site else "",
            ),
        )

    def roles(self) -> list[Role]:
        beside = [role for branch in self.branches for role in (branch.site, branch.provider)]
        return [self.app, *beside]

    def close(self) -> None:
        """End every process and socket, providers first."""
        for branch in self.branches:
            if branch.device is not None:
                branch.device.stop()
        for role in reversed(self.roles()):
            role.stop()
        for branch in self.branches:
            if branch.cups is not None:
                branch.cups.stop()
            branch.printer.close()
            for relay in branch.relays:
                relay.close()


def _port_of(config: Path, which: str) -> int:
    return int(tomllib.loads(config.read_text())["listen"][which])

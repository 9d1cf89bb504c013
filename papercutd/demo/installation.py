"""One application server, sites with a provider and a printer each, and the links between."""

from __future__ import annotations

import json
import socket
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from papercutd.demo.devices import Mfd
from papercutd.demo.network import Printer, Relay, free_port
from papercutd.demo.processes import Role, command

SITES = ("north", "south")
TIMES = "[times]\nback_jitter_s = 1.0\nreconnect_min_s = 0.2\nreconnect_max_s = 1.0\n"


def _application(port: int, https: int) -> str:
    return f'[application]\nhost = "127.0.0.1"\nport = {port}\nhttps = {https}\n'


def _listen(http: int, https: int, links: int) -> str:
    return (
        f'[listen]\ninterface = "127.0.0.1"\nhttp = {http}\nhttps = {https}\nlinks = {links}\n'
        f"devices = {free_port()}\n"
    )


@attrs.define
class Branch:
    """A site and what stands beside it."""

    name: str
    site: Role
    provider: Role
    printer: Printer
    #: The links of the site and of its provider to the application server.
    relays: tuple[Relay, Relay]

    def cut(self) -> None:
        for relay in self.relays:
            relay.cut()

    def heal(self) -> None:
        for relay in self.relays:
            relay.heal()

    def print_file(self, data: bytes, title: str, user: str) -> str:
        """Hand a document in at the provider's socket; the job's id."""
        header = {
            "printer": f"{self.name}-1",
            "user": user,
            "size": len(data),
            "title": title,
        }
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(str(self.provider.data / "submit.sock"))
        with connection, connection.makefile("rb") as answers:
            connection.sendall(json.dumps(header).encode() + b"\n" + data)
            said = json.loads(answers.readline())
        if "error" in said:
            raise RuntimeError(said["error"])
        return str(said["job"])

    def job(self, job: str) -> dict[str, Any]:
        return next(one for one in self.provider.call("job.list") if one["job"] == job)


@attrs.define
class Installation:
    """All of it, in one directory."""

    directory: Path
    app: Role
    http_port: int
    https_port: int
    branches: list[Branch] = attrs.field(factory=list)

    @classmethod
    def make(cls, directory: Path, sabotage: str = "", init: Sequence[str] = ()) -> Installation:
        """Initialised (``init``: further words of that command), with nothing running."""
        http, https, links = free_port(), free_port(), free_port()
        debug = f'[debug]\nsabotage = "{sabotage}"\n' if sabotage else ""
        app = Role(
            "app", "application server", directory / "app", _listen(http, https, links) + debug
        )
        command(app.config, "init", *init)
        made = cls(directory, app, http, https)
        for name in SITES:
            made._add_branch(name, links)
        return made

    def _add_branch(self, name: str, links: int) -> None:
        relays = (Relay(links), Relay(links))
        port = free_port()
        site = Role(
            *("site", f"site {name}", self.directory / f"site-{name}"),
            _application(relays[0].port, self.https_port)
            + _listen(free_port(), free_port(), port)
            + TIMES,
        )
        provider = Role(
            *("provider", f"provider of {name}", self.directory / f"provider-{name}"),
            _application(relays[1].port, self.https_port)
            + f'[site]\nhost = "127.0.0.1"\nport = {port}\nname = "{name}"\n'
            + TIMES,
        )
        printer = Printer(self.directory / f"printer-{name}")
        self.branches.append(Branch(name, site, provider, printer, relays))

    def join_all(self) -> None:
        """With the application server running: sites and providers join, printers are made."""
        server = f"127.0.0.1:{self.https_port}"
        for branch in self.branches:
            port = _port_of(branch.site.config, "links")
            added = command(
                *(self.app.config, "site", "add", branch.name, "--host", "127.0.0.1"),
                *("--port", str(port)),
            )
            command(branch.site.config, "join", "--token", added["token"], "--server", server)
            provider = f"{branch.name}-provider"
            added = command(self.app.config, "provider", "add", provider, "--site", branch.name)
            command(branch.provider.config, "join", "--token", added["token"], "--server", server)
            uri = f"socket://127.0.0.1:{branch.printer.port}"
            command(
                *(self.app.config, "printer", "add", f"{branch.name}-1", "--provider", provider),
                *("--uri", uri),
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
            *(self.directory / f"mfd-{name}", added["token"], f"127.0.0.1:{self.https_port}"),
            *(f"127.0.0.1:{application}", f"{site}=127.0.0.1:{sites[site]}" if site else ""),
        )

    def roles(self) -> list[Role]:
        beside = [role for branch in self.branches for role in (branch.site, branch.provider)]
        return [self.app, *beside]

    def close(self) -> None:
        """End every process and socket, providers first."""
        for role in reversed(self.roles()):
            role.stop()
        for branch in self.branches:
            branch.printer.close()
            for relay in branch.relays:
                relay.close()


def _port_of(config: Path, which: str) -> int:
    return int(tomllib.loads(config.read_text())["listen"][which])

"""A branch in a network namespace of its own, joined by a cable that can be pulled out.

Needs root and ``ip`` (Debian package iproute2). Two cables lead into the namespace: one to
the application server, which is pulled, and one to the printer, which is not.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from papercutd.demo.installation import TIMES, Branch, Installation
from papercutd.demo.network import Printer, free_port
from papercutd.demo.processes import Role, command


def why_not() -> str:
    """Why this machine cannot; empty: it can."""
    if os.geteuid() != 0:
        return "it needs root"
    if shutil.which("ip") is None:
        return "it needs ip (Debian package iproute2)"
    probe = f"pc-{secrets.token_hex(3)}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode:
        return "network namespaces are not allowed here"
    subprocess.run(["ip", "netns", "delete", probe], check=False)
    return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Cable:
    """Has the two methods of a Relay that a Branch uses."""

    def __init__(self, end: str) -> None:
        self.end = end

    def cut(self) -> None:
        """Packets go nowhere and nobody is told: the far end of the cable is down."""
        _ip("link", "set", self.end, "down")

    def heal(self) -> None:
        _ip("link", "set", self.end, "up")

    def close(self) -> None:
        """It goes with its namespace."""


class Namespace:
    """Addresses 10.x.1.1 (application server) and 10.x.2.1 (printers) seen from within."""

    def __init__(self) -> None:
        self.name = f"pc-{secrets.token_hex(3)}"
        network = f"10.{100 + secrets.randbelow(100)}"
        self.application = f"{network}.1.1"
        self.printers = f"{network}.2.1"
        ends = [f"{self.name}{letter}" for letter in "ab"]
        self.cable = Cable(ends[0])
        _ip("netns", "add", self.name)
        _ip("netns", "exec", self.name, "ip", "link", "set", "lo", "up")
        for number, end in enumerate(ends, 1):
            inner = f"{end}i"
            _ip("link", "add", end, "type", "veth", "peer", "name", inner, "netns", self.name)
            _ip("address", "add", f"{network}.{number}.1/30", "dev", end)
            _ip("link", "set", end, "up")
            inside = ("netns", "exec", self.name, "ip")
            _ip(*inside, "address", "add", f"{network}.{number}.2/30", "dev", inner)
            _ip(*inside, "link", "set", inner, "up")

    @property
    def under(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def close(self) -> None:
        _ip("netns", "delete", self.name)


class Split:
    """An application server here, and one branch in a namespace."""

    def __init__(self, directory: Path) -> None:
        self.namespace = Namespace()
        host = self.namespace.application
        http, https, links = free_port(), free_port(), free_port()
        listen = (
            f'[listen]\ninterface = "{host}"\nhttp = {http}\nhttps = {https}\n'
            f"links = {links}\ndevices = 0\n"
        )
        app = Role("app", "application server", directory / "app", listen)
        command(app.config, "init")
        self.installation = Installation(directory, app, http, https)
        port = free_port()
        server = f'[application]\nhost = "{host}"\nport = {links}\n'
        local = (
            f'[listen]\ninterface = "127.0.0.1"\nhttp = 0\nhttps = 0\nlinks = {port}\ndevices = 0\n'
        )
        site = Role(
            *("site", "site", directory / "site", server + local + TIMES),
            under=self.namespace.under,
        )
        beside = f'[site]\nhost = "127.0.0.1"\nport = {port}\nname = "north"\n'
        provider = Role(
            *("provider", "provider", directory / "provider", server + beside + TIMES),
            under=self.namespace.under,
        )
        printer = Printer(directory / "printer", self.namespace.printers)
        cable = self.namespace.cable
        branch = Branch("north", site, provider, printer, (cable,))  # type: ignore[arg-type]
        self.installation.branches.append(branch)

    def start(self) -> None:
        """Everybody runs and is joined."""
        installation, (branch,) = self.installation, self.installation.branches
        installation.app.start()
        server = f"{self.namespace.application}:{installation.https_port}"
        config = installation.app.config
        added = command(config, "site", "add", "north", "--host", "127.0.0.1", "--port", "9195")
        command(branch.site.config, "join", "--token", added["token"], "--server", server)
        added = command(config, "provider", "add", "north-provider", "--site", "north")
        command(branch.provider.config, "join", "--token", added["token"], "--server", server)
        uri = f"socket://{self.namespace.printers}:{branch.printer.port}"
        command(
            *(config, "printer", "add", "north-1", "--provider", "north-provider"),
            *("--uri", uri),
        )
        branch.site.start()
        branch.provider.start()

    def close(self) -> None:
        self.installation.close()
        self.namespace.close()

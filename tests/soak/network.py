"""A network of namespaces: hosts on switches, switches on a backbone, and what breaks it.

Nothing of it is joined to the network of the machine, so its addresses may be anybody's. Hosts
know one another by names (``/etc/netns/NAME/hosts``), as configurations should: an address that
changes is found again by the next look-up. Control sockets are files, which namespaces share.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_ETC = Path("/etc/netns")
_CORE = "core"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def inside(namespace: str, make: Callable[[], T]) -> T:
    """What ``make`` returns in a thread of ``namespace``: sockets it makes stay there."""
    made: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with open(f"/run/netns/{namespace}") as file:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {namespace}")
            made.append(make())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


@attrs.define(eq=False)
class Host:
    """One machine with one cable."""

    name: str
    namespace: str
    network: Network
    #: Its end of the cable at the switch, in the hub's namespace.
    port: str
    address: str = ""

    @property
    def under(self) -> tuple[str, ...]:
        """Words before a command that runs here."""
        return ("ip", "netns", "exec", self.namespace)

    def cut(self) -> None:
        """The cable is out: packets go nowhere, and nobody is told."""
        _ip("-n", self.network.hub, "link", "set", self.port, "down")

    def heal(self) -> None:
        _ip("-n", self.network.hub, "link", "set", self.port, "up")

    def block(self, address: str) -> None:
        """No packet of ours goes to ``address``; theirs arrive."""
        _ip("-n", self.namespace, "route", "add", "blackhole", f"{address}/32")

    def unblock(self, address: str) -> None:
        _ip("-n", self.namespace, "route", "delete", "blackhole", f"{address}/32")

    def change_address(self) -> None:
        """Another address than any host ever had; the names follow."""
        if self.address:
            _ip("-n", self.namespace, "address", "delete", f"{self.address}/16", "dev", "eth0")
        self.address = self.network.next_address()
        _ip("-n", self.namespace, "address", "add", f"{self.address}/16", "dev", "eth0")
        self.network.write_names()


class Network:
    """Made with the first host; ``close`` leaves nothing of it."""

    def __init__(self) -> None:
        self.name = f"pc-{secrets.token_hex(3)}"
        self.hub = f"{self.name}-hub"
        self.hosts: dict[str, Host] = {}
        self._addresses = 0
        self._ports = 0
        self._namespaces: list[str] = []
        self._had_etc = _ETC.exists()
        self._add_namespace(self.hub)
        self._add_bridge(_CORE)

    def _add_namespace(self, name: str) -> None:
        self._namespaces.append(name)
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")

    def _add_bridge(self, name: str) -> None:
        _ip("-n", self.hub, "link", "add", name, "type", "bridge")
        _ip("-n", self.hub, "link", "set", name, "up")

    def _attach(self, port: str, bridge: str) -> None:
        _ip("-n", self.hub, "link", "set", port, "master", bridge)
        _ip("-n", self.hub, "link", "set", port, "up")

    def add_switch(self, name: str) -> None:
        """A branch: its hosts talk to one another whatever becomes of the trunk."""
        self._add_bridge(name)
        near, far = f"{name}-up", f"{name}-down"
        _ip("-n", self.hub, "link", "add", near, "type", "veth", "peer", "name", far)
        self._attach(near, _CORE)
        self._attach(far, name)

    def cut_trunk(self, switch: str) -> None:
        _ip("-n", self.hub, "link", "set", f"{switch}-up", "down")

    def heal_trunk(self, switch: str) -> None:
        _ip("-n", self.hub, "link", "set", f"{switch}-up", "up")

    def add_host(self, name: str, switch: str = _CORE) -> Host:
        namespace = f"{self.name}-{name}"
        folder = _ETC / namespace
        folder.mkdir(parents=True)
        (folder / "hosts").touch()
        self._add_namespace(namespace)
        self._ports += 1
        port = f"port{self._ports}"
        _ip(
            *("-n", self.hub, "link", "add", port, "type", "veth"),
            *("peer", "name", "eth0", "netns", namespace),
        )
        self._attach(port, switch)
        _ip("-n", namespace, "link", "set", "eth0", "up")
        host = Host(name, namespace, self, port)
        self.hosts[name] = host
        host.change_address()
        return host

    def next_address(self) -> str:
        self._addresses += 1
        return f"10.77.{self._addresses // 250}.{self._addresses % 250 + 1}"

    def write_names(self) -> None:
        """In place: the files are mounted over /etc/hosts of what runs."""
        lines = ["127.0.0.1 localhost"]
        lines += [f"{host.address} {host.name}.soak" for host in self.hosts.values()]
        for host in self.hosts.values():
            with open(_ETC / host.namespace / "hosts", "r+") as file:
                file.write("\n".join(lines) + "\n")
                file.truncate()

    def processes(self) -> list[int]:
        """Those that still run in one of the namespaces, this one not counted."""
        found = []
        for name in self._namespaces:
            said = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            )
            found += [int(word) for word in said.stdout.split()]
        return [pid for pid in found if pid != os.getpid()]

    def close(self) -> None:
        """All of it away, whatever state it is in."""
        for name in self._namespaces:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
            shutil.rmtree(_ETC / name, ignore_errors=True)
        if not self._had_etc:
            try:
                _ETC.rmdir()
            except OSError:
                # Somebody else's by now.
                pass

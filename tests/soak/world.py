"""The installation of a soak: every role on a host of its own, with a small disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from papercutd.demo.devices import Mfd
from papercutd.demo.installation import SITES, TIMES, Branch
from papercutd.demo.network import Printer
from papercutd.demo.processes import Role, command, start_together
from tests.soak.network import Host, Network, inside
from tests.support.installation import ROOT
from tests.support.small_disk import SmallDisk

DISK = "48m"
APPLICATION = "app"
#: Roles of a branch.
BESIDE = ("site", "provider")
_APPLICATION = f'[application]\nhost = "{APPLICATION}.soak"\n'
SERVER = f"{APPLICATION}.soak:9192"
#: People: opening balance, whether it binds them, and the card they show.
PEOPLE = {
    "anna": ("0", False, "04A22B91"),
    "ben": ("5000.00", True, "04A22B92"),
    # Has hardly anything: what she prints is refused soon, or kept within the caps.
    "cara": ("3.00", True, "04A22B93"),
    # Prints at STRICT sites alone: most of what she has is granted to one of them or the other.
    "dana": ("4.00", True, "04A22B94"),
}
#: Sites that spend only what they were granted, beside those of the demo.
STRICT = ("east", "west")
ALL_SITES = (*SITES, *STRICT)


@attrs.define
class World:
    """All of it, joined and running once ``start`` returned."""

    directory: Path = attrs.field(factory=lambda: Path(tempfile.mkdtemp(prefix="pc-soak-")))
    network: Network = attrs.field(factory=Network)
    sites: tuple[str, ...] = ALL_SITES
    disks: dict[str, SmallDisk] = attrs.field(factory=dict)
    roles: dict[str, Role] = attrs.field(factory=dict)
    branches: list[Branch] = attrs.field(factory=list)
    is_closed: bool = False

    @property
    def app(self) -> Role:
        return self.roles[APPLICATION]

    @property
    def devices(self) -> list[Mfd]:
        return [branch.mfd for branch in self.branches if branch.device is not None]

    def host_of(self, name: str) -> Host:
        return self.network.hosts[name]

    def start(self) -> None:
        """Make, join and start everybody."""
        os.environ["PYTHONPATH"] = str(ROOT)
        for name in (APPLICATION, *(f"{n}-{what}" for n in self.sites for what in BESIDE)):
            # Before any process: those of a namespace see the mounts of its beginning.
            self.disks[name] = SmallDisk(self.directory / name / "data", DISK)
        app = self._add_role("app", APPLICATION, self._listen(APPLICATION))
        command(app.config, "init")
        app.start()
        for name, (balance, restricted, card) in PEOPLE.items():
            app.call("user.add", name=name, balance=balance, restricted=restricted)
            app.call("user.card", name=name, number=card, remove=False)
        for name in self.sites:
            self._add_branch(name)
            if name in STRICT:
                app.call("policy.set", site=name, settings={"policy": "strict"})
        with ThreadPoolExecutor(2) as pool:
            # Each joins three roles, and each has its time limit.
            list(pool.map(self._join, self.branches))
        start_together(*(role for role in self.roles.values() if role is not app))
        for branch in self.branches:
            branch.mfd.start("--speed", "600")

    def close(self) -> None:
        """Processes, namespaces, disks and files: nothing is left."""
        self.is_closed = True
        for device in self.devices:
            device.kill()
        for role in reversed(self.roles.values()):
            role.kill()
        for branch in self.branches:
            branch.printer.close()
        # What a thread of the load, or an interrupted start, began in between.
        for pid in self.network.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.network.close()
        for disk in self.disks.values():
            disk.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _listen(name: str) -> str:
        return f'[listen]\nhost = "{name}.soak"\n'

    def _add_role(self, role: str, name: str, config: str, switch: str = "core") -> Role:
        host = self.network.add_host(name, switch)
        made = Role(role, name, self.directory / name, config, under=host.under)
        self.roles[name] = made
        return made

    def _add_branch(self, name: str) -> None:
        """Known to the application server; joined later."""
        app = self.app
        self.network.add_switch(name)
        site, provider, device = (f"{name}-{what}" for what in (*BESIDE, "mfd"))
        site_role = self._add_role(
            "site", site, _APPLICATION + self._listen(site) + TIMES, switch=name
        )
        provider_role = self._add_role(
            *("provider", provider),
            _APPLICATION + f'[site]\nhost = "{site}.soak"\nname = "{name}"\n' + TIMES,
            switch=name,
        )
        self.network.add_host(device, name)
        host = self.host_of(provider)
        # On the loopback of its print server: paper is not what is tried here.
        printer = inside(host.namespace, lambda: Printer(self.directory / f"{name}-paper"))
        branch = Branch(name, site_role, provider_role, printer, ())
        self.branches.append(branch)
        app.call("site.add", name=name, host=f"{site}.soak")
        app.call("provider.add", name=provider, site=name)
        uri = f"socket://127.0.0.1:{printer.port}"
        for queue, release in zip(branch.queues, ("immediate", "find-me"), strict=True):
            about = {"group": name, "release": release}
            app.call("printer.add", name=queue, provider=provider, uri=uri, **about)
        app.call("device.add", name=device, printer=branch.queues[0], site=name, logins="card")

    def _join(self, branch: Branch) -> None:
        for role, kind, name in (
            (branch.site, "site", branch.name),
            (branch.provider, "provider", branch.provider.name),
        ):
            token = self.app.call("token", role=kind, name=name)["token"]
            words = ("join", "--token", token, "--server", SERVER)
            command(role.config, *words, under=role.under)
        device = f"{branch.name}-mfd"
        token = self.app.call("token", role="device", name=device)["token"]
        branch.device = Mfd.join(
            *(device, self.directory / device, token, SERVER),
            f"{APPLICATION}.soak:9193",
            f"{branch.name}={branch.site.name}.soak:9193",
            under=self.host_of(device).under,
        )

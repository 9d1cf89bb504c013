"""Devices of a whole installation, typed by hand: an identity for each, and its session."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

from papercutd.demo.installation import Branch
from papercutd.demo.processes import Role
from papercutd.identity.authority import Authority
from tests.support.certificates import credentials
from tests.support.outage import OutageCase
from tests.support.raw_link import RawLink
from tests.support.waiting import wait_for

CARD = "04:A2:2B:91"


def devices_port(role: Role) -> int:
    """Where a server listens for devices."""
    return int(tomllib.loads(role.config.read_text())["listen"]["devices"])


class DeviceCase(OutageCase):
    """Anna (no limit) has a card, Ben (1.00) a card, a PIN and a password; each branch a device."""

    #: As ``printer set`` takes it.
    release_mode = "secure"
    functions = "copy release"

    def setUp(self) -> None:
        super().setUp()
        app = self.installation.app
        app.call("user.add", name="ben", balance="1.00")
        app.call("user.card", name="anna", number=CARD)
        app.call("user.card", name="ben", number="0815")
        app.call("user.secret", name="ben", kind="password", secret="correct horse")
        app.call("user.secret", name="ben", kind="pin", secret="4711")
        authority = Authority.load(app.data / "ca")
        for branch in self.installation.branches:
            app.call("printer.set", name=f"{branch.name}-1", release=self.release_mode)
            app.call(
                "device.add",
                name=f"{branch.name}-mfd",
                printer=f"{branch.name}-1",
                site=branch.name,
                logins="card card-pin password",
                functions=self.functions,
            )
            identity = self.identity(branch)
            identity.mkdir()
            credentials(authority, "device", f"{branch.name}-mfd", time.time()).save(identity)
        self.branch = self.installation.branches[0]
        waits = lambda b: b.provider.call("status")["printers"]  # noqa: E731
        self.wait("settings have come", waits)
        position = lambda b: b.site.call("status")["position"]  # noqa: E731
        newest = app.call("status")["position"]
        self.wait("replicas have come", lambda b: position(b) == newest)

    def identity(self, branch: Branch) -> Path:
        return self.installation.directory / f"device-{branch.name}"

    def device(
        self, role: Role, branch: Branch, runs: list[dict[str, Any]] | None = None
    ) -> RawLink:
        """A session of the branch's device to ``role``, which has listed ``runs``."""
        is_site = role is not self.installation.app
        server = ("site", branch.name) if is_site else ("application", "application")
        link = RawLink(devices_port(role), self.identity(branch), server=server)
        self.addCleanup(link.close)
        word, welcome = link.hello(f"{branch.name}-mfd", role="device")
        self.assertEqual(word, "OK", welcome)
        self.assertEqual(link.ask("OPEN", page=0, last=True, runs=runs or [])[0], "OK")
        return link

    def add_devices(self, *names: str) -> None:
        """More devices of the first branch; its site knows them when this returns."""
        app, branch = self.installation.app, self.branch
        for name in names:
            app.call(
                "device.add",
                **{"name": name, "printer": f"{branch.name}-1", "site": branch.name},
                logins="card card-pin password",
            )
        newest = app.call("status")["position"]
        known = lambda: branch.site.call("status")["position"] == newest  # noqa: E731
        self.assertTrue(wait_for("the site knows them", known))

    def connect(self, name: str, role: Role) -> RawLink:
        """A connection to ``role`` with the certificate of a device called ``name``."""
        identity = self.installation.directory / f"identity-{name}"
        if not identity.exists():
            identity.mkdir()
            authority = Authority.load(self.installation.app.data / "ca")
            credentials(authority, "device", name, time.time()).save(identity)
        is_site = role is not self.installation.app
        server = ("site", self.branch.name) if is_site else ("application", "application")
        link = RawLink(devices_port(role), identity, server=server)
        self.addCleanup(link.close)
        return link

    def session(self, name: str, role: Role) -> RawLink:
        """A session of the device called ``name`` that keeps no run."""
        link = self.connect(name, role)
        word, welcome = link.hello(name, role="device")
        self.assertEqual(word, "OK", welcome)
        self.assertEqual(link.ask("OPEN", page=0, last=True, runs=[])[0], "OK")
        return link

    def login(self, link: RawLink, **shown: str) -> dict[str, Any]:
        shown = shown or {"method": "card", "card": CARD.lower()}
        word, person = link.ask("LOGIN", **shown)
        self.assertEqual(word, "OK", person)
        return person

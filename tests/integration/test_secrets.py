"""What somebody finds who listens on the wire, takes a site's disk, or reads logs and backups."""

from __future__ import annotations

import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from papercutd.demo.network import Relay
from papercutd.demo.processes import command
from tests.integration.test_device import BEN, CARD, PIN, DeviceCase
from tests.support.waiting import wait_for

PASSWORD = "correct horse"
ADMINISTRATOR = "battery staple 1"
TITLE = "A letter nobody else reads"


class SecretsTests(DeviceCase):
    """People prove who they are at a device and print, while all of it is recorded."""

    def setUp(self) -> None:
        #: Bytes by direction: true from those who connect.
        self.wire: dict[bool, list[bytes]] = {True: [], False: []}
        self._lock = threading.Lock()
        test, pass_on = self, Relay._pass_on

        def recorded(relay: Relay, source: socket.socket, target: socket.socket) -> None:
            is_client = source.getsockname()[1] == relay.port

            class Tap:
                """``source``, written down."""

                def recv(self, count: int) -> bytes:
                    data = source.recv(count)
                    with test._lock:
                        test.wire[is_client].append(data)
                    return data

                def shutdown(self, how: int) -> None:
                    source.shutdown(how)

            tap: Any = Tap()
            pass_on(relay, tap, target)

        self.patch(Relay, "_pass_on", recorded)
        super().setUp()

    def files(self, *folders: Path) -> list[tuple[Path, bytes]]:
        found = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
        return [(path, path.read_bytes()) for path in found]

    def absent(self, where: object, data: bytes, *secrets: str) -> None:
        for secret in secrets:
            self.assertNotIn(secret.encode(), data, (where, secret))

    def test_nowhere_in_the_clear(self) -> None:
        self.app.call("user.add", name="root", administrator=True)
        self.app.call("user.secret", name="root", kind="password", secret=ADMINISTRATOR)
        self.mfd.start()
        self.do(f"login card {BEN} {PIN}")
        self.do("logout")
        self.mfd.say("login ben")
        self.do(PASSWORD)
        self.do("logout")
        job = self.branch.print_file(b"%!PS\nshowpage\n", TITLE, "anna")
        settled = lambda: self.branch.job(job)["state"] not in ("new", "asking")  # noqa: E731
        self.assertTrue(wait_for("it is decided", settled))
        secrets = (CARD, BEN, PASSWORD, PIN, ADMINISTRATOR)
        copy = self.installation.directory / "copy.db"
        command(self.app.config, "backup", str(copy))
        status = repr([role.call("status") for role in (self.app, self.site, self.branch.provider)])
        self.absent("status", status.encode(), *secrets)
        # Disks, logs and the backup: nothing of it as it was typed.
        app = self.app.config.parent
        site = self.site.config.parent
        for path, data in self.files(app, site, self.branch.provider.config.parent):
            self.absent(path, data, *secrets)
        self.absent("backup", copy.read_bytes(), *secrets)
        # A site's disk: no administrator's verifier, no key of the CA.
        with closing(sqlite3.connect(self.app.data / "application.db")) as database:
            (verifier,) = database.execute(
                "SELECT verifier FROM user WHERE administrator = 1"
            ).fetchone()
            (bens,) = database.execute("SELECT verifier FROM user WHERE name = 'ben'").fetchone()
        self.assertTrue(verifier.startswith("$argon2id$"))
        ca_keys = [
            data for path, data in self.files(app) if b"PRIVATE KEY" in data and "ca" in path.name
        ]
        self.assertTrue(ca_keys)
        site_files = self.files(site)
        for path, data in site_files:
            self.absent(path, data, verifier)
            for key in ca_keys:
                self.assertNotIn(key.strip(), data, path)
        # That is no accident: those of others are there, since they log in while it is cut.
        self.assertTrue(any(bens.encode() in data for _, data in site_files))
        # The wire: enough was said, and nothing of it can be read.
        with self._lock:
            said = {side: b"".join(parts) for side, parts in self.wire.items()}
        for side, data in said.items():
            self.assertGreater(len(data), 2_000)
            self.absent(side, data, *secrets, TITLE, "anna", "HELLO", "PING", "OPEN", bens)
        self.replay(said[True])

    def replay(self, said: bytes) -> None:
        """F51: what was recorded, said again, opens nothing."""
        before = self.app.call("status")["charges"]
        with socket.create_connection(("127.0.0.1", self.links_port()), timeout=20) as again:
            try:
                again.sendall(said)
                heard = b""
                while block := again.recv(65_536):
                    heard += block
            except OSError:
                pass
        self.assertNotIn(b" OK ", heard)
        self.assertEqual(self.app.call("status")["charges"], before)
        self.assertEqual(self.app.call("verify")["problems"], [])

    def links_port(self) -> int:
        import tomllib

        return int(tomllib.loads(self.app.config.read_text())["listen"]["links"])

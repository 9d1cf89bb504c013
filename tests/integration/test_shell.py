"""The administrator's shell, with OpenSSH's own client."""

from __future__ import annotations

import json
import os
import pty
import shutil
import stat
import subprocess
import time

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.network import free_port
from papercutd.demo.processes import NotReady
from tests.support.installation import make_installation


class ShellTests(SynchronousTestCase):
    timeout = 90

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.folder = self.installation.directory / "ssh"
        self.folder.mkdir()
        self.app = self.installation.app
        self.port = free_port()
        for name in ("right", "wrong"):
            subprocess.run(
                [
                    *("ssh-keygen", "-q", "-t", "ed25519", "-N", ""),
                    *("-C", f"{name}@desk", "-f", str(self.folder / name)),
                ],
                check=True,
            )
        keys = self.folder / "authorized_keys"
        keys.write_text("# who may\nnonsense\n" + (self.folder / "right.pub").read_text())
        self.configure(f'[shell]\nkeys = "{keys}"\nport = {self.port}\n')

    def configure(self, text: str) -> None:
        self.app.config.write_text(self.app.config.read_text() + text)

    def command(self, key: str, *options: str) -> list[str]:
        return [
            *("ssh", "-F", "none", "-tt", "-p", str(self.port), "-i", str(self.folder / key)),
            *("-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}"),
            *("-o", "StrictHostKeyChecking=accept-new", "-o", "IdentitiesOnly=yes"),
            *("-o", "IdentityAgent=none", "-o", "ConnectTimeout=10", *options),
            "anybody@127.0.0.1",
        ]

    def type_lines(self, key: str, *lines: str) -> str:
        """What a terminal shows of a session in which ``lines`` are typed."""
        ours, theirs = pty.openpty()
        running = subprocess.Popen(
            self.command(key), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        shown = b""
        try:
            for line in ("", *lines):
                if line:
                    os.write(ours, line.encode() + b"\n")
                shown += self.read_until(ours, b">>> ", answered=line.endswith("()"))
            os.write(ours, b"\x04")
            running.wait(10)
        finally:
            running.kill()
            running.wait()
            os.close(ours)
        return shown.decode(errors="replace")

    def read_until(
        self, terminal: int, what: bytes, limit_s: float = 15.0, answered: bool = False
    ) -> bytes:
        """``answered``: what takes its time gives the prompt back first, and its answer then."""
        os.set_blocking(terminal, False)
        data, deadline = b"", time.monotonic() + limit_s
        while time.monotonic() < deadline:
            try:
                data += os.read(terminal, 65_536)
            except BlockingIOError:
                # A prompt is the end once nothing more comes for a while.
                is_there = data.endswith(what) or what in data[-40:]
                if is_there and (not answered or b" called back: " in data):
                    return data
                time.sleep(0.1)
            except OSError:
                return data
        return data

    def audit(self) -> list[tuple[str, str]]:
        path = self.app.data / "audit.log"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return [(entry["who"], entry["what"]) for entry in entries]

    def test_right_key_in_and_every_line_audited(self) -> None:
        self.app.start()
        shown = self.type_lines(
            "right",
            "status()",
            "verify()",
            'store.query("SELECT COUNT(*) FROM price")',
            'store.query("DELETE FROM price")',
            "root.role",
        )
        self.assertIn("'role': 'application'", shown)
        self.assertIn("'ok': True", shown)
        self.assertIn("[(1,)]", shown)
        self.assertIn("readonly", shown)
        lines = self.audit()
        self.assertEqual({who for who, _ in lines}, {"right@desk"})
        self.assertEqual([what for _, what in lines][:3], ["(connected)", "status()", "verify()"])
        self.assertIn('store.query("DELETE FROM price")', [what for _, what in lines])
        mode = (self.app.data / "identity" / "ssh_host_ed25519_key").stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def refused(self, key: str, *options: str) -> str:
        done = subprocess.run(
            self.command(key, "-o", "BatchMode=yes", *options),
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        self.assertEqual(done.returncode, 255, done.stdout)
        return done.stderr

    def test_wrong_key_and_password_out(self) -> None:
        self.app.start()
        self.assertIn("Permission denied (publickey)", self.refused("wrong"))
        said = self.refused("wrong", "-o", "PreferredAuthentications=password")
        self.assertIn("Permission denied (publickey)", said)
        self.assertFalse((self.app.data / "audit.log").exists())

    def test_a_terminal_and_nothing_else(self) -> None:
        self.app.start()
        command = self.command("right", "-o", "BatchMode=yes")
        command.remove("-tt")
        done = subprocess.run(
            [*command, "id"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
        self.assertNotIn("uid=", done.stdout)
        self.assertNotEqual(done.returncode, 0)
        with open(self.folder / "batch", "w") as batch:
            batch.write("ls\n")
        done = subprocess.run(
            [
                *("sftp", "-F", "none", "-b", str(self.folder / "batch"), "-P", str(self.port)),
                *("-i", str(self.folder / "right"), "-o", "StrictHostKeyChecking=no"),
                *("-o", "UserKnownHostsFile=/dev/null", "anybody@127.0.0.1"),
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
        self.assertNotEqual(done.returncode, 0)

    def test_off_by_default_and_only_on_the_loopback(self) -> None:
        text = self.app.config.read_text()
        self.app.config.write_text(text.replace("[shell]\nkeys = ", "[shell]\n# "))
        self.app.start()
        self.refused("right")
        self.app.stop()
        self.app.config.write_text(text + 'interface = "0.0.0.0"\n')
        with self.assertRaises(NotReady) as caught:
            self.app.start()
        self.assertIn("loopback", str(caught.exception))

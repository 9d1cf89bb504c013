"""Private files, alone and together."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.identity import files
from papercutd.identity.files import PENDING, PrivateFile, finish_together, write_private
from papercutd.identity.files import write_together as write
from papercutd.identity.tls import Credentials, make_context
from tests.support.certificates import credentials, make_authority
from tests.support.stores import WALL_S


class Stopped(Exception):
    """The process died here."""


class PrivateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.directory / name).stat().st_mode)

    def test_mode(self) -> None:
        for umask in (0o000, 0o077):
            old = os.umask(umask)
            try:
                write_private(self.directory / "key", b"x")
                write_private(self.directory / "open", b"x", 0o644)
            finally:
                os.umask(old)
            self.assertEqual((self.mode("key"), self.mode("open")), (0o600, 0o644))

    def test_leftovers_lend_no_mode(self) -> None:
        left = self.directory / "key.new"
        left.write_bytes(b"half")
        left.chmod(0o666)
        write_private(self.directory / "key", b"whole")
        self.assertEqual(self.mode("key"), 0o600)
        self.assertEqual((self.directory / "key").read_bytes(), b"whole")
        self.assertFalse(left.exists())

    def test_a_link_is_not_followed(self) -> None:
        victim = self.directory / "victim"
        victim.write_bytes(b"mine")
        (self.directory / "key.new").symlink_to(victim)
        write_private(self.directory / "key", b"secret")
        self.assertEqual(victim.read_bytes(), b"mine")


class TogetherTests(SynchronousTestCase):
    """A crash at every write leaves all files old or all new."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        authority = make_authority(WALL_S)
        self.old = credentials(authority, "site", "north", WALL_S)
        self.new = credentials(authority, "site", "north", WALL_S)

    def test_crash_anywhere(self) -> None:
        seen = set()
        for writes in range(6):
            self.old.save(self.directory)
            self.save_until(writes)
            loaded = Credentials.load(self.directory)
            self.assertIn(loaded, (self.old, self.new))
            make_context(loaded)
            seen.add(loaded)
            self.assertFalse((self.directory / PENDING).exists())
        self.assertEqual(len(seen), 2)

    def test_first_time(self) -> None:
        self.save_until(2)
        self.assertTrue((self.directory / "key.pem").exists())
        self.assertEqual(Credentials.load(self.directory), self.new)

    def save_until(self, writes: int) -> None:
        left = [writes]
        whole = files.write_private

        def dying(path: Path, data: bytes, mode: int = 0o600) -> None:
            if left[0] == 0:
                raise Stopped
            left[0] -= 1
            whole(path, data, mode)

        self.patch(files, "write_private", dying)
        try:
            self.new.save(self.directory)
        except Stopped:
            pass
        finally:
            self.patch(files, "write_private", whole)

    def test_nothing_pending(self) -> None:
        finish_together(self.directory)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_what_is_pending_is_private(self) -> None:
        write(self.directory, [PrivateFile("a", b"1")])
        self.save_until(1)
        mode = stat.S_IMODE((self.directory / PENDING).stat().st_mode)
        self.assertEqual(mode, 0o600)

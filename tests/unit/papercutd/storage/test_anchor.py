"""The anchor: which journal was put back, and which has only lost its last moment."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import Mark
from papercutd.storage.proof.anchor import (
    SLOT_LENGTH,
    Anchor,
    Anchored,
    FileOnDisk,
    read_slots,
    was_restored,
    write_slot,
)
from papercutd.storage.site.site_journal import append_body
from papercutd.storage.site.site_store import create_site
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineWriter
from tests.support.stores import job_id

STREAM, OTHER = job_id(1), job_id(2)


class MemoryFile:
    def __init__(self) -> None:
        self.data = b""
        self.fails = False

    def read(self) -> bytes:
        return self.data

    def write(self, offset: int, data: bytes) -> None:
        if self.fails:
            raise OSError(28, "no space")
        self.data = self.data[:offset].ljust(offset) + data + self.data[offset + len(data) :]


class SlotTests(SynchronousTestCase):
    @given(st.integers(0, 10**15), st.integers(0, 2 * SLOT_LENGTH - 1), st.integers(1, 255))
    def test_one_changed_byte_leaves_the_other_slot(self, number: int, at: int, bit: int) -> None:
        older = Anchored(STREAM, Mark(number, "ab" * 32), 4)
        newer = Anchored(STREAM, Mark(number + 1, "cd" * 32), 5)
        data = bytearray(write_slot(older) + write_slot(newer))
        self.assertEqual(read_slots(bytes(data)), newer)
        data[at] ^= bit
        found = read_slots(bytes(data))
        if (at + 1) % SLOT_LENGTH:
            self.assertEqual(found, newer if at < SLOT_LENGTH else older)

    @given(st.binary(max_size=3 * SLOT_LENGTH))
    def test_whatever_the_file_holds(self, data: bytes) -> None:
        self.assertIsNone(read_slots(data))


class AnchorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.file = MemoryFile()
        self.connection = open_database(":memory:", "journal")
        create_site(self.connection, "north", STREAM)
        self.anchor = Anchor(self.file)
        self.anchor.arm()
        self.writer = InlineWriter(self.connection, self.clock, self.anchor)

    def write(self, count: int = 1) -> None:
        for number in range(count):
            self.writer.submit(lambda c, n=number: append_body(c, f'{{"n":{n}}}', 0.0))
            self.clock.advance(0)

    def is_restored(self, connection: sqlite3.Connection | None = None) -> bool:
        return was_restored(connection or self.connection, read_slots(self.file.data))

    def test_it_follows_every_commit(self) -> None:
        self.assertFalse(self.is_restored())
        for _ in range(5):
            self.write()
            found = read_slots(self.file.data)
            head = self.connection.execute("SELECT number, chain FROM identity").fetchone()
            assert found is not None
            self.assertEqual((found.mark.number, found.mark.chain), head)
            self.assertFalse(self.is_restored())

    def test_behind_the_database_is_a_crash(self) -> None:
        self.write(2)
        kept = self.file.data
        self.write(3)
        self.file.data = kept
        self.assertFalse(self.is_restored())

    def test_ahead_or_off_the_chain_is_a_restore(self) -> None:
        self.write(2)
        image = sqlite3.connect(":memory:")
        self.connection.backup(image)
        self.write(1)
        self.assertTrue(self.is_restored(image))
        append_body(image, '{"n":"other"}', 0.0)
        append_body(image, '{"n":"others"}', 0.0)
        self.assertTrue(self.is_restored(image))

    def test_missing_or_unreadable_is_a_restore_of_what_has_records(self) -> None:
        self.file.data = b""
        self.assertFalse(self.is_restored())
        self.write(1)
        self.file.data = b"nonsense"
        self.assertTrue(self.is_restored())

    def test_a_new_stream(self) -> None:
        self.write(2)
        kept = self.file.data
        self.connection.execute("UPDATE identity SET stream = ?, replaces = ?", (OTHER, STREAM))
        # It died before the anchor was told.
        self.assertFalse(self.is_restored())
        self.connection.execute("UPDATE identity SET replaces = ''")
        self.assertTrue(self.is_restored())
        self.file.data = kept
        fresh = open_database(":memory:", "journal")
        create_site(fresh, "north", OTHER)
        self.assertFalse(self.is_restored(fresh))

    def test_evidence_stays_until_it_is_armed(self) -> None:
        self.write(2)
        kept = self.file.data
        other = Anchor(self.file)
        other.read()
        writer = InlineWriter(self.connection, self.clock, other)
        writer.submit(lambda c: append_body(c, "{}", 0.0))
        self.clock.advance(0)
        self.assertEqual(self.file.data, kept)

    def test_a_full_disk_stops_nobody_and_is_shown(self) -> None:
        self.write(1)
        self.file.fails = True
        self.write(1)
        self.assertTrue(self.anchor.is_broken)
        self.file.fails = False
        self.write(1)
        self.assertFalse(self.anchor.is_broken)
        self.assertFalse(self.is_restored())

    def test_a_file_on_the_disk(self) -> None:
        from pathlib import Path

        path = Path(self.mktemp())
        for number in range(1, 4):
            file = FileOnDisk(path)
            anchor = Anchor(file)
            anchor.read()
            anchor.arm()
            writer = InlineWriter(self.connection, self.clock, anchor)
            writer.submit(lambda c: append_body(c, "{}", 0.0))
            self.clock.advance(0)
            found = read_slots(path.read_bytes())
            assert found is not None
            self.assertEqual(found.mark.number, number)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

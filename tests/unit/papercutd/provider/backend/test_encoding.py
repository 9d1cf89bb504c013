"""The backend writes JSON itself: what it says is what was meant."""

from __future__ import annotations

import json
import types
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import papercutd

BACKEND = Path(papercutd.__file__).parent / "provider" / "backend" / "papercut"


def backend() -> types.ModuleType:
    """The program, as a module."""
    module = types.ModuleType("papercut_backend")
    exec(compile(BACKEND.read_text(), str(BACKEND), "exec"), module.__dict__)
    return module


class EncodingTests(SynchronousTestCase):
    def test_values(self) -> None:
        encoded = backend().encoded
        for value in (True, False, 0, 1, -5, "", "report.pdf", 'a "b" \\ c\n\x7f', "ä€😀"):
            self.assertEqual(json.loads(encoded(value)), value)
        # Bytes that are no UTF-8, as the system gives them to a program.
        self.assertEqual(json.loads(encoded("a\udcff")), "a?")

    @given(st.text(max_size=50))
    def test_any_text(self, text: str) -> None:
        said = backend().encoded(text)
        self.assertTrue(said.isascii() and "\n" not in said)
        self.assertEqual(json.loads(said), text.encode("utf-8", "replace").decode())

    def test_an_announcement(self) -> None:
        program = backend()
        words = ["papercut", "7", "anna", 'A "title"', "1", "job-uuid=urn:uuid:7 sides=one-sided"]
        line = program.announcement(words, "ipp://printer/ipp/print", False)
        verb, _, body = line.decode("ascii").partition(" ")
        found = json.loads(body)
        self.assertEqual((verb, body[-1], line.count(b"\n")), ("ANNOUNCE", "\n", 1))
        self.assertEqual((found["version"], found["job"], found["copies"]), (1, 7, 1))
        self.assertEqual((found["title"], found["uuid"]), ('A "title"', "urn:uuid:7"))
        # Nothing in the environment says that filters made anything.
        self.assertEqual((found["filtered"], found["stream"]), (False, False))

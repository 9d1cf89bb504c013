"""What somebody types, and how it is answered."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands import main
from papercutd.commands.control_client import ControlError
from papercutd.commands.readable import readable
from papercutd.commands.words import BROKEN_PIPE, told, yes_no


class WordsTests(SynchronousTestCase):
    def test_yes_and_no(self) -> None:
        self.assertEqual([yes_no("yes"), yes_no("no")], [True, False])
        for text in ("maybe", "Y", "true", "", "yes "):
            with self.assertRaisesRegex(argparse.ArgumentTypeError, "is not yes or no"):
                yes_no(text)

    def test_no_command_takes_another_word_for_no(self) -> None:
        self.patch(sys, "stderr", open(os.devnull, "w"))
        self.addCleanup(sys.stderr.close)
        for words in (
            ("user", "set", "anna", "--restricted", "maybe"),
            ("account", "set", "Physics", "--restricted", "nein"),
            ("site", "set", "north", "--deny-beyond-cap", "true"),
        ):
            with self.assertRaises(SystemExit):
                main.parser().parse_args(list(words))

    def test_a_file_is_named_first(self) -> None:
        with self.assertRaises(OSError) as caught:
            open("/nowhere/at-all")
        self.assertEqual(told(caught.exception), "/nowhere/at-all: No such file or directory")
        self.assertEqual(told(ControlError("x", "it said so")), "it said so")

    def test_who_reads_along_has_seen_enough(self) -> None:
        """As in ``papercutd user list | head -1``: no traceback."""
        code = (
            "import sys; from papercutd.commands import main;"
            "main.load_config = lambda *a: None;"
            "main._call = lambda *a: [{'name': 'n' * 100} for _ in range(9000)];"
            "sys.exit(main.main(['user', 'list']))"
        )
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        os.close(writing)
        self.assertEqual((done.stderr, done.returncode), (b"", BROKEN_PIPE))


class ReadableTests(SynchronousTestCase):
    def lines(self, result: Any) -> list[str]:
        return readable(result).splitlines()

    def test_what_is_told_twice_is_shown_once(self) -> None:
        row = {"name": "anna", "balance_e4": 125_000, "balance": "12.50", "expires_at": 1e9}
        self.assertEqual(
            self.lines({**row, "until": "2001-09-08"}),
            ["name: anna", "balance: 12.50", "until: 2001-09-08"],
        )
        self.assertEqual(
            self.lines([row]),
            ["name  balance  expires at", "anna  12.50    2001-09-09 01:46:40"],
        )

    def test_flags_and_times(self) -> None:
        self.assertEqual(
            self.lines(
                {"restricted": True, "closed": False, "pages": 1, "is_main": True, "ok": False}
            ),
            ["restricted: yes", "closed: no", "pages: 1", "is main: yes", "ok: no"],
        )
        self.assertEqual(
            self.lines({"asked_at": 0.0, "seen_at": 86_400.0, "available_here_e4": None}),
            ["asked at: none", "seen at: 1970-01-02 00:00:00", "available here: no limit"],
        )

"""What cannot be sent to a server is said before anything is sent."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.client.answers import check_secret
from papercutd.commands.client import main
from papercutd.errors import InvalidValue


class WordsTests(SynchronousTestCase):
    def refused(self, *words: str) -> str:
        said = io.StringIO()
        home = str(Path(self.mktemp()))
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as caught:
            main(["--home", home, *words])
        self.assertEqual(caught.exception.code, 2)
        return said.getvalue()

    def test_a_job_is_named_by_its_id(self) -> None:
        self.assertIn("'x' is no job's id", self.refused("answer", "x", "personal"))

    def test_names_that_are_none(self) -> None:
        for words in (
            ["login", "x" * 256],
            ["accounts", "a\x1b"],
            ["answer", "01960a2e-0000-7000-8000-0000000000aa", "shared", "--account", "x" * 256],
        ):
            self.assertIn("at most 255 characters", self.refused(*words))

    def test_secrets(self) -> None:
        self.assertEqual(check_secret("pin", "a b\u00a0"), "a b\u00a0")
        for text in ("x" * 257, "a\n"):
            with self.assertRaisesRegex(InvalidValue, "password: is at most 256"):
                check_secret("password", text)

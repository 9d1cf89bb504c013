"""Join tokens: what is one, and what is said of what is none."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import InvalidValue
from papercutd.identity.tokens import Token, parse_token

SECRET = "5ec2e700" * 4
PIN = "ab" * 32


class TokenTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        for role, name in (("site", "north"), ("provider", "p-1")):
            token = Token(role, name, SECRET, PIN)
            self.assertEqual(parse_token(f"  {token.text}\n"), token)

    def test_the_hash_is_bound_to_role_and_name(self) -> None:
        hashes = {
            Token(role, name, SECRET, PIN).hash
            for role, name in (("site", "a"), ("site", "b"), ("provider", "a"))
        }
        self.assertEqual(len(hashes), 3)

    def test_the_secret_is_not_shown(self) -> None:
        self.assertNotIn(SECRET, repr(Token("site", "north", SECRET, PIN)))

    def test_garbled(self) -> None:
        whole = Token("site", "north", SECRET, PIN).text
        for text, words in (
            ("", "is not one"),
            ("token", "is not one"),
            (whole + ":x", "is not one"),
            (whole[:-1], "cut short"),
            (whole[:40], "is not one"),
            (whole.replace(PIN, PIN.upper()), "cut short"),
            (whole.replace(SECRET, ""), "cut short"),
            (whole.replace(SECRET, "x" * 32), "cut short"),
            (whole.replace("site", "king"), "its role"),
            (whole.replace("site", "application"), "its role"),
            (whole.replace("north", "North"), "its name"),
            (whole.replace("north", ""), "its name"),
        ):
            with self.assertRaises(InvalidValue) as caught:
                parse_token(text)
            self.assertIn(words, str(caught.exception))
            self.assertNotIn(SECRET, str(caught.exception))

"""Tests of protocols.proof: a stranger's client gets the same."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from protocols.proof import is_proved, parse_secret, proof_of

SECRET = bytes(range(32))
NONCE = "5e" * 32


class ProofTests(SynchronousTestCase):
    def test_it_is_hmac_as_everybody_knows_it(self) -> None:
        """RFC 2104, by hand."""
        key = SECRET.ljust(64, b"\0")
        inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + NONCE.encode()).digest()
        outer = hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).hexdigest()
        self.assertEqual(proof_of(SECRET, NONCE), outer)

    def test_right_and_wrong(self) -> None:
        proof = proof_of(SECRET, NONCE)
        self.assertTrue(is_proved(SECRET, NONCE, proof))
        for secret, nonce, claimed in (
            (SECRET[::-1], NONCE, proof),
            (SECRET, "5f" * 32, proof),
            (SECRET, NONCE, proof.upper()),
            (SECRET, NONCE, proof[:-1]),
            (SECRET, NONCE, ""),
            (SECRET, NONCE, "\xe9" * 64),
        ):
            self.assertFalse(is_proved(secret, nonce, claimed))

    def test_secrets(self) -> None:
        self.assertEqual(parse_secret(SECRET.hex()), SECRET)
        for text in ("", "ab", "AB" * 32, "ab" * 33, "ab" * 31 + "g0"):
            with self.assertRaises(ValueError) as caught:
                parse_secret(text)
            self.assertNotIn(text or "none", str(caught.exception))

"""How a name is proved where no certificate does it: HMAC-SHA256 over the server's nonce.

The server answers a first HELLO with ``NO prove {"nonce": ...}``; the client sends HELLO
again, with ``proof``: HMAC-SHA256, keyed with the 32 bytes of the secret that both
know, over the 64 characters of the nonce. A nonce is good for one HELLO of one connection.
"""

from __future__ import annotations

import hmac
import re

SECRET_LENGTH = 32
NONCE = re.compile(r"[0-9a-f]{64}")
_SECRET = re.compile(r"[0-9a-f]{64}")


def parse_secret(text: str) -> bytes:
    """The secret of its 64 hexadecimal digits; raises ValueError, never with the text itself."""
    if not _SECRET.fullmatch(text):
        raise ValueError("a secret is 64 hexadecimal digits in lower case")
    return bytes.fromhex(text)


def proof_of(secret: bytes, nonce: str) -> str:
    """What HELLO carries in ``proof``: 64 hexadecimal digits."""
    return hmac.new(secret, nonce.encode(), "sha256").hexdigest()


def is_proved(secret: bytes, nonce: str, proof: str) -> bool:
    """Whether ``proof`` is right; takes as long for a wrong one."""
    return hmac.compare_digest(proof_of(secret, nonce).encode(), proof.encode())

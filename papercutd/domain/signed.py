"""Documents that are signed: their one form as bytes, and the signature beside them."""

from __future__ import annotations

import json
from typing import Any

import attrs

ALGORITHM = "ECDSA P-256, SHA-256"


@attrs.frozen
class Signature:
    """A signature with the certificate of its key."""

    #: DER, hexadecimal.
    signature: str
    #: PEM.
    certificate: str

    def as_shown(self) -> dict[str, str]:
        """What stands in a document as ``signed``."""
        return {
            "algorithm": ALGORITHM,
            "signature": self.signature,
            "certificate": self.certificate,
        }


def canonical(document: dict[str, Any]) -> bytes:
    """The bytes that are signed: keys in order, no space, ASCII; without ``signed``."""
    bare = {name: value for name, value in document.items() if name != "signed"}
    return json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()


def as_printed(document: dict[str, Any]) -> str:
    """The one line that ``--json`` prints."""
    return json.dumps(document)

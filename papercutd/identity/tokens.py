"""Join tokens: single-use, one hour, bound to a role and a name, carrying the server's pin."""

from __future__ import annotations

import re
from hashlib import sha256

import attrs

from papercutd.errors import InvalidValue
from papercutd.identity.names import dns_name

TOKEN_LIFE_S = 3_600.0
#: Who can join; the application server's certificate is made by ``papercutd init``.
JOINING_ROLES = ("site", "provider", "device")
_SECRET = re.compile(r"[0-9a-f]{32}")
_PIN = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class Token:
    """What an administrator carries from the application server to a new machine.

    Its text is ``ROLE:NAME:SECRET:PIN``. It is a secret until it is used.
    """

    role: str
    name: str
    #: 128 bits, hexadecimal.
    secret: str = attrs.field(repr=False)
    #: SHA-256 of the public key that 9192 shows, hexadecimal.
    pin: str

    @property
    def text(self) -> str:
        return f"{self.role}:{self.name}:{self.secret}:{self.pin}"

    @property
    def hash(self) -> str:
        """All that is stored of it."""
        return sha256(f"{self.role}:{self.name}:{self.secret}".encode()).hexdigest()


def check_joining(role: str, name: str) -> None:
    """Raises InvalidValue unless ``name`` can join as ``role``."""
    if role not in JOINING_ROLES:
        raise InvalidValue("role", f"that joins is one of {', '.join(JOINING_ROLES)}")
    dns_name(role, name)


def parse_token(text: str) -> Token:
    """Raises InvalidValue for anything that is not a token. The secret is never in its text."""
    parts = text.strip().split(":")
    if len(parts) != 4:
        raise InvalidValue("token", "is not one; copy the whole line that `add` printed")
    role, name, secret, pin = parts
    try:
        check_joining(role, name)
    except InvalidValue as error:
        raise InvalidValue("token", f"is for nobody: its {error}") from None
    if not _SECRET.fullmatch(secret) or not _PIN.fullmatch(pin):
        raise InvalidValue("token", "is cut short or mistyped; copy the whole line again")
    return Token(role, name, secret, pin)

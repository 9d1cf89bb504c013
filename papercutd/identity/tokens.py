"""Join tokens: single-use, one hour, bound to a role and a name, carrying the server's pin."""

from __future__ import annotations

import re
from hashlib import sha256

import attrs

from papercutd.errors import InvalidValue

TOKEN_LIFE_S = 3_600.0
_TOKEN = re.compile(r"(site|provider):([a-z0-9-]{1,63}):([0-9a-f]{32}):([0-9a-f]{64})")


@attrs.frozen
class Token:
    """What an administrator carries from the application server to a new machine."""

    role: str
    name: str
    secret: str
    #: SHA-256 of the public key that 9192 shows.
    pin: str

    @property
    def text(self) -> str:
        return f"{self.role}:{self.name}:{self.secret}:{self.pin}"

    @property
    def hash(self) -> str:
        """All that is stored of it."""
        return sha256(f"{self.role}:{self.name}:{self.secret}".encode()).hexdigest()


def parse_token(text: str) -> Token:
    """Raises InvalidValue for anything that is not a token."""
    found = _TOKEN.fullmatch(text.strip())
    if found is None:
        raise InvalidValue("token", "is not one; copy the whole line that `add` printed")
    return Token(*found.groups())

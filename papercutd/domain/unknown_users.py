"""What becomes of a job of somebody unknown, at the application server and at a cut site."""

from __future__ import annotations

import unicodedata

from papercutd.domain.capabilities import USERS_MET
from papercutd.domain.policy import Knob, UnknownUsers
from papercutd.domain.user_fields import NAME_MAX, check_text
from papercutd.errors import InvalidValue

#: What may be set at the application server.
AT_CENTRE = (UnknownUsers.CREATE, UnknownUsers.HOLD, UnknownUsers.DENY)
#: Users that the application server makes so in an hour, unless it is set; and the most there is.
PER_HOUR, PER_HOUR_MAX = 100, 10_000
#: Users that one site makes so in an hour, and the application server of its records.
PER_HOUR_AT_SITE, PER_HOUR_OF_SITE = 100, 1_000
HOUR_S = 3_600.0


def name_of_new(text: str) -> str:
    """The name of a user made of what a print job says; raises InvalidValue for what is none.

    Without a domain before it, and its accents written in one way.
    """
    name = unicodedata.normalize("NFC", text.rsplit("\\", 1)[-1].strip())
    if not name:
        raise InvalidValue("name", "is empty")
    return check_text("name", name, NAME_MAX)


def needs_of(knob: str, value: str) -> str:
    """The capability without which a rule of sites cannot be evaluated; empty: none."""
    is_create = (knob, value) == (Knob.UNKNOWN_USERS.value, UnknownUsers.CREATE.value)
    return USERS_MET if is_create else ""

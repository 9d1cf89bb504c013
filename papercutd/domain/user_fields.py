"""What may stand in the fields of a user, in words an administrator understands."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

from papercutd.domain.job import fold_user_name
from papercutd.errors import InvalidValue

#: Kept beside what a decision needs, each with its greatest length.
DETAILS = {
    "email": 255,
    "department": 255,
    "office": 255,
    "notes": 2_000,
    "other_emails": 1_000,
    "alias": 255,
    "home": 1_023,
}
NAME_MAX = 255
DAY_S = 86_400.0
#: The last moment that may be said: so far ahead no temporary user ends.
_YEARS_MAX = 9_000


def check_text(field: str, text: str, length_max: int) -> str:
    """``text`` itself; raises InvalidValue."""
    if len(text) > length_max:
        raise InvalidValue(field, f"is longer than {length_max} characters: it has {len(text)}")
    if not text.isprintable():
        raise InvalidValue(field, f"holds a control character ({_control(text)})")
    return text


def _control(text: str) -> str:
    found = next(c for c in text if not c.isprintable())
    return {"\0": "NUL", "\t": "a tab", "\n": "a line end"}.get(found, f"U+{ord(found):04X}")


def parse_yes_no(field: str, text: str) -> bool:
    """``Y`` or ``N``, in words too."""
    word = text.strip().lower()
    if word in ("y", "yes", "true"):
        return True
    if word in ("n", "no", "false"):
        return False
    raise InvalidValue(field, f"is Y or N (it is {text[:40]!r})")


def parse_until(text: str) -> float | None:
    """When a temporary user ends: ``2027-01-31`` (that day and no longer), ``2027-01-31 18:00``,
    in UTC; ``never``: None. Raises InvalidValue.
    """
    if text == "never":
        return None
    for form, more in (("%Y-%m-%d", timedelta(days=1)), ("%Y-%m-%d %H:%M", timedelta())):
        try:
            at = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if at.year < _YEARS_MAX:
            return (at + more).timestamp()
    raise InvalidValue("until", "is a day such as 2027-01-31, with a time 18:00 (UTC), or never")


def show_end(at: float | None) -> str:
    """An end as ``parse_until`` reads it: the last day, where it is the end of that day."""
    if at is None or at % DAY_S:
        return show_until(at)
    return f"{datetime.fromtimestamp(at - DAY_S, UTC):%Y-%m-%d}"


def show_until(at: float | None) -> str:
    """As people read it."""
    if at is None:
        return "never"
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def forms_of_name(name: str) -> tuple[str, ...]:
    """Every form under which somebody of that name may be found: how accents are written
    (é as one character, or as e with an accent after it) makes nobody another person."""
    folded = fold_user_name(name)
    if folded.isascii():
        return (folded,)
    other = (unicodedata.normalize(form, folded) for form in ("NFC", "NFD"))
    return tuple(dict.fromkeys((folded, *other)))


def why_alike(one: str, other: str) -> str:
    """Two names of one person: how they differ, in words."""
    if one == other:
        return "is the same name"
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other):
        return "differs only in how accents are written"
    if one.rsplit("\\", 1)[-1].casefold() == other.rsplit("\\", 1)[-1].casefold():
        if one.rsplit("\\", 1)[-1] == other.rsplit("\\", 1)[-1]:
            return "differs only in the domain before the backslash"
        return "differs only in capital letters"
    return "is the same person"

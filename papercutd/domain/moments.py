"""Moments as administrators write them."""

from __future__ import annotations

from datetime import UTC, datetime

from papercutd.errors import InvalidValue

_FORMS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")


def parse_moment(field: str, text: str) -> float:
    """Seconds since 1970 of ``2027-01-31`` (its beginning), with a time ``18:00``, in UTC; or of
    a number of seconds. Raises InvalidValue.
    """
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds < 1e11:
        raise InvalidValue(field, "is a day such as 2027-01-31, with a time 18:00 (UTC)")
    return seconds

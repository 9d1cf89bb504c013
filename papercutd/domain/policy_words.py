"""The rules of cut sites as people write and read them: ``cap=200pages``, ``stale-after=12h``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from papercutd.domain.account_mode import WORDS as MODES
from papercutd.domain.account_mode import read_mode, show_mode
from papercutd.domain.money import parse_amount_e4, show_amount
from papercutd.domain.policy import CAP_PAGES_MAX, DAY_S, SECONDS_MAX, Knob, check_value
from papercutd.errors import InvalidValue

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_S}
_PAGES = re.compile(r"(\d{1,7}) ?p(?:ages?)?", re.ASCII)
_TIME = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_TIMES = (Knob.STALE_AFTER, Knob.ALARM_AGE, Knob.ACCOUNT_CHOICE_TIMEOUT)
#: What may be written, for errors and help.
WORDS: dict[Knob, str] = {
    Knob.POLICY: "capped, strict or closed",
    Knob.CAP: f"pages up to {CAP_PAGES_MAX} such as 200pages, an amount such as 10.00, or none",
    Knob.BEYOND_CAP: "hold or deny",
    Knob.STALE_AFTER: "a time such as 30m, 12h or 7d, at most 366d, or never",
    Knob.PASSWORDS: "until-stale or never",
    Knob.ACCOUNT: "personal, hold, deny, or shared:NAME of a shared account",
    Knob.ACCOUNT_MODE: MODES,
    Knob.ACCOUNT_CHOICE_TIMEOUT: "a time from 10s to 1d, such as 5m",
    Knob.UNKNOWN_USERS: "hold, deny, create or uncollected",
    Knob.ALARM_TOTAL: "pages such as 10000pages, an amount such as 500.00, or none",
    Knob.ALARM_AGE: "a time such as 24h, or never",
}


def find_knob(name: str) -> Knob:
    """Raises InvalidValue."""
    try:
        return Knob(name)
    except ValueError:
        known = ", ".join(knob.value for knob in Knob)
        raise InvalidValue(name or "setting", f"is no setting; these are: {known}") from None


def parse_value(knob: Knob, text: str, shared: Mapping[str, int]) -> str:
    """What is kept of ``text``; ``shared``: ids of shared accounts. Raises InvalidValue."""
    try:
        value = _parse(knob, text.strip(), shared)
        check_value(knob.value, value)
    except (ValueError, KeyError):
        raise InvalidValue(knob.value, f"is {WORDS[knob]}") from None
    return value


def _parse(knob: Knob, text: str, shared: Mapping[str, int]) -> str:
    if knob in (Knob.CAP, Knob.ALARM_TOTAL) and text != "none":
        pages = _PAGES.fullmatch(text)
        if pages is not None:
            return f"pages:{int(pages[1])}"
        try:
            return f"e4:{parse_amount_e4(text)}"
        except InvalidValue:
            raise ValueError(text) from None
    if knob in _TIMES and text != "never":
        time = _TIME.fullmatch(text)
        if time is None or int(time[1]) * _UNITS[time[2]] > SECONDS_MAX:
            raise ValueError(text)
        return str(int(time[1]) * _UNITS[time[2]])
    if knob is Knob.ACCOUNT_MODE:
        return read_mode(text, shared).text
    if knob is Knob.ACCOUNT and text.startswith("shared:"):
        name = text.removeprefix("shared:")
        return f"shared:{shared[name]}"
    return text


def show_value(knob: str, value: str, shared: Mapping[int, str]) -> str:
    """As it may be written again; what this release does not know, as it is."""
    try:
        known = Knob(knob)
        check_value(knob, value)
    except ValueError:
        return value
    kind, _, number = value.partition(":")
    if known is Knob.ACCOUNT_MODE:
        return show_mode(value, shared)
    if known in _TIMES and value != "never":
        return show_time(int(value))
    if kind == "pages":
        return f"{number}pages"
    if kind == "e4":
        return show_amount(int(number))
    if kind == "shared":
        return f"shared:{shared.get(int(number), number)}"
    return value


def show_time(seconds: float | None) -> str:
    """``7d``, ``36h``, ``90m``, ``45s``; None: ``never``."""
    if seconds is None:
        return "never"
    whole = round(seconds)
    for unit in ("d", "h", "m"):
        if whole and whole % _UNITS[unit] == 0:
            return f"{whole // _UNITS[unit]}{unit}"
    return f"{whole}s"

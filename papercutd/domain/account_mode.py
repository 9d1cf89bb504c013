"""How it is settled who pays a user's jobs: the mode of account selection.

It is kept as a text: ``personal``, ``shared:7``, ``popup`` or ``advanced``; behind it may stand
``+named``: the person pays and the shared account is only named; and behind that, of the two that
do not ask for an account, ``+confirm``. Of a user it may be empty: as the default of their groups
and of the installation says.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

import attrs

from papercutd.domain.capabilities import ACCOUNT_MODES, NAMED_ACCOUNTS

#: At the end of a mode: the person sees the cost first.
CONFIRM = "+confirm"
#: Before that: the person pays, whatever shared account is chosen.
NAMED = "+named"
_SHARED = re.compile(r"shared:([1-9][0-9]{0,15})", re.ASCII)


class Kind(enum.Enum):
    """Who pays a user's jobs, or who says so."""

    PERSONAL = "personal"
    SHARED = "shared"
    #: The person says so, for each job.
    POPUP = "popup"
    #: The same, with a comment.
    ADVANCED = "advanced"


@attrs.frozen
class Mode:
    """How it is settled who pays a user's jobs."""

    kind: Kind = Kind.PERSONAL
    #: With SHARED: the account's id.
    shared: int | None = None
    #: The person sees the cost first and says that the job is to be printed.
    confirms: bool = False
    #: The person pays; a shared account is only named.
    names: bool = False

    @property
    def asks_account(self) -> bool:
        return self.kind in (Kind.POPUP, Kind.ADVANCED)

    @property
    def text(self) -> str:
        """As it is kept."""
        kind = self.kind.value if self.shared is None else f"{self.kind.value}:{self.shared}"
        return kind + _endings(self.names, self.confirms)

    @property
    def needs(self) -> str:
        """The capabilities that a site must have to settle it."""
        if self == Mode():
            return ""
        return f"{ACCOUNT_MODES} {NAMED_ACCOUNTS}" if self.names else ACCOUNT_MODES

    @property
    def caution(self) -> tuple[int, int, int, int]:
        """The least of several modes wins: who may be asked is asked, who may pay pays."""
        return (not self.asks_account, not self.confirms, not self.names, -(self.shared or 0))


@lru_cache(maxsize=1_000)
def parse_mode(text: str) -> Mode:
    """The mode kept as ``text``; raises ValueError."""
    word, names, confirms = next(split_endings(text))
    shared = _SHARED.fullmatch(word)
    kind = Kind.SHARED if shared is not None else Kind(word)
    mode = Mode(kind, None if shared is None else int(shared[1]), confirms, names)
    if (kind is Kind.SHARED and shared is None) or (confirms and mode.asks_account):
        raise ValueError(text)
    return mode


def split_endings(text: str) -> Iterator[tuple[str, bool, bool]]:
    """(what stands before them, named, confirm): of all endings, then of one less each.

    The name of an account may end as they do.
    """
    before = text.removesuffix(CONFIRM)
    word = before.removesuffix(NAMED)
    if word != before:
        yield word, True, before != text
    if before != text:
        yield before, False, True
    yield text, False, False


def _endings(names: bool, confirms: bool) -> str:
    return (NAMED if names else "") + (CONFIRM if confirms else "")


#: As people write it.
WORDS = (
    "personal, shared:NAME of a shared account, popup or advanced;"
    " behind it +named where the person pays and the account is only named;"
    " personal and shared:NAME may end in +confirm"
)


def read_mode(text: str, shared: Mapping[str, int]) -> Mode:
    """The mode that a person wrote; ``shared``: ids of shared accounts by their names.

    Raises ValueError, KeyError for an account that there is not.
    """
    if not text.startswith("shared:"):
        return parse_mode(text)
    # An account may be called as anybody likes: the longest name that there is.
    found = list(split_endings(text.removeprefix("shared:")))
    for name, names, confirms in reversed(found):
        if name in shared:
            return Mode(Kind.SHARED, shared[name], confirms, names)
    raise KeyError(found[0][0])


def show_mode(text: str, shared: Mapping[int, str]) -> str:
    """As it may be written again; what this release does not know, as it is kept."""
    try:
        mode = parse_mode(text)
    except ValueError:
        return text
    if mode.shared is None:
        return text
    name = shared.get(mode.shared, str(mode.shared))
    return f"shared:{name}{_endings(mode.names, mode.confirms)}"

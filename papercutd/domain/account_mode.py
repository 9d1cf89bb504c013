"""How it is settled who pays a user's jobs: the mode of account selection.

It is kept as a text: ``personal``, ``shared:7``, ``popup`` or ``advanced``; the two that do
not ask for an account may end in ``+confirm``. Of a user it may be empty: as the default of
their groups and of the installation says.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from functools import lru_cache

import attrs

from papercutd.domain.capabilities import ACCOUNT_MODES

#: At the end of a mode: the person sees the cost first.
CONFIRM = "+confirm"
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

    @property
    def asks_account(self) -> bool:
        return self.kind in (Kind.POPUP, Kind.ADVANCED)

    @property
    def text(self) -> str:
        """As it is kept."""
        kind = self.kind.value if self.shared is None else f"{self.kind.value}:{self.shared}"
        return kind + (CONFIRM if self.confirms else "")

    @property
    def needs(self) -> str:
        """The capability that a site must have to settle it."""
        return "" if self == Mode() else ACCOUNT_MODES

    @property
    def caution(self) -> tuple[int, int, int]:
        """The least of several modes wins: who may be asked is asked."""
        return (not self.asks_account, not self.confirms, -(self.shared or 0))


@lru_cache(maxsize=1_000)
def parse_mode(text: str) -> Mode:
    """The mode kept as ``text``; raises ValueError."""
    word = text.removesuffix(CONFIRM)
    confirms = word != text
    shared = _SHARED.fullmatch(word)
    kind = Kind.SHARED if shared is not None else Kind(word)
    mode = Mode(kind, None if shared is None else int(shared[1]), confirms)
    if (kind is Kind.SHARED and shared is None) or (confirms and mode.asks_account):
        raise ValueError(text)
    return mode


#: As people write it.
WORDS = (
    "personal, shared:NAME of a shared account, popup or advanced;"
    " personal and shared:NAME may end in +confirm"
)


def read_mode(text: str, shared: Mapping[str, int]) -> Mode:
    """The mode that a person wrote; ``shared``: ids of shared accounts by their names.

    Raises ValueError, KeyError for an account that there is not.
    """
    if not text.startswith("shared:"):
        return parse_mode(text)
    name = text.removeprefix("shared:")
    if name in shared:
        # An account may be called as anybody likes.
        return Mode(Kind.SHARED, shared[name])
    return Mode(Kind.SHARED, shared[name.removesuffix(CONFIRM)], name.endswith(CONFIRM))


def show_mode(text: str, shared: Mapping[int, str]) -> str:
    """As it may be written again; what this release does not know, as it is kept."""
    try:
        mode = parse_mode(text)
    except ValueError:
        return text
    if mode.shared is None:
        return text
    name = shared.get(mode.shared, str(mode.shared))
    return f"shared:{name}" + (CONFIRM if mode.confirms else "")

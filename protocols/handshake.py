"""The first exchange of every session: versions, identity, journals, positions, clock.

Grammar::

    TAG HELLO {"versions": [1, 2], "role": "provider", "name": "p1", ...}
    TAG OK {"version": 2, "role": "application", "name": "application", ...}
    TAG NO version {"spoken": [1, 2], "offered": [4]}    and the connection is closed
    TAG NO prove {"nonce": ...}              in plaintext only: HELLO again, with its proof

The client lists every version it speaks; the server answers the highest both
speak. Centre, sites and providers may be one release apart in either order:
each release speaks its own version and the one before.

What a version brought says so: a message class by ``SINCE``. A field that was
added has a default, and a word that was added to a closed list goes only to
who speaks the version it came with.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
from attrs.validators import ge, in_, le, max_len

from protocols.common import Mark, Position, is_id, is_name, is_number

#: Versions of the wire this release speaks, newest last.
VERSIONS: tuple[int, ...] = (1, 2)
VERSION_MAX = 65_535
VERSIONS_LISTED_MAX = 16


@attrs.frozen
class Acked:
    """The newest place of a site's stream that came with an acknowledgement."""

    stream: str = attrs.field(validator=is_id)
    mark: Mark


@attrs.frozen
class Hello:
    """``HELLO``: what the connecting side is and where its journal stands."""

    VERB: ClassVar[str] = "HELLO"
    versions: list[int] = attrs.field(validator=max_len(VERSIONS_LISTED_MAX))
    role: str = attrs.field(validator=in_(("provider", "site", "device", "client")))
    name: str = attrs.field(validator=is_name)
    #: The id of this incarnation of the journal; a site's is its stream id.
    journal: str = attrs.field(validator=is_id)
    #: The journal's head.
    mark: Mark
    #: The application server's position last known: a provider's by acknowledgements and
    #: pings, a site's its replica's. None before the first.
    position: Position | None = None
    #: To a site: what it acknowledged last. A site without that place was restored.
    acked: Acked | None = None
    #: The journal id this one replaces, after a loss or a restore; else empty.
    replaces: str = attrs.field(default="", validator=max_len(64))
    software: str = attrs.field(default="", validator=max_len(64))
    #: Wall clock of the sender, seconds since 1970: shown, never ordered by.
    clock: float = attrs.field(default=0.0, validator=[ge(-1e12), le(1e12)])
    capabilities: list[str] = attrs.field(factory=list, validator=max_len(64))
    #: Where no certificate proves the name (protocols/proof.py); else empty.
    proof: str = attrs.field(default="", validator=max_len(64))


_NOWHERE = Mark(0, "0" * 64)
_NONE: list[Any] = []


def settled(hello: Hello) -> Hello:
    """What of ``hello`` is still asked for once its session is open, where nothing but who that is
    and its release counts then: idle sessions of thousands of devices keep one each."""
    return attrs.evolve(
        hello,
        versions=_NONE,
        mark=_NOWHERE,
        position=None,
        acked=None,
        software=sys.intern(hello.software),
        clock=0.0,
        capabilities=_NONE,
    )


@attrs.frozen
class Welcome:
    """The answer to ``HELLO``."""

    version: int = attrs.field(validator=[ge(0), le(VERSION_MAX)])
    role: str = attrs.field(validator=in_(("application", "site")))
    name: str = attrs.field(validator=is_name)
    #: ``application``, or the stream of the site: what a decision's decider will say.
    decider: str = attrs.field(validator=max_len(64))
    #: The number of this session of this identity; the newest replaces the older.
    session: int = attrs.field(validator=is_number)
    #: The application server's head as this server knows it; None at a new site.
    position: Position | None = None
    #: What this server last saw of the asker's journal: of a provider, its last
    #: handshake; of a site, the last record applied. None: nothing yet.
    seen: Mark | None = None
    #: For a site: whether its replica goes on (``resume``) or is made anew (``snapshot``).
    replica: str = attrs.field(default="", validator=in_(("", "resume", "snapshot")))
    software: str = attrs.field(default="", validator=max_len(64))
    clock: float = attrs.field(default=0.0, validator=[ge(-1e12), le(1e12)])
    capabilities: list[str] = attrs.field(factory=list, validator=max_len(64))


def choose_version(offered: Sequence[int], spoken: Sequence[int] = VERSIONS) -> int | None:
    """The highest version both speak, or None."""
    both = set(offered) & set(spoken)
    return max(both) if both else None


def since_of(message_class: type) -> int:
    """The version that brought a message."""
    return int(getattr(message_class, "SINCE", 1))


def shown_versions(versions: Sequence[object]) -> list[int]:
    """Those of a peer's list that can be versions, the first of them."""
    found = [v for v in versions if isinstance(v, int) and 0 <= v <= VERSION_MAX]
    return found[:VERSIONS_LISTED_MAX]


def say_versions(versions: Sequence[int]) -> str:
    """``1 and 2``, for people."""
    words = [str(version) for version in sorted(versions)]
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words) or "none"


def advise(who: str, theirs: Sequence[int], ours: Sequence[int] = VERSIONS) -> str:
    """What a person reads who has to end a refusal for versions: which side to upgrade."""
    is_newer = bool(theirs) and max(theirs) > max(ours)
    side = "this side" if is_newer else who
    return f"{who} speaks {say_versions(theirs)}, we speak {say_versions(ours)}: upgrade {side}"

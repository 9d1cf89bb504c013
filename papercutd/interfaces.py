"""What replaceable parts promise: plugins are checked against these."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from zope.interface import Attribute, Interface


@attrs.frozen
class UserRecord:
    """A user as a source knows them."""

    name: str
    full_name: str = ""
    #: None: it does not say.
    restricted: bool | None = None
    groups: tuple[str, ...] = ()


@attrs.frozen
class RejectedRow:
    """A row of a source that cannot be a user, and why."""

    line: int
    reason: str


@attrs.frozen
class SourceUsers:
    """What a source holds: all of it, good and bad. Nothing is imported while any row is bad."""

    users: Sequence[UserRecord]
    rejected: Sequence[RejectedRow] = ()


class IUserSource(Interface):
    """A place that users come from."""

    description = Attribute("one line for people")

    def read() -> SourceUsers:
        """Everybody in the source, and each row that cannot be read."""

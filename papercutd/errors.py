"""The root of every error that papercutd raises on purpose.

Errors carry fields; the text is made for people at the edge that shows it. A
peer is never sent the text of an exception (docs/architecture.md, "Errors").
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs


def quoted(name: str) -> str:
    """As it is written: with one backslash where it has one (Physics\\Laser)."""
    return f"'{name}'" if name.isprintable() else repr(name)


class PapercutError(Exception):
    """Anything papercutd refuses or cannot do."""

    def __str__(self) -> str:
        """What happened and what to do: the text given, else the first line of the class's own."""
        return super().__str__() or (type(self).__doc__ or "").strip().partition("\n")[0]


@attrs.frozen(auto_exc=True, str=False)
class ConfigError(PapercutError):
    """The configuration cannot be used: mend every problem listed and start again."""

    problems: Sequence[str]

    def __str__(self) -> str:
        return "\n".join(self.problems)


class DomainError(PapercutError):
    """A rule of the product says no."""


@attrs.frozen(auto_exc=True, str=False)
class Rejected(DomainError):
    """A request that cannot be answered as asked; ``code`` is a wire code."""

    code: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


@attrs.frozen(auto_exc=True, str=False)
class NotFound(DomainError):
    """No object of that kind has that name: check the spelling, or list them."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"there is no {self.kind} {quoted(self.name)}"


@attrs.frozen(auto_exc=True, str=False)
class AlreadyExists(DomainError):
    """An object of that kind has that name already: choose another."""

    kind: str
    name: str

    def __str__(self) -> str:
        article = "an" if self.kind[:1] in "aeio" else "a"
        return f"there is {article} {self.kind} {quoted(self.name)} already"


@attrs.frozen(auto_exc=True, str=False)
class NameKept(DomainError):
    """A name that somebody else bore too lately to be given again."""

    name: str
    #: Seconds since 1970.
    until: float

    def __str__(self) -> str:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.until)
        day = f"{at:%Y-%m-%d %H:%M} UTC"
        name = quoted(self.name)
        return f"the name {name} was somebody else's and is not given again before {day}"


@attrs.frozen(auto_exc=True, str=False)
class InvalidValue(DomainError):
    """A value outside what its field admits."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class Starting(PapercutError):
    """This role is not ready yet: try again in a moment."""


class StorageError(PapercutError):
    """The store could not do it."""


class StorageFull(StorageError):
    """The disk is full: writing is refused, reading goes on. Free some space."""


class BadRows(StorageError):
    """Rows from the application server cannot be kept: compare its release with this one's."""


class StorageClosed(StorageError):
    """The store is closing or closed; nothing of this call was written."""


@attrs.frozen(auto_exc=True, str=False)
class SchemaTooNew(StorageError):
    """The database was written by a newer release: start that one, or restore a backup."""

    path: str
    found: int
    known: int

    def __str__(self) -> str:
        return (
            f"{self.path} has schema {self.found}, this release knows {self.known}:"
            " start the newer release or restore a backup"
        )


@attrs.frozen(auto_exc=True, str=False)
class AlreadyRunning(StorageError):
    """Another process works on this data directory: stop it first."""

    path: str

    def __str__(self) -> str:
        return f"another process already runs on {self.path}: stop it first"


class LinkError(PapercutError):
    """The other end of a link cannot be used now."""

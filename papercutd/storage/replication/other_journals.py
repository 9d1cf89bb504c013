"""Journals of others: those set aside by joining again, and those of providers to compare with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from papercutd.errors import InvalidValue
from papercutd.storage.engine import Connection

T = TypeVar("T")
#: What a set-aside journal is called before it was salvaged, and after.
WAITING = "old-"
DONE = "settled-"


def journals_to_salvage(data: Path, name: str) -> Iterator[Path]:
    """Journals called ``name`` that were set aside in ``data``, oldest first."""
    yield from sorted(data.glob(f"{WAITING}*-{name}"))


def read_from(path: Path, read: Callable[[Connection], T]) -> T:
    """``read`` of the journal at ``path``; its write-ahead log counts."""
    connection = sqlite3.connect(path)
    try:
        return read(connection)
    finally:
        connection.close()


def mark_salvaged(path: Path) -> None:
    """It stays on the disk under a name that says that nothing of it is owed any more."""
    path.rename(path.with_name(path.name.replace(WAITING, DONE, 1)))


def read_printed(path: str) -> tuple[str, set[str]]:
    """A provider's name and the keys its journal has as printed; raises InvalidValue."""
    if not Path(path).exists():
        raise InvalidValue("provider-journal", f"{path} does not exist")
    journal = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (provider,) = journal.execute("SELECT name FROM identity").fetchone()
        found = journal.execute(
            "SELECT key FROM taken WHERE completion IS NOT NULL AND parked = ''"
        )
        return provider, {row[0] for row in found}
    finally:
        journal.close()


def read_unforwarded(connection: Connection) -> list[str]:
    """A site's records that the application server has not acknowledged, oldest first."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT body FROM journal WHERE number > (SELECT acked FROM identity) ORDER BY number"
        )
    ]

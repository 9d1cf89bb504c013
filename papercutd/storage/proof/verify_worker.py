"""The process that verifies a running server's database: ``python -m`` this module.

It is a process of its own, of low priority, since hashing a whole ledger in a thread of the
server would take the interpreter from who asks for a decision. It only reads. A line of JSON on
its standard input says what (``Asked``), so that no other user sees an address with a password;
lines ``{"progress": {...}}`` come, then one of ``{"problems": [...]}`` or ``{"error": "..."}``.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import msgspec

from papercutd.storage.engine import DATABASE_ERRORS, Connection
from papercutd.storage.postgres.database import NoDatabase, open_blocking
from papercutd.storage.postgres.opening import SEARCH_PATHS
from papercutd.storage.proof.verifying import verify_books, verify_site
from papercutd.storage.site import replica

#: How much a busy machine prefers the server to this.
NICE = 10
#: More than anybody reads.
PROBLEMS_MAX = 5_000
_CACHE_KIB = 32_000
#: A site's replica may be replaced between its number is read and it is attached.
_TRIES = 5


class Asked(msgspec.Struct):
    """What is to be verified."""

    #: ``application`` or ``journal``.
    schema: str
    #: SQLite's file; else empty, and ``address`` is PostgreSQL's.
    path: str = ""
    address: str = ""


def main() -> int:
    os.nice(NICE)
    asked = msgspec.json.decode(sys.stdin.buffer.readline(), type=Asked)
    try:
        connection = open_to_verify(asked)
        try:
            check = verify_books if asked.schema == "application" else verify_site
            problems = check(connection, lambda figures: _say({"progress": figures}))
        finally:
            connection.close()
    except (*DATABASE_ERRORS, NoDatabase) as error:
        _say({"error": str(error)})
        return 1
    except BrokenPipeError:
        # The server is no more.
        return 1
    more = len(problems) - PROBLEMS_MAX
    if more > 0:
        problems[PROBLEMS_MAX:] = [f"and {more} more"]
    _say({"problems": problems})
    return 0


def _say(message: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def open_to_verify(asked: Asked) -> Connection:
    """A connection that is given one moment by a transaction; raises what the engine raises."""
    if asked.address:
        reading = open_blocking(asked.address, SEARCH_PATHS[asked.schema])
        # A transaction sees one moment, however many its statements: others go on writing.
        reading.execute("SET default_transaction_isolation TO 'repeatable read'")
        return reading
    for last in range(_TRIES, 0, -1):
        connection = _open_file(asked.path)
        if asked.schema == "application":
            return connection
        try:
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            path = replica.Directory(str(Path(asked.path).parent)).path(number)
            connection.execute(f"ATTACH DATABASE ? AS {replica.IN_FORCE}", (_to_read(path),))
            return connection
        except sqlite3.OperationalError:
            connection.close()
            if last == 1:
                raise
    raise AssertionError


def _open_file(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(_to_read(path), uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _to_read(path: str) -> str:
    return f"{Path(path).absolute().as_uri()}?mode=ro"


if __name__ == "__main__":
    sys.exit(main())

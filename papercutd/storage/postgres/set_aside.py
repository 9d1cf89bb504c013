"""Journals of a site on PostgreSQL that were set aside by joining again: schemas of their own."""

from __future__ import annotations

from papercutd.storage.engine import Connection

#: What the schema of one is called before it was salvaged, and after.
WAITING = "old_"
DONE = "settled_"


def set_aside(connection: Connection, now: int) -> list[str]:
    """Keep the journal there is under another name, and forget its replicas; its new name."""
    connection.execute("BEGIN")
    for replica in ("replica", "incoming"):
        connection.execute(f"DROP SCHEMA IF EXISTS {replica} CASCADE")
    kept = []
    if connection.execute("SELECT to_regnamespace('journal')::text").fetchone()[0] is not None:
        kept.append(f"{WAITING}{now}_journal")
        connection.execute(f"ALTER SCHEMA journal RENAME TO {kept[0]}")
    connection.execute("COMMIT")
    return kept


def waiting(connection: Connection) -> list[str]:
    """Those that were not salvaged yet, oldest first."""
    found = connection.execute(
        "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, ?) ORDER BY nspname",
        (WAITING,),
    )
    return [row[0] for row in found]


def unforwarded(connection: Connection, schema: str) -> list[str]:
    """Its records that the application server has not acknowledged, oldest first."""
    found = connection.execute(
        f"SELECT body FROM {schema}.journal"
        f" WHERE number > (SELECT acked FROM {schema}.identity) ORDER BY number"
    )
    return [row[0] for row in found]


def mark_salvaged(connection: Connection, schema: str) -> None:
    """It stays under a name that says that nothing of it is owed any more."""
    connection.execute(f"ALTER SCHEMA {schema} RENAME TO {schema.replace(WAITING, DONE, 1)}")

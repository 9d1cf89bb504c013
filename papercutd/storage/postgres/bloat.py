"""What keeps PostgreSQL from removing rows that are dead, before it is slow.

Every batch changes the rows of accounts and of the head, and leaves the former ones behind
until autovacuum removes them. It removes none that a transaction of anybody might still see.
"""

from __future__ import annotations

from papercutd.storage.engine import Connection

#: A transaction of somebody's is open for so long.
OPEN_S = 900.0
#: Of one table, and more than there are live ones.
DEAD_ROWS = 100_000
#: Of each kind, so many are told.
TOLD_MAX = 3


def look(connection: Connection, open_s: float = OPEN_S, dead_rows: int = DEAD_ROWS) -> list[str]:
    """What an administrator is to do something about, a line each."""
    found = connection.execute(
        "SELECT pid, usename::text, application_name, EXTRACT(EPOCH FROM now() - xact_start)"
        " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)"
        " AND backend_type <> 'autovacuum worker'"
        " AND EXTRACT(EPOCH FROM now() - xact_start) >= ? ORDER BY xact_start LIMIT ?",
        (open_s, TOLD_MAX),
    )
    told = [
        f"a transaction of {user} ({name or 'nameless'}) is open for {_minutes(age_s)}:"
        f" what is deleted stays until it ends (SELECT pg_terminate_backend({pid}))"
        for pid, user, name, age_s in found
    ]
    found = connection.execute(
        "SELECT gid, EXTRACT(EPOCH FROM now() - prepared) FROM pg_prepared_xacts"
        " WHERE database = current_database() AND EXTRACT(EPOCH FROM now() - prepared) >= ?"
        " ORDER BY prepared LIMIT ?",
        (open_s, TOLD_MAX),
    )
    told += [
        f"a prepared transaction is forgotten for {_minutes(age_s)}:"
        f" what is deleted stays until it ends (ROLLBACK PREPARED '{gid}')"
        for gid, age_s in found
    ]
    found = connection.execute(
        "SELECT relname::text, n_dead_tup, n_live_tup FROM pg_stat_user_tables"
        " WHERE schemaname = ANY(current_schemas(false)) AND n_dead_tup > ?"
        " AND n_dead_tup > n_live_tup ORDER BY n_dead_tup DESC LIMIT ?",
        (dead_rows, TOLD_MAX),
    )
    told += [
        f"table {table} has {dead} dead rows beside {live}: autovacuum does not keep up, or"
        " somebody's transaction, standby or replication slot holds it up"
        for table, dead, live in found
    ]
    return told + _off(connection)


def _off(connection: Connection) -> list[str]:
    (is_on,) = connection.execute(
        "SELECT setting FROM pg_settings WHERE name = 'autovacuum'"
    ).fetchone()
    if is_on != "on":
        return ["autovacuum is off: switch it on (ALTER SYSTEM SET autovacuum TO on, and reload)"]
    found = connection.execute(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = ANY(current_schemas(false)::regnamespace[])"
        " AND array_to_string(reloptions, ' ') ~* 'autovacuum_enabled=(off|false|0|no)'"
        " ORDER BY relname LIMIT ?",
        (TOLD_MAX,),
    )
    return [
        f"autovacuum is off for table {table}:"
        f" ALTER TABLE {table} RESET (autovacuum_enabled) switches it on"
        for (table,) in found
    ]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"

"""A batch's own part of the database, in memory: read with one call, written with another.

To PostgreSQL each statement is a journey, and an AUTHORIZE has eighteen. So a batch of them is
run, by the same code as everywhere, on a database of SQLite in memory that holds the rows they
want and, after the batch, none. What has changed there is then written by one statement, in
the same transaction in which the rows were read. Nothing is remembered from batch to batch.

A statement that might depend on rows that were not read is not run there (covered.py): its
operation is run on PostgreSQL itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from papercutd.domain.policy import ANY
from papercutd.errors import StorageError
from papercutd.points import passing
from papercutd.storage.engine import RowRefused, Statement, as_json
from papercutd.storage.hot import Wanted
from papercutd.storage.postgres.connection import PostgresConnection
from papercutd.storage.postgres.covered import KNOB, KNOBS_ANYWHERE, Need, needs_of
from papercutd.storage.proof import seals
from papercutd.storage.sqlite.migrate import migrate

#: What is written back, and the keys of it.
_WRITTEN = {
    "account": ("id",),
    "transfer": ("id",),
    "decision": ("key",),
    "hold": ("key", "asker", "journal"),
    "run": ("key",),
    "charge": ("charge_id",),
    "job_log": ("key",),
    "listed": ("id",),
    "change_log": ("number",),
    "head": ("one",),
}
#: Of which rows are deleted as well.
_DELETED = ("hold", "run")
#: Of which all rows are read: at most a hundred.
_WHOLE = ("schedule", "purse_kind", "unknown_user_setting")
_SCHEMA = "application"
#: What a batch wants, the rules for any site of who pays, and what becomes of unknown people: with
#: one statement.
_READ = (
    "SELECT read_set(?), (SELECT CAST(json_agg(t) AS TEXT) FROM site_policy AS t"
    f" WHERE site = {ANY} AND knob IN ({', '.join(repr(knob) for knob in KNOBS_ANYWHERE)})),"
    " (SELECT CAST(json_agg(t) AS TEXT) FROM unknown_user_setting AS t)"
)
#: The same, with what is set of the shared accounts that are named.
_READ_SHARED = (
    f"{_READ}, (SELECT CAST(json_agg(t) AS TEXT) FROM shared_account AS t WHERE id IN"
    " (SELECT CAST(json_array_elements_text(CAST(? AS JSON)) AS BIGINT)))"
)
_WRITE = "SELECT write_set(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: Of the prices, so many newest versions are read: the one in force is among them.
_NEWEST = 16


#: Those that are not the rule of a table.
_INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE 'CREATE INDEX%'"
#: Looked up by each settlement.
_INDEXES_KEPT = ("charge_key",)


class NotCovered(StorageError):
    """A statement may depend on rows that are not here."""


class Workspace(sqlite3.Connection):
    """What a batch is given in place of the connection to ``database``."""

    database: PostgresConnection
    #: Ledger rows that this transaction wrote (storage/proof/seals.py).
    written: seals.Written
    _columns: dict[str, list[tuple[str, bool]]]

    def is_for(self, database: PostgresConnection) -> Workspace:
        """Make the tables; what they hold is of each transaction alone."""
        self.database = database
        self._wanted: Sequence[Wanted] = ()
        self._has: dict[tuple[str, str], frozenset[Any]] = {}
        self._is_guarded = self._is_usable = self._is_made = False
        self._newest_from: tuple[float, ...] = ()
        self._timeline = 0
        self._run("PRAGMA temp_store = MEMORY")
        migrate(self, ":memory:", _SCHEMA)
        self._columns = {
            table: [(row[1], row[2] == "BLOB") for row in self._run(f"PRAGMA table_info({table})")]
            for (table,) in self._run("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        for (name,) in self._run(_INDEXES).fetchall():
            # Where there are a few hundred rows, they cost more than they find.
            if name not in _INDEXES_KEPT:
                self._run(f"DROP INDEX {name}")
        self.written = seals.Written()
        self.written.add_to(self)
        # Outside of any transaction, so that they stay.
        seals.watch(self)
        #: Keys of the rows that this transaction wrote; what was undone may be among them.
        self._made: dict[str, dict[Any, None]] = {table: {} for table in _WRITTEN}
        for table, keys in _WRITTEN.items():
            note = self._made[table].setdefault
            # No function of ours where one key is all: the triggers call the dictionary's own.
            self.create_function(
                f"made_{table}", len(keys), note if len(keys) == 1 else _noting(note)
            )
            for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
                values = ", ".join(f"{row}.{name}" for name in keys)
                self._run(
                    f"CREATE TEMP TRIGGER made_{table}_{event} AFTER {event} ON main.{table}"
                    f" BEGIN SELECT made_{table}({values}); END"
                )
        self._is_made = True
        return self

    def want(self, wanted: Iterable[Wanted]) -> None:
        """The next transaction reads what these want."""
        self._wanted = tuple(wanted)

    def guard(self, on: bool) -> None:
        """While operations run, only what is covered is run."""
        self._is_guarded = on

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self._is_guarded:
            needs = needs_of(sql)
            if needs is None:
                raise NotCovered(sql)
            for need in needs:
                if not self._is_here(need, parameters):
                    raise NotCovered(sql)
            try:
                return super().execute(sql, parameters)
            except (sqlite3.IntegrityError, sqlite3.DataError, UnicodeEncodeError) as error:
                raise RowRefused(str(error)) from error
        if sql == "BEGIN IMMEDIATE" and self._is_made:
            return self._begin()
        done = super().execute(sql, parameters)
        if sql == "ROLLBACK" and self.database.in_transaction:
            self.database.execute("ROLLBACK")
        return done

    def changes(self) -> tuple[Statement, ...]:
        """What writes all that has changed; raises RowRefused where that is impossible."""
        made: list[str | None] = []
        for table, keys in _WRITTEN.items():
            noted = self._made[table]
            found: list[dict[str, Any]] = []
            gone: list[dict[str, Any]] = []
            if noted:
                first = list(noted) if len(keys) == 1 else [key[0] for key in noted]
                rows = self._run(
                    f"SELECT * FROM main.{table} WHERE {keys[0]}"
                    " IN (SELECT value FROM json_each(?))",
                    (as_json(first),),
                )
                columns = self._columns[table]
                found = [_as_told(columns, row) for row in rows]
                if len(keys) > 1:
                    found = [row for row in found if tuple(row[name] for name in keys) in noted]
                if table in _DELETED:
                    there = {_key_of(row, keys) for row in found}
                    left = (key if len(keys) > 1 else (key,) for key in noted if key not in there)
                    gone = [dict(zip(keys, key, strict=True)) for key in left]
            # No statement that is covered adds or changes a run.
            sets = {"hold": (found, gone), "run": (gone,)}
            for wanted in sets.get(table, (found,)):
                made.append(as_json(wanted) if wanted else None)
        passing("set-worked")
        return ((_WRITE, made),) if any(made) else ()

    def forget(self) -> None:
        """The transaction is over: nothing of it is kept."""
        self._run("ROLLBACK")

    def _run(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return super().execute(sql, parameters)

    def _begin(self) -> sqlite3.Cursor:
        began = self._run("BEGIN")
        asked = _asked(self._wanted)
        accounts = asked["accounts"]
        query, more = (_READ_SHARED, (as_json(accounts),)) if accounts else (_READ, ())
        text, rules, unknown, *shared = self.database.execute_all(
            ("BEGIN IMMEDIATE", ()), (query, (as_json(asked), *more))
        ).fetchone()
        passing("set-read")
        read = msgspec.json.decode(text)
        read["shared_account"] = msgspec.json.decode(shared[0] or "[]") if shared else []
        # Other knobs than the one that read_set reads.
        read["unknown_user_setting"] = msgspec.json.decode(unknown or "[]")
        read["site_policy"] = (read["site_policy"] or []) + msgspec.json.decode(rules or "[]")
        for table, columns in self._columns.items():
            rows = read.get(table)
            if rows:
                places = ", ".join("?" * len(columns))
                self.executemany(
                    f"INSERT INTO {table} VALUES ({places})",
                    [[_as_kept(row[name], is_bytes) for name, is_bytes in columns] for row in rows],
                )
        # What was read is not what was written.
        for noted in self._made.values():
            noted.clear()
        # The first seals of a database are those of all its rows.
        self._is_usable = bool(read["sealing"] and read["head"])
        self._note(asked, read)
        return began

    def _note(self, asked: dict[str, Any], read: dict[str, Any]) -> None:
        """For which values of which columns all rows are here."""
        keys, people, purses = (
            frozenset(x) for x in (asked["keys"], read["people"], read["purses"])
        )
        places, names = frozenset(read["places"]), frozenset(asked["names"])
        prices = read["price"] or []
        newest = sorted(prices, key=lambda row: -row["version"])[:_NEWEST]
        self._timeline = read["head"][0]["timeline"] if read["head"] else 0
        self._newest_from = tuple(row["effective_from"] for row in newest)
        self._has = {
            ("asker", "identity"): frozenset(asked["askers"]),
            ("decision", "key"): keys,
            ("decision", "job of other than"): frozenset((w.job, w.owner) for w in self._wanted),
            ("hold", "key"): keys,
            ("charge", "charge_id"): keys,
            ("charge", "key"): keys,
            ("job_log", "key"): keys,
            ("run", "key"): keys,
            ("user", "id"): people,
            ("user", "folded"): names,
            ("group_member", "user"): people,
            # With the purses of those that were asked for.
            ("account", "id"): purses | {row["id"] for row in read["account"] or ()},
            ("account", "purses of"): purses,
            ("shared_account", "id"): frozenset(asked["accounts"]),
            ("withheld", "account"): purses,
            ("printer", "id"): frozenset(asked["printers"]),
            ("provider", "name"): frozenset(asked["owners"]),
            ("device", "name"): frozenset(asked["devices"]),
            ("site", "id"): places,
            ("site_policy", "site"): places,
            ("site_policy", "knob"): frozenset((KNOB,)),
            ("site_policy", "knob anywhere"): frozenset(KNOBS_ANYWHERE),
            ("price", "version"): frozenset(asked["versions"])
            | frozenset(row["version"] for row in prices),
        }

    def _is_here(self, need: Need, parameters: Sequence[Any]) -> bool:
        if not self._is_usable:
            return False
        if need.table in _WHOLE:
            return True
        if need.column == "in force at":
            return any(since <= parameters[0] for since in self._newest_from)
        if need.column == "all":
            return len(self._newest_from) < _NEWEST
        if need.column == "later than":
            # There is none.
            return bool(parameters[0] >= self._timeline)
        values = self._has.get((need.table, need.column), frozenset())
        if need.column == "job of other than":
            return (parameters[0][:-1], parameters[2]) in values
        return parameters[need.place] in values


def open_workspace(database: PostgresConnection) -> Workspace:
    """For batches of the application server on ``database``."""
    made = sqlite3.connect(
        ":memory:", isolation_level=None, cached_statements=512, factory=Workspace
    )
    return made.is_for(database)


def _noting(note: Callable[[Any], object]) -> Callable[..., None]:
    """A function of several values for ``note``, which takes one."""

    def noting(*values: Any) -> None:
        note(values)

    return noting


def _key_of(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return row[keys[0]] if len(keys) == 1 else tuple(row[name] for name in keys)


def _asked(wanted: Sequence[Wanted]) -> dict[str, Any]:
    return {
        "askers": sorted({w.asker for w in wanted}),
        "jobs": [{"job": job, "owner": owner} for job, owner in {(w.job, w.owner) for w in wanted}],
        "keys": sorted({w.key for w in wanted}),
        "names": sorted({w.name for w in wanted}),
        "owners": sorted({w.owner for w in wanted}),
        "devices": sorted({w.device for w in wanted if w.device is not None}),
        "printers": sorted({w.printer for w in wanted}),
        "users": sorted({user for w in wanted for user in w.users}),
        "accounts": sorted({account for w in wanted for account in w.accounts}),
        "versions": sorted({version for w in wanted for version in w.versions}),
        "knob": KNOB,
        "any_site": ANY,
        "newest": _NEWEST,
    }


def _as_told(columns: list[tuple[str, bool]], row: Sequence[Any]) -> dict[str, Any]:
    return {
        name: f"\\x{value.hex()}" if is_bytes and value is not None else value
        for (name, is_bytes), value in zip(columns, row, strict=True)
    }


def _as_kept(value: Any, is_bytes: bool) -> Any:
    return bytes.fromhex(value[2:]) if is_bytes and value is not None else value

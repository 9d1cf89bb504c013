"""Moving a role's database to the other engine, while the role does not run.

It is copied whole, checked on both sides, and then put in force by one rename. Whatever ends the
command before that leaves the database where it was, and the command may be run again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet.task import Clock

from papercutd.commands.move_progress import Progress
from papercutd.config.model import AppConfig, SiteConfig
from papercutd.environment import real_environment
from papercutd.errors import ConfigError, InvalidValue, NotFound, StorageFull
from papercutd.points import passing
from papercutd.roles.common import DataDirectory
from papercutd.roles.crash_points import crash_point
from papercutd.storage.copying import (
    CannotMove,
    Database,
    Summing,
    TableSum,
    Target,
    problems_of,
    sum_of,
)
from papercutd.storage.engine import DATABASE_ERRORS
from papercutd.storage.postgres.copying import PostgresSource, PostgresTarget, interruptible
from papercutd.storage.postgres.database import is_postgres
from papercutd.storage.sqlite.copying_sqlite import SqliteSource, SqliteTarget
from papercutd.storage.sqlite.moved_away import checkpoint, move_away, moves_of

STAGES = 6
#: Problems named; ``papercutd verify`` lists all.
_NAMED_MAX = 5
_REPAIR = {
    "application": "restore a backup (`papercutd restore`) or PostgreSQL's own, then move that",
    "journal": (
        "of a replica: start the site on it, `papercutd verify --repair`, then move it; of the"
        " journal: join the site again, what it owes is kept"
    ),
}


@attrs.frozen
class Plan:
    """Which database moves where."""

    schema: str
    #: SQLite's file, where it is or where it will be.
    path: Path
    dsn: str
    to_postgres: bool

    @property
    def source(self) -> str:
        return f"sqlite:{self.path}" if self.to_postgres else shown(self.dsn)

    @property
    def target(self) -> str:
        return shown(self.dsn) if self.to_postgres else f"sqlite:{self.path}"


def shown(dsn: str) -> str:
    """``dsn`` without its secrets."""
    parts = parse_dsn(dsn)
    for secret in ("password", "sslpassword"):
        parts.pop(secret, None)
    return f"postgresql: {make_dsn(**parts)}"


def plan_of(config: Any, words: list[str], to: str | None) -> Plan:
    """What the words of the command come to; raises ConfigError, InvalidValue or NotFound."""
    if isinstance(config, AppConfig):
        schema = "application"
    elif isinstance(config, SiteConfig):
        schema = "journal"
    else:
        raise ConfigError(["a print provider's journal is always on SQLite: nothing to move"])
    given = [*words, *([] if to is None else [to])]
    if len(given) > 2:
        raise InvalidValue("to", "FROM and TO are all there is")
    path = Path(config.data_dir) / f"{schema}.db"
    for one in given:
        _check_word(one, path)
    if path.exists():
        return _from_sqlite(config, schema, path, given)
    return _from_postgres(config, schema, path, given)


def _from_sqlite(config: Any, schema: str, path: Path, given: list[str]) -> Plan:
    wanted = given[-1] if given else config.store
    if not wanted:
        raise InvalidValue("to", "is needed, such as postgresql://papercut@db.example.org/papercut")
    if not is_postgres(wanted):
        raise InvalidValue("to", f"the database is there already, in {path}")
    if len(given) == 2 and is_postgres(given[0]):
        raise InvalidValue(
            "from",
            f"{path} is in force; from one PostgreSQL to another use pg_dump and pg_restore",
        )
    return Plan(schema, path, wanted, to_postgres=True)


def _from_postgres(config: Any, schema: str, path: Path, given: list[str]) -> Plan:
    dsn = given[0] if len(given) == 2 else config.store
    if not is_postgres(dsn):
        if moves_of(path):
            why = f"{path} has moved already: write the line store, and start the role"
            raise InvalidValue("from", why)
        raise NotFound("database", str(path))
    if not given or is_postgres(given[-1]):
        raise InvalidValue(
            "to",
            "the database is on PostgreSQL already; sqlite: moves it back, pg_dump and pg_restore"
            " to another PostgreSQL",
        )
    if config.store and dsn != config.store:
        raise InvalidValue("from", "is not the store of the configuration")
    return Plan(schema, path, dsn, to_postgres=False)


def _check_word(word: str, path: Path) -> None:
    if is_postgres(word):
        try:
            parse_dsn(word)
        except psycopg2.Error as error:
            raise InvalidValue("postgresql", str(error).strip()) from error
        return
    if not word.startswith("sqlite:"):
        raise InvalidValue("to", "is sqlite: or begins with postgresql:")
    named = word.removeprefix("sqlite:").removeprefix("//")
    if named and Path(named).absolute() != path.absolute():
        raise InvalidValue("sqlite", f"the role's database on SQLite is {path}, no other file")


def migrate_store(config: Any, plan: Plan, rehearse: bool, progress: Progress) -> dict[str, Any]:
    """What was moved, and what to do next. Raises AlreadyRunning, CannotMove, NoDatabase,
    Damaged, SchemaTooNew, SchemaOlder, SchemaDiffers.
    """
    crash_point(None)
    env = real_environment(Clock())
    move = f"{time.strftime('%Y%m%d-%H%M%S')}-{env.rng.getrandbits(16):04x}"
    began = time.monotonic()
    data = DataDirectory(config.data_dir)
    data.acquire()
    try:
        moving = _Move(plan, move, rehearse, env.wall_s, progress)
        result = moving.to_postgres() if plan.to_postgres else moving.to_sqlite()
    finally:
        data.release()
    progress.end()
    took_s = round(time.monotonic() - began, 1)
    return {**result, "took_s": took_s, "stages_s": progress.took_s}


class _Move:
    """One run."""

    def __init__(
        self,
        plan: Plan,
        move: str,
        rehearse: bool,
        wall_s: Callable[[], float],
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._move = move
        self._rehearse = rehearse
        self._wall_s = wall_s
        self._progress = progress

    def to_postgres(self) -> dict[str, Any]:
        plan = self._plan
        self._progress.stage("checking the source")
        source = SqliteSource(plan.path, plan.schema)
        try:
            target = PostgresTarget(plan.dsn, plan.schema)
            try:
                done = self._copied(source, target)
                if self._rehearse:
                    target.forget()
                    return {**done, "next": _REHEARSED}
                with uninterrupted():
                    kept = self._put_in_force(source, target)
            finally:
                target.close()
        finally:
            source.close()
        return {**done, "kept": kept, "write": f'store = "{plan.dsn}"', "next": _TO_POSTGRES}

    def _put_in_force(self, source: SqliteSource, target: PostgresTarget) -> list[str]:
        """Where the files are that were in force."""
        path = self._plan.path
        replica = self._replica(source)
        with self._stopping():
            target.commit(self._move)
            passing("store-written")
            source.close()
            checkpoint(path)
        kept = [str(move_away(path, self._move))]
        passing("store-in-force")
        if replica is not None:
            kept.append(str(move_away(replica, self._move)))
        try:
            target.put_in_force()
        except DATABASE_ERRORS:
            # The next start does it.
            pass
        return kept

    def _replica(self, source: SqliteSource) -> Path | None:
        if "replica" not in source.schemas:
            return None
        (number,) = source.connection.execute("SELECT replica FROM identity").fetchone()
        return self._plan.path.with_name(f"replica-{number}.db")

    def to_sqlite(self) -> dict[str, Any]:
        plan = self._plan
        self._progress.stage("checking the source")
        source = PostgresSource(plan.dsn, plan.schema)
        target = SqliteTarget(plan.path)
        try:
            done = self._copied(source, target)
            if self._rehearse:
                return {**done, "next": _REHEARSED}
            with uninterrupted():
                with self._stopping():
                    target.place()
                passing("store-in-force")
                try:
                    kept = source.set_aside(self._move)
                except DATABASE_ERRORS:
                    # No role starts on them beside the file.
                    kept = []
        finally:
            target.forget()
            source.close()
        return {**done, "kept": kept, "write": 'store = ""', "next": _TO_SQLITE}

    def _copied(self, source: Database, target: Any) -> dict[str, Any]:
        """The target is whole and like the source, and not in force."""
        with self._stopping():
            with interruptible():
                self._check(source, "the source", _REPAIR[self._plan.schema])
            target.begin(source.schemas)
            sums = self._fill(source, target)
            passing("store-filled")
            with interruptible():
                self._progress.stage("making indexes")
                target.finish(lambda done, of: self._progress.at(f"{done} of {of}"))
                self._progress.stage("checking the copy")
                self._check(target, "the copy", "run the command again, and tell us")
                self._compare(target, sums)
        tables = [
            {"table": name, "rows": one.rows, "sum": one.digest} for name, one in sums.items()
        ]
        return {
            "ok": True,
            "moved": not self._rehearse,
            "from": self._plan.source,
            "to": self._plan.target,
            "rows": sum(one.rows for one in sums.values()),
            "tables": tables,
        }

    def _check(self, database: Database, what: str, repair: str) -> None:
        one = "head" if self._plan.schema == "application" else "identity"
        if database.connection.execute(f"SELECT 1 FROM {one}").fetchone() is None:
            raise CannotMove(f"{what} is empty: nothing to move")
        found = problems_of(database, self._wall_s)
        if found:
            more = f" and {len(found) - _NAMED_MAX} more" if len(found) > _NAMED_MAX else ""
            named = "; ".join(found[:_NAMED_MAX])
            raise CannotMove(f"{what} is damaged: {named}{more}. To repair it: {repair}")

    def _fill(self, source: Database, target: Target) -> dict[str, TableSum]:
        tables = source.tables()
        self._progress.stage("counting rows")
        rows = sum(source.count(table) for table in tables)
        if [str(table) for table in target.tables()] != [str(table) for table in tables]:
            raise CannotMove("the engines have not the same tables in this release")
        self._progress.stage("copying", rows)
        sums = {}
        for table in tables:
            self._progress.at(table.name)
            summing = Summing(self._progress.add)
            target.fill(table, summing.through(source.rows(table)))
            sums[str(table)] = summing.result
        return sums

    def _compare(self, target: Database, sums: dict[str, TableSum]) -> None:
        self._progress.stage("comparing", sum(one.rows for one in sums.values()))
        for table in target.tables():
            self._progress.at(table.name)
            found, wanted = sum_of(target, table, self._progress.add), sums[str(table)]
            if found != wanted:
                raise CannotMove(
                    f"table {table} is not alike: {wanted.rows} rows, {found.rows} in the copy"
                )

    def _stopping(self) -> _Stopping:
        return _Stopping(self._plan)


class _Stopping:
    """What ends a move before its last step, in words that say what is in force."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: object) -> None:
        said = {
            KeyboardInterrupt: "interrupted",
            StorageFull: "the disk of the target is full: make room there",
        }
        if not isinstance(error, _STOPS):
            return
        why = said.get(type(error), str(error))
        raise CannotMove(
            f"{why}\nnothing was moved: {self._plan.source} is in force as before;"
            " the command may be run again"
        ) from error


_STOPS = (*DATABASE_ERRORS, CannotMove, StorageFull, OSError, KeyboardInterrupt)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits: what begins here goes to its end."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_REHEARSED = "nothing was moved: without --rehearse the same takes as long and moves it"
_TO_POSTGRES = (
    "write the line above into the configuration and start the role; what is kept is of no use"
    " once it runs: delete it when you have a backup of PostgreSQL"
)
_TO_SQLITE = (
    "take the line store out of the configuration and start the role; the schemas that are kept"
    " are of no use once it runs: drop them"
)

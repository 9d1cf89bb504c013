"""A role's store, on the engine that its configuration names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.environment import Environment
from papercutd.errors import ConfigError
from papercutd.roles.crash_points import crash_point
from papercutd.storage import application_store
from papercutd.storage.application_store import ApplicationStore
from papercutd.storage.proof.anchor import Anchor
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.site import site_store
from papercutd.storage.site.replica import Directory
from papercutd.storage.site.site_store import SiteStore, create_site
from papercutd.storage.sqlite.migrate import connect, open_database
from papercutd.storage.sqlite.moved_away import moves_of, name_of
from papercutd.storage.sqlite.writer import ThreadReader, ThreadWriter

_log = Logger()
Fatal = Callable[[Failure], None]
_BOTH = (
    "store: names PostgreSQL, and {0} is there too, which counts: `papercutd migrate-store` moves"
    " it there. Where it has moved away from there, take the line store out"
)
_MOVED = (
    "store: is needed, the database of {0} has moved to PostgreSQL: `papercutd migrate-store` said"
    " which line to write. To begin with an empty one, take {1} away"
)


def check_store(store: str) -> None:
    """Raises ConfigError where ``store`` is neither empty nor an address of PostgreSQL."""
    if not store:
        return
    from papercutd.storage.postgres.database import NoDatabase, check_dsn, is_postgres

    if not is_postgres(store):
        raise ConfigError(["store: is empty, or begins with postgresql:"])
    try:
        check_dsn(store)
    except NoDatabase as error:
        raise ConfigError([f"store: {error.why}"]) from None


def database_of(store: str, path: Path) -> Path | str:
    """``path`` of SQLite's file, or the address of PostgreSQL's database; raises ConfigError."""
    moves = moves_of(path)
    if not store:
        if moves and not path.exists():
            raise ConfigError([_MOVED.format(path, name_of(path, moves[-1]))])
        return path
    check_store(store)
    if path.exists():
        raise ConfigError([_BOTH.format(path)])
    if moves:
        from papercutd.storage.postgres.opening import settle_move

        settle_move(store, path.stem, moves)
    return store


def open_application_database(store: str, data: Path) -> Any:
    """A connection for a command, while no server runs on it; raises AlreadyRunning."""
    database = database_of(store, data / "application.db")
    if isinstance(database, Path):
        return open_database(str(database), application_store.SCHEMA)
    from papercutd.storage.postgres.opening import open_for_command

    return open_for_command(database, application_store.SCHEMA)


def open_application_database_beside(store: str) -> Any:
    """A connection to look at it with, whoever writes it; raises NoDatabase."""
    from papercutd.storage.postgres.opening import open_migrated

    return open_migrated(store, application_store.SCHEMA)


def set_journal_aside(store: str, now: int) -> list[str]:
    """A site on PostgreSQL joins anew: its journal is kept under another name, which is told."""
    from papercutd.storage.postgres.opening import open_alone
    from papercutd.storage.postgres.set_aside import set_aside

    connection = open_alone(store, site_store.SCHEMA)
    try:
        return set_aside(connection, now)
    finally:
        connection.close()


async def salvage(store: SiteStore) -> list[tuple[str, int]]:
    """Go on with what journals set aside on PostgreSQL still owed; (name, records) of each."""
    from papercutd.storage.postgres import set_aside

    done = []
    for name in await store.read(lambda c: set_aside.waiting(c)):
        bodies = await store.read(lambda c, name=name: set_aside.unforwarded(c, name))  # type: ignore[misc]
        await store.salvage(bodies)
        await store.write(lambda c, name=name: set_aside.mark_salvaged(c, name))  # type: ignore[misc]
        done.append((name, len(bodies)))
    return done


def open_application(
    database: Path | str,
    reactor: Any,
    env: Environment,
    batch_max: int,
    fatal: Fatal,
    server: str = "",
) -> tuple[Deferred[ApplicationStore], ChangeLog]:
    """The application server's store; it fires once it can be used.

    ``server``: who that is among several on one PostgreSQL, which is prepared then.
    """
    log = ChangeLog(env.wall_s)
    crash = crash_point(reactor)
    schema = application_store.SCHEMA
    if isinstance(database, Path):
        path, call = str(database), reactor.callFromThread
        threaded = ThreadWriter(
            *(open_database(path, schema), call, fatal, log, batch_max),
            before_commit=crash.before_commit,
            after_commit=crash.after_commit,
        )
        reader = ThreadReader(connect(path), call)
        long = ThreadReader(connect(path), call, "long reader")
        return _at_once(ApplicationStore(threaded, reader, log, env.wall_s, long)), log
    from papercutd.storage.postgres.history import begin_after_promotion
    from papercutd.storage.postgres.opening import SEARCH_PATHS, prepare_database
    from papercutd.storage.postgres.reader import PostgresReader
    from papercutd.storage.postgres.writer import PostgresWriter

    if not server:
        prepare_database(database, schema)
    writer = PostgresWriter(
        *(reactor, database, schema, fatal, log),
        search_path=SEARCH_PATHS[schema],
        new_id=env.new_id,
        batch_max=batch_max,
        before_commit=crash.before_commit,
        after_commit=crash.after_commit,
        server=server,
    )
    reading = PostgresReader(reactor, database, SEARCH_PATHS[schema])
    reading_long = PostgresReader(reactor, database, SEARCH_PATHS[schema], connections=1)
    store = ApplicationStore(writer, reading, log, env.wall_s, reading_long)

    def begin(started: None) -> Any:
        if not writer.was_promoted:
            return store
        begun = writer.submit(lambda c: begin_after_promotion(c, log, env.wall_s()))
        return begun.addCallback(say)

    def say(position: str) -> ApplicationStore:
        _log.error(
            "PostgreSQL was promoted: a new timeline begins at {position}", position=position
        )
        return store

    return writer.start().addCallback(begin), log


def open_site(
    database: Path | str,
    name: str,
    reactor: Any,
    env: Environment,
    anchor: Anchor,
    fatal: Fatal,
    in_thread: Callable[..., Deferred[Any]],
) -> Deferred[SiteStore]:
    """A site's store; it fires once it can be used."""
    crash = crash_point(reactor)
    schema = site_store.SCHEMA
    if isinstance(database, Path):
        connection = open_database(str(database), schema)
        # Only where joining has not done it: a journal that is gone is a new stream.
        create_site(connection, name, env.new_id())
        threaded = ThreadWriter(
            *(connection, reactor.callFromThread, fatal, anchor),
            before_commit=crash.before_commit,
            after_commit=crash.after_commit,
        )
        files = Directory(str(database.parent))
        return _at_once(SiteStore(threaded, files, env.wall_s, anchor))
    from papercutd.storage.postgres.opening import SEARCH_PATHS, open_for_command
    from papercutd.storage.postgres.schemas import NoFiles
    from papercutd.storage.postgres.writer import PostgresWriter

    made = open_for_command(database, schema)
    create_site(made, name, env.new_id())
    made.close()
    writer = PostgresWriter(
        *(reactor, database, schema, fatal, anchor),
        search_path=SEARCH_PATHS[schema],
        new_id=env.new_id,
        before_commit=crash.before_commit,
        after_commit=crash.after_commit,
        # The anchor is synced to the disk.
        in_thread=in_thread,
    )
    store = SiteStore(writer, NoFiles(), env.wall_s, anchor)
    return writer.start().addCallback(lambda started: store)


def _at_once(store: Any) -> Deferred[Any]:
    done: Deferred[Any] = Deferred()
    done.callback(store)
    return done

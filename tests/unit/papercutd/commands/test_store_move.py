"""papercutd migrate-store: every row there and back, and refusals that change nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import psycopg2
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands import store_move
from papercutd.commands.store_move import plan_of
from papercutd.config.model import AppConfig, ProviderConfig
from papercutd.errors import (
    AlreadyRunning,
    ConfigError,
    InvalidValue,
    NotFound,
    SchemaTooNew,
    StorageFull,
)
from papercutd.roles.common import DataDirectory
from papercutd.roles.stores import database_of, open_application_database
from papercutd.storage.application_store import ApplicationStore
from papercutd.storage.copying import CannotMove
from papercutd.storage.engine import DatabaseFailed
from papercutd.storage.postgres import copying as copying_postgres
from papercutd.storage.postgres.connection import ConnectionLost
from papercutd.storage.postgres.copying import PostgresTarget
from papercutd.storage.postgres.database import NoDatabase, open_blocking
from papercutd.storage.postgres.moved_in import NotInForce, marked
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.sqlite import copying_sqlite
from papercutd.storage.sqlite.migrate import Damaged, SchemaOlder
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter
from tests.support.moves import Application, Role, Site, dump, empty_database
from tests.support.postgres import shared_cluster
from tests.support.stores import WALL_S, Turner


class Case(SynchronousTestCase):
    #: One for tests that leave nothing there.
    _empty: ClassVar[str] = ""

    def setUp(self) -> None:
        self.patch(copying_postgres, "_LOCK_WAIT", "10ms")

    def application(self) -> Application:
        return Application(self.mktemp())

    def empty(self) -> str:
        if not Case._empty:
            Case._empty = empty_database()
        return Case._empty

    def assertEmpty(self, dsn: str) -> None:
        with closing(open_blocking(dsn, "public")) as connection:
            found = connection.execute(
                "SELECT nspname::text FROM pg_namespace"
                " WHERE nspname IN ('application', 'journal', 'replica')"
            )
            self.assertEqual(found.fetchall(), [])

    def refused(self, role: Role, *words: str, kind: Any = CannotMove) -> str:
        """Why ``role`` is not moved; it is what it was, to the byte."""
        before = {path: path.read_bytes() for path in role.data.glob("*.db")}
        error = self.assertRaises(kind, role.move, *words)
        self.assertEqual({path: path.read_bytes() for path in role.data.glob("*.db")}, before)
        return str(error)


class ThereAndBackTests(Case):
    def test_application_server(self) -> None:
        role, dsn = self.application(), empty_database()
        image, rows = role.path.read_bytes(), dump(role.path)
        done = role.move("sqlite:", dsn)
        self.assertEqual(done["write"], f'store = "{dsn}"')
        (kept,) = map(Path, done["kept"])
        self.assertEqual(kept.read_bytes(), image)
        self.assertFalse(role.path.exists())
        moved = {one["table"].partition(".")[2] for one in done["tables"]}
        self.assertEqual(moved, set(rows) - {"", "schema_migration"})
        # Not to be begun anew by mistake, nor moved once more.
        error = self.assertRaises(ConfigError, database_of, "", role.path)
        self.assertIn("has moved to PostgreSQL", str(error))
        self.assertIn("moved already", self.refused(role, dsn, kind=InvalidValue))
        other = self.application()
        self.assertIn("is not empty", self.refused(other, dsn))
        # It goes on: the next ids are free, and the books stay right.
        role.store = dsn
        self.go_on(role)
        self.assertIn("already", self.refused(role, kind=InvalidValue))
        done = role.move("sqlite:")
        self.assertEqual(done["kept"][0].rpartition("_")[2], "application")
        with closing(sqlite3.connect(role.path)) as connection:
            self.assertEqual(
                connection.execute("SELECT COUNT(*) FROM user WHERE name = 'new'").fetchone(), (1,)
            )
        role.store = ""
        self.assertEqual(database_of("", role.path), role.path)
        # The former schema was set aside: the same database takes it once more.
        before = dump(role.path)
        role.move(dsn)
        role.store = dsn
        # What a killed one left.
        (role.data / "moving-application.db").write_bytes(b"half")
        (role.data / "moving-application.db-wal").write_bytes(b"more")
        (role.data / "application.db-wal").write_bytes(b"old")
        role.move("sqlite:" + str(role.path))
        self.assertEqual(list(role.data.glob("moving-*")), [])
        self.assertEqual(dump(role.path), before)
        self.assertEqual(role.path.stat().st_mode & 0o777, 0o600)

    def go_on(self, role: Role) -> None:
        turner = Turner(Clock())
        with closing(open_application_database(role.store, role.data)) as connection:
            log = ChangeLog(lambda: WALL_S)
            writer = InlineWriter(connection, turner.clock, log)
            store = ApplicationStore(writer, InlineReader(writer), log, lambda: WALL_S)
            turner.result(store.add_user("new", balance_e4=5_000))
            self.assertEqual(turner.result(store.verify()), [])

    def test_site(self) -> None:
        role, dsn = Site(self.mktemp()), empty_database()
        journal, replica = dump(role.path), dump(role.replica)
        images = [role.path.read_bytes(), role.replica.read_bytes()]
        done = role.move(dsn)
        self.assertEqual([Path(one).read_bytes() for one in done["kept"]], images)
        self.assertEqual(list(role.data.glob("replica-*")), [])
        role.store = dsn
        role.move("sqlite:")
        self.assertEqual(dump(role.path), journal)
        self.assertEqual(dump(role.replica), replica)

    def test_a_site_without_a_replica(self) -> None:
        role, dsn = Site(self.mktemp()), empty_database()
        role.replica.unlink()
        journal = dump(role.path)
        role.move(dsn)
        role.store = dsn
        role.move("sqlite:")
        self.assertEqual(dump(role.path), journal)
        self.assertFalse(role.replica.exists())


class CutShortTests(Case):
    def test_between_commit_and_rename(self) -> None:
        """The copy is there, and nobody takes it for the database; the next run makes it anew."""
        role, dsn = self.application(), empty_database()

        def fail(path: Path) -> None:
            raise OSError("no")

        checkpoint = store_move.checkpoint
        self.patch(store_move, "checkpoint", fail)
        self.assertIn("is in force as before", self.refused(role, dsn))
        self.assertEqual(database_of("", role.path), role.path)
        with closing(open_blocking(dsn, "public")) as connection:
            self.assertIsNotNone(marked(connection, "application"))
        away = role.path.rename(role.data / "by-hand.db")
        self.assertRaises(NotInForce, open_application_database, dsn, role.data)
        away.rename(role.path)
        self.patch(store_move, "checkpoint", checkpoint)
        role.move(dsn)
        open_application_database(dsn, role.data).close()

    def test_between_rename_and_the_last_word(self) -> None:
        """It has moved: the next start knows that by the name of the file."""
        role, dsn = self.application(), empty_database()

        def lose(target: PostgresTarget) -> None:
            raise ConnectionLost

        self.patch(PostgresTarget, "put_in_force", lose)
        role.move(dsn)
        open_application_database(dsn, role.data).close()

    def stop_at(self, table: str, how: Callable[[], None]) -> None:
        rows = copying_sqlite.SqliteSource.rows

        def some(source: Any, of: Any) -> Any:
            yield from rows(source, of)
            if of.name == table:
                how()

        self.patch(copying_sqlite.SqliteSource, "rows", some)

    def test_interrupted(self) -> None:
        role, dsn = self.application(), self.empty()

        def interrupt() -> None:
            raise KeyboardInterrupt

        self.stop_at("transfer", interrupt)
        self.assertIn("interrupted", self.refused(role, dsn))
        self.assertEmpty(dsn)

    def test_postgresql_ends_the_session(self) -> None:
        role, dsn = self.application(), self.empty()

        def end() -> None:
            shared_cluster().run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'papercutd migrate-store'"
            )

        self.stop_at("transfer", end)
        self.assertIn("is in force as before", self.refused(role, dsn))
        self.assertEmpty(dsn)

    def test_rehearsed(self) -> None:
        role, dsn = self.application(), self.empty()
        self.assertFalse(role.move(dsn, rehearse=True)["moved"])
        self.assertTrue(role.path.exists())
        self.assertEmpty(dsn)

    def test_the_disk_of_the_target_is_full(self) -> None:
        dsn = empty_database()
        role = self.application()
        role.move(dsn)
        role.store = dsn
        begin = copying_sqlite.SqliteTarget.begin

        def small(target: Any, schemas: tuple[str, ...]) -> None:
            begin(target, schemas)
            target.connection.execute("PRAGMA max_page_count = 1")

        with_room = copying_sqlite.SqliteTarget.begin
        self.patch(copying_sqlite.SqliteTarget, "begin", small)
        self.assertIn("disk of the target is full", self.refused(role, "sqlite:"))
        self.assertEqual(list(role.data.glob("moving-*")), [])
        self.patch(copying_sqlite.SqliteTarget, "begin", with_room)

        def full(target: Any, table: Any, rows: Any) -> None:
            raise StorageFull

        other, free = self.application(), self.empty()
        self.patch(PostgresTarget, "fill", full)
        self.assertIn("disk of the target is full", self.refused(other, free))
        self.assertEmpty(free)


class RefusedTests(Case):
    def tamper(self, role: Any, sql: str) -> None:
        with closing(sqlite3.connect(role.path, isolation_level=None)) as connection:
            connection.execute(sql)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def test_words(self) -> None:
        there = self.application()
        away = Role(self.mktemp())
        for role, words, kind, said in (
            (there, (), InvalidValue, "is needed"),
            (there, ("sqlite:",), InvalidValue, "there already"),
            (there, ("sqlite:", "sqlite:"), InvalidValue, "there already"),
            (there, ("postgresql:///a", "postgresql:///b"), InvalidValue, "pg_dump"),
            (there, ("sqlite:/elsewhere.db", "postgresql:///a"), InvalidValue, "no other file"),
            (there, ("mysql:a",), InvalidValue, "begins with postgresql:"),
            (there, ("postgresql:nonsense",), InvalidValue, "postgresql: "),
            (there, ("a", "b", "c"), InvalidValue, "all there is"),
            (away, ("postgresql:///a",), NotFound, "application.db"),
        ):
            self.assertIn(said, str(self.assertRaises(kind, role.move, *words)))
        for store, words, said in (
            ("postgresql:///a", (), "already"),
            ("postgresql:///a", ("postgresql:///a", "postgresql:///a"), "already"),
            ("postgresql:///a", ("postgresql:///b", "sqlite:"), "is not the store"),
        ):
            away.store = store
            error = self.assertRaises(InvalidValue, away.move, *words)
            self.assertIn(said, str(error))
        self.assertRaises(ConfigError, plan_of, ProviderConfig(), [], None)
        config = AppConfig(data_dir=str(there.data), store="postgresql:///there")
        # The line was written first: then nothing needs to be said.
        self.assertEqual(plan_of(config, [], None).dsn, "postgresql:///there")
        shown = plan_of(config, [], "postgresql://me:secret@there/here").target
        self.assertNotIn("secret", shown)

    def test_no_such_database(self) -> None:
        dsn = shared_cluster().dsn("nowhere")
        self.assertIn("nowhere", self.refused(self.application(), dsn, kind=NoDatabase))

    def test_running(self) -> None:
        role, dsn = self.application(), self.empty()
        data = DataDirectory(str(role.data))
        data.acquire()
        self.assertIn("stop it first", self.refused(role, dsn, kind=AlreadyRunning))
        data.release()
        with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(7027711)")
            self.assertIn("stop it first", self.refused(role, dsn, kind=AlreadyRunning))

    def test_releases(self) -> None:
        role = self.application()
        self.tamper(role, "INSERT INTO schema_migration VALUES (9999, 'later', '')")
        self.refused(role, self.empty(), kind=SchemaTooNew)
        self.tamper(role, "DELETE FROM schema_migration WHERE number > 77")
        self.assertIn("start the role", self.refused(role, self.empty(), kind=SchemaOlder))
        role, dsn = self.application(), empty_database()
        with closing(open_blocking(dsn, "public")) as connection:
            connection.execute("CREATE SCHEMA application")
            connection.execute("CREATE TABLE application.other (a BIGINT)")
            self.assertIn("not papercutd's", self.refused(role, dsn))
            connection.execute(
                "CREATE TABLE application.schema_migration (number BIGINT, name TEXT,"
                " checksum TEXT)"
            )
            connection.execute("INSERT INTO application.schema_migration VALUES (999, '', '')")
            self.refused(role, dsn, kind=SchemaTooNew)

    def test_damaged(self) -> None:
        role = self.application()
        self.tamper(role, "UPDATE decision SET provider = 'another' WHERE state = 'open'")
        said = self.refused(role, self.empty())
        self.assertIn("decision: row", said)
        self.assertIn("restore a backup", said)
        role = self.application()
        data = bytearray(role.path.read_bytes())
        data[4096:12_288] = os.urandom(8_192)
        role.path.write_bytes(data)
        self.refused(role, self.empty(), kind=Damaged)
        site = Site(self.mktemp())
        with closing(sqlite3.connect(site.replica)) as connection, connection:
            connection.execute("UPDATE user SET full_name = 'another'")
        said = self.refused(site, self.empty())
        self.assertIn("replica: user: row", said)
        self.assertIn("verify --repair", said)

    def test_what_the_other_engine_cannot_hold(self) -> None:
        role = self.application()
        self.tamper(role, "INSERT INTO secret VALUES ('odd', 'a' || char(0) || 'b')")
        said = self.refused(role, self.empty(), kind=(CannotMove, DatabaseFailed))
        self.assertIn("COPY secret", said)
        self.assertEmpty(self.empty())

"""What happens to a PostgreSQL under a server's own feet, and what the administrator is told.

Questions are answered at once while it does, with a refusal that sends their askers elsewhere;
what was answered is there afterwards, once.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg2
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from papercutd.errors import StorageFull
from papercutd.storage.postgres import alive
from papercutd.storage.postgres import writer as writing
from papercutd.storage.postgres.bloat import look
from papercutd.storage.postgres.connection import ServerShort
from papercutd.storage.postgres.database import open_blocking
from papercutd.storage.postgres.reader import PostgresReader
from papercutd.storage.postgres.writer import StorageAway
from tests.integration.test_postgres_writer import Case, Printing, sleep
from tests.support.postgres_faults import FaultyCluster, MomentRelay, faulty_cluster


class FaultCase(Case):
    """A writer with little patience, on a server that may be hurt."""

    cluster: FaultyCluster

    async def setUp(self) -> None:  # type: ignore[override]
        self.patch(alive, "KNOCK_S", 0.2)
        self.patch(alive, "CONNECT_S", 0.3)
        await super().setUp()
        # The disk is small.
        drop = f"DROP DATABASE {self.database} WITH (FORCE)"
        self._cleanups.insert(0, (self.cluster.run, (drop,), {}))

    def on_cluster(self) -> FaultyCluster:
        return faulty_cluster()

    async def until_kept(self, number: int) -> None:
        """The writer goes on."""
        until = time.monotonic() + 30
        while True:
            try:
                await self.keep(number)
                return
            except StorageAway:
                self.assertLess(time.monotonic(), until, "it does not come back")
                await sleep(0.02)

    async def refused(self, answer: Deferred[Any], words: str) -> None:
        error = await self.assertFailure(answer, StorageFull)
        self.assertIn(words, str(error))

    def set_default(self, setting: str) -> None:
        """Of the database, by its administrator; sessions begun from now on have it."""
        self.cluster.run(f"ALTER DATABASE {self.database} SET {setting}")
        self.end_sessions()


class ServerTests(FaultCase):
    async def test_killed_and_restarted(self) -> None:
        await self.keep(1)
        self.cluster.kill_listener()
        try:
            for number in (2, 3):
                await self.refused(self.keep(number), "see that it runs")
        finally:
            self.cluster.start()
        await self.until_kept(4)
        self.assertEqual((self.kept(), self.fatal), ([1, 4], []))

    async def test_no_connection_is_left(self) -> None:
        await self.keep(1)
        administrator = psycopg2.connect(self.cluster.dsn("postgres"))
        administrator.autocommit = True
        taken = self.cluster.take_connections()
        # Whoever is connected stays so.
        await self.keep(2)
        with administrator.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (self.database,),
            )
        taken += self.cluster.take_connections()
        await self.refused(self.keep(3), "raise max_connections")
        await self.refused(self.keep(4), "too many clients")
        for one in (administrator, *taken):
            one.close()
        await self.until_kept(5)
        self.assertEqual((self.kept(), self.fatal), ([1, 2, 5], []))

    async def test_no_space_is_left(self) -> None:
        def fill(connection: Any) -> None:
            connection.execute(
                "INSERT INTO large SELECT repeat('x', 1000) FROM generate_series(1, 1000)"
            )

        self.query("CREATE TABLE application.large (text TEXT)")
        await self.keep(1)
        self.cluster.disk.fill()
        try:
            answers = [self.keep(2), self.writer.submit(fill)]
            error = await self.assertFailure(answers[1], ServerShort)
            self.assertIn("free some space", str(error))
            # In the same transaction: nothing of that was done.
            await self.assertFailure(answers[0], ServerShort)
            self.assertEqual(self.kept(), [1])
        finally:
            self.cluster.disk.free()
        await self.writer.submit(fill)
        await self.keep(3)
        self.assertEqual((self.kept(), self.fatal), ([1, 3], []))
        self.query("DROP TABLE application.large")

    async def test_it_became_a_standby(self) -> None:
        """Or was set read-only: whoever writes is elsewhere, or it passes."""
        await self.keep(1)
        self.set_default("default_transaction_read_only TO on")
        await self.refused(self.keep(2), "target_session_attrs=read-write")
        self.cluster.run(f"ALTER DATABASE {self.database} RESET default_transaction_read_only")
        await self.until_kept(3)
        self.assertEqual((self.kept(), self.fatal), ([1, 3], []))

    async def test_limits_of_the_administrator(self) -> None:
        """They are meant for others: no statement of ours is cut short, and no session."""
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            self.set_default(f"{name} TO '20ms'")
        self.set_default("synchronous_commit TO off")
        self.set_default("search_path TO pg_catalog")

        def slow(connection: Any) -> tuple[Any, ...]:
            connection.execute("SELECT pg_sleep(0.05)")
            time.sleep(0.05)
            connection.execute("INSERT INTO kept VALUES (1)")
            return tuple(connection.execute("SHOW synchronous_commit").fetchone())

        self.assertEqual(await self.writer.submit(slow), ("on",))
        self.assertEqual(self.kept(), [1])
        reader = PostgresReader(reactor, self.dsn, "application")
        self.addCleanup(reader.close)
        self.assertEqual(
            await reader.read(lambda c: c.execute("SELECT 1 FROM pg_sleep(0.05)").fetchone()), (1,)
        )

    async def test_a_statement_is_canceled(self) -> None:
        """By an administrator: the transaction is run again."""
        runs = []

        def canceled(connection: Any) -> None:
            runs.append(1)
            connection.execute("INSERT INTO kept VALUES (1)")
            if len(runs) == 1:
                connection.execute("DO $$ BEGIN RAISE SQLSTATE '57014'; END $$")

        await self.writer.submit(canceled)
        self.assertEqual((len(runs), self.kept()), (2, [1]))

    async def test_a_table_is_locked(self) -> None:
        self.patch(writing, "LOCK_S", 0.05)
        await self.writer.close()
        self.writer = self.make_writer()
        await self.writer.start()
        other = psycopg2.connect(self.dsn)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE application.kept")
        await self.refused(self.keep(1), "see pg_locks")
        other.close()
        await self.keep(2)
        self.assertEqual((self.kept(), self.fatal), ([2], []))


class WayTests(FaultCase):
    """Over TCP, cut at a named moment; nobody is told."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await self.writer.close()
        self.relay = MomentRelay(self.cluster.tcp_port)
        self.addCleanup(self.relay.close)
        # Whoever still waits at it is let go.
        self.addCleanup(self.relay.heal)
        # The relay is to read what is said.
        self.dsn = self.cluster.tcp(self.database, self.relay.port, "&sslmode=disable")
        self.writer = self.make_writer()
        await self.writer.start()

    async def cut(self, before: bytes = b"", after: bytes = b"") -> int:
        """How often an operation was run that the way was cut under, until it was answered."""
        runs: list[int] = []

        def keep(connection: Any) -> None:
            runs.append(1)
            connection.execute("INSERT INTO kept VALUES (1)")

        self.relay.before, self.relay.after = before, after
        answer = self.writer.submit(keep)
        while self.relay._open.is_set():
            await sleep(0.01)
        # Those behind it, and those who come, are sent elsewhere while nobody knows.
        while not self.writer._away:
            await sleep(0.01)
        await self.refused(self.keep(2), "frozen, overloaded or cut off")
        self.relay.heal()
        try:
            await answer
        except StorageAway:
            # It is known that it was not done, and the asker comes again.
            self.assertEqual(self.kept(), [])
            while self.writer._away:
                await sleep(0.01)
            await self.writer.submit(keep)
        await self.until_kept(3)
        self.assertEqual((self.kept(), self.fatal), ([1, 3], []))
        return len(runs)

    async def test_in_a_question(self) -> None:
        self.assertEqual(await self.cut(before=b"INSERT INTO kept"), 2)

    async def test_in_its_answer(self) -> None:
        self.assertEqual(await self.cut(after=b"INSERT INTO kept"), 2)

    async def test_in_a_commit(self) -> None:
        self.assertEqual(await self.cut(before=b"COMMIT"), 2)

    async def test_in_the_answer_to_a_commit(self) -> None:
        self.assertEqual(await self.cut(after=b"COMMIT"), 1)


class QuestionTests(Printing, FaultCase):
    """Those of print providers: answered, or sent elsewhere, before they give it up."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.patch(writing, "PATIENCE_S", 0.2)

    async def until_asked(self, number: int) -> Any:
        """Asked with the same key until there is an answer."""
        while True:
            try:
                return await self.ask_for(number)
            except StorageAway:
                await sleep(0.02)

    async def test_a_server_that_is_frozen(self) -> None:
        reader = PostgresReader(reactor, self.dsn, "application")
        self.addCleanup(reader.close)
        await self.ask_for(1)
        self.cluster.freeze()
        try:
            begun = self.ask_for(2)
            await sleep(0)
            # Behind that one: it waits no longer than it would be asked elsewhere.
            await self.refused(self.ask_for(3), "frozen or slow")
            read = reader.read(lambda c: c.execute("SELECT 1").fetchone())
            # Somebody knocked: nothing of it is begun any more.
            await self.refused(begun, "frozen, overloaded or cut off")
            await self.refused(self.ask_for(4), "frozen, overloaded or cut off")
            await self.refused(read, "frozen, overloaded or cut off")
        finally:
            self.cluster.wake()
        decisions = [await self.until_asked(number) for number in (2, 3, 4)]
        self.assertTrue(all(decision.allowed for decision in decisions))
        self.assertEqual(self.reserved(), (2_000, 4, 4))
        self.assertEqual((await self.store.verify(), self.fatal), ([], []))

    async def test_frozen_for_a_moment(self) -> None:
        """Who was told nothing is answered when it wakes; who was sent elsewhere, is not."""
        self.patch(alive, "KNOCK_S", 30.0)
        self.cluster.freeze()
        try:
            begun = self.ask_for(1)
            await sleep(0)
            await self.refused(self.ask_for(2), "frozen or slow")
        finally:
            self.cluster.wake()
        self.assertTrue((await begun).allowed)
        self.assertEqual(self.reserved(), (500, 1, 1))

    async def test_a_server_that_is_slow(self) -> None:
        self.query(
            "CREATE FUNCTION application.dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$;"
            " CREATE TRIGGER dawdle AFTER INSERT ON application.decision"
            " FOR EACH STATEMENT EXECUTE FUNCTION application.dawdle()"
        )
        begun = [self.ask_for(1), self.ask_for(2)]
        await sleep(0.05)
        await self.refused(self.ask_for(3), "frozen or slow")
        self.assertTrue(all(decision.allowed for decision in await gatherResults(begun)))
        self.assertEqual(self.reserved(), (1_000, 2, 2))
        self.assertEqual(await self.store.verify(), [])

    async def test_commands_wait_behind_a_slow_one(self) -> None:
        slow = self.writer.submit(lambda c: c.execute("SELECT pg_sleep(0.4)"))
        await sleep(0.05)
        added = self.store.add_user("bert")
        await self.refused(self.ask_for(1), "frozen or slow")
        await gatherResults([slow, added])
        self.assertTrue((await self.ask_for(1)).allowed)

    async def test_closed_while_a_commit_is_unknown(self) -> None:
        """It is not run again, whoever is reached: it may have been done."""
        send = self.writer._link.send
        commits = []

        def lossy(sql: str, values: Any) -> Any:
            if not sql.endswith("COMMIT"):
                return send(sql, values)
            commits.append(1)
            send(sql, values)
            self.cluster.run(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS false")
            self.end_sessions()
            return send("SELECT 1", None)

        self.writer._link.send = lossy  # type: ignore[method-assign]
        self.ask_for(1)
        while not self.writer._away:
            await sleep(0.01)
        closed = self.writer.close()
        await sleep(0.1)
        self.cluster.run(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS true")
        await closed
        self.assertEqual((len(commits), self.reserved()), (1, (500, 1, 1)))
        self.flushLoggedErrors()


class StalledTests(FaultCase):
    """Autovacuum can remove nothing while somebody's transaction is open."""

    def found(self, **limits: Any) -> list[str]:
        connection = open_blocking(self.dsn, "application")
        try:
            return look(connection, **limits)
        finally:
            connection.close()

    async def test_a_transaction_of_somebody_else(self) -> None:
        self.assertEqual(self.found(), [])
        other = psycopg2.connect(self.dsn, application_name="a report")
        other.set_session(isolation_level="REPEATABLE READ")
        with other.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM application.kept")
        for number in range(20):
            await self.keep(number)
        (told,) = self.found(open_s=0.0)
        self.assertIn("a report", told)
        self.assertIn("pg_terminate_backend", told)
        self.assertEqual(self.found(), [])
        other.close()

    async def test_a_prepared_transaction(self) -> None:
        self.query(
            "BEGIN; INSERT INTO application.kept VALUES (1); PREPARE TRANSACTION 'forgotten'"
        )
        self.addCleanup(self.query, "ROLLBACK PREPARED 'forgotten'")
        (told,) = self.found(open_s=0.0)
        self.assertIn("ROLLBACK PREPARED 'forgotten'", told)

    async def test_rows_that_are_dead(self) -> None:
        for number in range(20):
            await self.keep(number)
        self.query("DELETE FROM application.kept")
        until = time.monotonic() + 30
        found: list[str] = []
        while not found and time.monotonic() < until:
            await sleep(0.05)
            found = self.found(dead_rows=10)
        self.assertIn("kept", found[0])
        self.query("VACUUM application.kept")

    async def test_autovacuum_is_off(self) -> None:
        self.query("ALTER TABLE application.kept SET (autovacuum_enabled = off)")
        (told,) = self.found()
        self.assertIn("kept", told)

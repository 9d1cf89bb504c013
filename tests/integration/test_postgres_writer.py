"""The writer and the reader on PostgreSQL: batches, lost connections, lost answers."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from papercutd.domain.chain import MARK_START
from papercutd.domain.job import SessionRef
from papercutd.errors import AlreadyRunning, StorageClosed, StorageFull
from papercutd.storage.application_store import ApplicationStore, create_installation
from papercutd.storage.engine import RowRefused
from papercutd.storage.postgres import writer as writing
from papercutd.storage.postgres.batches import PIECE
from papercutd.storage.postgres.connection import TryAgain
from papercutd.storage.postgres.database import open_blocking
from papercutd.storage.postgres.migrate import migrate
from papercutd.storage.postgres.reader import PostgresReader
from papercutd.storage.postgres.writer import HOT_MAX, PostgresWriter, WriterReplaced
from papercutd.storage.proof import verify_worker
from papercutd.storage.proof.seals import one_moment
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.sqlite.writer import InlineReader
from tests.support.postgres import Cluster, shared_cluster
from tests.support.stores import PRICES, WALL_S, request

_names = itertools.count()


def sleep(seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)  # type: ignore[attr-defined]
    return done


class Case(TestCase):
    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        self.patch(writing, "RECONNECT_S", 0.05)
        self.cluster = self.on_cluster()
        self.database = f"writer{next(_names)}"
        self.dsn = self.cluster.create_database(self.database, self.template())
        self.fatal: list[Failure] = []
        self.writer = self.make_writer()
        await self.writer.start()

    def on_cluster(self) -> Cluster:
        return shared_cluster()

    def template(self) -> str:
        """The name of a database with the schema, made once."""
        name = "template_writer"
        if not self.cluster.run(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            connection = open_blocking(self.cluster.create_database(name), "application")
            migrate(connection, "application")
            connection.execute("CREATE TABLE application.kept (id BIGINT PRIMARY KEY)")
            connection.close()
        return name

    def make_writer(self, **more: Any) -> PostgresWriter:
        writer = PostgresWriter(
            *(reactor, self.dsn, "application", self.fatal.append),
            new_id=lambda: str(uuid.uuid4()),
            **more,
        )
        self.addCleanup(writer.close)
        return writer

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.cluster.run(sql, self.database)

    def kept(self) -> list[int]:
        return [row[0] for row in self.query("SELECT id FROM application.kept ORDER BY id")]

    def keep(self, number: int) -> Deferred[int]:
        def keep(connection: Any) -> int:
            connection.execute("INSERT INTO kept VALUES (?)", (number,))
            return number

        return self.writer.submit(keep)

    def end_sessions(self) -> None:
        self.cluster.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            f" AND datname = '{self.database}'"
        )


class BatchTests(Case):
    async def test_answered_after_the_commit(self) -> None:
        self.assertEqual(await self.keep(1), 1)
        self.assertEqual(self.kept(), [1])

    async def test_one_that_fails_undoes_itself_alone(self) -> None:
        await self.keep(2)
        answers = [self.keep(1), self.keep(2), self.keep(3)]
        await self.assertFailure(answers[1], RowRefused)
        await gatherResults([answers[0], answers[2]])
        self.assertEqual(self.kept(), [1, 2, 3])

    async def test_the_only_one_that_fails(self) -> None:
        await self.keep(1)
        await self.assertFailure(self.keep(1), RowRefused)
        await self.keep(2)

    async def test_a_text_that_cannot_be_kept(self) -> None:
        refused = self.writer.submit(lambda c: c.execute("SELECT ?", ("a\x00b",)))
        await self.assertFailure(refused, RowRefused)

    async def test_many_share_one_transaction(self) -> None:
        sent: list[str] = []
        send = self.writer._link.send

        def heard(sql: str, values: Any) -> Any:
            sent.append(sql)
            return send(sql, values)

        self.writer._link.send = heard  # type: ignore[method-assign]
        await gatherResults([self.keep(number) for number in range(50)])
        self.assertEqual(len([sql for sql in sent if sql.endswith("COMMIT")]), 1)

    async def test_closing_runs_what_waits(self) -> None:
        answer = self.keep(1)
        await self.writer.close()
        await answer
        await self.assertFailure(self.keep(2), StorageClosed)


class LostTests(Case):
    async def test_a_session_that_was_ended_is_made_anew(self) -> None:
        await self.keep(1)
        self.end_sessions()
        await self.keep(2)
        self.end_sessions()
        await sleep(0.05)
        await self.keep(3)
        self.assertEqual(self.kept(), [1, 2, 3])
        self.assertEqual(self.fatal, [])

    async def test_lost_within_the_transaction(self) -> None:
        """Nothing of it was done: it is run again, once for all."""
        runs = []

        def keep(connection: Any) -> None:
            runs.append(1)
            connection.execute("INSERT INTO kept VALUES (1)")
            if len(runs) == 1:
                self.end_sessions()
            connection.execute("SELECT 1")

        await self.writer.submit(keep)
        self.assertEqual((len(runs), self.kept()), (2, [1]))

    async def lose_commit(self, after: bool) -> list[int]:
        """The answer to one COMMIT is lost, ``after`` it was done or before; the runs it took."""
        runs: list[int] = []
        send = self.writer._link.send

        def lossy(sql: str, values: Any) -> Any:
            if not sql.endswith("COMMIT"):
                return send(sql, values)
            self.writer._link.send = send  # type: ignore[method-assign]
            if after:
                send(sql, values)
            self.end_sessions()
            return send("SELECT 1", None)

        self.writer._link.send = lossy  # type: ignore[method-assign]

        def keep(connection: Any) -> None:
            runs.append(1)
            connection.execute("INSERT INTO kept VALUES (1)")

        await self.writer.submit(keep)
        self.assertEqual(self.kept(), [1])
        self.assertEqual(self.fatal, [])
        return runs

    async def test_the_answer_to_a_commit_that_was_done(self) -> None:
        self.assertEqual(len(await self.lose_commit(after=True)), 1)

    async def test_the_answer_to_a_commit_that_was_not(self) -> None:
        self.assertEqual(len(await self.lose_commit(after=False)), 2)

    async def test_a_transaction_that_met_another(self) -> None:
        runs = []

        def meet(connection: Any) -> int:
            runs.append(1)
            if len(runs) < 3:
                raise TryAgain("serialization failure")
            return 7

        self.assertEqual(await self.writer.submit(meet), 7)

    async def test_one_that_always_meets_another_is_given_up(self) -> None:
        def meet(connection: Any) -> None:
            raise TryAgain("serialization failure")

        await self.assertFailure(self.writer.submit(meet), StorageFull)
        await self.keep(1)

    async def test_a_server_that_is_gone(self) -> None:
        """Who asks is sent elsewhere, at once; when it is back, all goes on."""
        await self.keep(1)
        self.cluster.run(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS false")
        self.end_sessions()
        await self.assertFailure(self.keep(2), StorageFull)
        await self.assertFailure(self.keep(3), StorageFull)
        self.cluster.run(f"ALTER DATABASE {self.database} ALLOW_CONNECTIONS true")
        while self.writer._away:
            await sleep(0.01)
        await self.keep(4)
        self.assertEqual(self.kept(), [1, 4])


class FenceTests(Case):
    async def test_one_writes(self) -> None:
        await self.assertFailure(self.make_writer().start(), AlreadyRunning)

    async def test_who_was_replaced_writes_nothing(self) -> None:
        await self.keep(1)
        self.query("UPDATE application.writer SET fence = fence + 1")
        self.keep(2)
        while not self.fatal:
            await sleep(0.01)
        self.fatal[0].trap(WriterReplaced)
        self.assertEqual(self.kept(), [1])


class Printing(Case):
    """A writer of an application server with a provider that asks."""

    def make_writer(self, **more: Any) -> PostgresWriter:
        blocking = open_blocking(self.dsn, "application")
        create_installation(blocking, "test")
        blocking.close()
        log = ChangeLog(lambda: WALL_S)
        writer = super().make_writer(participant=log, **more)
        self.store = ApplicationStore(writer, InlineReader(writer), log, lambda: WALL_S)  # type: ignore[arg-type]
        return writer

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await self.store.add_prices(PRICES)
        await self.store.add_site("north", "", 9195)
        await self.store.add_provider("p1", "north")
        await self.store.add_printer("lp1", "p1", "socket://127.0.0.1:9", "hold")
        await self.store.add_user("anna", balance_e4=1_000_000)
        seen = await self.store.begin_provider("p1", "journal", MARK_START, "")
        self.asker = SessionRef("provider", "p1", "journal", seen.session)
        self.sent: list[str] = []
        self.hear(lambda sql: None)

    def hear(self, before: Callable[[str], None]) -> None:
        """Call ``before`` each statement."""
        send = self.writer._link.send

        def heard(sql: str, values: Any) -> Any:
            self.sent.append(sql.strip())
            before(sql)
            return send(sql, values)

        self.writer._link.send = heard  # type: ignore[method-assign]

    def ask_for(self, number: int) -> Deferred[Any]:
        """One job, of one page."""
        return self.store.authorize(self.asker, request(number))

    def ask(self, count: int) -> Deferred[list[Any]]:
        """As many jobs, of one page each."""
        return gatherResults([self.ask_for(number) for number in range(count)])

    def reserved(self) -> tuple[Any, ...]:
        return self.query(
            "SELECT pending_e4, (SELECT COUNT(*) FROM application.transfer WHERE kind = 'pending'),"
            " (SELECT COUNT(*) FROM application.decision) FROM application.account"
            " WHERE name = 'anna'"
        )[0]


class HotTests(Printing):
    """Questions, worked on in memory."""

    async def test_two_journeys_for_all(self) -> None:
        decisions = await self.ask(64)
        self.assertTrue(all(decision.allowed for decision in decisions))
        read, written = self.sent
        self.assertIn("SELECT read_set", read)
        marking = "UPDATE application.writer SET batch = CASE WHEN fence = %s THEN %s END"
        self.assertEqual(written.partition("; ")[2], f"{marking}; COMMIT")
        self.assertEqual(self.reserved(), (32_000, 64, 64))
        self.assertEqual(await self.store.verify(), [])

    async def test_more_than_one_batch(self) -> None:
        await self.ask(HOT_MAX + 1)
        self.assertEqual(len(self.sent), 4)

    async def test_the_reactor_goes_on_meanwhile(self) -> None:
        """Between pieces of a batch; who asks then is not of it."""
        late: list[Deferred[Any]] = []
        went_on: list[bool] = []
        pause = self.writer.pause

        def paused() -> None:
            turns: list[None] = []
            self.writer._reactor.callLater(0, turns.append, None)
            pause()
            went_on.append(bool(turns))
            if not late:
                late.append(self.ask_for(HOT_MAX))

        self.patch(self.writer, "pause", paused)
        await self.ask(HOT_MAX)
        self.assertEqual(went_on, [True] * (HOT_MAX // PIECE - 1))
        self.assertFalse(late[0].called)
        await late[0]
        self.assertEqual(len([sql for sql in self.sent if sql.endswith("COMMIT")]), 2)
        self.assertEqual(self.reserved(), (500 * (HOT_MAX + 1), HOT_MAX + 1, HOT_MAX + 1))
        self.assertEqual(await self.store.verify(), [])

    async def lose(self, statement: str, after: bool) -> None:
        """The sessions end at the journey with ``statement``, once."""
        send = self.writer._link.send

        def lossy(sql: str, values: Any) -> Any:
            if statement not in sql:
                return send(sql, values)
            self.writer._link.send = send  # type: ignore[method-assign]
            if after:
                send(sql, values)
            self.end_sessions()
            return send("SELECT 1", None)

        self.writer._link.send = lossy  # type: ignore[method-assign]
        decisions = await self.ask(3)
        self.assertTrue(all(decision.allowed for decision in decisions))
        self.assertEqual(self.reserved(), (1_500, 3, 3))
        self.assertEqual(self.fatal, [])
        self.assertEqual(await self.store.verify(), [])

    async def test_the_session_ends_anywhere(self) -> None:
        await self.lose("SELECT read_set", after=False)

    async def test_it_ends_when_all_was_read(self) -> None:
        await self.lose("SELECT read_set", after=True)

    async def test_the_answer_to_a_commit_that_was_done(self) -> None:
        await self.lose("COMMIT", after=True)

    async def test_the_answer_to_a_commit_that_was_not(self) -> None:
        await self.lose("COMMIT", after=False)

    async def test_those_left_are_the_next_batch(self) -> None:
        # Its refusal cannot be kept with this title.
        illegible = self.store.authorize(self.asker, request(9, 99_999, title="a\x00b"))
        answers = self.ask(3)
        await self.assertFailure(illegible, RowRefused)
        self.assertTrue(all(decision.allowed for decision in await answers))
        self.assertEqual(self.reserved(), (1_500, 3, 3))

    async def test_who_was_replaced_writes_nothing(self) -> None:
        self.query("UPDATE application.writer SET fence = fence + 1")
        self.ask(3)
        while not self.fatal:
            await sleep(0.01)
        self.fatal[0].trap(WriterReplaced)
        self.assertEqual(self.reserved(), (0, 0, 0))


class ReaderTests(Case):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.reader = PostgresReader(reactor, self.dsn, "application")
        self.addCleanup(self.reader.close)

    def count(self) -> Deferred[int]:
        return self.reader.read(lambda c: c.execute("SELECT COUNT(*) FROM kept").fetchone()[0])

    async def test_sees_what_was_answered(self) -> None:
        await self.keep(1)
        self.assertEqual(await self.count(), 1)

    async def test_verifying_sees_one_moment(self) -> None:
        """Its many statements, while others write."""
        connection = verify_worker.open_to_verify(
            verify_worker.Asked("application", address=self.dsn)
        )
        self.addCleanup(connection.close)
        count = "SELECT COUNT(*) FROM kept"
        with one_moment(connection):
            before = connection.execute(count).fetchone()
            await self.keep(1)
            self.assertEqual(connection.execute(count).fetchone(), before)
        self.assertEqual(connection.execute(count).fetchone(), (1,))

    async def test_more_than_there_are_connections(self) -> None:
        self.assertEqual(await gatherResults([self.count() for _ in range(50)]), [0] * 50)

    async def test_all_connections_ended(self) -> None:
        await gatherResults([self.count() for _ in range(10)])
        self.end_sessions()
        self.assertEqual(await gatherResults([self.count() for _ in range(50)]), [0] * 50)

    async def test_an_error_leaves_the_connection_usable(self) -> None:
        for _ in range(8):
            bad = self.reader.read(lambda c: (c.execute("BEGIN"), c.execute("SELECT 1 / 0")))
            await self.assertFailure(bad, RowRefused)
        self.assertEqual(await self.count(), 0)

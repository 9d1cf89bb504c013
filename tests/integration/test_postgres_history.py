"""A PostgreSQL whose own history is another one now: what was lost is noticed, nothing else."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor

from papercutd.environment import real_environment
from papercutd.roles.stores import open_application
from papercutd.storage.application_store import ApplicationStore, create_installation
from papercutd.storage.postgres import history
from papercutd.storage.postgres.connection import ConnectionLost
from papercutd.storage.postgres.database import open_blocking
from papercutd.storage.postgres.history import WentBack
from papercutd.storage.postgres.writer import PostgresWriter
from papercutd.storage.replication.change_log import ChangeLog
from tests.integration.test_postgres_writer import Case, sleep


class HistoryTests(Case):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await self.writer.close()
        connection = open_blocking(self.dsn, "application")
        create_installation(connection, "installation")
        connection.close()

    def promote(self, to: str) -> None:
        self.patch(history, "_NOW", f"SELECT '{to}'")

    async def open(self) -> ApplicationStore:
        env = real_environment(reactor)
        opened, _ = open_application(self.dsn, reactor, env, 64, self.fatal.append)
        store = await opened
        self.addCleanup(store.close)
        return store

    def stored(self) -> Any:
        return self.query(
            "SELECT history, (SELECT timeline FROM application.head) FROM application.writer"
        )[0]

    async def test_who_starts_after_a_promotion_begins_a_timeline_once(self) -> None:
        await (await self.open()).close()
        self.assertEqual(self.stored()[1], 1)
        self.promote("00000002")
        await (await self.open()).close()
        self.assertEqual(self.stored(), ("00000002", 2))
        await (await self.open()).close()
        self.assertEqual(self.stored(), ("00000002", 2))

    async def write_one(self) -> tuple[PostgresWriter, ChangeLog]:
        log = ChangeLog(lambda: 1e9)
        self.writer = self.make_writer(participant=log)
        await self.writer.start()

        def place(connection: Any) -> None:
            log.place()

        await self.writer.submit(place)
        return self.writer, log

    async def test_a_promoted_one_that_has_all_is_gone_on_with(self) -> None:
        await self.write_one()
        self.promote("00000002")
        self.end_sessions()
        self.assertEqual(await self.keep(1), 1)
        self.assertEqual(self.stored(), ("00000002", 1))
        self.assertEqual(self.fatal, [])

    async def test_one_that_lacks_something_ends_the_writer(self) -> None:
        await self.write_one()
        self.query("DELETE FROM application.change_log WHERE true RETURNING 1")
        self.promote("00000002")
        self.end_sessions()
        self.keep(1).addBoth(lambda result: None)
        while not self.fatal:
            await sleep(0.02)
        self.assertIsNotNone(self.fatal[0].check(WentBack))
        self.assertNotEqual(self.stored()[0], "00000002")
        self.assertEqual(self.kept(), [])

    async def test_a_standby_is_nobody_to_write_to(self) -> None:
        self.promote("")
        self.writer = self.make_writer()
        await self.assertFailure(self.writer.start(), ConnectionLost)

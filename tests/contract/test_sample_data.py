"""Sample data are the same on both engines, and on PostgreSQL nothing is left of the load."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.setup import FIRST_PRICES
from papercutd.storage.administration.sample_data import Plan, SampleData
from papercutd.storage.application_store import ApplicationStore, create_installation
from papercutd.storage.postgres.bulk_load import PostgresLoad
from papercutd.storage.postgres.opening import open_migrated
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.sqlite.bulk_load import Load, SqliteLoad
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter
from tests.support.postgres import shared_cluster
from tests.support.stores import WALL_S, Turner

_FILLED = {
    **{"account": "id", "user": "id", "card": "hash", "group_member": "key", "monthly": "1, 2, 3"},
    **{"charge": "key", "decision": "key", "transfer": "id", "change_log": "number"},
}
_RULES = (
    "SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE relnamespace = 'application'::regnamespace"
    " UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'application'::regnamespace"
    " UNION ALL SELECT tgrelid::regclass || ' ' || tgname || tgenabled::text FROM pg_trigger"
    " WHERE NOT tgisinternal ORDER BY 1"
)


class SampleDataTests(SynchronousTestCase):
    def fill(self, connection: Any, load: type[Load]) -> list[str]:
        """What verify finds."""
        turner = Turner(Clock())
        create_installation(connection, "test")
        log = ChangeLog(lambda: WALL_S)
        writer = InlineWriter(connection, turner.clock, log)
        store = ApplicationStore(writer, InlineReader(writer), log, lambda: WALL_S)
        turner.result(store.add_prices(FIRST_PRICES))
        plan = Plan(users=40, jobs=500, sites=1, printers=3, years=1)
        SampleData(load(connection), plan, Random(1), WALL_S, lambda *said: None).fill("ab" * 32)
        return turner.result(store.verify())

    def test_on_both_engines(self) -> None:
        sqlite = open_database(self.mktemp(), "application")
        self.addCleanup(sqlite.close)
        postgres = open_migrated(shared_cluster().create_database("sampled"), "application")
        self.addCleanup(postgres.close)
        before = postgres.execute(_RULES).fetchall()
        self.assertEqual(self.fill(sqlite, SqliteLoad), [])
        self.assertEqual(self.fill(postgres, PostgresLoad), [])
        for table, order in _FILLED.items():
            rows = f'SELECT * FROM "{table}" ORDER BY {order}'
            self.assertEqual(
                *(postgres.execute(rows).fetchall(), sqlite.execute(rows).fetchall(), table)
            )
        self.assertEqual(postgres.execute(_RULES).fetchall(), before)
        self.assertEqual(
            postgres.execute(
                "INSERT INTO listed (kind, key, who, detail, at, number)"
                " VALUES ('', '', '', '', 0, 0) RETURNING id"
            ).fetchone(),
            (1,),
        )

"""Statements in PostgreSQL's words, and its schemas beside SQLite's."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.postgres.dialect import translate
from papercutd.storage.postgres.migrate import migrations
from papercutd.storage.sqlite.migrate import open_database

_TYPES = {"BIGINT": "INTEGER", "DOUBLE PRECISION": "REAL", "TEXT": "TEXT", "BYTEA": "BLOB"}
#: What PostgreSQL's schemas have beside: who writes, and who may.
_MORE = {"writer", "server"}


class TranslateTests(SynchronousTestCase):
    def check(self, sql: str, expected: str, order: tuple[int, ...] | None = None) -> None:
        found = translate(sql)
        self.assertEqual((found.sql, found.order), (expected, order))

    def test_places(self) -> None:
        self.check("SELECT ?, ?", "SELECT %s, %s")
        self.check("SELECT ?2, ?1, ?2", "SELECT %s, %s, %s", (1, 0, 1))
        # A bare place is one beyond the highest before it, as in SQLite.
        self.check("SELECT ?1, ?, ?, ?1", "SELECT %s, %s, %s, %s", (0, 1, 2, 0))

    def test_texts_are_left_alone(self) -> None:
        self.check("SELECT 'user ? 100% IS ?'", "SELECT 'user ? 100% IS ?'")
        self.check("SELECT 'it''s' WHERE ?", "SELECT 'it''s' WHERE %s")

    def test_a_percent_sign_beside_places(self) -> None:
        self.check("a LIKE 'x:%' AND b = ?", "a LIKE 'x:%%' AND b = %s")
        self.check("a LIKE 'x:%'", "a LIKE 'x:%'")

    def test_user(self) -> None:
        self.check("SELECT u.user FROM user AS u", 'SELECT u."user" FROM "user" AS u')
        self.check("SELECT user_name, user_group", "SELECT user_name, user_group")

    def test_the_greatest_of_several(self) -> None:
        self.check("MAX(a, MIN(b, 1))", "GREATEST(a, LEAST(b, 1))")
        self.check("MAX(a)", "MAX(a)")
        self.check("MAX(COALESCE(a, 0))", "MAX(COALESCE(a, 0))")

    def test_is(self) -> None:
        self.check("a IS NULL AND b IS NOT NULL", "a IS NULL AND b IS NOT NULL")
        self.check("a IS ?", "a IS NOT DISTINCT FROM %s")
        self.check("(a, b) IS NOT (c, d)", "(a, b) IS DISTINCT FROM (c, d)")

    def test_bytes(self) -> None:
        self.check("a <> x'00ff'", "a <> '\\x00ff'::bytea")
        self.check("CAST(body AS BLOB)", "convert_to(body, 'UTF8')")

    def test_what_is_sqlites_alone(self) -> None:
        with self.assertRaises(ValueError):
            translate("INSERT OR REPLACE INTO t VALUES (1)")
        self.check("AFTER INSERT OR UPDATE", "AFTER INSERT OR UPDATE")


class SchemaTests(SynchronousTestCase):
    """Both engines have the same tables, with the same columns, in the same order."""

    def columns_of_sqlite(self, schema: str) -> dict[str, list[tuple[str, str]]]:
        connection = open_database(":memory:", schema)
        self.addCleanup(connection.close)
        tables = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if row[0] != "schema_migration"
        ]
        return {
            table: [
                (row[1], "TEXT" if row[2] == "ANY" else row[2])
                for row in connection.execute(f"PRAGMA table_info({table})")
            ]
            for table in tables
        }

    def columns_of_postgres(self, schema: str) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        kinds = "|".join(_TYPES)
        for _, _, sql in migrations(schema):
            for table, body in re.findall(r"CREATE TABLE @\"?(\w+)\"? \(\n(.*?)\n\);", sql, re.S):
                columns = re.findall(rf"^    \"?(\w+)\"? ({kinds})\b", body, re.M)
                found[table] = [(name, _TYPES[kind]) for name, kind in columns]
            added = rf"ALTER TABLE @\"?(\w+)\"? ADD COLUMN \"?(\w+)\"? ({kinds})\b"
            for table, name, kind in re.findall(added, sql):
                found[table].append((name, _TYPES[kind]))
        return {table: columns for table, columns in found.items() if table not in _MORE}

    def check(self, schema: str) -> None:
        self.assertEqual(self.columns_of_postgres(schema), self.columns_of_sqlite(schema))

    def test_application(self) -> None:
        self.check("application")

    def test_journal(self) -> None:
        self.check("journal")

    def test_replica(self) -> None:
        self.check("replica")

    def test_texts_are_ordered_by_their_bytes(self) -> None:
        for schema in ("application", "journal", "replica"):
            for _, name, sql in migrations(schema):
                tables = "".join(re.findall(r"CREATE TABLE .*?\n\);", sql, re.S))
                self.assertEqual(re.findall(r"\w+ TEXT(?! COLLATE)", tables), [], name)

"""Plugins: loaded by name, checked; the CSV source names every bad row."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.config.load import load_config
from papercutd.config.model import AppConfig
from papercutd.errors import ConfigError
from papercutd.interfaces import IUserSource, UserRecord
from plugins import USER_SOURCES, load


class LoadTests(SynchronousTestCase):
    def test_each_registered_source(self) -> None:
        for name, settings in (("local", {}), ("csv", {"path": "x"})):
            source = load(USER_SOURCES, name, IUserSource, **settings)
            self.assertTrue(source.description)

    def test_by_configuration(self) -> None:
        users = Path(self.mktemp())
        users.write_text("name\nanna\n")
        path = Path(self.mktemp())
        path.write_text(f'[users]\nsource = "csv"\npath = "{users.resolve()}"\n')
        configured = load_config(str(path), AppConfig).users
        source = load(USER_SOURCES, configured.source, IUserSource, path=configured.path)
        self.assertEqual([user.name for user in source.read().users], ["anna"])

    def test_refusals(self) -> None:
        registry = {**USER_SOURCES, "wrong": "plugins.source_csv.COLUMNS.count"}
        for name, settings in (("ldap9", {}), ("csv", {}), ("local", {"x": 1})):
            with self.assertRaises(ConfigError):
                load(registry, name, IUserSource, **settings)


class CsvTests(SynchronousTestCase):
    def read(self, data: bytes) -> tuple[list[str], list[int]]:
        path = Path(self.mktemp())
        path.write_bytes(data)
        found = load(USER_SOURCES, "csv", IUserSource, path=str(path)).read()
        return [user.name for user in found.users], [row.line for row in found.rejected]

    def test_good(self) -> None:
        path = Path(self.mktemp())
        path.write_text("name,full_name,restricted,groups\nanna,Anna A,no,staff;all\n")
        found = load(USER_SOURCES, "csv", IUserSource, path=str(path)).read()
        self.assertEqual(found.users, (UserRecord("anna", "Anna A", False, ("staff", "all")),))

    def test_byte_order_mark_and_crlf(self) -> None:
        self.assertEqual(self.read(b"\xef\xbb\xbfname\r\nanna\r\n"), (["anna"], []))

    def test_every_bad_row_is_named(self) -> None:
        data = b"name,restricted\nanna,yes\n,yes\nben,maybe\nANNA,no\ncleo\ndora,no\n"
        self.assertEqual(self.read(data), (["anna", "dora"], [3, 4, 5, 6]))

    def test_hopeless_files(self) -> None:
        wide = b",".join(b"x%d" % n for n in range(10_000))
        for data, line in (
            (b"name\nanna\n\xe9t\xe9\n", 3),
            (b"", 1),
            (b"user\nanna\n", 1),
            (wide, 1),
        ):
            self.assertEqual(self.read(data), ([], [line]))

    def test_half_a_line(self) -> None:
        self.assertEqual(self.read(b'name\nanna\n"ben')[1], [3])

"""Addresses, users and databases that cannot be used: what the administrator is told at a start."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from urllib.parse import quote

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from papercutd.config.load import load_config
from papercutd.config.model import AppConfig
from papercutd.errors import ConfigError, SchemaTooNew
from papercutd.roles.common import check_more
from papercutd.roles.stores import check_store
from papercutd.storage.postgres import alive, opening
from papercutd.storage.postgres.advice import advised
from papercutd.storage.postgres.connection import ConnectionLost
from papercutd.storage.postgres.database import NoDatabase, check_dsn, connect_options, settings
from papercutd.storage.postgres.hub import spawn
from papercutd.storage.postgres.link import ReactorLink
from papercutd.storage.postgres.opening import ReadOnlyPostgres, open_migrated
from tests.support.postgres_faults import PASSWORD, SECURED, faulty_cluster

_names = itertools.count()
SECRET = quote(PASSWORD, safe="")


class Case(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.cluster = faulty_cluster()

    def database(self, how: str = "") -> str:
        name = f"connection{next(_names)}"
        self.cluster.run(f"CREATE DATABASE {name} TEMPLATE template0 {how}")
        self.addCleanup(self.cluster.run, f"DROP DATABASE {name} WITH (FORCE)")
        return name

    def refused(self, dsn: str, *words: str) -> None:
        """At the start, and by the link that connects again later where it is the address."""
        error = self.assertRaises(NoDatabase, open_migrated, dsn, "application")
        for word in words:
            self.assertIn(word, str(error))
        self.assertNotIn(PASSWORD, str(error))
        self.assertNotIn(SECRET, str(error))


class AddressTests(Case):
    def test_not_an_address_at_all(self) -> None:
        for dsn in (
            *("postgresql:somewhere", "postgresql://papercut:se%zzcret@host/database"),
            "postgresql:///papercut?sslmoed=verify-full&password=se%zzcret",
        ):
            error = self.assertRaises(NoDatabase, check_dsn, dsn)
            self.assertIn("postgresql://user@host:port/database", str(error))
            self.assertNotIn("cret", str(error))
            error = self.assertRaises(ConfigError, check_store, dsn)
            self.assertTrue(str(error).startswith("store: "), error)
            self.assertNotIn("cret", str(error))
            self.assertRaises(NoDatabase, open_migrated, dsn, "application")
            self.assertRaises(NoDatabase, ReadOnlyPostgres(dsn, 1).query, "SELECT 1")

    def test_the_configuration_is_checked(self) -> None:
        path = Path(self.mktemp())
        path.write_text('store = "postgresql:somewhere"\n')
        error = self.assertRaises(ConfigError, check_more, load_config(str(path), AppConfig))
        self.assertEqual(len(error.problems), 1)
        self.assertIn("store: that is no address", str(error))
        path.write_text('store = "postgresql:///papercut"\n')
        check_more(load_config(str(path), AppConfig))

    def test_nobody_there(self) -> None:
        nowhere = f"postgresql:///x?host={self.cluster.directory}/nowhere&user=papercut"
        self.refused(nowhere, "No such file", "see that it runs")
        with_port = "postgresql://papercut@127.0.0.1:1/x"
        self.refused(with_port, "Connection refused", "see that it runs")
        self.refused("postgresql://papercut@no.such.host.invalid/x", "host and port in `store`")

    def test_a_database_that_is_not_there(self) -> None:
        self.refused(self.cluster.dsn("nothing"), 'database "nothing" does not exist', "make it")

    def test_a_user_that_is_not_there(self) -> None:
        dsn = self.cluster.dsn("postgres").replace("user=papercut", "user=nobody")
        self.refused(dsn, 'role "nobody" does not exist', "the user in `store`")

    async def test_several_servers(self) -> None:
        """The first that writes is taken, whatever is wrong with those before it."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.patch(alive, "CONNECT_S", 0.2)
        name, read_only = self.database(), "?target_session_attrs=read-write"
        ports = (1, silent.getsockname()[1], self.cluster.tcp_port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        link = ReactorLink(
            reactor, f"postgresql://papercut@{hosts}/{name}{read_only}", settings("public")
        )
        await spawn(link.connect)
        self.assertEqual(link.raw.info.port, self.cluster.tcp_port)
        link.close()
        self.cluster.run(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
        error = await self.assertFailure(spawn(link.connect), ConnectionLost)
        for words in ("Connection refused", "no answer", "read-only"):
            self.assertIn(words, str(error))

    def test_who_looks_waits_for_nobody(self) -> None:
        """In the shell: the whole server would wait along."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.patch(opening, "LOOK_S", 0.05)
        dsn = f"postgresql://papercut@127.0.0.1:{silent.getsockname()[1]}/x"
        store = ReadOnlyPostgres(dsn, 10)
        self.assertIn("no answer", str(self.assertRaises(NoDatabase, store.query, "SELECT 1")))

    def test_what_is_not_said_is_noticed(self) -> None:
        """A network that is cut ends the connection, unless the address says otherwise."""
        self.assertEqual(connect_options("postgresql:///x")["tcp_user_timeout"], 10_000)
        said = connect_options("postgresql:///x?tcp_user_timeout=3000&keepalives_idle=60")
        self.assertEqual(sorted(said), ["keepalives_count", "keepalives_interval"])


class TlsTests(Case):
    def more(self, mode: str, authority: object = "", password: str = SECRET) -> str:
        """What an address of somebody who comes with a password ends with."""
        root = f"&sslrootcert={authority}" if authority else ""
        return f"&sslmode={mode}{root}&password={password}"

    def test_password_and_certificate(self) -> None:
        name = self.database(f"OWNER {SECURED}")
        good = self.more("verify-full", self.cluster.authority)
        dsn = self.cluster.tcp(name, more=good, user=SECURED)
        open_migrated(dsn, "application").close()

    async def test_the_link_that_runs(self) -> None:
        name = self.database(f"OWNER {SECURED}")
        for authority, words in (
            (self.cluster.authority, ""),
            (self.cluster.other_authority, "sslrootcert"),
        ):
            more = self.more("verify-full", authority)
            dsn = self.cluster.tcp(name, more=more, user=SECURED)
            link = ReactorLink(reactor, dsn, settings("public"))
            if words:
                error = await self.assertFailure(spawn(link.connect), ConnectionLost)
                self.assertIn(words, str(error))
                self.assertNotIn(SECRET, str(error))
                continue
            await spawn(link.connect)
            told = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            answer = await spawn(lambda link=link, told=told: link.send(told, None))  # type: ignore[misc]
            self.assertEqual(answer.rows, [(1,)])
            link.close()

    def test_what_is_wrong(self) -> None:
        at = self.cluster.tcp
        good, other = self.cluster.authority, self.cluster.other_authority
        for more, words in (
            (self.more("verify-full", good, "wrong"), "password authentication failed"),
            (self.more("verify-full", other), "`sslrootcert` is to name the authority"),
            (self.more("verify-full", "/no/such/file"), "`sslrootcert` is to name the authority"),
            (self.more("disable"), "let pg_hba.conf admit"),
            (self.more("perhaps"), "invalid sslmode value"),
        ):
            self.refused(at("postgres", more=more, user=SECURED), words)
        elsewhere = at("postgres", more=self.more("verify-full", good), user=SECURED)
        self.refused(elsewhere.replace("host=localhost", "host=other.example"), "that names `host`")


class DatabaseTests(Case):
    def test_encodings(self) -> None:
        for encoding in ("SQL_ASCII", "LATIN1"):
            name = self.database(f"ENCODING '{encoding}' LOCALE 'C'")
            self.refused(self.cluster.dsn(name), encoding, "ENCODING 'UTF8'")

    def test_a_user_who_may_not_make_schemas(self) -> None:
        name = self.database()
        dsn = self.cluster.dsn(name).replace("user=papercut", f"user={SECURED}")
        self.refused(dsn, "permission denied", "must own the database")

    def test_tables_of_another_user(self) -> None:
        name = self.database(f"OWNER {SECURED}")
        open_migrated(self.cluster.dsn(name), "application").close()
        dsn = self.cluster.dsn(name).replace("user=papercut", f"user={SECURED}")
        self.refused(dsn, "permission denied for schema application", "must own the database")

    def test_set_read_only(self) -> None:
        name = self.database()
        self.cluster.run(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")
        self.refused(self.cluster.dsn(name), "read-only", "target_session_attrs=read-write")

    def test_a_newer_schema(self) -> None:
        name = self.database()
        open_migrated(self.cluster.dsn(name), "application").close()
        self.cluster.run(
            "INSERT INTO application.schema_migration VALUES (9999, '9999_later.sql', '')", name
        )
        error = self.assertRaises(
            SchemaTooNew, open_migrated, self.cluster.dsn(name), "application"
        )
        self.assertIn("start the newer release", str(error))

    def test_a_server_that_starts_on_a_full_disk(self) -> None:
        name = self.database()
        # The first connection to a database writes a file.
        self.cluster.run("SELECT 1", name)
        self.cluster.disk.fill()
        try:
            self.refused(self.cluster.dsn(name), "No space left", "free some space")
        finally:
            self.cluster.disk.free()
        # Nothing is half made.
        open_migrated(self.cluster.dsn(name), "application").close()

    def test_all_connections_are_taken(self) -> None:
        taken = self.cluster.take_connections()
        try:
            self.refused(self.cluster.dsn("postgres"), "too many clients", "max_connections")
        finally:
            for one in taken:
                one.close()


class AdviceTests(Case):
    def test_once_and_in_one_line(self) -> None:
        words = "connection failed: FATAL:  sorry, too many clients already\n\n"
        told = advised(words)
        self.assertEqual(advised(told), told)
        self.assertTrue(told.startswith("connection failed: FATAL:  sorry, too many clients"))
        self.assertNotIn("\n", told)

    def test_what_is_not_known_is_told_as_it_is(self) -> None:
        self.assertEqual(advised("Das Wasser ist alle.\n"), "Das Wasser ist alle.")

"""Providers in plaintext: who is let in by address and secret, and how often they may try."""

from __future__ import annotations

import random
import stat
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.errors import ConfigError, InvalidValue
from papercutd.identity.plain import (
    WRONG_PROOFS_MAX,
    WRONG_PROOFS_S,
    PlainDoor,
    ProviderSecrets,
    SecretFile,
)
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.handlers import NamedPeer
from protocols.proof import NONCE, parse_secret, proof_of
from tests.support.stores import WALL_S
from tests.unit.protocols.builders import hello

HOST = "192.0.2.7"


@attrs.frozen
class From:
    """A transport that comes from an address."""

    host: str = HOST

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self.host, 40_000)


class DoorCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = Path(self.mktemp())
        self.secrets = ProviderSecrets(self.directory, random.Random(2))
        self.door = self.make(HOST, "192.0.2.8")

    def make(self, *addresses: str) -> PlainDoor:
        env = Environment(self.clock, lambda: WALL_S, random.Random(1))
        return PlainDoor(env, addresses, self.secrets)

    def prove(self, secret: str, name: str = "p1", host: str = HOST, **fields: Any) -> NamedPeer:
        """With a nonce of its own, as a session does it."""
        transport: Any = From(host)
        self.door.admit(transport)
        nonce = self.door.make_nonce()
        proof = proof_of(parse_secret(secret), nonce)
        said = hello(**{"name": name, "proof": proof, **fields})
        return self.door.prove(transport, said, nonce)

    def refused(self, code: Code, *arguments: Any, **fields: Any) -> Refusal:
        with self.assertRaises(Refusal) as caught:
            self.prove(*arguments, **fields)
        self.assertIs(caught.exception.code, code)
        return caught.exception


class SecretTests(DoorCase):
    def test_the_server_alone_may_read_them(self) -> None:
        self.secrets.make("p1", ())
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)
        (path,) = self.directory.iterdir()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_each_is_another(self) -> None:
        made = {self.secrets.make(name, ()) for name in ("p1", "p2", "p1")}
        self.assertEqual(len(made), 3)
        self.assertEqual(self.secrets.names(), ["p1", "p2"])

    def test_names_that_are_none(self) -> None:
        for name in ("", "../p1", "P1", "a/b", "a" * 64, "x\0"):
            with self.assertRaises(InvalidValue):
                self.secrets.make(name, ())
            self.assertIsNone(self.secrets.load(name))
        self.assertFalse(self.directory.exists())

    def test_removed(self) -> None:
        secret = self.secrets.make("p1", ())
        self.assertTrue(self.secrets.remove("p1"))
        self.assertFalse(self.secrets.remove("p1"))
        self.refused(Code.IDENTITY, secret)

    def test_a_damaged_file_lets_nobody_in(self) -> None:
        secret = self.secrets.make("p1", ())
        (path,) = self.directory.iterdir()
        whole = path.read_bytes()
        for damaged in (b"", b"[]", b"\xff", whole[:-5], b"{}", b'{"secret":"ab","revoked":[]}'):
            path.write_bytes(damaged)
            self.refused(Code.IDENTITY, secret)
        path.write_bytes(whole)
        self.door = self.make(HOST)
        self.prove(secret)


class DoorTests(DoorCase):
    def test_let_in(self) -> None:
        secret = self.door.make_secret("p1")
        self.assertEqual(self.prove(secret), NamedPeer("provider", "p1"))
        self.assertEqual(self.door.status()["let_in"], 1)

    def test_a_new_secret_ends_the_former(self) -> None:
        before = self.door.make_secret("p1")
        after = self.door.make_secret("p1")
        self.refused(Code.IDENTITY, before)
        self.prove(after)

    def test_wrong(self) -> None:
        mine, others = self.door.make_secret("p1"), self.door.make_secret("p2")
        self.refused(Code.IDENTITY, others)
        self.refused(Code.IDENTITY, mine, "p2")
        self.refused(Code.IDENTITY, mine, "p3")
        self.refused(Code.IDENTITY, mine, "../p1")
        self.refused(Code.IDENTITY, mine, proof="")
        self.refused(Code.IDENTITY, mine, proof="0" * 64)
        self.assertEqual(self.door.status()["wrong_proofs"], 6)

    def test_another_role(self) -> None:
        secret = self.door.make_secret("p1")
        for role in ("site", "device"):
            self.refused(Code.NOT_ALLOWED, secret, role=role)

    def test_nonces(self) -> None:
        made = {self.door.make_nonce() for _ in range(100)}
        self.assertEqual(len(made), 100)
        for nonce in made:
            self.assertTrue(NONCE.fullmatch(nonce))

    def test_addresses(self) -> None:
        door = self.make("192.0.2.7", "2001:DB8::7")
        for address, may in (
            (IPv4Address("TCP", "192.0.2.7", 1), True),
            (IPv4Address("TCP", "192.0.2.70", 1), False),
            (IPv6Address("TCP", "::ffff:192.0.2.7", 1), True),
            (IPv6Address("TCP", "2001:db8:0::7", 1), True),
            (IPv6Address("TCP", "2001:db8::8", 1), False),
            (UNIXAddress(b"/x"), False),
            (None, False),
        ):
            self.assertIs(door.may_come_from(address), may, address)
        secret = self.door.make_secret("p1")
        self.refused(Code.NOT_ALLOWED, secret, host="192.0.2.99")

    def test_addresses_that_are_none(self) -> None:
        with self.assertRaises(ConfigError) as caught:
            self.make("192.0.2.7", "printserver", "192.0.2.0/24")
        self.assertEqual(len(caught.exception.problems), 2)
        self.assertIn("'printserver' is not an IP address", str(caught.exception))

    def test_shut_by_default(self) -> None:
        door = self.make()
        self.assertFalse(door.is_open)
        self.assertFalse(door.may_come_from(IPv4Address("TCP", "127.0.0.1", 1)))

    def test_so_many_tries(self) -> None:
        secret = self.door.make_secret("p1")
        for _ in range(WRONG_PROOFS_MAX):
            self.refused(Code.IDENTITY, "0" * 64)
        refusal = self.refused(Code.LOCKED_OUT, secret)
        self.assertEqual(refusal.fields, {"retry_after_s": WRONG_PROOFS_S})
        # Elsewhere nobody is held up.
        self.prove(secret, host="192.0.2.8")
        self.clock.advance(WRONG_PROOFS_S - 1)
        self.refused(Code.LOCKED_OUT, secret)
        self.clock.advance(1)
        self.prove(secret)
        self.assertEqual(self.door.status()["locked_out"], 2)

    def test_nothing_secret_is_shown(self) -> None:
        secret = self.door.make_secret("p1")
        self.prove(secret)
        kept = self.secrets.load("p1")
        for text in (repr(self.door.status()), repr(kept), repr(self.door)):
            self.assertNotIn(secret, text)
            self.assertNotIn(repr(parse_secret(secret)), text)


class RevocationTests(DoorCase):
    """A secret ends with the certificate of the same provider."""

    def test_revoked(self) -> None:
        secret = self.door.make_secret("p1")
        other = self.door.make_secret("p2")
        self.assertEqual(self.door.follow([("p1", "aa")]), ["p1"])
        self.refused(Code.REVOKED, secret)
        self.prove(other, "p2")

    def test_a_wrong_proof_does_not_learn_it(self) -> None:
        self.door.make_secret("p1")
        self.door.follow([("p1", "aa")])
        self.refused(Code.IDENTITY, "0" * 64)

    def test_joined_anew(self) -> None:
        self.door.make_secret("p1")
        self.door.follow([("p1", "aa")])
        secret = self.door.make_secret("p1")
        self.prove(secret)
        self.assertEqual(self.door.follow([("p1", "aa")]), [])
        # After a restart as well.
        self.door = self.make(HOST)
        self.assertEqual(self.door.follow([("p1", "aa")]), [])
        self.prove(secret)
        self.assertEqual(self.door.follow([("p1", "aa"), ("p1", "bb")]), ["p1"])
        self.refused(Code.REVOKED, secret)


class SecretFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def refused(self, path: str, words: str) -> None:
        with self.assertRaises(ConfigError) as caught:
            SecretFile("application.secret", path)
        self.assertIn("application.secret", str(caught.exception))
        self.assertIn(words, str(caught.exception))

    def test_what_cannot_be_used(self) -> None:
        self.refused("", "is needed")
        self.refused(str(self.path), "No such file")
        for text in ("", "x", "ab" * 31, "ab" * 33, "AB" * 32, "é"):
            self.path.write_text(text)
            self.refused(str(self.path), "papercutd provider secret")

    def test_it_is_read_each_time(self) -> None:
        self.path.write_text("ab" * 32 + "\n")
        file = SecretFile("application.secret", str(self.path))
        self.assertEqual(file.prove("5e" * 32), proof_of(b"\xab" * 32, "5e" * 32))
        self.path.write_text("cd" * 32)
        self.assertEqual(file.prove("5e" * 32), proof_of(b"\xcd" * 32, "5e" * 32))
        self.path.unlink()
        self.assertRaises(ConfigError, file.prove, "5e" * 32)

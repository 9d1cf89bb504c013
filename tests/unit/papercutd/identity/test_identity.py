"""Names, certificates, tokens and joining."""

from __future__ import annotations

import random
from pathlib import Path

from cryptography import x509
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.errors import AlreadyExists, InvalidValue, Rejected
from papercutd.identity.authority import (
    Authority,
    certificate_pem,
    make_key,
    make_request,
    pin_of,
    renewal_due,
)
from papercutd.identity.joining import JoinService
from papercutd.identity.names import check_name, dns_name, peer_of
from papercutd.identity.tokens import Token, parse_token
from tests.support.stores import WALL_S, Centre, Turner


class NameTests(SynchronousTestCase):
    def test_good_and_bad(self) -> None:
        self.assertEqual(dns_name("site", "north-1"), "north-1.site.papercut.internal")
        for name in ("", "-a", "a-", "A", "a.b", "a" * 64, "a b", "é"):
            with self.assertRaises(InvalidValue):
                check_name(name)
        with self.assertRaises(InvalidValue):
            dns_name("king", "a")


class AuthorityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.authority = Authority.create(self.directory, WALL_S)

    def issue(self, role: str = "site", name: str = "north") -> x509.Certificate:
        issued = self.authority.issue(make_request(make_key(), role, name), role, name, WALL_S)
        return x509.load_pem_x509_certificate(issued.chain_pem)

    def test_identity_survives(self) -> None:
        peer = peer_of(self.issue())
        self.assertEqual((peer.role, peer.name), ("site", "north"))

    def test_the_request_does_not_choose_its_name(self) -> None:
        request = make_request(make_key(), "application", "application")
        issued = self.authority.issue(request, "provider", "p1", WALL_S)
        peer = peer_of(x509.load_pem_x509_certificate(issued.chain_pem))
        self.assertEqual((peer.role, peer.name), ("provider", "p1"))

    def test_once_and_private(self) -> None:
        with self.assertRaises(AlreadyExists):
            Authority.create(self.directory, WALL_S)
        self.assertEqual((self.directory / "ca.key").stat().st_mode & 0o777, 0o600)
        self.assertEqual(Authority.load(self.directory).pem, self.authority.pem)

    def test_garbage_and_foreign_certificates(self) -> None:
        with self.assertRaises(InvalidValue):
            self.authority.issue(b"garbage", "site", "north", WALL_S)
        with self.assertRaises(Rejected):
            peer_of(self.authority.certificate)

    def test_renewal(self) -> None:
        certificate = self.issue()
        self.assertFalse(renewal_due(certificate, WALL_S))
        self.assertTrue(renewal_due(certificate, WALL_S + 300 * 86_400))
        self.assertIn(b"BEGIN CERTIFICATE", certificate_pem(certificate))


class JoiningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        authority = Authority.create(Path(self.mktemp()), WALL_S)
        self.wall = WALL_S
        env = Environment(Clock(), lambda: self.wall, random.Random(1))
        self.pin = pin_of(authority.certificate)
        self.service = JoinService(authority, self.centre.store, env, lambda: self.pin)
        self.token = self.turner.run(self.service.make_token("site", "north"))

    def join(self, token: str, role: str = "site", name: str = "north") -> object:
        return self.turner.run(
            self.service.join(token, role, name, make_request(make_key(), role, name))
        )

    def refused(self, code: str, *arguments: str) -> None:
        with self.assertRaises(Rejected) as caught:
            self.join(*arguments)
        self.assertEqual(caught.exception.code, code)

    def test_once(self) -> None:
        self.join(self.token)
        self.refused("used-token", self.token)

    def test_stale(self) -> None:
        self.wall += 3_601
        self.refused("stale-token", self.token)

    def test_foreign(self) -> None:
        self.refused("foreign-token", self.token, "site", "south")
        self.refused("foreign-token", self.token, "provider", "north")

    def test_unknown_and_garbled(self) -> None:
        self.refused("unknown-token", Token("site", "north", "00" * 16, self.pin).text)
        for text in ("", "x", self.token[:-1], self.token.upper(), f"{self.token}00"):
            with self.assertRaises(InvalidValue):
                parse_token(text)

    def test_only_the_hash_is_stored(self) -> None:
        secret = parse_token(self.token).secret
        tables = self.centre.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
        dump = repr([self.centre.query(f"SELECT * FROM {name}") for (name,) in tables])
        self.assertNotIn(secret, dump)

    def test_revoke(self) -> None:
        self.join(self.token)
        serials = self.turner.result(self.centre.store.revoke("site", "north"))
        self.assertEqual(self.turner.result(self.centre.store.revoked_serials()), serials)

    def test_revoked_providers(self) -> None:
        self.join(self.token)
        token = self.turner.run(self.service.make_token("provider", "p1"))
        self.join(token, "provider", "p1")
        store = self.centre.store
        self.assertEqual(self.turner.result(store.revoked_providers()), [])
        self.turner.result(store.revoke("site", "north"))
        (serial,) = self.turner.result(store.revoke("provider", "p1"))
        self.assertEqual(self.turner.result(store.revoked_providers()), [("p1", serial)])

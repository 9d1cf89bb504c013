"""Tokens that are made, and certificates that are renewed."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.errors import InvalidValue, Rejected
from papercutd.identity.authority import make_key, make_request
from papercutd.identity.joining import JoinService
from papercutd.identity.names import peer_of
from tests.support.certificates import (
    DAY_S,
    MemoryCertificates,
    credentials,
    dns,
    make_authority,
    odd_certificate,
)
from tests.support.stores import WALL_S

T = TypeVar("T")


class JoinServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wall_s = WALL_S
        self.authority = make_authority(WALL_S)
        self.store = MemoryCertificates()
        env = Environment(Clock(), lambda: self.wall_s, random.Random(1))
        self.service = JoinService(self.authority, self.store, env, lambda: "ab" * 32)

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refused(self, work: Coroutine[Any, Any, object], code: str) -> None:
        failure = self.failureResultOf(Deferred.fromCoroutine(work), Rejected)
        self.assertEqual(failure.value.code, code)

    def request(self) -> bytes:
        return make_request(make_key(), "site", "north")

    def test_tokens_nobody_could_use_are_not_made(self) -> None:
        for role, name in (("application", "application"), ("king", "a"), ("site", "North")):
            work = self.service.make_token(role, name)
            self.failureResultOf(Deferred.fromCoroutine(work), InvalidValue)
        self.assertEqual(self.store.tokens, {})

    def test_a_bad_request_does_not_burn_the_token(self) -> None:
        token = self.run_now(self.service.make_token("site", "north"))
        work = self.service.join(token, "site", "north", b"garbage")
        self.failureResultOf(Deferred.fromCoroutine(work), InvalidValue)
        self.run_now(self.service.join(token, "site", "north", self.request()))
        again = self.service.join(token, "site", "north", self.request())
        self.refused(again, "used-token")

    def test_renew(self) -> None:
        old = credentials(self.authority, "site", "north", WALL_S).certificate
        self.refused(self.service.renew(old, self.request()), "not-due")
        for days in (300, 397 + 29):
            self.wall_s = WALL_S + days * DAY_S
            joined = self.run_now(self.service.renew(old, self.request()))
            new = x509.load_pem_x509_certificate(joined.chain_pem)
            peer = peer_of(new)
            self.assertEqual((peer.role, peer.name), ("site", "north"))
            self.assertNotEqual(new.serial_number, old.serial_number)
            self.assertEqual(self.store.certificates[peer.serial], ("site", "north"))
        self.wall_s = WALL_S + (397 + 31) * DAY_S
        self.refused(self.service.renew(old, self.request()), "not-due")

    def test_renew_only_ours_and_not_the_revoked(self) -> None:
        self.wall_s = WALL_S + 300 * DAY_S
        foreign = credentials(make_authority(WALL_S), "site", "north", WALL_S).certificate
        self.refused(self.service.renew(foreign, self.request()), "identity")
        names = [dns("site", "north"), dns("site", "south")]
        odd = odd_certificate(self.authority, make_key(), names, WALL_S)
        self.refused(self.service.renew(odd, self.request()), "identity")
        old = credentials(self.authority, "site", "north", WALL_S).certificate
        self.store.revoked.add(peer_of(old).serial)
        self.refused(self.service.renew(old, self.request()), "revoked")
        self.assertEqual(self.store.certificates, {})

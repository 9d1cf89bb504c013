"""Wrong serials of vouchers: a person is locked out, a whole server, and let in again."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.voucher import UnknownSerial, make_serial
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, NotFound, Rejected
from papercutd.services.attempts import LOCKOUT_S
from papercutd.services.serial_attempts import MISTYPED_MAX, SERVER_MAX, SerialAttempts

GOOD = make_serial(random.Random(1).randrange)


class SerialAttemptsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        env = Environment(clock=self.clock, wall_s=self.clock.seconds, rng=random.Random(1))
        known = {"anna": 1, "ANNA": 1}
        self.attempts = SerialAttempts(env, lambda name: succeed(known.get(name)))

    def redeem(self, name: str = "anna", known: bool = True) -> str:
        async def redeem(serial: str) -> str:
            if not known:
                raise UnknownSerial("voucher", "")
            return serial

        coroutine = self.attempts.redeem(GOOD, name, redeem, "is that of no voucher")
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def wrong(self, name: str, count: int) -> None:
        for _ in range(count):
            self.failureResultOf(
                Deferred.fromCoroutine(self.attempts.redeem("x", name, self.fail, "")),
                InvalidValue,
            )

    def refused(self, name: str = "anna") -> str:
        coroutine = self.attempts.redeem(GOOD, name, self.fail, "")
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), Rejected)
        return str(failure.value)

    def unlock(self, **given: str) -> bool:
        unlocked = Deferred.fromCoroutine(self.attempts.unlock(given, lambda figures: None))
        return bool(self.successResultOf(unlocked)["was_locked_out"])

    def test_an_administrator_lets_somebody_in_again(self) -> None:
        self.wrong("anna", MISTYPED_MAX)
        self.assertIn("papercutd voucher unlock Anna`", self.refused(" Anna "))
        self.assertEqual(self.redeem("ben"), GOOD)
        self.assertTrue(self.unlock(name="ANNA"))
        self.assertFalse(self.unlock(name="anna"))
        self.assertEqual(self.redeem(), GOOD)

    def test_a_name_that_is_mistyped(self) -> None:
        unlocking = self.attempts.unlock({"name": "ana"}, lambda figures: None)
        failure = self.failureResultOf(Deferred.fromCoroutine(unlocking), NotFound)
        self.assertEqual(str(failure.value), "there is no user 'ana'")

    def test_many_people_lock_out_the_server(self) -> None:
        for number in range(SERVER_MAX):
            self.wrong(f"p{number}", 1)
        self.assertIn("typed here", self.refused("ben"))
        self.assertTrue(self.unlock())
        self.assertEqual(self.redeem("ben"), GOOD)
        for number in range(SERVER_MAX):
            self.wrong(f"q{number}", 1)
        self.refused("ben")
        self.clock.advance(LOCKOUT_S)
        self.assertEqual(self.redeem("ben"), GOOD)

    def test_one_of_no_voucher_counts(self) -> None:
        for _ in range(MISTYPED_MAX):
            with self.assertRaises(AssertionError):
                self.redeem(known=False)
        self.refused()

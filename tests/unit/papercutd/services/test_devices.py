"""Attempts that fail, and verifiers that take their turn."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.errors import InvalidValue, Rejected
from papercutd.identity.verifiers import AT_ONCE, WAITING_MAX, ArgonVerifiers
from papercutd.services.attempts import LOCKOUT_S, Attempts, LockedOut


class AttemptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        self.attempts = Attempts(env, 3)

    def fail_times(self, count: int, every_s: float = 1.0) -> None:
        for _ in range(count):
            self.attempts.failed("anna")
            self.clock.advance(every_s)

    def test_locked_out_for_a_while(self) -> None:
        self.fail_times(2)
        self.attempts.check("anna")
        self.fail_times(1)
        caught = self.assertRaises(LockedOut, self.attempts.check, "anna")
        self.assertEqual(caught.left_s, LOCKOUT_S - 1)
        self.attempts.check("ben")
        self.clock.advance(LOCKOUT_S)
        self.attempts.check("anna")

    def test_failures_far_apart_do_not_count(self) -> None:
        self.fail_times(3, every_s=LOCKOUT_S)
        self.attempts.check("anna")

    def test_a_success_forgets_them(self) -> None:
        self.fail_times(2)
        self.attempts.succeeded("anna")
        self.fail_times(2)
        self.attempts.check("anna")

    def test_a_flood_of_names_is_bounded(self) -> None:
        for number in range(30_000):
            self.attempts.failed(f"x{number}")
        self.assertLessEqual(len(self.attempts._failed), 10_000)

    def test_attempts_under_way_count(self) -> None:
        """Guesses made at once are no more than guesses made one after the other."""
        self.fail_times(1)
        with self.attempts.trying("anna"), self.attempts.trying("anna"):
            caught = self.assertRaises(Rejected, self.attempts.trying("anna").__enter__)
            self.assertEqual(caught.code, "busy")
            with self.attempts.trying("ben"):
                pass
        with self.attempts.trying("anna"):
            self.attempts.failed("anna")
            self.attempts.failed("anna")
        self.assertRaises(LockedOut, self.attempts.trying("anna").__enter__)
        self.assertEqual(self.attempts._trying, {})

    def test_old_failures_leave_room(self) -> None:
        self.fail_times(2)
        self.clock.advance(LOCKOUT_S)
        with self.attempts.trying("anna"), self.attempts.trying("anna"):
            pass

    def test_unlocked(self) -> None:
        self.fail_times(3)
        self.attempts.failed("ben")
        self.assertEqual(self.attempts.locked_out(), [("anna", LOCKOUT_S - 1)])
        self.assertEqual([self.attempts.unlock(n) for n in ("anna", "anna", "ben")], [True, 0, 0])
        self.attempts.check("anna")
        self.fail_times(2)
        self.attempts.check("anna")
        self.assertEqual(self.attempts.locked_out(), [])

    def test_a_flood_forgets_who_failed_longest_ago(self) -> None:
        self.fail_times(1)
        for number in range(9_000):
            self.attempts.failed(f"x{number}")
        self.fail_times(2)
        for number in range(9_000):
            self.attempts.failed(f"y{number}")
        self.assertRaises(LockedOut, self.attempts.check, "anna")


class DayTests(AttemptTests):
    """Failures of a whole day count too, whatever succeeds in between."""

    def setUp(self) -> None:
        super().setUp()
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        self.attempts = Attempts(env, 3, day_max=6)

    def fail_slowly(self, count: int) -> list[int]:
        found = []
        for _ in range(count):
            self.clock.advance(LOCKOUT_S)
            found.append(self.attempts.failed("anna"))
            self.attempts.succeeded("anna")
        return found

    def test_each_from_then_on_locks_out(self) -> None:
        self.assertEqual(self.fail_slowly(7), [0, 0, 0, 0, 0, 6, 6])
        self.assertRaises(LockedOut, self.attempts.check, "anna")
        self.clock.advance(LOCKOUT_S)
        self.attempts.check("anna")
        self.clock.advance(86_400)
        self.assertEqual(self.fail_slowly(5), [0] * 5)

    def test_one_at_once_near_the_limit(self) -> None:
        self.fail_slowly(5)
        with self.attempts.trying("anna"):
            caught = self.assertRaises(Rejected, self.attempts.trying("anna").__enter__)
        self.assertEqual(caught.code, "busy")

    def test_how_many_there_were(self) -> None:
        self.assertEqual([self.attempts.failed("ben") for _ in range(3)], [0, 0, 3])
        self.assertTrue(self.attempts.unlock("ben"))
        self.assertEqual(self.attempts.failed("ben"), 0)


class VerifierTests(SynchronousTestCase):
    def verifiers(self) -> ArgonVerifiers:
        return ArgonVerifiers(lambda function, *arguments: succeed(function(*arguments)))

    def run_it(self, coroutine: object) -> object:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))  # type: ignore[arg-type]

    def test_round_trip(self) -> None:
        verifiers = self.verifiers()
        made = str(self.run_it(verifiers.make("s\u00e4cret")))
        self.assertTrue(made.startswith("$argon2id$v=19$m=19456,t=2,p=1$"))
        self.assertTrue(self.run_it(verifiers.matches(made, "s\u00e4cret")))
        for verifier, secret in ((made, "secret"), (made, ""), ("", ""), ("", "x"), ("junk", "x")):
            self.assertFalse(self.run_it(verifiers.matches(verifier, secret)))
        self.assertFalse(self.run_it(verifiers.matches(made, "x" * 10_000)))

    def test_none_is_no_secret(self) -> None:
        for secret in ("", "x" * 1_000):
            making = Deferred.fromCoroutine(self.verifiers().make(secret))
            self.failureResultOf(making, InvalidValue)

    def test_four_at_once_and_a_bounded_queue(self) -> None:
        running: list[Deferred[object]] = []

        def run(function: object, *arguments: object) -> Deferred[object]:
            running.append(Deferred())
            return running[-1]

        verifiers = ArgonVerifiers(run)
        asked = [Deferred.fromCoroutine(verifiers.matches("", "x")) for _ in range(WAITING_MAX)]
        self.assertEqual(len(running), AT_ONCE)
        more = Deferred.fromCoroutine(verifiers.matches("", "x"))
        self.assertEqual(self.failureResultOf(more, Rejected).value.code, "busy")
        while running:
            running.pop(0).callback(False)
        self.assertTrue(all(one.called for one in asked))

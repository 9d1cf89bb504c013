"""The order of spending: who pays how much, and who has it back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.purses import Parts, check_name, give_back, ranks_of, spend
from papercutd.errors import InvalidValue

_AMOUNTS = st.integers(0, 100)
_HELD = st.lists(_AMOUNTS, max_size=3).map(tuple)


class SpendTests(SynchronousTestCase):
    def check(self, amount: int, held: Parts, *expected: object) -> None:
        self.assertEqual(spend(amount, held), Parts(*expected))  # type: ignore[arg-type]

    def test_quota_first_then_cash_then_what_stands_behind_it(self) -> None:
        held = Parts((3, 4), 10, (5,))
        self.check(2, held, (2, 0), 0, (0,))
        self.check(6, held, (3, 3), 0, (0,))
        self.check(17, held, (3, 4), 10, (0,))
        self.check(20, held, (3, 4), 10, (3,))
        self.check(25, held, (3, 4), 13, (5,))

    def test_an_overdrawn_account_gives_nothing_before_all_are_empty(self) -> None:
        self.check(9, Parts((3,), -5, (4,)), (3,), 2, (4,))

    @given(_AMOUNTS, _HELD, st.integers(-100, 100), _HELD)
    def test_exact_in_order_and_never_below_zero(
        self, amount: int, first: tuple[int, ...], main: int, last: tuple[int, ...]
    ) -> None:
        held = Parts(first, main, last)
        paid = spend(amount, held)
        self.assertEqual(paid.total_e4, amount)
        self.assertTrue(all(0 <= x <= y for x, y in zip(paid.first, first, strict=True)))
        self.assertTrue(all(0 <= x <= y for x, y in zip(paid.last, last, strict=True)))
        # Whoever pays, all before it are empty.
        in_order = [*zip(paid.first, first, strict=True), (paid.main_e4, max(0, main))]
        in_order += zip(paid.last, last, strict=True)
        for at, (part, _) in enumerate(in_order):
            if part:
                self.assertTrue(all(part >= had for part, had in in_order[:at]))
        if paid.main_e4 > max(0, main):
            self.assertEqual(paid.last, last)

    @given(_AMOUNTS, _AMOUNTS, _HELD, st.integers(-100, 100), _HELD)
    def test_in_two_steps_as_in_one(
        self, one: int, two: int, first: tuple[int, ...], main: int, last: tuple[int, ...]
    ) -> None:
        held = Parts(first, main, last)
        left = _less(held, spend(one, held))
        self.assertEqual(_less(left, spend(two, left)), _less(held, spend(one + two, held)))


class GiveBackTests(SynchronousTestCase):
    def test_cash_comes_back_before_quota(self) -> None:
        gave = Parts((3, 4), 10, ())
        self.assertEqual(give_back(6, gave, 0), Parts((0, 0), 6, ()))
        self.assertEqual(give_back(12, gave, 0), Parts((0, 2), 10, ()))
        self.assertEqual(give_back(17, gave, 0), Parts((3, 4), 10, ()))

    def test_a_debt_is_paid_first(self) -> None:
        gave = Parts((3,), 8, (4,))
        self.assertEqual(give_back(3, gave, -2), Parts((0,), 2, (1,)))

    @given(_AMOUNTS, _HELD, st.integers(-100, 100), _HELD)
    def test_all_of_it_is_as_before(
        self, amount: int, first: tuple[int, ...], main: int, last: tuple[int, ...]
    ) -> None:
        held = Parts(first, main, last)
        gave = spend(amount, held)
        self.assertEqual(give_back(amount, gave, main - gave.main_e4), gave)

    @given(st.data(), _AMOUNTS, _HELD, st.integers(-100, 100), _HELD)
    def test_never_more_than_they_gave_and_in_parts_as_at_once(
        self,
        data: st.DataObject,
        amount: int,
        first: tuple[int, ...],
        main: int,
        last: tuple[int, ...],
    ) -> None:
        held = Parts(first, main, last)
        gave = spend(amount, held)
        left = _less(held, gave)
        back = give_back(data.draw(st.integers(0, amount)), gave, left.main_e4)
        for part, most in zip(
            (*back.first, back.main_e4, *back.last),
            (*gave.first, gave.main_e4, *gave.last),
            strict=True,
        ):
            self.assertTrue(0 <= part <= most)
        rest = _less(gave, back)
        main_e4 = left.main_e4 + back.main_e4
        again = give_back(amount - back.total_e4, rest, main_e4)
        self.assertEqual(_less(rest, again), Parts((0,) * len(first), 0, (0,) * len(last)))


class OrderTests(SynchronousTestCase):
    def test_ranks_are_around_the_main_one(self) -> None:
        known = ["quota", "cash", "gift"]
        self.assertEqual(ranks_of(known, known), {"quota": -1, "cash": 0, "gift": 1})
        self.assertEqual(
            ranks_of(["gift", "quota", "cash"], known), {"gift": -2, "quota": -1, "cash": 0}
        )

    def test_an_order_that_is_none(self) -> None:
        for order, words in (
            (["quota", "cash", "gold"], "names 'gold': there is no such purse"),
            (["quota", "cash", "quota"], "names 'quota' twice"),
            (["quota"], "lacks cash"),
            ([], "lacks quota, cash"),
        ):
            with self.assertRaises(InvalidValue) as caught:
                ranks_of(order, ["quota", "cash"])
            self.assertIn(words, str(caught.exception))

    def test_names(self) -> None:
        self.assertEqual(check_name("Print quota 2"), "Print quota 2")
        for name in ("", " ", " quota", "a\tb", "x" * 41):
            with self.assertRaises(InvalidValue):
                check_name(name)


def _less(held: Parts, paid: Parts) -> Parts:
    return Parts(
        tuple(x - y for x, y in zip(held.first, paid.first, strict=True)),
        held.main_e4 - paid.main_e4,
        tuple(x - y for x, y in zip(held.last, paid.last, strict=True)),
    )

"""Whom rows may concern is found by their owners: the same as looking at each."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.site_scope import Owner, Reach, Seen, whose

SMALL = st.integers(1, 6)
#: Two of persons, two shared, two of the installation itself, which nobody has.
ACCOUNT_COLUMNS: dict[int, dict[str, Any] | None] = {
    **{key: {"kind": "personal", "user": key} for key in (1, 2)},
    **{key: {"kind": "shared", "user": None} for key in (3, 4)},
    **dict.fromkeys((5, 6)),
}
ACCOUNTS = st.builds(
    lambda key: ("account", key, ACCOUNT_COLUMNS[key]),
    SMALL,
)
RESERVATIONS = st.builds(
    lambda key, account: (
        "reservation",
        f"k{key}",
        None if account > 6 else {"account": account},
    ),
    SMALL,
    st.integers(1, 7),
)
STREAMS = st.builds(
    lambda key, site, state: ("stream", f"s{key}", {"site": site, "state": state}),
    SMALL,
    SMALL,
    st.sampled_from(("live", "frozen")),
)
ALLOWANCES = st.builds(lambda key: ("allowance", f"s/{key}", {"user": key}), SMALL)
CHARGES = st.builds(lambda key: ("charge", f"k{key}", {}), SMALL)
ROWS = st.lists(st.one_of(ACCOUNTS, RESERVATIONS, STREAMS, ALLOWANCES, CHARGES), max_size=20)
OWNERS: Any = st.one_of(
    st.tuples(st.just("account"), SMALL),
    st.tuples(st.just("user"), SMALL),
    st.tuples(st.just("asker"), st.sampled_from(("p1", "p2", "device:d1"))),
)


class WhoseTests(SynchronousTestCase):
    @given(
        ROWS,
        st.dictionaries(SMALL, st.lists(OWNERS, max_size=2)),
        st.sets(SMALL, max_size=3),
        st.sets(SMALL, max_size=2),
        st.sets(st.sampled_from(("p1", "p2", "device:d1")), max_size=2),
    )
    def test_as_looking_at_each(
        self,
        rows: list[Any],
        was: dict[int, list[Owner]],
        users: set[int],
        shared: set[int],
        askers: set[str],
    ) -> None:
        owners = {(row[0], row[1]): was[place] for place, row in enumerate(rows) if place in was}
        members = {f"1.{user}": user for user in users}
        reach = Reach(3, frozenset({1}), members, set(users), set(shared), askers)
        reach.begin_jobs()
        places = set(reach.concerned(whose(rows, owners)))
        seen = [reach.look(row, owners.get((row[0], row[1]), ())) for row in rows]
        told = {place for place, one in enumerate(seen) if one is not Seen.NOTHING}
        self.assertLessEqual(told, places)

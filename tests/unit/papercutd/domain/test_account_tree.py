"""The tree of shared accounts: whatever is tried it stays one, and access is what it says."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.account_tree import (
    ACCESS_MODES,
    DEPTH_MAX,
    Node,
    above,
    access_of,
    below,
    check_own_name,
    check_place,
    joined,
    renamed,
    split_name,
)
from papercutd.errors import InvalidValue

COUNT = 14
ACCOUNTS = st.integers(0, COUNT - 1)
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), ACCOUNTS, st.none() | ACCOUNTS),
        st.tuples(st.just("rename"), ACCOUNTS, st.sampled_from("abcdefgh")),
        st.tuples(st.just("close"), ACCOUNTS, st.none()),
        st.tuples(st.just("access"), ACCOUNTS, st.sampled_from(ACCESS_MODES)),
    ),
    max_size=60,
)


def naive_access(parents: dict[int, Any], modes: dict[int, str], account: int | None) -> int:
    """As somebody would say it: its own, else its parent's, else everybody's."""
    if account is None:
        return 0
    if modes[account] == "listed":
        return account
    if modes[account] == "everybody":
        return 0
    return naive_access(parents, modes, parents[account])


class TreeTests(SynchronousTestCase):
    @settings(max_examples=40, deadline=None)
    @given(ACTS)
    def test_whatever_is_tried(self, acts: Any) -> None:
        tree = {one: Node(f"n{one}") for one in range(COUNT)}
        for act, account, value in acts:
            try:
                if act == "close":
                    for one in below(tree, account):
                        tree[one] = attrs.evolve(tree[one], closed=True)
                elif act == "access":
                    tree[account] = attrs.evolve(tree[account], access=value)
                else:
                    self._place(tree, act, account, value)
            except InvalidValue:
                continue
        names = [node.name for node in tree.values()]
        self.assertEqual(len(set(names)), COUNT)
        parents = {one: node.parent for one, node in tree.items()}
        modes = {one: node.access for one, node in tree.items()}
        for one, node in tree.items():
            up = list(above(tree, one))
            self.assertEqual(len(set(up)), len(up))
            self.assertLessEqual(len(up), DEPTH_MAX)
            self.assertIsNone(tree[up[-1]].parent)
            self.assertEqual({o for o in tree if one in above(tree, o)}, set(below(tree, one)))
            whole = "\\".join(tree[o].own_name for o in reversed(up))
            self.assertEqual(node.name, whole)
            self.assertEqual(access_of(tree, one), naive_access(parents, modes, one))

    def _place(self, tree: dict[int, Node], act: str, account: int, value: Any) -> None:
        node = tree[account]
        parent, own = (value, node.own_name) if act == "move" else (node.parent, value)
        if act == "move":
            check_place(tree, account, parent)
        names = renamed(tree, account, parent, own)
        if {tree[o].name for o in tree if o not in names} & set(names.values()):
            raise InvalidValue("name", "is taken")
        for one, name in names.items():
            tree[one] = attrs.evolve(tree[one], name=name)
        tree[account] = attrs.evolve(tree[account], parent=parent)

    @given(st.text(st.sampled_from("ab \\\0"), max_size=9))
    def test_names(self, name: str) -> None:
        try:
            parent, own = split_name(name)
        except InvalidValue:
            return
        self.assertEqual(joined(parent, own), name)
        self.assertNotIn("\\", own)
        self.assertTrue(all(part == part.strip() != "" for part in name.split("\\")))
        if parent:
            with self.assertRaises(InvalidValue):
                check_own_name(name)

    def test_a_name_that_becomes_too_long(self) -> None:
        tree = {1: Node("a"), 2: Node("a\\b", 1)}
        with self.assertRaisesRegex(InvalidValue, "longer than 255"):
            renamed(tree, 1, None, "x" * 254)

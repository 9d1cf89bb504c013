"""Groups within groups: rules, cut sites and scopes see who is in by way of another."""

from __future__ import annotations

from papercutd.domain.capabilities import NESTED_GROUPS
from papercutd.domain.decision import Reason
from papercutd.domain.policy import Rule
from papercutd.errors import InvalidValue, NotFound
from tests.contract.test_site_scopes import ScopeBase
from tests.contract.test_site_store import Site
from tests.support.engines import on_every_engine
from tests.support.stores import request


class NestedContract(Site):
    def setUp(self) -> None:
        super().setUp()
        self.rules = self.centre.store.rules
        self.ids = {
            name: self.result(self.rules.add_group(name)) for name in ("school", "class", "row")
        }
        self.result(self.rules.change_group("row", add=["anna"]))

    def result(self, deferred):
        return self.turner.result(deferred)

    def nest(self, outer, *inner):
        return self.result(self.rules.change_nested(outer, add=inner))

    def rule(self):
        ((below, needs),) = self.centre.query("SELECT below, needs FROM site_policy")
        return below, needs

    def test_members_by_way_of_another(self) -> None:
        self.assertEqual(self.nest("school", "class"), 1)
        self.assertEqual(self.nest("class", "row"), 1)
        self.assertEqual(self.nest("class", "row"), 0)
        self.assertEqual(self.result(self.rules.members("school")), [])
        names = [row["name"] for row in self.result(self.rules.members("school", nested=True))]
        self.assertEqual(names, ["anna"])
        shown = {row["name"]: row["groups"] for row in self.result(self.rules.groups())}
        self.assertEqual(shown, {"school": ["class"], "class": ["row"], "row": []})

    def test_a_rule_for_the_outer_group_is_for_who_is_in_the_inner(self) -> None:
        """At a cut site, by its replica; before and after the groups are put there."""
        rule = Rule("policy", "closed", group=self.ids["school"])
        self.result(self.rules.change_rules(set=[rule]))
        self.branch.follow(self.centre)
        self.assertTrue(self.decide(request(1, 1)).allowed)
        self.nest("school", "class")
        self.nest("class", "row")
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()
        self.assertEqual(self.decide(request(2, 1)).reason, Reason.CLOSED)
        self.result(self.rules.change_nested("class", remove=["row"]))
        self.branch.follow(self.centre)
        self.assertTrue(self.decide(request(3, 1)).allowed)

    def test_who_cannot_tell_is_told_so(self) -> None:
        """An older site holds what such a rule is about, instead of passing it over."""
        self.nest("school", "class", "row")
        rule = Rule("policy", "closed", group=self.ids["school"], needs="gold")
        self.result(self.rules.change_rules(set=[rule]))
        below = ",".join(str(self.ids[name]) for name in ("class", "row"))
        self.assertEqual(self.rule(), (below, f"gold {NESTED_GROUPS}"))
        self.result(self.rules.remove_group("row"))
        self.result(self.rules.change_nested("school", remove=["class"]))
        self.assertEqual(self.rule(), ("", "gold"))

    def test_a_circle(self) -> None:
        self.nest("school", "class")
        self.nest("class", "row")
        for outer, inner, words in (
            ("row", "school", "school > class > row"),
            ("row", "class", "class > row"),
            ("row", "row", "within itself"),
        ):
            with self.assertRaisesRegex(InvalidValue, words):
                self.nest(outer, inner)
        with self.assertRaises(NotFound):
            self.nest("row", "nobody's")
        with self.assertRaises(InvalidValue):
            # All or none.
            self.nest("row", "school", "class")
        self.assertEqual(len(self.centre.query("SELECT * FROM group_nested")), 2)

    def test_what_is_within_a_group_that_is_removed_stands_alone(self) -> None:
        self.nest("school", "class")
        self.nest("class", "row")
        rule = Rule("policy", "closed", group=self.ids["school"])
        self.result(self.rules.change_rules(set=[rule]))
        self.result(self.rules.remove_group("class"))
        self.assertEqual(self.rule(), ("", ""))
        self.assertEqual(self.centre.query("SELECT * FROM group_nested"), [])


class NestedScopeContract(ScopeBase):
    def nest(self, *groups):
        """The site's session ends, and it loads a snapshot when it comes back."""
        since = self.scope.since
        self.call(self.centre.store.rules.change_nested, "north", add=groups)
        self.scope = self.call(self.centre.store.scope, "north")
        self.assertGreater(self.scope.since, since)
        self.load()
        self.subscribe()

    def test_a_scope_has_the_people_of_groups_within_its_own(self) -> None:
        self.assertEqual(self.names(), ["anna"])
        self.nest("others")
        self.settle()
        self.assertWithin()
        self.assertEqual(self.names(), ["anna", "ben"])
        self.join("eva", "others")
        self.settle()
        self.assertWithin()
        self.assertEqual(self.names(), ["anna", "ben", "eva"])
        self.leave("ben", "others")
        self.settle()
        self.assertWithin()
        self.assertEqual(self.names(), ["anna", "eva"])
        with self.assertRaisesRegex(InvalidValue, "in the scope of north"):
            self.call(self.centre.store.rules.remove_group, "others")


on_every_engine(globals())

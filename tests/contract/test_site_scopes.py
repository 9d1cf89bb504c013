"""A site that is sent the people of some groups alone: what it holds, and what it never hears."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papercutd.domain.chain import Position
from papercutd.domain.decision import Reason, Verdict
from papercutd.errors import AlreadyExists, InvalidValue, NameKept, NotFound
from papercutd.services.change_feed import POSITION_S, ROUND_MAX_S, ChangeFeed
from papercutd.services.tasks import Tasks
from papercutd.storage.people.people import CARD_KEY
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.replication.site_scopes import SiteScope
from tests.contract.test_site_store import Site
from tests.support.engines import on_every_engine
from tests.support.stores import completion, request

PEOPLE = ("anna", "ben", "eva", "kim")
CARD = "04A1B2C3D4E5F6"


class Heard:
    """A session that applies what it is told to a replica."""

    is_open = True
    waiting_bytes = 0

    def __init__(self, case: ScopeBase) -> None:
        self._case = case
        self.bytes = b""
        self._rows: list[Any] = []

    def notify_prepared(self, prepared: Any) -> None:
        self.bytes += prepared.line
        event = msgspec.json.decode(prepared.line.split(b" ", 2)[2])
        self._rows += event["rows"]
        if event["last"]:
            rows, self._rows = self._rows, []
            position = Position(**event["to"])
            self._case.turner.result(
                self._case.branch.store.apply_changes(event["from_number"], rows, position, 0.0)
            )


class ScopeBase(Site):
    def setUp(self) -> None:
        super().setUp()
        self.call(self.centre.store.ensure_secret, CARD_KEY, f"{1:064x}")
        for name in PEOPLE[1:]:
            self.centre.user(name, 50_000)
        for group in ("north", "guests", "others"):
            self.call(self.centre.store.rules.add_group, group)
        self.join("anna", "north")
        self.join("ben", "others")
        self.feed: ChangeFeed | None = None
        self.set_scope("north", "guests")

    def call(self, operation: Any, *arguments: Any, **more: Any) -> Any:
        return self.turner.result(operation(*arguments, **more))

    def join(self, name: str, group: str) -> None:
        self.call(self.centre.store.rules.change_group, group, add=[name])

    def leave(self, name: str, group: str) -> None:
        self.call(self.centre.store.rules.change_group, group, remove=[name])

    def set_scope(self, *groups: str) -> None:
        """The site's session ends, and it loads a snapshot when it comes back."""
        self.scope: SiteScope = self.call(self.centre.store.set_scope, "north", groups)
        self.load()
        self.subscribe()

    def load(self) -> None:
        image = self.call(self.centre.store.snapshot, self.scope)
        self.call(self.branch.store.begin_snapshot)
        self.call(self.branch.store.restart_snapshot)
        for index, chunk in enumerate(image.chunks):
            self.call(self.branch.store.load_chunk, "s", index, msgspec.json.decode(chunk))
        self.turner.run(self.branch.store.finish_snapshot(image.position))

    def subscribe(self) -> None:
        """From where the replica stands; a feed that is new has to read the log."""
        if self.feed is not None:
            self.feed.unsubscribe(self.session)  # type: ignore[arg-type]
            self.feed.stop()
        self.session = Heard(self)
        self.feed = ChangeFeed(self.turner.environment(), self.centre.store, Tasks())
        position = self.call(self.branch.store.identity).position
        reach = self.call(self.centre.store.reach, self.scope)
        self.feed.subscribe(self.session, position, 10**9, reach)  # type: ignore[arg-type]
        self.centre.store.log.on_commit = self.feed.committed
        self.settle()

    def settle(self) -> None:
        self.turner.settle()
        self.turner.clock.advance(ROUND_MAX_S)
        self.turner.clock.advance(POSITION_S)
        self.turner.settle()

    def assertWithin(self) -> None:
        """The replica is the rows of its scope, at the head."""
        self.settle()
        position = self.call(self.branch.store.identity).position
        self.assertEqual(position, self.call(self.centre.store.head))
        self.assertReplicaIsCentre(self.scope)
        for table in TABLES:
            ranges = [
                self.call(self.centre.store.digests, table, None, None, None, self.scope)[1],
                self.call(self.branch.store.replica_range, table, None, None, None, 2),
            ]
            self.assertEqual(ranges[0].digest, ranges[1].digest, table)

    def names(self) -> list[str]:
        return [row[0] for row in self.branch.query("SELECT name FROM replica.user ORDER BY name")]


class ScopeContract(ScopeBase):
    def test_a_snapshot(self) -> None:
        self.assertEqual(self.names(), ["anna"])
        self.assertWithin()

    def test_entering_and_leaving(self) -> None:
        self.call(self.centre.store.add_card, "ben", CARD)
        self.join("ben", "guests")
        self.settle()
        self.assertEqual(self.names(), ["anna", "ben"])
        self.assertEqual(self.branch.query("SELECT COUNT(*) FROM replica.card"), [(1,)])
        self.leave("ben", "guests")
        self.settle()
        self.assertEqual(self.names(), ["anna"])
        self.assertEqual(self.branch.query("SELECT COUNT(*) FROM replica.card"), [(0,)])
        self.assertWithin()

    def test_in_two_groups_of_it(self) -> None:
        self.join("anna", "guests")
        self.leave("anna", "north")
        self.assertWithin()
        self.assertEqual(self.names(), ["anna"])
        self.leave("anna", "guests")
        self.assertWithin()
        self.assertEqual(self.names(), [])

    def test_of_others_it_hears_nothing(self) -> None:
        """Neither when they are changed, nor when something of theirs is taken away."""
        self.session.bytes = b""
        user = self.centre.user("zora", 12_345, full_name="Zora Secret")
        self.call(self.centre.store.add_card, "zora", CARD)
        asked = request(7, 1, "zora", provider="p2", printer=2)
        asker = self.centre.provider("p2")
        decision = self.call(self.centre.store.authorize, asker, asked)
        self.call(self.centre.store.complete, asker, completion(asked, decision))
        self.call(self.centre.store.rename_user, "zora", "zelda")
        self.call(self.centre.store.lock_out, user, 5, "k1")
        self.call(self.centre.store.remove_card, CARD)
        self.call(self.centre.store.merge_users, "zelda", "kim")
        self.assertWithin()
        said = self.session.bytes.lower()
        hashed = self.centre.query("SELECT COUNT(*) FROM card")
        self.assertEqual(hashed, [(0,)])
        for word in (b"zora", b"zelda", b"12345", b'"card"', asked.job.encode(), b'"account"'):
            self.assertNotIn(word, said)
        # It knows how far it is, and hardly anything else: the session of the other provider.
        self.assertLess(len(said), 2_000)

    def test_what_its_own_asked_is_told_whoever_it_was(self) -> None:
        """Its reservation for the key is free, though the person has left."""
        asked = request(1)
        decision = self.decide(asked)
        self.assertTrue(decision.allowed)
        self.leave("anna", "north")
        asker = self.centre.provider()
        self.call(self.centre.store.complete, asker, completion(asked, decision))
        self.settle()
        charged = self.branch.query("SELECT key FROM replica.charged")
        self.assertEqual(charged, [(asked.key,)])

    def test_who_is_not_within_is_unknown_there(self) -> None:
        decision = self.decide(request(1, 1, "ben"))
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.UNKNOWN_USER))
        self.call(self.centre.store.merge_users, "anna", "ben")
        self.settle()
        # The name finds somebody who is not known there.
        decision = self.decide(request(2, 1, "anna"))
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.UNKNOWN_USER))
        self.join("ben", "north")
        self.settle()
        self.assertTrue(self.decide(request(3, 1, "anna")).allowed)
        self.assertWithin()

    def test_everybody_again(self) -> None:
        self.set_scope()
        self.assertEqual(self.names(), sorted(PEOPLE))
        self.assertReplicaIsCentre()

    def test_a_replica_of_another_scope_is_none(self) -> None:
        position = self.call(self.branch.store.identity).position
        self.assertTrue(self.call(self.centre.store.can_go_on, "north", position))
        self.assertTrue(self.call(self.centre.store.can_go_on, "south", position))
        self.call(self.centre.store.set_scope, "north", [])
        self.assertFalse(self.call(self.centre.store.can_go_on, "north", position))
        self.assertTrue(self.call(self.centre.store.can_go_on, "south", position))

    def test_bad_scopes(self) -> None:
        with self.assertRaises(NotFound):
            self.call(self.centre.store.set_scope, "north", ["nobody"])
        with self.assertRaises(NotFound):
            self.call(self.centre.store.set_scope, "west", ["north"])
        with self.assertRaises(InvalidValue) as caught:
            self.call(self.centre.store.rules.remove_group, "guests")
        self.assertIn("scope of north", str(caught.exception))
        self.set_scope("north")
        self.call(self.centre.store.rules.remove_group, "guests")


ACTS = ("join", "leave", "print", "here", "card", "uncard", "rename", "delete", "undelete")
MORE = ("merge", "adjust", "lock", "shared", "log", "remember")


class AnyOrderContract(ScopeBase):
    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(
        st.lists(
            st.tuples(st.sampled_from(ACTS + MORE), st.integers(0, 3), st.integers(0, 3)),
            max_size=30,
        )
    )
    def test_any_order(self, acts) -> None:
        if not self.engine.another():
            return
        self.setUp()
        for number, (act, one, other) in enumerate(acts):
            with contextlib.suppress(NotFound, InvalidValue, AlreadyExists, NameKept):
                self.act(act, number, one, other)
        self.assertWithin()

    def act(self, act: str, number: int, one: int, other: int) -> None:
        store, name = self.centre.store, PEOPLE[one]
        group = ("north", "guests", "others", "north")[other]
        if act == "join":
            self.join(name, group)
        elif act == "leave":
            self.leave(name, group)
        elif act in ("print", "here"):
            provider, printer = ("p1", 1) if act == "here" else ("p2", 2)
            asker = self.centre.provider(provider)
            asked = request(number + 1, 1, name, provider=provider, printer=printer)
            decision = self.call(store.authorize, asker, asked)
            if other == 1:
                self.call(store.complete, asker, completion(asked, decision))
            elif other == 2:
                self.call(store.cancel, asker, asked.key, "given up")
        elif act == "card":
            self.call(store.add_card, name, f"{CARD}{other}")
        elif act == "uncard":
            self.call(store.remove_card, f"{CARD}{other}")
        elif act == "rename":
            self.call(store.rename_user, name, f"{name}{other}", now=True)
        elif act == "delete":
            self.call(store.delete_user, name)
        elif act == "undelete":
            self.call(store.undelete_user, name)
        elif act == "merge":
            self.call(store.merge_users, name, PEOPLE[other])
        elif act == "adjust":
            self.call(store.adjust, name, 100 + other, "gift")
        elif act == "lock":
            self.call(store.lock_out, one + 1, 5, f"k{number}")
        elif act == "shared":
            self.call(store.shared.add, f"shared{number}", 0, {"restricted": False})
        elif act == "log":
            # The link was cut for a while: what it missed comes from the log.
            self.subscribe()
        else:
            self.settle()


on_every_engine(globals())

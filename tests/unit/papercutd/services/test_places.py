"""Tests of papercutd.services.places, and of a link that is sent to another address."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.services.link import Link
from papercutd.services.places import HEARD_MAX, Places, parse_place, show_place
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.provider.spec import PROVIDER
from tests.unit.papercutd.services.test_link import LinkTestCase
from tests.unit.protocols.builders import Recorder, WireEndpoint, server_factory


class ParseTests(SynchronousTestCase):
    def test_all_kinds(self) -> None:
        good = {"a:1": ("a", 1), "10.0.0.1:65535": ("10.0.0.1", 65_535), "[::1]:5": ("::1", 5)}
        for text, place in good.items():
            self.assertEqual(parse_place(text), place)
            self.assertEqual(show_place(*place), text)
        bad = ("", "a", "a:", ":1", "a:0", "a:65536", "a:x", "a:١", "a:-1", "a" * 300 + ":1", 5)
        for text in bad:
            self.assertIsNone(parse_place(text), text)


class PlacesTests(SynchronousTestCase):
    def places(self, *names: str) -> Places:
        def none(host: str, port: int) -> Any:
            raise AssertionError

        return Places([(name, 1) for name in names], none)

    def names(self, places: Places) -> str:
        return "".join(host for host, _ in places.all())

    def test_in_turn(self) -> None:
        places = self.places("a", "b", "c")
        places.pass_over()
        self.assertEqual(self.names(places), "bca")

    def test_a_named_one_is_next(self) -> None:
        places = self.places("a", "b")
        self.assertTrue(places.follow(["x:1", "b:1"]))
        self.assertEqual(self.names(places), "xab")

    def test_nobody_named(self) -> None:
        for named in (None, [], "b:1", [None, 7, "b"], ["a:1"]):
            places = self.places("a", "b")
            self.assertFalse(places.follow(named), named)
            self.assertEqual(self.names(places), "ba", named)

    def test_what_is_heard_is_bounded(self) -> None:
        places = self.places("a")
        for number in range(100):
            places.follow([f"h{number}:1"])
        self.assertEqual(len(places.all()), 1 + HEARD_MAX)
        self.assertIn(("a", 1), places.all())


class SeveralServersTests(LinkTestCase):
    """A link to two servers on one database: ``a`` is the one of LinkTestCase."""

    def setUp(self) -> None:
        super().setUp()
        self.other = Recorder()
        self.other_endpoint = WireEndpoint(self.clock, server_factory(self.clock, self.other))
        endpoints = {("a", 1): self.endpoint, ("b", 1): self.other_endpoint}
        self.places = Places([("a", 1)], lambda host, port: endpoints[host, port])
        env = Environment(self.clock, lambda: 1e9, self.rng)
        self.link = Link(env, self.places, PROVIDER, self.asker, self.settings)
        self.asker.link = self.link

    def refuse(self, *servers: str) -> Any:
        def greet(hello: object) -> Any:
            raise Refusal(Code.NOT_WRITER, {"servers": list(servers)})

        return greet

    def test_goes_where_it_is_sent_at_once(self) -> None:
        self.server.greet = self.refuse("b:1")
        self.link.start()
        self.run_for(0.1)
        self.assertEqual(self.other.calls, ["opened"])
        self.assertEqual(self.asker.calls, ["refused not-writer", "up", "trusted"])

    def test_two_that_name_each_other_are_asked_at_leisure(self) -> None:
        self.server.greet = self.refuse("b:1")
        self.other.greet = self.refuse("a:1")
        self.link.start()
        self.run_for(10.0)
        tried = len(self.endpoint.tried_at) + len(self.other_endpoint.tried_at)
        self.assertTrue(10 <= tried <= 16, tried)
        self.assertTrue(self.link.suspect)

    def test_the_killed_one_is_passed_over(self) -> None:
        """Its successor says so first: nobody writes at that moment."""
        self.other.greet = self.refuse()
        self.places = Places([("a", 1), ("b", 1)], self.places._endpoint_of)
        self.link._endpoint = self.places
        self.up()
        self.cut()
        self.endpoint.mode = "refuse"
        self.run_for(2.0)
        self.assertEqual(self.other.refusals, [])
        self.assertIsNone(self.link.session)
        self.other.greet = None
        self.run_for(1.0)
        self.assertEqual(self.other.calls, ["opened"])

    def test_all_refuse(self) -> None:
        places = Places([("a", 1), ("b", 1)], self.places._endpoint_of)
        self.endpoint.mode = self.other_endpoint.mode = "refuse"
        self.failureResultOf(places.connect(None), ConnectionRefusedError)  # type: ignore[arg-type]
        tried = len(self.endpoint.tried_at), len(self.other_endpoint.tried_at)
        self.assertEqual(tried, (1, 1))

    def test_given_up_while_the_first_hangs(self) -> None:
        places = Places([("a", 1), ("b", 1)], self.places._endpoint_of)
        self.endpoint.mode = "hang"
        connecting = places.connect(None)  # type: ignore[arg-type]
        connecting.cancel()
        self.failureResultOf(connecting)
        self.assertEqual((self.endpoint.cancelled, places.all()[0]), (1, ("b", 1)))
        self.assertEqual(self.other_endpoint.tried_at, [])

"""The newest change that a site and a restored application server share, found by asking."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import Mark
from papercutd.services.shared_history import ROUNDS_MAX, find_shared
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.site import messages as site
from tests.support.stores import Branch, Turner


@attrs.define(slots=False)
class Server:
    """A session to a server whose history is the site's as far as ``shared``."""

    shared: int
    version: int = 2
    refuses: Code | None = None
    asked: list[site.Shared] = attrs.field(factory=list)

    def call(self, message: site.Shared) -> Deferred[Any]:
        self.asked.append(message)
        if self.refuses is not None:
            return fail(Refusal(self.refuses))
        numbers = [place.number for place in message.places if place.number <= self.shared]
        return succeed(site.SharedPlace(max(numbers, default=0)))


class SharedHistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.branch = Branch(self.turner)

    def follow(self, first: int, *numbers: int) -> None:
        """The replica's snapshot is at ``first``; it followed these changes."""
        self.branch.query(
            "UPDATE replica.position SET timeline = 1, first = ?, first_chain = 'f'", first
        )
        for number in numbers:
            self.branch.query(
                "INSERT INTO replica.applied VALUES (?, 0, 0, ?)", number, f"{number:x}"
            )

    def found(self, server: Server) -> Any:
        return self.turner.run(find_shared(server, self.branch.store))  # type: ignore[arg-type]

    def test_every_place_is_found(self) -> None:
        self.follow(10, *range(11, 1_000))
        for shared in (9, 10, 11, 12, 204, 205, 206, 500, 997, 998, 999, 5_000):
            server = Server(shared)
            self.assertEqual(self.found(server), min(shared, 999) if shared >= 10 else 0)
            self.assertLessEqual(len(server.asked), ROUNDS_MAX)
            self.assertTrue(all(len(one.places) <= 200 for one in server.asked))

    def test_as_many_as_a_replica_keeps(self) -> None:
        self.follow(0, *range(100_000, 120_101))
        for shared in (100_000, 110_001, 119_999, 120_100):
            self.assertEqual(self.found(Server(shared)), shared)

    def test_nothing_is_known(self) -> None:
        self.branch.query("UPDATE replica.position SET first = NULL, first_chain = ''")
        self.branch.query("INSERT INTO replica.applied VALUES (5, 0, 0, '')")
        server = Server(5)
        self.assertEqual((self.found(server), server.asked), (0, []))

    def test_a_server_that_cannot_say(self) -> None:
        self.follow(1, 2)
        old = Server(2, version=1)
        self.assertEqual((self.found(old), old.asked), (None, []))
        self.assertIsNone(self.found(Server(2, refuses=Code.UNKNOWN_VERB)))
        with self.assertRaises(Refusal):
            self.found(Server(2, refuses=Code.BUSY))

    def test_a_server_that_talks_nonsense(self) -> None:
        self.follow(1, *range(2, 3_000))
        server = Server(0)
        server.call = lambda message: succeed(site.SharedPlace(2**50))  # type: ignore[method-assign]
        self.assertEqual(self.found(server), 2_999)

    def test_places_are_evenly_spaced(self) -> None:
        self.follow(1, *range(2, 1_001))
        places = self.turner.result(self.branch.store.places(0, None, 10))
        self.assertEqual([place.number for place in places], list(range(100, 1_001, 100)))
        places = self.turner.result(self.branch.store.places(100, 104, 10))
        self.assertEqual(places, [Mark(n, f"{n:x}") for n in (101, 102, 103)])

"""A replica that was damaged on its disk is found out and mended (fault F24)."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.job import SessionRef
from papercutd.faces.site_link import SiteLinkFace
from papercutd.services.repair import Repaired
from papercutd.storage.replication.replicated import TABLES
from protocols.errors import SessionLost
from protocols.site import messages as site
from tests.support.stores import request
from tests.unit.papercutd.services.test_runs import RunCase


@attrs.frozen
class Heard:
    """A session as the face sees it."""

    version: int


@attrs.define
class Wire:
    """Carries a site's requests to the application server's face, and its changes back."""

    case: RepairTests
    face: SiteLinkFace
    asked: list[Any] = attrs.field(factory=list)
    #: Called before each request: what happens at the application server meanwhile.
    meanwhile: Any = lambda: None
    #: The version of the session.
    speaks: int = 2

    def request(self, message: Any) -> Deferred[Any]:
        self.asked.append(message)
        self.meanwhile()
        session: Any = Heard(self.speaks)
        conversation: Any = SimpleNamespace(asker=SessionRef("site", "north", "", 1))
        answer = self.face._verbs[type(message)](session, conversation, message)
        return Deferred.fromCoroutine(answer)


class RepairTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(300):
            self.centre.user(f"person{number:03}", balance_e4=number)
        asker = self.centre.provider("p2")
        for number in range(100, 130):
            asked = request(number, 1, provider="p2", printer=2)
            self.turner.result(self.centre.store.authorize(asker, asked))
        self.follow()
        face = SiteLinkFace(self.site.env, self.app, "application")
        self.wire = Wire(self, face)
        self.site.repair._link = self.wire  # type: ignore[assignment]

    def follow(self) -> None:
        self.branch.follow(self.centre)
        identity = self.turner.result(self.branch.store.identity())
        self.site.uplink.position = identity.position

    def repaired(self) -> Repaired:
        """One cycle, while changes go on arriving."""
        results: list[Any] = []
        running = Deferred.fromCoroutine(self.site.repair.run())
        running.addBoth(results.append)
        for _ in range(10_000):
            if results:
                break
            self.turner.settle()
            self.follow()
            self.turner.clock.advance(0.05)
        self.assertIsInstance(results[0], Repaired, str(results))
        return results[0]

    def test_a_whole_replica(self) -> None:
        found = self.repaired()
        self.assertEqual((found.damaged_rows, found.named), (0, []))
        self.assertGreater(found.compared_rows, 630)
        # One range of each table, none listed.
        self.assertEqual(len(self.wire.asked), len(TABLES))

    def test_another_version_compares_what_both_have(self) -> None:
        """A column that the other side lacks is no difference, and is not sent again for ever."""
        self.turner.result(self.centre.store.record_certificate("5", "site", "south", "f", 1e10))
        self.turner.result(self.centre.store.revoke("site", "south"))
        self.follow()
        self.branch.query("UPDATE replica.revocation SET revoked_at = 0")
        self.wire.speaks = 1
        self.assertEqual(self.repaired().damaged_rows, 0)
        self.wire.speaks = 2
        self.assertEqual(self.repaired().named, ["revocation: row 5"])

    def test_upgraded_in_the_midst_of_it(self) -> None:
        """What was compared before means nothing: the next night compares it all."""

        def upgraded() -> None:
            self.wire.speaks = 2

        self.wire.speaks = 1
        self.wire.meanwhile = upgraded
        running = Deferred.fromCoroutine(self.site.repair.run())
        self.turner.settle()
        self.failureResultOf(running, SessionLost)

    def test_bytes_that_were_flipped(self) -> None:
        """Even where somebody has made their seals again."""
        query = self.branch.query
        rng = random.Random(5)
        users = rng.sample([row[0] for row in query("SELECT id FROM replica.user")], 7)
        for user in users:
            query("UPDATE replica.user SET full_name = 'Mallory' WHERE id = ?", user)
        query("UPDATE replica.account SET credits_e4 = credits_e4 + 65536 WHERE id = 200")
        query("DELETE FROM replica.account WHERE id = 201")
        query("INSERT INTO replica.card VALUES ('00', 1)")
        lost = query("SELECT MIN(key) FROM replica.reservation")[0][0]
        query("UPDATE replica.reservation SET key = CAST(x'ff41' AS TEXT) WHERE key = ?", lost)
        found = self.repaired()
        named = {f"user: row {user}" for user in users}
        named |= {
            "account: row 200",
            "account: row 201",
            "card: row 00",
            "reservation: row \ufffdA",
        }
        named |= {f"reservation: row {lost}", "reservation: row \ufffdA"}
        self.assertEqual(set(found.named), named)
        self.assertEqual(found.damaged_rows, len(named))
        again = self.repaired()
        self.assertEqual((again.damaged_rows, again.named), (0, []))
        self.assertEqual(self.turner.result(self.branch.store.verify()), [])

    def test_what_changes_meanwhile_is_not_damage(self) -> None:
        """The replica is behind at every look, and catches up."""
        count = iter(range(10_000))

        def meanwhile() -> None:
            self.centre.store.adjust(f"person{next(count) % 300:03}", 5, "")

        self.branch.query("UPDATE replica.account SET name = 'x' WHERE id = 250")
        self.wire.meanwhile = meanwhile
        self.assertEqual(self.repaired().named, ["account: row 250"])

    def test_bad_requests(self) -> None:
        """An unknown table, and a key that is none of it, are refused by code."""
        for message in (
            site.Digests("charge", None, None),
            site.Digests("user", "a", None),
            site.Resend("transfer", [1]),
        ):
            failure = self.failureResultOf(self.answer(message))
            self.assertEqual(failure.value.code.value, "bad-fields")
        self.turner.result(self.answer(site.Resend("user", ["a", 2**62])))

    def answer(self, message: Any) -> Deferred[Any]:
        answer = self.wire.request(message)
        self.turner.settle()
        return answer

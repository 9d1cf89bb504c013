"""A site forwards what it journals as it journals it."""

from __future__ import annotations

from papercutd.domain.decision import Decision, Reason
from papercutd.services.questions import NoClients
from papercutd.services.site_server import SiteServer
from papercutd.services.uplink import NEW_STREAM_CALM_S, NEW_STREAM_LONGEST_S
from protocols.codes import Code
from tests.support.stores import request
from tests.unit.papercutd.services.test_runs import RunCase


class ForwardingTests(RunCase):
    def test_the_end_of_a_session(self) -> None:
        """Its record does not wait for the next one: nobody may come for days."""
        asker = self.branch.provider()
        before = self.turner.result(self.branch.store.identity()).mark.number
        woken = self.site.uplink._woken()
        self.turner.run(self.site.end_session(asker))
        after = self.turner.result(self.branch.store.identity()).mark.number
        self.assertEqual((after, woken.called), (before + 1, True))

    def test_the_handshake_says_what_was_journalled_in_the_cut(self) -> None:
        """Else no statement waits for it: it would close without what this site decided."""
        asker = self.branch.provider()
        before = self.site.uplink.make_hello().mark.number
        for _ in range(2):
            self.turner.run(self.site.end_session(asker))
            asker = self.branch.provider()
        self.turner.settle()
        now = self.turner.result(self.branch.store.identity()).mark
        mark = self.site.uplink.make_hello().mark
        self.assertEqual((mark.number, mark.chain), (now.number, now.chain))
        self.assertGreater(mark.number, before)


class NewStreamTests(RunCase):
    """A copy that runs takes the stream from us as often as we take another."""

    def refused(self, for_s: float) -> int:
        """Streams taken in so long, the handshake refused every second."""
        before, uplink = self.site.uplink.streams_taken, self.site.uplink
        until = self.turner.clock.seconds() + for_s
        while self.turner.clock.seconds() < until:
            uplink.refused(Code.NEW_STREAM)
            self.turner.settle()
            self.turner.clock.advance(1.0)
            self.turner.settle()
        return uplink.streams_taken - before

    def test_the_first_at_once(self) -> None:
        self.assertEqual(self.refused(1.0), 1)

    def test_each_wait_is_longer(self) -> None:
        self.assertIn(self.refused(60.0), (4, 5))
        self.assertIn(self.refused(600.0), (2, 3, 4))
        self.refused(3_600.0)
        self.assertIn(self.refused(2 * NEW_STREAM_LONGEST_S), (1, 2, 3))

    def test_after_a_calm_at_once_again(self) -> None:
        self.refused(60.0)
        self.turner.clock.advance(NEW_STREAM_CALM_S + NEW_STREAM_LONGEST_S)
        self.turner.settle()
        self.turner.clock.advance(NEW_STREAM_CALM_S + 1.0)
        self.assertEqual(self.refused(1.0), 1)

    def test_askers_begin_anew(self) -> None:
        """What they were welcomed by is a stream that is gone."""
        ended: list[Code] = []
        for sessions in (self.site.providers, self.site.device_sessions):
            self.patch(sessions, "end_all", ended.append)
        self.refused(1.0)
        self.assertEqual(ended, [Code.UNAVAILABLE] * 2)

    def test_what_a_provider_shows_does_not_wait(self) -> None:
        """It waits for the answer to its handshake; what was due meanwhile is not done again."""
        self.refused(2.0)
        taken = self.site.uplink.streams_taken
        self.turner.run(self.site.uplink.take_new_stream())
        self.assertEqual(self.site.uplink.streams_taken, taken + 1)
        self.turner.clock.advance(10.0)
        self.turner.settle()
        self.assertEqual(self.site.uplink.streams_taken, taken + 1)


class ComparingTests(RunCase):
    def test_not_all_at_once(self) -> None:
        """Sites that were started together compare their replicas at times of their own."""
        interval_s = self.site.settings_in_force.repair_every_s
        waits_s = []
        for _ in range(20):
            self.site._plan_repair()
            planned = self.site._next_repair
            assert planned is not None
            waits_s.append(planned.getTime() - self.site.env.now())
            planned.cancel()
        self.assertGreaterEqual(min(waits_s), interval_s * 0.75)
        self.assertLessEqual(max(waits_s), interval_s * 1.25)
        self.assertEqual(len(set(waits_s)), 20)

    def test_again_and_again(self) -> None:
        """The next one is planned when one begins."""
        first = self.site._next_repair
        self.site._repair()
        self.assertIsNot(self.site._next_repair, first)
        planned = self.site._next_repair
        assert planned is not None
        planned.cancel()


class AskingPeopleTests(RunCase):
    """What a site's own answer says of whether its person is asked."""

    def asked(self, number: int, hedged: bool = False) -> bool | None:
        asked = request(number, hedged=hedged)
        decision: Decision = self.turner.run(  # type: ignore[assignment]
            self.site.authorize(self.branch.provider(), asked)
        )
        self.assertEqual((decision.decider, decision.reason), (self.branch.stream, Reason.ACCOUNT))
        return decision.ask

    def test_by_whom_is_in_reach(self) -> None:
        people = self.centre.store.people
        self.turner.result(people.set_user("anna", {"account_mode": "popup"}))
        self.branch.follow(self.centre)
        self.assertIs(self.asked(1), False)
        # Its link is up, and the application server was only slow.
        self.patch(SiteServer, "is_cut", False)
        self.assertIs(self.asked(2, hedged=True), True)
        self.patch(SiteServer, "is_cut", True)

        class Reached(NoClients):
            def in_reach(self, user: int) -> bool:
                return True

        self.site.questions.clients = Reached()
        self.assertIs(self.asked(3), True)
        # The same key again: who has come meanwhile counts.
        self.assertIs(self.asked(1), True)

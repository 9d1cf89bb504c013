"""Tests of papercutd.services.link, on a Clock and wires in memory."""

from __future__ import annotations

import random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.services.link import Link, LinkSettings
from papercutd.services.peer_versions import refused_by
from protocols.codes import ASK_ELSEWHERE, Code
from protocols.endpoint import NamedPeer, Session, SessionServerFactory
from protocols.errors import LocalProtocolError, Refusal, SessionLost
from protocols.handshake import Hello
from protocols.limits import TAGS_IN_FLIGHT_MAX
from protocols.provider.messages import Adopt, Ping, Pong
from protocols.provider.spec import PROVIDER
from tests.unit.protocols.builders import (
    Recorder,
    WireEndpoint,
    authorize,
    decision,
    hello,
    server_factory,
)

#: A power of two, so that the clock adds up exactly.
STEP_S = 1 / 128


class ChosenRandom(random.Random):
    """``uniform`` gives ``share`` of its interval, and keeps the intervals."""

    share = 0.5

    def __init__(self) -> None:
        super().__init__(0)
        self.asked: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.asked.append((a, b))
        return a + (b - a) * self.share


class Asker:
    """A LinkHandler that writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.pongs: list[Pong] = []
        self.events: list[Any] = []
        self.link: Link | None = None

    def make_hello(self) -> Hello:
        return hello()

    def link_up(self, session: Session) -> None:
        assert self.link is not None and self.link.session is session
        assert session.welcome is not None
        self.calls.append("up")

    def link_down(self, reason: str) -> None:
        assert self.link is not None and self.link.session is None
        assert self.link.suspect
        self.calls.append(f"down {reason}")

    def trust_changed(self, suspect: bool) -> None:
        assert self.link is not None and self.link.suspect is suspect
        self.calls.append("suspect" if suspect else "trusted")

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)

    def event(self, session: Session, event: Any) -> None:
        self.events.append(event)

    def make_ping(self) -> Ping:
        return Ping(clock=5.0)

    def pong(self, pong: Pong) -> None:
        self.pongs.append(pong)

    def refused(self, code: Code) -> None:
        self.calls.append(f"refused {code.value}")


class LinkTestCase(SynchronousTestCase):
    settings = LinkSettings()

    def setUp(self) -> None:
        self.clock = Clock()
        self.rng = ChosenRandom()
        self.server = Recorder()
        self.heard: list[tuple[float, Any]] = []
        self.server.respond = self.respond
        self.unanswered: list[Deferred[Any]] = []
        #: The server's own idea of how to answer; None: never.
        self.answer: Any = None
        #: The same for pings; True: by a pong.
        self.ping_answer: Any = True
        self.endpoint = WireEndpoint(self.clock, server_factory(self.clock, self.server))
        self.asker = Asker()
        env = Environment(self.clock, lambda: 1e9, self.rng)
        self.link = Link(env, self.endpoint, PROVIDER, self.asker, self.settings)
        self.asker.link = self.link

    def tearDown(self) -> None:
        stopped = self.link.stop()
        self.run_for(10.0)
        self.successResultOf(stopped)
        # The idle timers of servers behind cut wires apart, nothing may be left.
        self.run_for(60.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def respond(self, message: Any) -> Any:
        self.heard.append((self.clock.seconds(), message))
        answer = self.answer
        if isinstance(message, Ping):
            answer = Pong(clock=message.clock) if self.ping_answer is True else self.ping_answer
        if isinstance(answer, Code):
            raise Refusal(answer)
        if answer is None:
            answer = Deferred()
            self.unanswered.append(answer)
        return answer

    def pings(self) -> list[float]:
        """When pings reached the server, to a tenth of a second."""
        return [round(at, 1) for at, what in self.heard if isinstance(what, Ping)]

    def run_for(self, seconds: float) -> None:
        self.clock.pump([STEP_S] * round(seconds / STEP_S))

    def up(self) -> Session:
        """Start and open the first session; the clock is at 0.05 s then."""
        self.link.start()
        self.run_for(0.05)
        session = self.link.session
        assert session is not None
        return session

    def cut(self) -> None:
        """The connection breaks and both ends notice."""
        self.server.sessions[-1].abort()
        self.run_for(0.01)


class UpAndDownTests(LinkTestCase):
    def test_the_first_session_is_trusted_at_once(self) -> None:
        self.assertTrue(self.link.suspect)
        self.assertIsNone(self.link.session)
        self.up()
        self.assertFalse(self.link.suspect)
        self.assertEqual(self.asker.calls, ["up", "trusted"])

    def test_the_end_makes_it_suspect_at_once(self) -> None:
        session = self.up()
        call = self.link.request(authorize())
        self.cut()
        self.assertEqual(
            self.asker.calls, ["up", "trusted", "down lost: ConnectionDone", "suspect"]
        )
        self.failureResultOf(call, SessionLost)
        self.assertTrue(self.link.suspect)
        self.assertIsNone(self.link.session)
        self.assertFalse(session.is_open)

    def test_whoever_hears_of_the_lost_call_sees_the_link_down(self) -> None:
        self.up()
        seen: list[Any] = []
        self.link.request(authorize()).addErrback(
            lambda _: seen.append((self.link.session, self.link.suspect))
        )
        self.cut()
        self.assertEqual(seen, [(None, True)])

    def test_after_a_reconnect_the_welcome_is_trusted_after_jitter(self) -> None:
        self.up()
        self.cut()
        self.asker.calls.clear()
        # Half of 1 to 2 s until the next attempt, then half of 0 to 10 s.
        self.run_for(1.5 + 0.05)
        self.assertEqual(self.asker.calls, ["up"])
        self.assertTrue(self.link.suspect)
        self.assertIsNotNone(self.link.session)
        self.run_for(4.9)
        self.assertTrue(self.link.suspect)
        self.run_for(0.1)
        self.assertEqual(self.asker.calls, ["up", "trusted"])
        self.assertIn((0.0, 10.0), self.rng.asked)

    def test_start_twice_is_once(self) -> None:
        self.link.start()
        self.link.start()
        self.run_for(1.0)
        self.assertEqual(len(self.endpoint.wires), 1)

    def test_events_of_the_server(self) -> None:
        self.up()
        adopt = Adopt(journal="x", keys=[], last=True)
        self.server.sessions[0].notify(adopt)
        self.run_for(0.02)
        self.assertEqual(self.asker.events, [adopt])

    def test_bye_ends_it_and_says_when_to_come_back(self) -> None:
        self.up()
        self.server.sessions[0].end(Code.BUSY, 30.0)
        self.run_for(0.05)
        self.assertEqual(self.asker.calls[2:], ["down bye: busy", "suspect"])
        self.run_for(29.9)
        self.assertEqual(len(self.endpoint.tried_at), 1)
        self.run_for(0.7)
        self.assertEqual(len(self.endpoint.tried_at), 2)

    def test_a_link_up_that_fails_ends_the_session(self) -> None:
        def broken(session: Session) -> None:
            raise ZeroDivisionError

        self.patch(self.asker, "link_up", broken)
        self.link.start()
        self.run_for(0.1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.link.suspect)
        self.assertIsNone(self.link.session)
        del self.asker.link_up
        self.run_for(2.0)
        self.assertEqual(len(self.endpoint.tried_at), 2)
        self.assertEqual(self.asker.calls, ["down ended: internal", "up"])

    def test_other_failures_of_the_handler_are_logged_only(self) -> None:
        def broken(*_: Any) -> Any:
            raise ZeroDivisionError

        self.patch(self.asker, "trust_changed", broken)
        self.patch(self.asker, "make_ping", broken)
        self.patch(self.asker, "pong", broken)
        self.up()
        self.run_for(15.1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.assertIsNotNone(self.link.session)
        self.assertFalse(self.link.suspect)
        self.patch(self.asker, "link_down", broken)
        self.cut()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.run_for(2.0)
        self.assertIsNotNone(self.link.session)
        for name in ("trust_changed", "make_ping", "pong", "link_down"):
            delattr(self.asker, name)


class SuspicionTests(LinkTestCase):
    def test_an_answer_within_a_second(self) -> None:
        self.up()
        self.answer = decision()
        call = self.link.request(authorize())
        self.run_for(0.03)
        self.assertEqual(self.successResultOf(call), decision())
        self.run_for(2.0)
        self.assertFalse(self.link.suspect)

    def test_a_second_without_one(self) -> None:
        self.up()
        call = self.link.request(authorize())
        self.run_for(0.98)
        self.assertFalse(self.link.suspect)
        self.run_for(0.03)
        self.assertTrue(self.link.suspect)
        self.assertEqual(self.asker.calls, ["up", "trusted", "suspect"])
        # The request goes on waiting, and its answer is passed on.
        self.assertNoResult(call)
        self.unanswered[0].callback(decision())
        self.run_for(0.02)
        self.assertEqual(self.successResultOf(call), decision())

    def test_the_late_answer_itself_clears_nothing(self) -> None:
        self.up()
        self.ping_answer = None
        self.link.request(authorize())
        self.run_for(1.1)
        self.unanswered[0].callback(decision())
        self.rng.share = 0.0
        self.run_for(1.5)
        self.assertTrue(self.link.suspect)

    def test_what_was_sent_after_it_clears_after_jitter(self) -> None:
        self.up()
        silent = self.link.request(authorize())
        self.run_for(1.05)
        self.answer = decision()
        self.link.request(authorize())
        self.run_for(4.9)
        self.assertTrue(self.link.suspect)
        self.run_for(0.2)
        self.assertFalse(self.link.suspect)
        # The first session does not count as a first answer any more.
        self.assertNoResult(silent)
        silent.addErrback(lambda failure: failure.trap(SessionLost))

    def test_the_jitter_begins_with_the_first_answer(self) -> None:
        self.up()
        self.link.mark_suspect()
        self.answer = decision()
        for _ in range(4):
            self.link.request(authorize())
            self.run_for(1.0)
        self.assertTrue(self.link.suspect)
        self.run_for(1.1)
        self.assertFalse(self.link.suspect)
        self.assertEqual([pair for pair in self.rng.asked if pair == (0.0, 10.0)], [(0.0, 10.0)])

    def test_no_jitter_set(self) -> None:
        self.rng.share = 0.0
        self.up()
        self.link.mark_suspect()
        self.answer = decision()
        self.link.request(authorize())
        self.run_for(0.03)
        self.assertFalse(self.link.suspect)

    def test_suspect_again_within_the_jitter(self) -> None:
        self.up()
        self.link.mark_suspect()
        self.answer = decision()
        self.link.request(authorize())
        self.run_for(3.0)
        self.ping_answer = self.answer = None
        self.link.mark_suspect()
        self.run_for(8.0)
        self.assertTrue(self.link.suspect)
        self.assertEqual(self.asker.calls, ["up", "trusted", "suspect"])

    def test_a_refusal_is_an_answer(self) -> None:
        for code in set(Code) - ASK_ELSEWHERE:
            self.rng.share = 0.0
            self.up()
            self.link.mark_suspect()
            self.answer = code
            call = self.link.request(authorize())
            self.run_for(0.03)
            self.assertIs(self.failureResultOf(call, Refusal).value.code, code)
            self.assertFalse(self.link.suspect, code)
            self.tearDown()
            self.setUp()

    def test_a_refusal_that_sends_elsewhere_clears_nothing(self) -> None:
        self.rng.share = 0.0
        self.up()
        for code in ASK_ELSEWHERE:
            self.link.mark_suspect()
            self.answer = code
            call = self.link.request(authorize())
            self.run_for(0.03)
            self.failureResultOf(call, Refusal)
            self.assertTrue(self.link.suspect, code)
        # Nor does it raise one.
        self.rng.share = 0.0
        self.answer = decision()
        self.link.request(authorize())
        self.run_for(0.03)
        self.assertFalse(self.link.suspect)
        self.answer = Code.BUSY
        self.link.request(authorize()).addErrback(lambda failure: failure.trap(Refusal))
        self.run_for(1.5)
        self.assertFalse(self.link.suspect)

    def test_cancelling_the_wait_does_not_cancel_the_suspicion(self) -> None:
        self.up()
        call = self.link.request(authorize())
        self.run_for(0.3)
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.run_for(0.6)
        self.assertFalse(self.link.suspect)
        self.run_for(0.15)
        self.assertTrue(self.link.suspect)

    def test_without_a_session(self) -> None:
        self.failureResultOf(self.link.request(authorize()), SessionLost)
        self.link.mark_suspect()
        self.assertTrue(self.link.suspect)
        self.up()
        self.cut()
        self.failureResultOf(self.link.request(authorize()), SessionLost)

    def test_what_may_not_be_sent_is_no_answer_of_the_server(self) -> None:
        self.rng.share = 0.0
        self.up()
        self.link.mark_suspect()
        self.failureResultOf(self.link.request(Pong()), LocalProtocolError)
        self.assertTrue(self.link.suspect)

    def test_more_requests_than_tags(self) -> None:
        self.up()
        calls = [self.link.request(authorize()) for _ in range(TAGS_IN_FLIGHT_MAX + 1)]
        refusal = self.failureResultOf(calls[-1], Refusal).value
        self.assertIs(refusal.code, Code.BUSY)
        self.assertEqual(len(self.clock.getDelayedCalls()) > TAGS_IN_FLIGHT_MAX, True)
        self.cut()
        for call in calls[:-1]:
            self.failureResultOf(call, SessionLost)

    def test_a_request_of_the_last_session_says_nothing_of_this_one(self) -> None:
        self.rng.share = 0.0
        self.up()
        self.link.request(authorize()).addErrback(lambda failure: failure.trap(SessionLost))
        self.run_for(0.5)
        self.cut()
        self.run_for(1.1)
        self.assertFalse(self.link.suspect)
        self.run_for(2.0)
        self.assertFalse(self.link.suspect)


class PingTests(LinkTestCase):
    def test_every_fifteen_seconds(self) -> None:
        self.up()
        self.run_for(46.0)
        self.assertEqual(self.pings(), [15.0, 30.0, 45.0])
        self.assertEqual(self.asker.pongs, [Pong(clock=5.0)] * 3)
        self.assertFalse(self.link.suspect)

    def test_every_two_while_suspect(self) -> None:
        self.up()
        # So long that the way back is not over before the test.
        self.rng.share = 1.0
        self.link.mark_suspect()
        self.run_for(6.5)
        self.assertEqual(self.pings(), [2.1, 4.1, 6.1])
        self.run_for(6.5)
        self.assertFalse(self.link.suspect)
        self.run_for(20.0)
        self.assertEqual(self.pings()[3:], [8.1, 10.1, 12.1, 14.1, 29.1])

    def test_a_ping_brings_it_back(self) -> None:
        self.up()
        self.rng.share = 0.0
        self.link.request(authorize()).addErrback(lambda failure: failure.trap(SessionLost))
        self.run_for(1.05)
        self.assertTrue(self.link.suspect)
        self.run_for(2.1)
        self.assertFalse(self.link.suspect)

    def test_an_unanswered_ping_makes_suspect(self) -> None:
        self.up()
        self.ping_answer = None
        self.run_for(15.9)
        self.assertFalse(self.link.suspect)
        self.run_for(0.2)
        self.assertTrue(self.link.suspect)
        self.assertIsNotNone(self.link.session)

    def test_a_half_open_session_is_aborted(self) -> None:
        session = self.up()
        self.endpoint.wires[0].is_cut = True
        self.run_for(15.0 + 9.9)
        self.assertIs(self.link.session, session)
        self.assertTrue(self.link.suspect)
        self.run_for(0.2)
        self.assertIsNone(self.link.session)
        self.assertEqual(self.asker.calls, ["up", "trusted", "suspect", "down aborted"])
        self.run_for(3.0)
        self.assertEqual(len(self.endpoint.wires), 2)
        self.assertIsNotNone(self.link.session)

    def test_any_answer_proves_that_somebody_is_there(self) -> None:
        session = self.up()
        self.ping_answer = None
        self.answer = decision()
        for _ in range(6):
            self.run_for(5.0)
            self.link.request(authorize())
        self.run_for(0.5)
        self.assertIs(self.link.session, session)

    def test_a_ping_refused_is_no_lost_peer(self) -> None:
        session = self.up()
        self.ping_answer = Code.BUSY
        self.run_for(40.0)
        self.assertIs(self.link.session, session)
        self.assertFalse(self.link.suspect)
        self.assertEqual(self.asker.pongs, [])

    def test_no_room_for_a_ping(self) -> None:
        session = self.up()
        self.run_for(14.5)
        calls = [self.link.request(authorize()) for _ in range(TAGS_IN_FLIGHT_MAX)]
        self.run_for(8.0)
        self.assertEqual(self.pings(), [])
        self.assertIs(self.link.session, session)
        self.unanswered[0].callback(decision())
        self.run_for(2.0)
        self.assertEqual(len(self.pings()), 1)
        for call in calls[1:]:
            call.addErrback(lambda failure: failure.trap(SessionLost, Refusal))

    def test_no_room_for_a_ping_and_nothing_answered(self) -> None:
        self.up()
        self.run_for(14.5)
        calls = [self.link.request(authorize()) for _ in range(TAGS_IN_FLIGHT_MAX)]
        self.endpoint.wires[0].is_cut = True
        self.run_for(10.4)
        self.assertIsNotNone(self.link.session)
        self.run_for(0.3)
        self.assertIsNone(self.link.session)
        for call in calls:
            self.failureResultOf(call, SessionLost)


class ConnectingTests(LinkTestCase):
    def test_backs_off_to_the_longest_with_full_jitter(self) -> None:
        self.endpoint.mode = "refuse"
        self.link.start()
        self.run_for(200.0)
        ceilings = [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
        self.assertEqual(self.rng.asked[:7], [(1.0, ceiling) for ceiling in ceilings])
        gaps = [
            round(later - earlier, 2)
            for earlier, later in zip(
                self.endpoint.tried_at, self.endpoint.tried_at[1:], strict=False
            )
        ]
        self.assertEqual(gaps[:6], [1.5, 2.5, 4.5, 8.5, 16.5, 30.5])
        self.assertEqual(self.asker.calls, [])

    def test_the_delay_stays_sane_however_long_the_outage(self) -> None:
        self.endpoint.mode = "refuse"
        self.link.start()
        self.link._waits = 5000
        self.run_for(100.0)
        self.assertEqual(self.rng.asked[-1], (1.0, 60.0))

    def test_a_welcome_starts_over(self) -> None:
        self.endpoint.mode = "refuse"
        self.link.start()
        self.run_for(20.0)
        self.endpoint.mode = "accept"
        self.run_for(20.0)
        self.assertIsNotNone(self.link.session)
        # The first session ever: nobody was served elsewhere meanwhile.
        self.assertFalse(self.link.suspect)
        self.rng.asked.clear()
        self.cut()
        self.assertEqual(self.rng.asked, [(1.0, 2.0)])

    def test_a_connection_attempt_has_four_seconds(self) -> None:
        self.endpoint.mode = "hang"
        self.link.start()
        self.run_for(3.9)
        self.assertEqual(self.endpoint.cancelled, 0)
        self.run_for(0.2)
        self.assertEqual(self.endpoint.cancelled, 1)
        self.run_for(1.5)
        self.assertEqual(len(self.endpoint.tried_at), 2)

    def test_a_handshake_has_five_seconds(self) -> None:
        self.server.greet = lambda _: Deferred()
        self.link.start()
        self.run_for(5.1)
        # Ours was up first, or theirs: nobody refused anything.
        self.assertEqual(self.asker.calls, [])
        self.run_for(1.6)
        self.assertEqual(len(self.endpoint.wires), 2)

    def test_a_server_that_says_nothing_at_all(self) -> None:
        self.link.start()
        self.endpoint.wires[0].is_cut = True
        # 5 s of handshake, 5 s until the abort, and half of 1 to 2 s.
        self.run_for(11.6)
        self.assertEqual(len(self.endpoint.wires), 2)
        self.assertEqual(self.asker.calls, ["up", "trusted"])

    def test_refused_at_the_handshake(self) -> None:
        def revoked(_: Any) -> Any:
            raise Refusal(Code.REVOKED)

        self.server.greet = revoked
        self.link.start()
        self.run_for(0.1)
        self.assertEqual(self.asker.calls, ["refused revoked"])
        self.assertTrue(self.link.suspect)
        self.run_for(1.6)
        self.run_for(2.6)
        self.assertEqual(self.asker.calls, ["refused revoked"] * 3)
        # No welcome: the delay grows.
        self.assertEqual(self.rng.asked, [(1.0, 2.0), (1.0, 4.0), (1.0, 8.0)])

    def test_refused_for_its_versions(self) -> None:
        """What both speak is kept, until there is a session: people are told which to upgrade."""
        spec = attrs.evolve(PROVIDER, versions=(3, 4))
        newer = SessionServerFactory(
            spec, self.clock, self.server, lambda _: NamedPeer("provider", "p1")
        )
        ours, self.endpoint.server = self.endpoint.server, newer
        self.link.start()
        self.run_for(0.1)
        self.assertEqual(
            self.asker.calls,
            ["refused version"],
        )
        self.assertEqual(
            refused_by(self.link, "the application server"),
            ["the application server speaks 3 and 4, we speak 1 and 2: upgrade this side"],
        )
        self.assertEqual(self.server.calls, ["provider p1 speaks [1, 2]"])
        self.assertIsNone(self.link.speaks)
        self.endpoint.server = ours
        self.run_for(3.0)
        self.assertEqual(refused_by(self.link, "the application server"), [])
        self.assertEqual(self.link.speaks, 2)

    def test_fewer_versions_offered(self) -> None:
        """As the simulator has it, to run a node at an older one."""
        settings = LinkSettings(versions=(1,))
        env = Environment(self.clock, lambda: 1e9, self.rng)
        self.link = Link(env, self.endpoint, PROVIDER, self.asker, settings)
        self.asker.link = self.link
        self.assertEqual(self.up().version, 1)

    def test_refused_for_now(self) -> None:
        def busy(_: Any) -> Any:
            raise Refusal(Code.BUSY, {"retry_after_s": 20})

        self.server.greet = busy
        self.link.start()
        self.run_for(20.0)
        self.assertEqual(len(self.endpoint.tried_at), 1)
        self.server.greet = None
        self.run_for(1.0)
        self.assertIsNotNone(self.link.session)

    def test_the_late_fruit_of_an_abandoned_attempt(self) -> None:
        self.up()
        late = self.link._factory.buildProtocol(None)
        wire_count = len(self.endpoint.wires)
        self.endpoint.connect(_Ready(late))
        self.run_for(0.2)
        self.assertEqual(len(self.endpoint.wires), wire_count + 1)
        self.assertTrue(late.is_over)
        self.assertEqual(self.asker.calls, ["up", "trusted"])
        self.assertIsNotNone(self.link.session)


class _Ready:
    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol

    def buildProtocol(self, _: Any) -> Any:
        return self.protocol


class StopTests(LinkTestCase):
    def test_before_the_start(self) -> None:
        self.successResultOf(self.link.stop())

    def test_a_session_is_ended_politely(self) -> None:
        self.up()
        stopped = self.link.stop()
        self.assertNoResult(stopped)
        self.assertIsNone(self.link.session)
        self.run_for(0.05)
        self.successResultOf(stopped)
        self.assertEqual(self.asker.calls, ["up", "trusted", "down ended: unavailable", "suspect"])
        self.assertEqual(self.server.calls, ["opened", "closed bye: unavailable"])
        self.run_for(120.0)
        self.assertEqual(len(self.endpoint.tried_at), 1)

    def test_requests_in_flight(self) -> None:
        self.up()
        call = self.link.request(authorize())
        self.link.stop()
        self.run_for(0.05)
        self.failureResultOf(call, SessionLost)

    def test_while_connecting(self) -> None:
        self.endpoint.mode = "hang"
        self.link.start()
        self.successResultOf(self.link.stop())
        self.assertEqual(self.endpoint.cancelled, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_waiting_to_reconnect(self) -> None:
        self.endpoint.mode = "refuse"
        self.link.start()
        self.successResultOf(self.link.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_the_handshake(self) -> None:
        self.server.greet = lambda _: Deferred()
        self.link.start()
        self.run_for(0.05)
        stopped = self.link.stop()
        self.run_for(0.05)
        self.successResultOf(stopped)
        self.assertEqual(self.asker.calls, [])

    def test_over_a_dead_wire(self) -> None:
        self.up()
        self.endpoint.wires[0].is_cut = True
        stopped = self.link.stop()
        self.run_for(4.9)
        self.assertNoResult(stopped)
        self.run_for(0.2)
        self.successResultOf(stopped)

    def test_twice(self) -> None:
        self.up()
        first, second = self.link.stop(), self.link.stop()
        self.run_for(0.05)
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.link.stop())

    def test_and_start_again(self) -> None:
        self.up()
        self.link.stop()
        self.run_for(0.05)
        self.asker.calls.clear()
        self.link.start()
        self.run_for(0.05)
        # A new start: its first session is trusted at once again.
        self.assertEqual(self.asker.calls, ["up", "trusted"])

    def test_started_again_by_whoever_waited_for_the_stop(self) -> None:
        self.up()
        self.link.stop().addCallback(lambda _: self.link.start())
        self.run_for(0.05)
        self.assertEqual(len(self.endpoint.tried_at), 2)
        self.assertIsNotNone(self.link.session)
        self.run_for(3.0)
        self.assertEqual(len(self.endpoint.tried_at), 2)

    def test_started_again_before_it_was_down(self) -> None:
        self.up()
        stopped = self.link.stop()
        self.link.start()
        self.run_for(2.0)
        self.successResultOf(stopped)
        self.assertIsNotNone(self.link.session)
        self.assertEqual(len(self.endpoint.tried_at), 2)


class SettingsTests(LinkTestCase):
    settings = LinkSettings(
        back_jitter_s=0.0,
        reconnect_min_s=0.2,
        reconnect_max_s=0.1,
        suspect_after_s=0.3,
        connect_timeout_s=0.5,
    )

    def test_they_are_used(self) -> None:
        self.up()
        call = self.link.request(authorize())
        self.run_for(0.31)
        self.assertTrue(self.link.suspect)
        self.cut()
        self.failureResultOf(call, SessionLost)
        # A maximum under the minimum is the minimum.
        self.run_for(0.26)
        self.assertFalse(self.link.suspect)

    def test_nonsense_is_refused(self) -> None:
        for name in ("reconnect_min_s", "suspect_after_s", "connect_timeout_s"):
            self.assertRaises(ValueError, LinkSettings, **{name: 0.0})
        self.assertRaises(ValueError, LinkSettings, back_jitter_s=-1.0)

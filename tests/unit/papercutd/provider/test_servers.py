"""Settling: to the decider and nobody else, until it has it (design 4.1, 4.3, 4.12)."""

from __future__ import annotations

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import CHAIN_START
from papercutd.provider.servers import NEW_JOURNAL_LONGEST_S
from protocols.codes import Code
from protocols.handshake import Acked, Mark, Position
from protocols.provider import messages
from tests.unit.papercutd.provider.rig import JOURNAL, OTHER_STREAM, Rig, config


class SettlingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.application, self.site = self.rig.application, self.rig.site

    def printed(self) -> str:
        """A job that came out."""
        accepted = self.rig.submit()
        self.rig.run(2.0)
        self.assertEqual(self.rig.state(accepted[0])[0], "ended")
        return f"{accepted[0]}/submit-1"

    def unacknowledged(self) -> list[str]:
        return [row[0] for row in self.rig.rows("SELECT key FROM taken WHERE acked = 0")]


class DeciderTests(SettlingCase):
    def test_to_the_application_server_that_decided(self) -> None:
        self.rig.start()
        key = self.printed()
        self.assertEqual(self.application.keys(messages.Complete), [key])
        self.assertEqual(self.site.all(messages.Complete), [])
        self.assertEqual(self.unacknowledged(), [])

    def test_to_the_site_that_decided(self) -> None:
        self.application.endpoint.mode = "refuse"
        self.rig.start(1.0)
        key = self.printed()
        self.application.plug()
        self.rig.run(5.0)
        self.assertEqual(self.site.keys(messages.Complete), [key])
        self.assertEqual(self.application.all(messages.Complete), [])

    def test_it_waits_for_the_site_that_decided(self) -> None:
        self.application.endpoint.mode = "refuse"
        self.site.say[messages.Complete] = None
        self.rig.start(1.0)
        key = self.printed()
        self.site.unplug()
        self.application.plug()
        self.rig.run(60.0)
        self.assertEqual(self.application.all(messages.Complete), [])
        self.assertEqual(self.application.all(messages.Relay), [])
        del self.site.say[messages.Complete]
        self.site.plug()
        self.rig.run(5.0)
        self.assertEqual(self.site.keys(messages.Complete), [key, key])
        self.assertEqual(self.unacknowledged(), [])

    def test_what_nobody_decided_goes_to_the_application_server(self) -> None:
        self.application.endpoint.mode = self.site.endpoint.mode = "refuse"
        self.rig.connection.execute(
            "INSERT INTO setting VALUES ('config', ?)", (msgspec.json.encode(config()),)
        )
        self.rig.start(3.0)
        key = self.printed()
        self.rig.run(3.0)
        self.site.plug()
        self.application.plug()
        self.rig.run(10.0)
        told = [*self.application.all(messages.Complete)]
        told += [relay.complete for relay in self.site.all(messages.Relay)]
        self.assertEqual({f"{one.job}/{one.step}" for one in told}, {key})
        self.assertIsNone(told[0].decision)
        self.assertEqual(told[0].price_version, 3)
        self.assertEqual(self.unacknowledged(), [])


class AgainTests(SettlingCase):
    def test_resent_on_every_session_until_acknowledged(self) -> None:
        self.application.say[messages.Complete] = None
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(2.0)
        key = f"{accepted[0]}/submit-1"
        self.site.unplug()
        for _ in range(2):
            self.application.unplug()
            self.rig.run(1.0)
            self.application.plug()
            self.rig.run(3.0)
        del self.application.say[messages.Complete]
        self.application.unplug()
        self.rig.run(1.0)
        self.application.plug()
        self.rig.run(3.0)
        self.assertEqual(self.application.keys(messages.Complete), [key] * 4)
        self.assertEqual(self.unacknowledged(), [])

    def test_asked_to_wait_it_waits(self) -> None:
        for code in (Code.BUSY, Code.UNAVAILABLE, Code.STORAGE_FULL, Code.INTERNAL):
            self.setUp()
            self.application.say[messages.Complete] = code
            self.rig.start()
            self.rig.submit()
            self.rig.run(5.0)
            self.assertEqual(len(self.unacknowledged()), 1)
            self.assertGreater(len(self.application.all(messages.Complete)), 1)
            del self.application.say[messages.Complete]
            self.rig.run(5.0)
            self.assertEqual(self.unacknowledged(), [])

    def test_refused_for_good_it_is_parked_and_blocks_nobody(self) -> None:
        self.application.say[messages.Complete] = Code.NOT_YOURS
        self.rig.start()
        self.rig.submit()
        self.rig.run(3.0)
        self.assertEqual(self.rig.rows("SELECT parked FROM taken"), [("not-yours",)])
        del self.application.say[messages.Complete]
        self.rig.submit()
        self.rig.run(3.0)
        self.assertEqual(self.unacknowledged(), [])

    def test_at_most_16_are_under_way(self) -> None:
        self.application.say[messages.Complete] = None
        self.rig.paper.print_s = 0.0
        self.rig.start()
        for _ in range(20):
            self.rig.submit()
        self.rig.run(10.0)
        self.assertEqual(len(set(self.application.keys(messages.Complete))), 1)
        self.site.unplug()
        self.application.unplug()
        self.rig.run(1.0)
        self.application.heard.clear()
        self.application.plug()
        self.rig.run(3.0)
        sent = self.application.keys(messages.Complete)
        self.assertEqual(len(sent), 16)
        oldest = self.rig.rows("SELECT key FROM taken ORDER BY number LIMIT 16")
        self.assertEqual(sent, [row[0] for row in oldest])


class OpenTests(SettlingCase):
    def test_on_every_session_before_what_is_owed(self) -> None:
        self.application.say[messages.Complete] = None
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(2.0)
        self.application.unplug()
        self.rig.run(1.0)
        self.application.heard.clear()
        self.application.plug()
        self.rig.run(3.0)
        heard = self.application.heard
        settled = [m for m in heard if type(m) not in (messages.Ping, messages.Held)]
        self.assertEqual(type(settled[0]), messages.Open)
        self.assertEqual([key.job for key in settled[0].keys], accepted)
        self.assertEqual(type(settled[1]), messages.Complete)

    def test_paged_by_500_the_last_marked(self) -> None:
        for number in range(1001):
            self.rig.connection.execute(
                "INSERT INTO taken (key, target, number, written_at)"
                " VALUES (?, 'application', 1, 1)",
                (f"{number:08x}-0000-7000-8000-000000000000/submit-1",),
            )
        self.rig.start()
        pages = self.application.all(messages.Open)
        self.assertEqual([len(page.keys) for page in pages], [500, 500, 1])
        self.assertEqual([page.page for page in pages], [0, 1, 2])
        self.assertEqual([page.last for page in pages], [False, False, True])
        (empty,) = self.site.all(messages.Open)
        self.assertEqual((empty.page, empty.last, empty.keys), (0, True, []))

    def test_a_list_that_is_refused_is_no_session(self) -> None:
        self.application.say[messages.Open] = Code.WRONG_STATE
        self.rig.start()
        self.rig.run(5.0)
        self.assertGreater(len(self.application.hellos), 1)
        del self.application.say[messages.Open]
        self.rig.run(5.0)
        self.assertIsNotNone(self.rig.provider.servers["application"].link.session)


class StreamTests(SettlingCase):
    def test_another_stream_sends_its_past_to_the_application_server(self) -> None:
        self.application.endpoint.mode = "refuse"
        self.rig.start(1.0)
        accepted = self.rig.submit()
        self.rig.run(2.0)
        key = f"{accepted[0]}/submit-1"
        self.assertEqual(self.site.keys(messages.Complete), [key])
        self.assertEqual(self.unacknowledged(), [])
        self.site.unplug()
        self.rig.run(0.5)
        self.site.decider = OTHER_STREAM
        self.application.plug()
        self.site.plug()
        self.rig.run(5.0)
        self.assertEqual(self.application.keys(messages.Complete), [key])
        self.assertEqual(self.unacknowledged(), [])

    def test_a_retired_stream_that_lives(self) -> None:
        """Its application server was restored to before that: what it reserved is given back."""
        self.application.config = config(retired=[self.site.decider])
        self.rig.start(1.0)
        self.application.unplug()
        self.rig.run(1.0)
        # By way of the site the application server would have it already.
        self.site.say[messages.Relay] = Code.UNREACHABLE
        key = self.printed()
        self.assertEqual(self.site.keys(messages.Cancel), [])
        self.application.plug()
        self.rig.run(10.0)
        self.assertEqual(self.application.keys(messages.Complete), [key])
        self.assertEqual(self.site.keys(messages.Cancel), [key])
        self.assertEqual(self.rig.rows("SELECT * FROM cancel WHERE acked = 0"), [])

    def test_a_retired_stream_too(self) -> None:
        self.application.endpoint.mode = "refuse"
        self.rig.start(1.0)
        accepted = self.rig.submit()
        self.rig.run(2.0)
        self.application.config = config(retired=[self.site.decider])
        self.application.plug()
        self.rig.run(5.0)
        relayed = [f"{r.complete.job}/{r.complete.step}" for r in self.site.all(messages.Relay)]
        told = {*self.application.keys(messages.Complete), *relayed}
        self.assertEqual(told, {f"{accepted[0]}/submit-1"})
        self.assertEqual(self.unacknowledged(), [])


class AcknowledgedTests(SettlingCase):
    """A site hears how far it was, so that it finds out that it went back (design 4.12)."""

    MARK = Mark(7, "c" * 64)

    def setUp(self) -> None:
        super().setUp()
        self.application.endpoint.mode = "refuse"
        self.site.say[messages.Complete] = lambda message: messages.Receipt(
            "journalled", 500, 1, mark=self.MARK
        )
        self.rig.start(1.0)
        self.printed()

    def told(self) -> list[object]:
        """What each session since the restart told the site."""
        self.site.hellos.clear()
        self.rig.kill()
        self.rig.start(20.0)
        return [hello.acked for hello in self.site.hellos]

    def test_at_the_first_hello_after_a_start(self) -> None:
        self.assertEqual(self.told(), [Acked(self.site.decider, self.MARK)])

    def test_of_several_sites_once_it_is_known_which_it_is(self) -> None:
        self.rig.connection.execute(
            "INSERT INTO known_stream VALUES ('a site left', ?, 3, ?)", (OTHER_STREAM, "d" * 64)
        )
        self.assertEqual(self.told()[-1], Acked(self.site.decider, self.MARK))


class RelayTests(SettlingCase):
    def test_by_way_of_the_site(self) -> None:
        self.application.say[messages.Complete] = None
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(2.0)
        self.application.unplug()
        self.rig.run(5.0)
        relayed = [relay.complete.job for relay in self.site.all(messages.Relay)]
        self.assertEqual(relayed, accepted)
        self.assertEqual(self.unacknowledged(), [])

    def test_it_is_told_itself_once_it_is_there(self) -> None:
        """And shown what it said itself: the site may speak to another history, of a restore."""
        passed_on = Position(1, 99, "c" * 64)
        self.application.say[messages.Complete] = None
        self.site.say[messages.Relay] = lambda message: messages.Receipt(
            "posted", 500, 1, passed_on
        )
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(2.0)
        self.application.unplug()
        self.rig.run(5.0)
        self.assertEqual(self.unacknowledged(), [])
        del self.application.say[messages.Complete]
        self.application.heard.clear()
        self.application.plug()
        self.rig.run(20.0)
        key = f"{accepted[0]}/submit-1"
        self.assertEqual(self.application.keys(messages.Complete), [key])
        self.assertEqual(self.rig.rows("SELECT acked FROM taken"), [(1,)])
        self.assertNotEqual(self.application.hellos[-1].position, passed_on)

    def test_unreachable_it_waits(self) -> None:
        self.application.say[messages.Complete] = None
        self.site.say[messages.Relay] = Code.UNREACHABLE
        self.rig.start()
        self.rig.submit()
        self.rig.run(2.0)
        self.application.unplug()
        self.rig.run(5.0)
        self.assertEqual(len(self.unacknowledged()), 1)
        del self.application.say[messages.Complete]
        self.application.plug()
        self.rig.run(5.0)
        self.assertEqual(self.unacknowledged(), [])


class SupersededTests(SettlingCase):
    def test_without_an_answer_there_is_nothing_to_cancel(self) -> None:
        self.application.say[messages.Authorize] = None
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(3.0)
        self.assertEqual(self.site.keys(messages.Complete), [f"{accepted[0]}/submit-1"])
        self.assertEqual(self.application.all(messages.Cancel), [])

    def test_until_it_is_acknowledged(self) -> None:
        waiting: Deferred[object] = Deferred()
        self.application.say[messages.Authorize] = lambda message: waiting
        self.application.say[messages.Cancel] = Code.BUSY
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(1.8)
        waiting.callback(self.application.decision("allow"))
        self.rig.run(5.0)
        key = f"{accepted[0]}/submit-1"
        self.assertEqual(
            self.rig.rows("SELECT key, target, acked FROM cancel"), [(key, "application", 0)]
        )
        del self.application.say[messages.Cancel]
        self.rig.run(5.0)
        self.assertEqual(self.rig.rows("SELECT acked FROM cancel"), [(1,)])
        self.assertEqual(self.application.all(messages.Cancel)[-1].reason, "superseded")
        self.assertEqual(self.site.all(messages.Cancel), [])


class FencingTests(SettlingCase):
    def test_behind_what_was_seen_takes_a_new_journal(self) -> None:
        self.application.seen = Mark(100, "ab")
        self.rig.start()
        self.application.seen = None
        self.rig.run(3.0)
        first, *_, last = self.application.hellos
        self.assertEqual((first.journal, first.replaces), (JOURNAL, ""))
        self.assertEqual(last.replaces, JOURNAL)
        self.assertNotEqual(last.journal, JOURNAL)

    def test_refused_as_behind_takes_a_new_journal(self) -> None:
        self.application.refuse_hello = [Code.JOURNAL_BEHIND]
        self.rig.start()
        self.rig.run(3.0)
        self.assertEqual(self.application.hellos[-1].replaces, JOURNAL)

    def test_a_copy_that_does_the_same_is_met_with_longer_and_longer_waits(self) -> None:
        self.application.refuse_hello = [Code.JOURNAL_BEHIND] * 10_000
        self.rig.start()
        self.rig.run(3.0)
        self.assertEqual(self.journals(), 2)
        self.rig.run(600.0)
        of_ten_minutes = self.journals()
        self.assertIn(of_ten_minutes, range(4, 14))
        self.rig.run(3 * NEW_JOURNAL_LONGEST_S)
        self.assertIn(self.journals() - of_ten_minutes, range(1, 8))
        self.application.refuse_hello = []
        self.rig.run(NEW_JOURNAL_LONGEST_S)
        self.assertTrue(self.application.all(messages.Open))

    def journals(self) -> int:
        """Journal ids that the application server was told of."""
        return len({hello.journal for hello in self.application.hellos})

    def test_on_the_same_chain_goes_on(self) -> None:
        self.application.seen = Mark(0, CHAIN_START)
        self.rig.start()
        self.rig.run(3.0)
        self.assertEqual(len(self.application.hellos), 1)

    def test_every_hello_tells_the_head(self) -> None:
        self.rig.start()
        self.printed()
        self.application.unplug()
        self.rig.run(0.5)
        self.application.plug()
        self.rig.run(3.0)
        told = self.application.hellos[-1].mark
        chain = self.rig.rows("SELECT chain FROM record WHERE number = ?", told.number)
        self.assertEqual(chain, [(told.chain,)])
        self.assertGreater(told.number, 5)


class PositionTests(SettlingCase):
    def test_the_newest_position_survives_a_restart(self) -> None:
        self.rig.start()
        self.rig.kill()
        self.rig.start()
        told = self.application.hellos[-1].position
        assert told is not None
        self.assertEqual((told.timeline, told.number), (1, 10))

    def test_what_a_site_knows_is_not_what_we_were_told(self) -> None:
        """The application server may be another by then, and nobody has found out."""
        self.rig.start()
        self.application.unplug()
        self.rig.run(0.5)
        self.site.sessions[-1].notify(
            attrs.evolve(config(), position=messages.Position(1, 20, "bb"))
        )
        self.rig.run(0.5)
        for _ in range(2):
            self.application.plug()
            self.rig.run(8.0)
            told = self.application.hellos[-1].position
            assert told is not None
            self.assertEqual((told.timeline, told.number), (1, 10))
            self.application.unplug()
            self.rig.kill()
            self.rig.start()

    def test_an_older_config_of_the_site_changes_nothing(self) -> None:
        self.site.config = None
        self.rig.start()
        self.application.unplug()
        self.rig.run(0.5)
        old = attrs.evolve(config(price_version=2), position=messages.Position(1, 9, "bb"))
        self.site.sessions[-1].notify(old)
        self.rig.run(0.5)
        assert self.rig.provider.config is not None
        self.assertEqual(self.rig.provider.config.price_version, 3)

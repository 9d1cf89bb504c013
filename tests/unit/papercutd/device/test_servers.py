"""Which server serves a device: the first in reach, and back to it when nobody is there."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.device.errors import DeviceError
from papercutd.device.servers import ordered
from protocols.codes import Code
from protocols.device import messages
from protocols.handshake import Mark
from protocols.provider.messages import ServerAddress
from tests.unit.papercutd.device.rig import APPLICATION, SITE, Rig

SOUTH = ServerAddress("site", "south", "south.example.org", 9193)


class OrderTests(SynchronousTestCase):
    def test_configured_first_and_sites_before_the_application_server(self) -> None:
        self.assertEqual(ordered([APPLICATION], [SITE, APPLICATION]), [SITE, APPLICATION])
        self.assertEqual(ordered([SITE, APPLICATION], [SITE]), [SITE, APPLICATION])
        self.assertEqual(ordered([SITE], [APPLICATION]), [SITE, APPLICATION])
        self.assertEqual(ordered([SITE, APPLICATION], [SOUTH]), [SITE, SOUTH, APPLICATION])

    def test_a_configured_address_counts(self) -> None:
        elsewhere = ServerAddress("site", "north", "10.0.0.1", 9193)
        self.assertEqual(ordered([SITE], [elsewhere]), [SITE])
        self.assertEqual(ordered([SITE], [ServerAddress("site", "south", "x", 0)]), [SITE])


class ServersCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.addCleanup(self.rig.close)
        self.site, self.application = self.rig.site, self.rig.application

    def serving(self) -> str:
        active = self.rig.device.active
        return "" if active is None else active.address.role


class ReachTests(ServersCase):
    def test_the_first_alone_while_it_serves(self) -> None:
        self.rig.start()
        self.assertEqual(self.serving(), "site")
        self.rig.run(30.0)
        # But for the list after a start: whoever might hold pages for us hears it.
        self.assertEqual(len(self.application.hellos), 1)
        self.assertEqual([one.runs for one in self.application.all(messages.OpenRuns)], [[]])
        self.assertFalse(self.application.sessions[-1].is_open)

    def test_a_run_without_an_answer(self) -> None:
        """Who may hold pages that we never heard of hears our list, though another serves."""
        self.site.endpoint.mode = "refuse"
        self.rig.start(2.0)
        self.rig.log_in()
        self.application.say[messages.Run] = None
        caught = self.assertRaises(DeviceError, self.rig.begin, 5)
        self.assertEqual(caught.code, "timeout")
        self.site.plug()
        self.application.unplug()
        self.rig.run(10.0)
        self.assertEqual(self.serving(), "site")
        lists = len(self.application.all(messages.OpenRuns))
        self.application.plug()
        self.rig.run(90.0)
        self.assertEqual(self.serving(), "site")
        self.assertEqual(len(self.application.all(messages.OpenRuns)), lists + 1)
        self.assertFalse(self.application.sessions[-1].is_open)

    def test_the_next_when_the_first_is_not_there(self) -> None:
        self.site.endpoint.mode = "refuse"
        self.rig.start(2.0)
        self.assertEqual(self.serving(), "application")
        self.site.plug()
        self.rig.run(5.0)
        self.assertEqual(self.serving(), "site")
        # The other is left then.
        self.assertFalse(self.application.sessions[-1].is_open)

    def test_the_next_at_once_when_the_first_goes(self) -> None:
        self.rig.start()
        self.site.unplug()
        self.rig.run(0.2)
        self.assertEqual(self.serving(), "application")

    def test_the_next_when_the_first_falls_silent(self) -> None:
        self.rig.start()
        self.site.cut()
        self.assertEqual(self.rig.log_in().user_name, "anna")
        self.assertEqual(self.serving(), "application")

    def test_a_refusal_of_the_session_is_no_server(self) -> None:
        self.site.refuse_hello = [Code.NOT_YOURS] * 100
        self.rig.start(1.0)
        self.assertEqual(self.serving(), "application")
        status = self.rig.do(self.rig.device.status())
        self.assertEqual(status["servers"][0]["problem"], "not-yours")

    def test_not_back_while_somebody_is_there(self) -> None:
        self.site.endpoint.mode = "refuse"
        self.rig.start(2.0)
        self.rig.log_in()
        self.site.plug()
        self.rig.run(5.0)
        self.assertEqual(self.serving(), "application")
        self.rig.do(self.rig.device.log_out())
        self.rig.run(0.2)
        self.assertEqual(self.serving(), "site")

    def test_nobody_in_reach(self) -> None:
        for server in (self.site, self.application):
            server.endpoint.mode = "refuse"
        self.rig.start()
        error = self.assertRaises(DeviceError, self.rig.log_in)
        self.assertEqual(error.code, "no-server")
        self.application.plug()
        self.rig.run(3.0)
        self.assertEqual(self.rig.log_in().user_name, "anna")


class LearningTests(ServersCase):
    def test_named_servers_are_kept_over_a_restart(self) -> None:
        self.rig.configured = [APPLICATION]
        self.application.config = messages.DeviceConfig(
            1, "lp1", ["copy"], ["card"], 60, [SITE, APPLICATION]
        )
        self.rig.start(3.0)
        self.assertEqual(self.serving(), "site")
        self.rig.kill()
        self.application.endpoint.mode = "refuse"
        self.rig.start(1.0)
        self.assertEqual(self.serving(), "site")

    def test_a_server_that_names_itself_alone_forgets_nobody(self) -> None:
        self.rig.configured = [APPLICATION]
        self.application.config = messages.DeviceConfig(
            1, "lp1", ["copy"], ["card"], 60, [SITE, APPLICATION]
        )
        self.rig.start(3.0)
        # The site has said by now that it is the site, and nothing of others.
        self.site.unplug()
        self.rig.run(2.0)
        self.assertEqual(self.serving(), "application")

    def test_a_site_named_no_more_is_left(self) -> None:
        self.rig.configured = [APPLICATION]
        self.application.config = messages.DeviceConfig(
            1, "lp1", ["copy"], ["card"], 60, [SITE, APPLICATION]
        )
        self.rig.start(3.0)
        self.rig.by_address[SOUTH] = self.site
        self.application.config = messages.DeviceConfig(
            1, "lp1", ["copy"], ["card"], 60, [SOUTH, APPLICATION]
        )
        self.site.unplug()
        self.rig.run(5.0)
        names = [server.address.name for server in self.rig.device.servers.all]
        self.assertEqual(names, ["south", "application"])


class JournalTests(ServersCase):
    def test_what_was_seen_of_it_is_not_there(self) -> None:
        """Restored from a backup: a new journal id, and nothing is voided."""
        self.site.seen = Mark(100, "11" * 32)
        self.rig.start(0.2)
        self.site.seen = None
        self.rig.run(5.0)
        first, last = self.site.hellos[0], self.site.hellos[-1]
        self.assertEqual((first.replaces, last.replaces), ("", first.journal))
        self.assertNotEqual(first.journal, last.journal)
        self.assertEqual(self.serving(), "site")

    def test_a_server_says_so(self) -> None:
        self.site.refuse_hello = [Code.JOURNAL_BEHIND]
        self.rig.start(5.0)
        self.assertEqual(self.site.hellos[-1].replaces, self.site.hellos[0].journal)
        self.assertEqual(self.serving(), "site")

    def test_the_whole_list_always(self) -> None:
        self.rig.start()
        (page,) = self.site.all(messages.OpenRuns)
        self.assertEqual((page.page, page.last, page.runs), (0, True, []))

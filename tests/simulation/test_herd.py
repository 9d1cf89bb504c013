"""F39: an application server comes back, and all sites with something to tell it at once."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from papercutd.services.link import LinkSettings
from tests.simulation import core_nodes
from tests.simulation.core_nodes import APPLICATION, CoreInstallation
from tests.simulation.world import World

#: A site of its own each; 500 would be a minute of a processor.
COUNT = 40
DOWN_S = 120.0
#: All are back by then, and what they had to tell is told.
BACK_WITHIN_S = 120.0


class HerdTests(SynchronousTestCase):
    timeout = 300

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors(RuntimeError)

    def test_everybody_comes_back_and_not_at_once(self) -> None:
        names = tuple(f"site-{number:03}" for number in range(COUNT))
        self.patch(core_nodes, "SITES", names)
        self.patch(core_nodes, "PROVIDERS", {})
        self.patch(core_nodes, "SETTINGS", LinkSettings())
        world = World(39)
        installation = CoreInstallation(world, people={"emil": 1})
        installation.boot_all()
        self.assertTrue(world.run_until(lambda: self._up(installation) == COUNT, 300.0, 5.0))
        centre = world.nodes[APPLICATION]
        centre.cut_power()
        world.run(world.now + DOWN_S)
        self.assertEqual(self._up(installation), 0)
        for number, name in enumerate(names):
            self._claim(world, installation, name, number)
        world.run(world.now + 5.0)
        centre.boot()
        began_s, came, up = world.now, Counter[int](), 0
        while up < COUNT and world.now < began_s + BACK_WITHIN_S:
            world.run(world.now + 1.0)
            now_up = self._up(installation)
            came[int(world.now - began_s)] = now_up - up
            up = now_up
        self.assertEqual(up, COUNT)
        # Spread over the longest wait between two attempts.
        self.assertLess(max(came.values()), COUNT // 2)
        self.assertTrue(
            world.run_until(lambda: self._told(world) == COUNT, began_s + BACK_WITHIN_S, 5.0)
        )
        self.assertEqual([str(finding) for finding in world.finish().found], [])

    def _up(self, installation: CoreInstallation) -> int:
        return sum(server.link.session is not None for server in installation.sites.values())

    def _claim(self, world: World, installation: CoreInstallation, name: str, number: int) -> None:
        node, server = world.nodes[name], installation.sites[name]
        assert node.clock is not None
        server.store.link_card(1, f"card-{number}", server.env.new_id())
        server.uplink.journal_grew()

    def _told(self, world: World) -> int:
        connection = world.nodes[APPLICATION].disk.connection("application.db")
        assert connection is not None
        query = "SELECT COUNT(DISTINCT hash) FROM card_claim WHERE state = 'linked'"
        return int(connection.execute(query).fetchone()[0])

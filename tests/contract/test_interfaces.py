"""Each engine's stores have every call of the interfaces, with its arguments."""

from __future__ import annotations

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from papercutd.storage.interfaces import IApplicationStore, ISiteStore
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import WALL_S, job_id


class InterfaceContract:
    engine: Engine

    def test_application(self) -> None:
        opened = self.engine.application(Clock(), lambda: WALL_S)
        self.assertTrue(verifyObject(IApplicationStore, opened.store))

    def test_site(self) -> None:
        opened = self.engine.site(Clock(), lambda: WALL_S, "north", job_id(1))
        self.assertTrue(verifyObject(ISiteStore, opened.store))


on_every_engine(globals())

"""``papercutd init --beside``: what cannot be used is said, and nothing is made."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.setup import initialise
from papercutd.config.model import AppConfig
from papercutd.errors import AlreadyExists, InvalidValue


class BesideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.first = self.directory / "first"
        self.data = self.directory / "second"

    def refused(self, store: str, **more: str) -> str:
        config = AppConfig(data_dir=str(self.data), store=store)
        given = {"ca_cert": None, "ca_key": None, "beside": str(self.first), **more}
        caught = self.assertRaises(InvalidValue, initialise, config, **given)
        self.assertFalse(self.data.exists())
        return str(caught)

    def test_bad_input(self) -> None:
        store = "postgresql:///nothing"
        self.assertIn("PostgreSQL that the servers share", self.refused(""))
        self.assertIn("holds no ca/ca.key", self.refused(store))
        self.assertIn("do not go together", self.refused(store, ca_cert="x", ca_key="y"))

    def test_where_one_is_already(self) -> None:
        (self.data / "identity").mkdir(parents=True)
        (self.data / "identity" / "key.pem").touch()
        config = AppConfig(data_dir=str(self.data), store="postgresql:///nothing")
        self.assertRaises(AlreadyExists, initialise, config, None, None, str(self.first))

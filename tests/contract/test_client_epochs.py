"""Which log-ins of clients count no more: told to every site, whatever its state."""

from __future__ import annotations

from papercutd.errors import NotFound
from papercutd.storage.people.client_epochs import epoch_name
from tests.contract.test_people import PeopleBase
from tests.support.engines import on_every_engine


class EpochContract(PeopleBase):
    def epochs(self):
        """Anna's, at the centre and at the site."""
        name = epoch_name(self.turner.result(self.centre.store.login_by_name("anna")).user)
        stores = (self.centre.store, self.branch.store)
        return [self.turner.result(store.secret(name)) for store in stores]

    def log_out(self, epoch, name="anna"):
        self.turner.result(self.centre.store.people.log_out(name, epoch))

    def test_told_to_sites(self) -> None:
        self.assertEqual(self.epochs(), [None, None])
        for epoch in ("first", "second"):
            self.log_out(epoch)
            self.assertEqual(self.epochs()[0], epoch)
            self.branch.follow(self.centre)
            self.assertEqual(self.epochs(), [epoch, epoch])
            self.assertReplicaIsCentre()
        # Of another secret a site hears nothing.
        self.turner.result(self.centre.store.ensure_secret("clients", "none of theirs"))
        self.branch.follow(self.centre)
        self.assertIsNone(self.turner.result(self.branch.store.secret("clients")))
        self.assertReplicaIsCentre()
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])

    def test_nobody(self) -> None:
        with self.assertRaises(NotFound):
            self.log_out("x", "nobody")


on_every_engine(globals())

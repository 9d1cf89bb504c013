"""The application server's store, as administrators use it: objects made, changed and listed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.job import fold_user_name
from papercutd.domain.pricing import PriceList
from papercutd.storage import listings
from papercutd.storage.accounts import Entry, verify_accounts
from papercutd.storage.change_log import verify_chain
from papercutd.storage.directory import Directory
from papercutd.storage.listings import Row
from papercutd.storage.merging import Merging, read_uncollected
from papercutd.storage.seals import legible, verify_ledger
from papercutd.storage.statement import make_statement

T = TypeVar("T")


class AdministeredStore:
    """Each method is one transaction, or one read beside the writer."""

    directory: Directory
    merging: Merging
    _wall_s: Callable[[], float]

    def write(self, operation: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        raise NotImplementedError

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        raise NotImplementedError

    def admin_entry(self, reason: str = "") -> Entry:
        """What a transfer by an administrator says of itself."""
        now = self._wall_s()
        return attrs.evolve(Entry("", 0, "administrator", "", now, now), reason=reason)

    # Users.

    def add_user(self, name: str, **fields: Any) -> Deferred[int]:
        return self.write(
            lambda c: self.directory.add_user(c, name, entry=self.admin_entry(), **fields)
        )

    def import_users(self, users: Sequence[Mapping[str, Any]]) -> Deferred[int]:
        """Add those who are not there yet, all or nobody; how many."""

        def add(connection: sqlite3.Connection) -> int:
            added = 0
            for user in users:
                if self.directory.find_person(connection, user["name"]) is None:
                    fields = {k: v for k, v in user.items() if k != "name"}
                    entry = self.admin_entry()
                    self.directory.add_user(connection, user["name"], entry=entry, **fields)
                    added += 1
            return added

        return self.write(add)

    def adjust(self, user: str, amount_e4: int, reason: str) -> Deferred[None]:
        """Credit or debit a user's personal account."""
        entry = self.admin_entry(reason)

        def adjust(connection: sqlite3.Connection) -> None:
            account = self.directory.account_of_user(connection, user)
            self.directory.adjust(connection, account, amount_e4, entry)

        return self.write(adjust)

    def set_verifier(self, user: str, kind: str, verifier: str) -> Deferred[None]:
        """The argon2id verifier of a ``password`` or ``pin``; empty: none."""
        return self.write(lambda c: self.directory.set_verifier(c, user, kind, verifier))

    def add_card(self, user: str, number: str) -> Deferred[None]:
        return self.write(lambda c: self.directory.add_card(c, user, number, self._wall_s()))

    def remove_card(self, number: str) -> Deferred[None]:
        return self.write(lambda c: self.directory.remove_card(c, number))

    def merge_users(self, user: str, into: str) -> Deferred[None]:
        """``user`` is ``into`` for ever; raises NotFound, InvalidValue."""
        return self.write(lambda c: self.merging.merge(c, user, into, self.admin_entry()))

    def rename_user(self, user: str, name: str, now: bool = False) -> Deferred[None]:
        """Raises NotFound, InvalidValue, AlreadyExists, and NameKept unless ``now``."""
        return self.write(lambda c: self.merging.rename(c, user, name, self._wall_s(), now))

    def delete_user(self, user: str) -> Deferred[int]:
        """What the closed account holds; raises NotFound."""
        return self.write(lambda c: self.merging.delete(c, user, self._wall_s()))

    def undelete_user(self, user: str) -> Deferred[None]:
        """Raises NotFound, AlreadyExists, NameKept."""
        return self.write(lambda c: self.merging.undelete(c, user, self._wall_s()))

    def parked(self, count_max: int) -> Deferred[list[Row]]:
        """Records that could not be applied, the newest first."""
        return self.read(lambda c: listings.read_parked(c, count_max))

    def uncollected(self) -> Deferred[list[Row]]:
        """Charges that nobody pays yet, at most 500."""
        return self.read(read_uncollected)

    def assign(self, key: str, user: str) -> Deferred[int]:
        """``user`` pays an uncollected charge; how much. Raises NotFound, AlreadyExists."""
        entry = self.admin_entry(f"assigned to {user}")
        return self.write(lambda c: self.merging.assign(c, key, user, entry))

    def users_after(self, name: str) -> Deferred[list[Row]]:
        """At most 500 users, by name."""
        folded = fold_user_name(name)
        return self.read(lambda c: listings.read_users_after(c, folded))

    def user(self, name: str) -> Deferred[Row]:
        """One user with the last charges; raises NotFound."""

        def show(connection: sqlite3.Connection) -> Row:
            return listings.read_user(connection, self.directory.id_of_user(connection, name))

        return self.read(show)

    # Prices, sites, providers, printers, devices.

    def add_prices(self, prices: PriceList) -> Deferred[int]:
        """The number of the new version."""
        return self.write(lambda c: self.directory.add_prices(c, prices))

    def prices(self) -> Deferred[list[Row]]:
        return self.read(listings.read_prices)

    def id_of(self, kind: str, name: str) -> Deferred[int]:
        """The id of a site, provider, printer or device; raises NotFound."""
        return self.read(lambda c: self.directory.id_of(c, kind, name))

    def add_site(self, name: str, host: str, port: int) -> Deferred[int]:
        return self.write(lambda c: self.directory.add_site(c, name, host, port))

    def set_site(self, name: str, columns: Mapping[str, Any]) -> Deferred[None]:
        """Columns among host, port, policy, cap_user_e4, deny_beyond_cap."""
        return self.write(lambda c: self.directory.set_site(c, name, columns))

    def remove_site(self, name: str) -> Deferred[list[str]]:
        """The names of the providers that stood beside it; raises NotFound."""
        return self.write(lambda c: self.directory.remove_site(c, name))

    def sites(self) -> Deferred[list[Row]]:
        return self.read(listings.read_sites)

    def add_provider(self, name: str, site: str | None) -> Deferred[int]:
        return self.write(lambda c: self.directory.add_provider(c, name, site))

    def set_provider(self, name: str, preferred: str | None, site: str | None) -> Deferred[None]:
        return self.write(lambda c: self.directory.set_provider(c, name, preferred, site))

    def providers(self) -> Deferred[list[Row]]:
        return self.read(listings.read_providers)

    def add_printer(
        self, name: str, provider: str, uri: str, when_alone: str, **release: Any
    ) -> Deferred[int]:
        return self.write(
            lambda c: self.directory.add_printer(c, name, provider, uri, when_alone, **release)
        )

    def set_release(self, name: str, release: str, group: str, held_max_s: int) -> Deferred[None]:
        return self.write(lambda c: self.directory.set_release(c, name, release, group, held_max_s))

    def printers(self) -> Deferred[list[Row]]:
        return self.read(listings.read_printers)

    def add_device(self, name: str, printer: str, site: str | None, **fields: Any) -> Deferred[int]:
        return self.write(lambda c: self.directory.add_device(c, name, printer, site, **fields))

    def set_device(self, name: str, columns: Mapping[str, Any]) -> Deferred[None]:
        """Columns among site, printer, functions, logins, idle_s."""
        return self.write(lambda c: self.directory.set_device(c, name, columns))

    def add_account(self, name: str, balance_e4: int, restricted: bool) -> Deferred[int]:
        """A shared account; raises AlreadyExists, InvalidValue."""
        entry = self.admin_entry("opening balance")
        return self.write(
            lambda c: self.directory.add_account(c, name, balance_e4, restricted, entry)
        )

    def list_accounts(self) -> Deferred[list[Row]]:
        """Shared accounts, at most 500, by name."""
        return self.read(listings.read_shared_accounts)

    def devices(self) -> Deferred[list[Row]]:
        return self.read(listings.read_devices)

    # How everything stands.

    def counts(self) -> Deferred[dict[str, int]]:
        return self.read(listings.read_counts)

    def site_states(self) -> Deferred[list[Row]]:
        return self.read(listings.read_site_states)

    def statement(self, since: float | None, until: float | None) -> Deferred[dict[str, Any]]:
        """Of a span of time, else of the latest outage."""
        return self.read(lambda c: make_statement(c, since, until))

    def verify(self) -> Deferred[list[str]]:
        """Problems of the books and of the change log; an empty list is a clean bill."""

        def verify(connection: sqlite3.Connection) -> list[str]:
            with legible(connection):
                return [
                    *verify_chain(connection),
                    *verify_ledger(connection),
                    *verify_accounts(connection),
                    *_verify_charges(connection),
                ]

        return self.read(verify)

    def compare_with_provider(self, provider: str, printed: Set[str]) -> Deferred[list[str]]:
        """Keys a provider printed that are not charged, and the reverse."""
        return self.read(lambda c: listings.compare_with_provider(c, provider, printed))


def _verify_charges(connection: sqlite3.Connection) -> list[str]:
    """Keys charged twice, charges whose transfers are not there or of another amount."""
    problems = [
        f"charges: key {key} has {count} charges"
        for key, count in connection.execute(
            "SELECT key, COUNT(*) FROM charge GROUP BY key HAVING COUNT(*) > 1"
        )
    ]
    for key, charged, moved in connection.execute(
        "SELECT charge.key, SUM(charge.amount_e4), COALESCE((SELECT SUM(amount_e4) FROM transfer"
        " WHERE transfer.key = charge.key AND kind IN ('post', 'direct')), 0) AS moved"
        " FROM charge GROUP BY charge.key HAVING SUM(charge.amount_e4) <> moved"
    ):
        problems.append(f"charges: key {key} charges {charged}, its transfers moved {moved}")
    return problems

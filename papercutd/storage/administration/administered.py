"""The application server's store, as administrators use it: objects made, changed and listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.document import Document
from papercutd.domain.job import fold_user_name
from papercutd.domain.price_check import check_prices
from papercutd.domain.price_draft import Draft
from papercutd.domain.pricing import PriceList
from papercutd.errors import Rejected, StorageFull
from papercutd.storage.administration import listings
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.price_versions import read_versions
from papercutd.storage.administration.price_versions import read_waiting as read_waiting_prices
from papercutd.storage.engine import Connection
from papercutd.storage.history import outages
from papercutd.storage.history.statement import make_statement
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.jobs.explaining import read_explanation
from papercutd.storage.jobs.price_drafts import find_prices, read_draft
from papercutd.storage.jobs.quoting import read_quote
from papercutd.storage.money.accounts import Accounts, Entry
from papercutd.storage.money.allowances import Allowances
from papercutd.storage.money.purses import find_kind
from papercutd.storage.money.quota_lists import read_schedule, read_schedules, read_waiting
from papercutd.storage.money.room import check_room
from papercutd.storage.money.schedules import (
    QuotaPiece,
    Schedule,
    Schedules,
    find_shared,
)
from papercutd.storage.people.merging import Merging, read_uncollected
from papercutd.storage.people.new_users import existing_groups
from papercutd.storage.proof.seals import one_moment
from papercutd.storage.proof.verifying import Progress, verify_books
from papercutd.storage.replication import retiring
from papercutd.storage.replication.change_log import ChangeLog

T = TypeVar("T")


class AdministeredStore:
    """Each method is one transaction, or one read beside the writer."""

    directory: Directory
    accounts: Accounts
    merging: Merging
    charging: Charging
    allowances: Allowances
    log: ChangeLog
    schedules: Schedules
    _wall_s: Callable[[], float]

    def write(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        raise NotImplementedError

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        raise NotImplementedError

    def read_long(self, operation: Callable[[Connection], T]) -> Deferred[T]:
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
        """Add those who are not there yet, all or nobody; how many.

        Each is put into those of its ``groups`` that there are.
        """

        def add(connection: Connection) -> int:
            added = 0
            for user in users:
                if self.directory.find_person(connection, user["name"]) is None:
                    fields = {k: v for k, v in user.items() if k != "name"}
                    fields["groups"] = existing_groups(connection, user.get("groups", ()))
                    entry = self.admin_entry()
                    self.directory.add_user(connection, user["name"], entry=entry, **fields)
                    added += 1
            return added

        return self.write(add)

    def adjust(self, user: str, amount_e4: int, reason: str, purse: str = "") -> Deferred[None]:
        """Credit or debit a user's personal account, or that purse beside it."""
        entry = self.admin_entry(reason)

        def adjust(connection: Connection) -> None:
            account = self.directory.account_of_user(connection, user)
            kind = find_kind(connection, purse).id
            check_room(connection, account, amount_e4)
            self.directory.adjust(connection, account, amount_e4, entry, kind)
            self.charging.refill(connection, self.directory.id_of_user(connection, user))

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

    def uncollected(self, after: str = "") -> Deferred[list[Row]]:
        """Charges that nobody pays yet, at most 500."""
        return self.read(lambda c: read_uncollected(c, after))

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

        def show(connection: Connection) -> Row:
            return listings.read_user(connection, self.directory.id_of_user(connection, name))

        return self.read(show)

    # Prices, sites, providers, printers, devices.

    def add_prices(self, prices: PriceList) -> Deferred[int]:
        """The number of the new version."""

        def add(connection: Connection) -> int:
            version = self.directory.add_prices(connection, prices)
            # Somebody may have read another of that number, whose commit the disk had no room for.
            self.charging.forget_prices(version)
            return version

        return self.write(add)

    def import_prices(self, draft: Draft, is_real: bool) -> Deferred[int]:
        """The number of the new version, checked whole; else nothing. Raises NotFound."""

        def find(connection: Connection) -> PriceList:
            prices = find_prices(connection, self.directory, draft)
            check_prices(prices)
            self.directory.check_currency(connection, prices.currency)
            return prices

        def add(connection: Connection) -> int:
            version = self.directory.add_prices(connection, find(connection))
            self.charging.forget_prices(version)
            return version

        return self.write(add) if is_real else self.read(lambda c: find(c).version)

    def export_prices(self, version: int) -> Deferred[Draft]:
        """That version with names, the newest for 0; raises NotFound."""
        return self.read(lambda c: read_draft(c, version))

    def prices(self, before: int = 0) -> Deferred[list[Row]]:
        """At most 500 versions, the newest first; ``before``: of those older than that one."""
        now = self._wall_s()
        return self.read(lambda c: read_versions(c, before, now))

    def waiting_prices(self, since: float) -> Deferred[list[tuple[int, float]]]:
        """(version, effective from) of those that a newer one, from ``since`` on, overtakes."""
        now = self._wall_s()
        return self.read(lambda c: read_waiting_prices(c, since, now))

    def explain(self, word: str) -> Deferred[list[Row]]:
        """How the charges that ``word`` names came about; raises NotFound."""
        return self.read(lambda c: read_explanation(c, word))

    def quote(
        self, document: Document, user: str, printer: str, account: str = ""
    ) -> Deferred[Row]:
        """What ``document`` would cost now; raises NotFound, Rejected ``unavailable``."""
        now, who = self._wall_s(), (user, printer)
        return self.read(
            lambda c: read_quote(c, self.directory, self.accounts, document, *who, now, account)
        )

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

    def devices(self) -> Deferred[list[Row]]:
        return self.read(listings.read_devices)

    # What sites hold in escrow, and streams that are theirs no more.

    def allowances_of_sites(self) -> Deferred[list[Row]]:
        """Each stream that was granted something, with its totals."""
        return self.read(retiring.read_streams)

    def ended_streams(self, site: str) -> Deferred[list[retiring.EndedStream]]:
        """Streams that a site left behind and that are not retired; NotFound for the site."""
        return self.read(lambda c: retiring.read_ended(c, site))

    def retire_stream(self, stream: str) -> Deferred[int]:
        """What the stream still held goes back to its owners; how much that was."""

        def retire(connection: Connection) -> int:
            entry = self.admin_entry("returned")
            return retiring.retire(connection, self.log, self.allowances, stream, entry)

        return self.write(retire)

    def refill_site(self, site: str, after: int) -> Deferred[int | None]:
        """Grant to a STRICT site what it lacks of the next users' money; None: all were seen.

        Raises Rejected ``unavailable`` while nothing can be granted to it.
        """

        def refill(connection: Connection) -> int | None:
            users = self.allowances.users_after(connection, site, after)
            if users and not self.allowances.can_grant(connection, site):
                raise Rejected("unavailable")
            for user in users:
                self.charging.refill(connection, user)
            return users[-1] if users else None

        return self.write(refill)

    # Quotas.

    def add_quota(self, schedule: Schedule) -> Deferred[int]:
        """Raises InvalidValue, AlreadyExists."""
        return self.write(lambda c: self.schedules.add(c, schedule, self._wall_s()))

    def shared_account(self, name: str) -> Deferred[int]:
        """The id of an open one; raises NotFound."""
        return self.read(lambda c: find_shared(c, name))

    def change_quota(
        self, name: str, amount_e4: int | None, cap_e4: int | str | None
    ) -> Deferred[None]:
        """As Schedules.change; raises NotFound, InvalidValue."""
        return self.write(lambda c: self.schedules.change(c, name, amount_e4, cap_e4))

    def remove_quota(self, name: str) -> Deferred[None]:
        """No more runs; raises NotFound, and InvalidValue while one is under way."""
        return self.write(lambda c: self.schedules.remove(c, name))

    def quotas(self) -> Deferred[list[Row]]:
        return self.read(read_schedules)

    def quota(self, name: str) -> Deferred[Row]:
        """One quota with its last runs; raises NotFound."""
        return self.read(lambda c: read_schedule(c, name))

    def run_quota(
        self, name: str | None = None, make_up: bool = False, accounts_max: int | None = None
    ) -> Deferred[QuotaPiece | None]:
        """One piece, of so many accounts at the most, of the run that is due first; None: nothing
        is due.

        ``make_up``: of what is overdue for more than 35 days too. Raises NotFound.
        """
        piece = (name, make_up, accounts_max)
        return self.write(lambda c: self.schedules.run_piece(c, self._wall_s(), *piece))

    def skip_quota(self, name: str) -> Deferred[int]:
        """What was missed has no run; when the next is due. Raises NotFound, InvalidValue."""
        return self.write(lambda c: self.schedules.skip(c, name, self._wall_s()))

    def quotas_waiting(self) -> Deferred[list[str]]:
        """Names of those overdue for more than 35 days: an administrator has to say."""
        return self.read(lambda c: read_waiting(c, self._wall_s()))

    # How everything stands.

    def counts(self) -> Deferred[dict[str, int]]:
        return self.read(listings.read_counts)

    def site_states(self) -> Deferred[list[Row]]:
        return self.read(listings.read_site_states)

    def settle_outages(self, sign: outages.Sign | None = None) -> Deferred[None]:
        """Number outages that began, close those nobody is missing from, sign what is closed."""

        def settle(connection: Connection) -> None:
            outages.gather(connection)
            outages.close(connection)
            if sign is not None:
                outages.sign_closed(connection, sign)

        return self.write(settle)

    async def statement(
        self, since: float | None, until: float | None, outage: int | None = None
    ) -> dict[str, Any]:
        """Of a span of time, else of an outage by its number, or of the latest."""
        if since is not None or until is not None:
            return await self.read_long(lambda c: make_statement(c, since, until))
        await self._settle_if_possible()
        return await self.read(lambda c: _at_one_moment(c, outages.statement_of, outage))

    async def outages(self, count_max: int) -> list[Row]:
        """Newest first."""
        await self._settle_if_possible()
        return await self.read(lambda c: _at_one_moment(c, outages.list_outages, count_max))

    async def _settle_if_possible(self) -> None:
        """On a full disk what is known is told all the same."""
        with suppress(StorageFull):
            await self.settle_outages()

    def installation(self) -> Deferred[str]:
        """The id of this installation."""
        return self.read(lambda c: str(c.execute("SELECT installation FROM head").fetchone()[0]))

    def state_again(self, outage: int) -> Deferred[dict[str, Any]]:
        """What the books say of an outage now; raises NotFound."""
        return self.read_long(lambda c: _at_one_moment(c, outages.state_again, outage))

    def verify(self, progress: Progress = lambda figures: None) -> Deferred[list[str]]:
        """See ``verify_books``; ``progress`` is called where the database is read."""
        return self.read_long(lambda c: verify_books(c, progress))

    def compare_with_provider(self, provider: str, printed: Set[str]) -> Deferred[list[str]]:
        """Keys a provider printed that are not charged, and the reverse."""
        return self.read_long(lambda c: listings.compare_with_provider(c, provider, printed))


def _at_one_moment(connection: Connection, query: Callable[..., T], *given: Any) -> T:
    with one_moment(connection):
        return query(connection, *given)

"""The application server's store on SQLite: every use case is one call, one transaction.

What the services need is written down in storage/interfaces.py; this driver
turns each call into an operation of the one group-committing writer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from papercutd.domain.chain import CHAIN_START, Mark, Position
from papercutd.domain.decision import Decision
from papercutd.domain.grant import Grant
from papercutd.domain.job import (
    TOLD_NOTHING,
    Completion,
    Receipt,
    Request,
    SessionRef,
    Told,
    owner_identity,
)
from papercutd.domain.site_scope import Reach
from papercutd.errors import Rejected
from papercutd.points import passing
from papercutd.storage.administration.acts import under_way
from papercutd.storage.administration.administered import AdministeredStore
from papercutd.storage.administration.audit import AuditStore
from papercutd.storage.administration.certificates import Certificates
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.policies import read_choice_timeout_s
from papercutd.storage.administration.rule_store import RuleStore
from papercutd.storage.engine import Connection
from papercutd.storage.history import outages
from papercutd.storage.history.invoicing import InvoiceStore
from papercutd.storage.history.job_log import JobLogStore
from papercutd.storage.history.monthly_report import MonthlyStore
from papercutd.storage.hot import Hot, wanted_by
from papercutd.storage.interfaces import IApplicationStore, Row
from papercutd.storage.jobs import askers, runs
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.jobs.posted_rows import Source
from papercutd.storage.money.accounts import Accounts
from papercutd.storage.money.allowances import Allowances, Shortage
from papercutd.storage.money.money_store import MoneyStore
from papercutd.storage.money.purse_store import PurseStore
from papercutd.storage.money.purses_shown import shown_at_centre
from papercutd.storage.money.schedules import Schedules
from papercutd.storage.money.shared_access import (
    find_by_pin,
    find_shared_account,
    find_shared_accounts,
)
from papercutd.storage.money.shared_account_store import SharedAccountStore
from papercutd.storage.money.transactions import TransactionStore
from papercutd.storage.people.claims import Claims
from papercutd.storage.people.groups import find_group
from papercutd.storage.people.lockouts import APPLICATION, LockedUser, Lockouts, read_locked
from papercutd.storage.people.merging import Merging
from papercutd.storage.people.new_user_store import NewUserStore
from papercutd.storage.people.people import (
    Device,
    Login,
    find_by_card,
    find_by_name,
    find_device,
    find_notices,
    read_secret,
)
from papercutd.storage.people.people_store import PeopleStore
from papercutd.storage.proof.seals import one_moment
from papercutd.storage.replication import lost_keys, timeline
from papercutd.storage.replication.change_log import (
    Change,
    ChangeLog,
    in_history,
    newest_shared,
    read_changes,
    read_head,
)
from papercutd.storage.replication.intake import Intake
from papercutd.storage.replication.lost_edits import forget_lost_edits, read_lost_edits, read_more
from papercutd.storage.replication.needs import read_lacking
from papercutd.storage.replication.parked import Retried, read_parked, retry_parked
from papercutd.storage.replication.replicated import RANGE_MAX, RangeDigest, find_table, read_range
from papercutd.storage.replication.scope import check_spoken_for
from papercutd.storage.replication.site_scopes import (
    EVERYBODY,
    SiteScope,
    can_go_on,
    read_reach,
    read_scope,
    set_scope,
    within,
)
from papercutd.storage.replication.snapshot import SnapshotImage, read_snapshot
from papercutd.storage.sqlite.writer import Reader, SqliteWriter
from papercutd.storage.values import (
    PRINTER_COLUMNS,
    Chargeable,
    PrinterSettings,
    ProviderSettings,
    Purse,
    StreamWelcome,
)

T = TypeVar("T")
SCHEMA = "application"


def create_installation(connection: Connection, installation: str) -> None:
    """Fill an empty database with what every installation has."""
    connection.execute(
        "INSERT INTO head (one, installation, timeline, number, chain)"
        " VALUES (1, ?, 1, 0, ?) ON CONFLICT DO NOTHING",
        (installation, CHAIN_START),
    )
    for number, kind in enumerate(("revenue", "adjustment", "uncollected"), 1):
        connection.execute(
            "INSERT INTO account (id, kind, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (number, kind, kind),
        )


@implementer(IApplicationStore)
class ApplicationStore(AdministeredStore):
    """Users, money, prices, printers, streams and history of the application server."""

    def __init__(
        self,
        writer: SqliteWriter,
        reader: Reader,
        log: ChangeLog,
        wall_s: Callable[[], float],
        long_reader: Reader | None = None,
    ) -> None:
        """``long_reader``: for what takes seconds, so that no other read waits for it."""
        self._writer = writer
        self._reader = reader
        self._long_reader = long_reader or reader
        self._wall_s = wall_s
        self.log = log
        self.accounts = Accounts(log)
        self.directory = Directory(log, self.accounts)
        self.merging = Merging(log, self.accounts, self.directory)
        self.allowances = Allowances(log, self.accounts, wall_s)
        self.charging = Charging(log, self.accounts, self.directory, self.allowances, wall_s)
        self.claims = Claims(log, wall_s)
        self.lockouts_taken = Lockouts(log, wall_s)
        self.intake = Intake(
            log, self.charging, self.allowances, self.claims, self.lockouts_taken, wall_s
        )
        self.certificates = Certificates(log)
        self.monthly = MonthlyStore(self)
        self.job_log = JobLogStore(self, self.directory)
        self.invoicing = InvoiceStore(self)
        self.transactions = TransactionStore(self, self.directory)
        self.audit = AuditStore(self, writer, log, self.directory)
        self.rules = RuleStore(self, log, self.directory, wall_s)
        self.people = PeopleStore(self, log, self.directory, self.charging, wall_s)
        self.shared = SharedAccountStore(self, log, self.directory, wall_s)
        self.new_users = NewUserStore(self, log, self.directory, self.charging.unknown, wall_s)
        self.schedules = Schedules(log, self.accounts)
        self.money = MoneyStore(self, log, wall_s)
        self.purses = PurseStore(self, log)

    def write(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        """Run an administrator's operation in the writer's next transaction."""
        act = under_way()
        if act is not None and not isinstance(operation, Hot):
            return self.audit.write(act, operation)
        return self._writer.submit(operation)

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        """Run a query beside the writer."""
        return self._reader.read(operation)

    def read_long(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        """Run a query that may take seconds, one at a time and beside all others."""
        return self._long_reader.read(operation)

    async def close(self) -> None:
        """Finish what waits."""
        if self._long_reader is not self._reader:
            await self._long_reader.close()
        await self._writer.close()
        await self._reader.close()

    def start(self) -> Deferred[None]:
        """No session of an earlier run is alive: their links went down when it last wrote."""

        def start(connection: Connection) -> None:
            last = connection.execute(
                "SELECT committed_at FROM change_log ORDER BY number DESC LIMIT 1"
            ).fetchone()
            for identity, seen_at in connection.execute(
                "SELECT identity, seen_at FROM asker WHERE connected = 1"
            ).fetchall():
                if askers.owes_nothing(connection, identity):
                    continue
                at = max(seen_at, last[0] if last is not None else 0.0)
                connection.execute(
                    "INSERT INTO link_event (identity, event, at, number) VALUES (?, 'down', ?, ?)",
                    (identity, at, self.log.number),
                )
            askers.disconnect_all(connection)
            outages.gather(connection)

        return self.write(start)

    def ensure_secret(self, name: str, value: str) -> Deferred[None]:
        """A secret of the installation, made once."""
        return self.write(lambda c: self.directory.ensure_secret(c, name, value))

    # Sessions.

    def begin_provider(
        self,
        name: str,
        journal: str,
        mark: Mark,
        software: str,
        told: Told = TOLD_NOTHING,
    ) -> Deferred[askers.Seen]:
        """A provider's handshake; raises Rejected ``journal-behind``.

        What a site acknowledged (``told``) is no business of ours.
        """
        identity = f"provider:{name}"

        def begin(connection: Connection) -> askers.Seen:
            self.directory.id_of(connection, "provider", name)
            self._compare(connection, identity, told.position)
            seen = askers.begin_session(
                connection, identity, journal, mark, self._wall_s(), software
            )
            self._link_event(connection, identity, "up")
            return seen

        return self.write(begin)

    def begin_site(
        self, name: str, stream: str, mark: Mark, position: Position | None, software: str
    ) -> Deferred[StreamWelcome]:
        """A site's handshake; raises Rejected ``new-stream``."""
        identity = f"site:{name}"

        def begin(connection: Connection) -> StreamWelcome:
            self.directory.id_of(connection, "site", name)
            self._compare(connection, identity, position)
            if askers.is_connected(connection, identity):
                # It lost its session before we did: that was an outage all the same.
                self._link_event(connection, identity, "down")
                outages.gather(connection)
            applied = self.intake.begin_stream(connection, name, stream, mark)
            seen = askers.begin_session(
                connection, identity, stream, mark, self._wall_s(), software
            )
            self._link_event(connection, identity, "up")
            resume = position is not None and can_go_on(connection, name, position)
            return StreamWelcome(seen.session, applied, read_head(connection), resume)

        return self.write(begin)

    def end_session(self, asker: SessionRef) -> Deferred[bool]:
        """A session ended."""

        def end(connection: Connection) -> bool:
            ended = askers.end_session(connection, asker, self._wall_s())
            if ended and not askers.owes_nothing(connection, asker.identity):
                self._link_event(connection, asker.identity, "down")
                # It is numbered while the sites stand as they do.
                outages.gather(connection)
            return ended

        return self.write(end)

    def acknowledge_position(self, asker: SessionRef, position: str) -> Deferred[None]:
        """``asker`` told how far it knows our history."""
        return self.write(lambda c: askers.acknowledge_position(c, asker, position))

    def report(self, asker: SessionRef) -> Deferred[None]:
        """``asker`` has told all it retained: it is missing from no statement."""

        def report(connection: Connection) -> None:
            self.intake.note_reported(connection, asker)
            connection.execute(
                "UPDATE asker SET reported = ? WHERE identity = ? AND session = ?",
                (self.log.number, asker.identity, asker.session),
            )

        return self.write(report)

    def open_keys_of_lost(self, identity: str) -> Deferred[list[tuple[str, list[askers.OpenKey]]]]:
        return self.read(lambda c: askers.open_keys_of_lost(c, identity))

    def lost_reservations(self) -> Deferred[list[Row]]:
        """Open keys of lost journals."""
        return self.read(lambda c: lost_keys.read_lost(c, ""))

    def settle_lost(self, key: str) -> Deferred[Receipt]:
        """One of them was printed, an administrator says; raises as find_lost does."""

        def settle(connection: Connection) -> Receipt:
            lost = lost_keys.find_lost(connection, key)
            done = lost_keys.completion_of(connection, "", lost, self._wall_s())
            return self.charging.complete(connection, done, Source("administrator"))

        return self.write(settle)

    def void_lost(self, key: str) -> Deferred[None]:
        """One of them was not printed."""

        def void(connection: Connection) -> None:
            lost = lost_keys.find_lost(connection, key)
            lost_keys.void_lost(connection, lost, self.charging.void)
            self.charging.list_item(connection, "lost-voided", key, "administrator", "")

        return self.write(void)

    def count_unseen(self, elapsed_s: float) -> Deferred[list[str]]:
        """Seven days away ends an asker's holds; the identities concerned."""

        def count(connection: Connection) -> list[str]:
            askers.add_absence(connection, elapsed_s)
            for completion in runs.abandoned(connection, self._wall_s()):
                self._settle_run(connection, completion)
            lost = askers.end_unseen(connection, self.charging.void)
            self.claims.forget_old(connection)
            for identity in lost:
                self.charging.list_item(connection, "unseen", "", identity, "holds ended")
            return lost

        return self.write(count)

    # Jobs.

    def authorize(
        self, asker: SessionRef, request: Request, may_recall: bool = False
    ) -> Deferred[Decision | Shortage]:
        """The answer to a key, durable when it arrives; raises Rejected."""
        return self.write(
            Hot(
                lambda c: self.charging.authorize(c, asker, request, may_recall),
                wanted_by(asker, request),
            )
        )

    def complete(self, asker: SessionRef, completion: Completion) -> Deferred[Receipt]:
        """Post what was printed; ``asker`` is the job's owner, or the site that relays."""
        source = Source(owner_identity(completion.provider))

        def complete(connection: Connection) -> Receipt:
            askers.check_session(connection, asker)
            if asker.role == "site":
                check_spoken_for(connection, asker.name, completion.provider)
            return self.charging.complete(connection, completion, source)

        return self.write(Hot(complete, wanted_by(asker, completion)))

    def cancel(self, asker: SessionRef, key: str, reason: str) -> Deferred[None]:
        """``asker`` will not use that answer; raises Rejected ``settled``."""
        return self.write(lambda c: self.charging.cancel(c, asker, key, reason))

    def open_keys(self, asker: SessionRef, keys: Sequence[str]) -> Deferred[int]:
        """The whole list of ``asker``'s open keys; the number of holds that ended."""

        def compare(connection: Connection) -> int:
            askers.check_session(connection, asker)
            dropped = runs.compare(
                *(connection, asker, keys, self._wall_s(), self._settle_run, self.charging.void)
            )
            passing("open-compared")
            return dropped

        return self.write(compare)

    def apply_journal(
        self, asker: SessionRef, stream: str, after: int, chain: str, records: Sequence[str]
    ) -> Deferred[Mark]:
        """One batch of a site's journal; the mark to acknowledge."""

        def apply(connection: Connection) -> Mark:
            mark = self.intake.apply(connection, asker, stream, after, chain, records)
            passing("batch-applied")
            return mark

        def committed(mark: Mark) -> Mark:
            passing("batch-committed")
            return mark

        return self.write(apply).addCallback(committed)

    # Replication.

    def head(self) -> Deferred[Position]:
        return self.read(read_head)

    def in_history(self, position: Position) -> Deferred[bool]:
        return self.read(lambda c: in_history(c, position))

    def can_go_on(self, site: str, position: Position) -> Deferred[bool]:
        return self.read(lambda c: can_go_on(c, site, position))

    def newest_shared(self, places: Sequence[Mark]) -> Deferred[int]:
        return self.read(lambda c: newest_shared(c, places))

    def changes_after(
        self, number: int, entries_max: int, bytes_max: int
    ) -> Deferred[list[Change]]:
        return self.read(lambda c: read_changes(c, number, entries_max, bytes_max))

    def snapshot(
        self,
        scope: SiteScope = EVERYBODY,
        grouped: bool = True,
        grew: Callable[[SnapshotImage], None] = lambda image: None,
    ) -> Deferred[SnapshotImage]:
        told = partial(self._long_reader.tell, grew)
        return self.read_long(lambda c: read_snapshot(c, scope, grouped, told))

    def scope(self, site: str) -> Deferred[SiteScope]:
        """Which people ``site`` is sent."""
        return self.read(lambda c: read_scope(c, site))

    def set_scope(self, site: str, groups: Sequence[str]) -> Deferred[SiteScope]:
        """``site`` is sent the members of ``groups`` alone; none: everybody. Raises NotFound."""

        def change(connection: Connection) -> SiteScope:
            id = self.directory.id_of(connection, "site", site)
            found = [find_group(connection, group) for group in groups]
            return set_scope(connection, self.log, id, found)

        return self.write(change)

    def reach(self, scope: SiteScope) -> Deferred[Reach | None]:
        return self.read(lambda c: read_reach(c, scope))

    def parked(self, after: tuple[str, int] = ("", 0)) -> Deferred[list[Row]]:
        return self.read(lambda c: read_parked(c, after))

    def lacking(self, capabilities: Sequence[str], version: int) -> Deferred[list[Row]]:
        """Rules that a site with these capabilities, which speaks ``version``, cannot evaluate."""
        return self.read(
            lambda c: read_lacking(c, self._wall_s(), known=capabilities, version=version)
        )

    def parked_of(self, stream: str, after: int) -> Deferred[list[Row]]:
        return self.read(lambda c: read_parked(c, (stream, after), stream))

    def retry_parked(self, after: tuple[str, int]) -> Deferred[Retried]:
        return self.write(lambda c: retry_parked(c, self.intake, after))

    def lost_edits(self, site: str | None = None, every: bool = False) -> Deferred[list[Row]]:
        return self.read(lambda c: read_lost_edits(c, site, every))

    def lost_edits_more(self, site: str | None = None) -> Deferred[int]:
        return self.read(lambda c: read_more(c, site))

    def forget_lost_edits(self, ids: Sequence[str] | None) -> Deferred[int]:
        return self.write(lambda c: forget_lost_edits(c, ids))

    def digests(
        self,
        table: str,
        after: int | str | None,
        until: int | str | None,
        version: int | None = None,
        scope: SiteScope = EVERYBODY,
    ) -> Deferred[tuple[Position, RangeDigest]]:
        """What a replica of who speaks ``version`` should hold in that range, and at which
        position; raises NotFound.
        """
        spec = within(find_table(table, version), scope)

        def read(connection: Connection) -> tuple[Position, RangeDigest]:
            with one_moment(connection):
                found = read_range(connection, (spec.source, spec), after, until, RANGE_MAX)
                return read_head(connection), found

        return self.read(read)

    def resend(self, table: str, keys: Sequence[int | str]) -> Deferred[Position]:
        """Send these rows again, as they are; the position before it."""
        spec = find_table(table)

        def touch(connection: Connection) -> int:
            for key in keys:
                if type(key) is type(spec.first_key):
                    self.log.touch(table, key)
            self.log.place()
            return self.log.number

        # The position of a transaction is known once it is sealed: the head is at it, or beyond.
        return self.write(touch).addCallback(lambda number: self.head())

    def provider_settings(self, name: str) -> Deferred[ProviderSettings]:
        """What ``* CONFIG`` tells the provider called ``name``."""
        return self.read(lambda c: read_provider_settings(c, name))

    # People and devices.

    def login_by_name(self, name: str) -> Deferred[Login | None]:
        return self.read(lambda c: find_by_name(c, "", name)).addCallback(self._at_now)

    def login_by_card(self, number: str) -> Deferred[Login | None]:
        return self.read(lambda c: find_by_card(c, "", number)).addCallback(self._at_now)

    def _at_now(self, login: Login | None) -> Login | None:
        return None if login is None else login.at(self._wall_s())

    def link_card(self, user: int, number: str, claim: str) -> Deferred[str]:
        """Here it is no claim: it is linked."""
        return self.write(lambda c: self.directory.link_card(c, self.claims, user, number))

    def notices(self, user: int) -> Deferred[list[str]]:
        return self.read(lambda c: find_notices(c, "", user))

    def lockouts(self) -> Deferred[list[tuple[LockedUser, float]]]:
        now_s = self._wall_s()
        return self.read(lambda c: [(one, one.lockout.left_s(now_s)) for one in read_locked(c)])

    def lock_out(self, user: int, failures: int, key: str) -> Deferred[None]:
        def note(connection: Connection) -> None:
            now_s, position = self._wall_s(), self.log.position_text
            self.lockouts_taken.note(connection, key, user, APPLICATION, now_s, position)

        return self.write(note)

    def unlock(self, user: int, key: str) -> Deferred[None]:
        """Everywhere."""
        return self.write(lambda c: self.lockouts_taken.unlock(c, user))

    def purse(self, account: int) -> Deferred[Purse]:
        def read(connection: Connection) -> Purse:
            funds = self.accounts.funds(connection, account)
            escrow_e4 = self.allowances.escrow_of(connection, account)
            spendable_e4 = funds.spendable_e4 + escrow_e4 if funds.restricted else None
            balance_e4 = funds.balance_e4 + escrow_e4
            purses = shown_at_centre(connection, account, balance_e4)
            return Purse(balance_e4, spendable_e4, purses=purses)

        return self.read(read)

    def begin_device(
        self, name: str, journal: str, mark: Mark, software: str
    ) -> Deferred[askers.Seen]:
        """A device's handshake; raises Rejected ``journal-behind`` or ``not-yours``."""
        identity = f"device:{name}"

        def begin(connection: Connection) -> askers.Seen:
            if find_device(connection, "", name) is None:
                raise Rejected("not-yours")
            return askers.begin_session(
                connection, identity, journal, mark, self._wall_s(), software
            )

        return self.write(begin)

    def note_pages(self, grant: Grant, pages: int) -> Deferred[None]:
        """The last page event of a run, for a device that never comes back."""
        return self.write(lambda c: runs.note_pages(c, grant, pages))

    def secret(self, name: str) -> Deferred[str | None]:
        return self.read(lambda c: read_secret(c, "", name))

    def shared_accounts(
        self, user: int, find: str, after: str, count_max: int
    ) -> Deferred[list[Chargeable]]:
        now = self._wall_s()
        return self.read(lambda c: find_shared_accounts(c, "", user, find, after, count_max, now))

    def chargeable(self, user: int, account: int) -> Deferred[Chargeable | None]:
        now = self._wall_s()
        return self.read(lambda c: find_shared_account(c, "", user, account, now))

    def account_by_pin(self, user: int, pin: str) -> Deferred[list[Chargeable]]:
        now = self._wall_s()
        return self.read(lambda c: find_by_pin(c, "", user, pin, now))

    def _settle_run(self, connection: Connection, completion: Completion) -> None:
        self.charging.complete(connection, completion, Source(completion.provider))

    def device(self, name: str) -> Deferred[Device | None]:
        return self.read(lambda c: find_device(c, "", name))

    def printer_id(self, name: str) -> Deferred[int]:
        return self.id_of("printer", name)

    # Certificates: what identity/joining.py needs.

    def add_token(self, token_hash: str, role: str, name: str, expires_at: float) -> Deferred[None]:
        return self.write(
            lambda c: self.certificates.add_token(c, token_hash, role, name, expires_at)
        )

    def use_token(
        self,
        token_hash: str,
        role: str,
        name: str,
        serial: str,
        fingerprint: str,
        not_after: float,
        now: float,
    ) -> Deferred[None]:
        return self.write(
            lambda c: self.certificates.use_token(
                c, token_hash, role, name, serial, fingerprint, not_after, now
            )
        )

    def record_certificate(
        self, serial: str, role: str, name: str, fingerprint: str, not_after: float
    ) -> Deferred[None]:
        return self.write(
            lambda c: self.certificates.record(
                c, serial, role, name, fingerprint, not_after, self._wall_s()
            )
        )

    def revoke(self, role: str, name: str) -> Deferred[list[str]]:
        return self.write(lambda c: self.certificates.revoke(c, role, name, self._wall_s()))

    def revoked_serials(self) -> Deferred[list[str]]:
        return self.read(self.certificates.revoked_serials)

    def revoked_providers(self) -> Deferred[list[tuple[str, str]]]:
        return self.read(self.certificates.revoked_providers)

    def _compare(self, connection: Connection, identity: str, position: Position | None) -> None:
        """Find out by what an asker was told whether we are a restored copy of ourselves."""
        if position is not None and timeline.was_restored(connection, position):
            timeline.begin_timeline(
                connection, self.log, identity, position.timeline + 1, self._wall_s()
            )

    def _link_event(self, connection: Connection, identity: str, event: str) -> None:
        connection.execute(
            "INSERT INTO link_event (identity, event, at, number) VALUES (?, ?, ?, ?)",
            (identity, event, self._wall_s(), self.log.number),
        )


def read_provider_settings(connection: Connection, name: str) -> ProviderSettings:
    """From the application server's database; a site's replica has the same tables."""
    provider, preferred, site = connection.execute(
        "SELECT id, preferred, site FROM provider WHERE name = ?", (name,)
    ).fetchone()
    found = connection.execute(
        "SELECT name, host, port FROM site WHERE id = ? AND removed = 0", (site,)
    ).fetchone()
    return ProviderSettings(
        printers=[
            PrinterSettings(*row)
            for row in connection.execute(
                f"SELECT {PRINTER_COLUMNS} FROM printer WHERE provider = ? AND removed = 0"
                " ORDER BY id",
                (provider,),
            )
        ],
        site=found,
        preferred=preferred,
        price_version=connection.execute("SELECT COALESCE(MAX(version), 0) FROM price").fetchone()[
            0
        ],
        retired=[
            row[0]
            for row in connection.execute("SELECT id FROM stream WHERE state <> 'live' ORDER BY id")
        ],
        revoked=[
            row[0]
            for row in connection.execute(
                "SELECT serial FROM certificate WHERE role = 'site' AND revoked_at IS NOT NULL"
                " ORDER BY issued_at DESC LIMIT 500"
            )
        ],
        account_choice_timeout_s=read_choice_timeout_s(connection, "", site),
    )

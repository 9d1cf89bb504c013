"""What services need of a store. SQLite's are beside this file; the contract is tests/contract.

Every call is one transaction, or one read beside the writer, and answers with a Deferred
that fires once what it says is durable. Errors are those of papercutd/errors.py: Rejected with
a wire code, NotFound, AlreadyExists, InvalidValue; StorageFull where nothing can be written now,
StorageClosed once the store closes. No call blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from papercutd.domain.chain import Mark, Position
from papercutd.domain.decision import Decision
from papercutd.domain.document import Document
from papercutd.domain.grant import Grant
from papercutd.domain.job import TOLD_NOTHING, Completion, Receipt, Request, SessionRef, Told
from papercutd.domain.policy import Effective, Rule
from papercutd.domain.price_draft import Draft
from papercutd.domain.pricing import PriceList
from papercutd.domain.signed import Signature
from papercutd.domain.site_scope import Reach
from papercutd.domain.staleness import Kept
from papercutd.storage.administration.rule_store import GroupedUser, RuleView
from papercutd.storage.jobs.askers import OpenKey, Seen
from papercutd.storage.money.allowances import Shortage
from papercutd.storage.money.schedules import QuotaPiece, Schedule
from papercutd.storage.people.lockouts import LockedUser
from papercutd.storage.people.people import Device, Login
from papercutd.storage.proof.sealing import Place
from papercutd.storage.replication.change_log import Change
from papercutd.storage.replication.parked import Retried
from papercutd.storage.replication.replicated import RangeDigest
from papercutd.storage.replication.retiring import EndedStream
from papercutd.storage.replication.site_scopes import EVERYBODY, SiteScope
from papercutd.storage.replication.snapshot import SnapshotImage
from papercutd.storage.site.drills import DrillRead
from papercutd.storage.site.overlay import Overlay
from papercutd.storage.site.vouchers_here import RedeemedHere
from papercutd.storage.values import (
    Chargeable,
    JournalBatch,
    ProviderSettings,
    Purse,
    SiteIdentity,
    StreamWelcome,
)

Row = dict[str, Any]


class IJobStore(Interface):
    """Askers, their sessions and their jobs: the same at both servers (design 4.1 to 4.3)."""

    def start() -> Deferred[None]:
        """Once, before anything else: no session of an earlier run is alive."""

    async def close() -> None:
        """Finish what waits; nothing is taken any more."""

    def begin_provider(
        name: str,
        journal: str,
        mark: Mark,
        software: str,
        told: Told = TOLD_NOTHING,
    ) -> Deferred[Seen]:
        """A provider's handshake; Rejected ``journal-behind`` or ``not-yours``, NotFound.

        Of what it was ``told`` a place that is not in the history kept here proves a restore: the
        application server begins a new timeline, a site answers Rejected ``new-stream``.
        """

    def end_session(asker: SessionRef) -> Deferred[bool]:
        """The session is over; False when a newer one had replaced it."""

    def complete(asker: SessionRef, completion: Completion) -> Deferred[Receipt]:
        """What was printed; it always posts, once for each key."""

    def cancel(asker: SessionRef, key: str, reason: str) -> Deferred[None]:
        """``asker`` will not use that answer; Rejected ``settled``."""

    def open_keys(asker: SessionRef, keys: Sequence[str]) -> Deferred[int]:
        """The whole list of ``asker``'s open keys; how many of its holds ended."""

    def open_keys_of_lost(identity: str) -> Deferred[list[tuple[str, list[OpenKey]]]]:
        """The newest journals that were lost, and the open keys each held."""

    def lost_reservations() -> Deferred[list[Row]]:
        """Open keys that only lost journals hold."""

    def settle_lost(key: str) -> Deferred[Receipt]:
        """One of them was printed: charged as decided; raises NotFound or InvalidValue."""

    def void_lost(key: str) -> Deferred[None]:
        """One of them was not printed; raises NotFound or InvalidValue."""

    def count_unseen(elapsed_s: float) -> Deferred[list[str]]:
        """Add running time to absences; identities whose holds ended after seven days."""

    def provider_settings(name: str) -> Deferred[ProviderSettings]:
        """What ``* CONFIG`` tells a provider."""

    def revoked_serials() -> Deferred[list[str]]:
        """Certificates that count no more."""

    def revoked_providers() -> Deferred[list[tuple[str, str]]]:
        """(name, serial) of those that were print providers'."""

    def printer_id(name: str) -> Deferred[int]:
        """The printer called ``name``; NotFound."""

    # People and devices.

    def login_by_name(name: str) -> Deferred[Login | None]:
        """Who bears ``name`` now."""

    def login_by_card(number: str) -> Deferred[Login | None]:
        """Whose card that is; InvalidValue for what is no card number."""

    def purse(account: int) -> Deferred[Purse]:
        """What an account holds, and what can be spent of it here; NotFound."""

    def link_card(user: int, number: str, claim: str) -> Deferred[str]:
        """``user`` links a card: ``linked``, at a site ``claimed`` under that id, or ``already``.

        Rejected ``card-taken``, InvalidValue.
        """

    def notices(user: int) -> Deferred[list[str]]:
        """What the person is to be told at a log-in, at most 8 words."""

    def lockouts() -> Deferred[list[tuple[LockedUser, float]]]:
        """Who is or was locked out of devices, and the seconds left."""

    def lock_out(user: int, failures: int, key: str) -> Deferred[None]:
        """``user`` failed too often here; it counts once by its ``key``."""

    def unlock(user: int, key: str) -> Deferred[None]:
        """End the lockouts of ``user``: at the application server everywhere, at a site there."""

    def begin_device(name: str, journal: str, mark: Mark, software: str) -> Deferred[Seen]:
        """A device's handshake; Rejected ``journal-behind`` or ``not-yours``."""

    def device(name: str) -> Deferred[Device | None]:
        """The device called ``name``, if this server is one of its own."""

    def note_pages(grant: Grant, pages: int) -> Deferred[None]:
        """The last page event of a run: what it settles at if its device never comes back."""

    def secret(name: str) -> Deferred[str | None]:
        """A secret that the servers of the installation share; None: not here yet."""

    def shared_accounts(
        user: int, find: str, after: str, count_max: int
    ) -> Deferred[list[Chargeable]]:
        """Shared accounts that ``user`` may charge, after ``after``, with ``find`` in their
        name."""

    def chargeable(user: int, account: int) -> Deferred[Chargeable | None]:
        """The one of that id, if ``user`` may charge it."""

    def account_by_pin(user: int, pin: str) -> Deferred[list[Chargeable]]:
        """The one of exactly that PIN, if ``user`` may charge it; InvalidValue."""


class IApplicationStore(IJobStore):
    """The application server's: ledger, directory, change log, history."""

    # Sessions and jobs.

    def begin_site(
        name: str, stream: str, mark: Mark, position: Position | None, software: str
    ) -> Deferred[StreamWelcome]:
        """A site's handshake; Rejected ``new-stream`` (restored, cloned or retired)."""

    def report(asker: SessionRef) -> Deferred[None]:
        """``asker`` has told all it retained: it is missing from no statement."""

    def acknowledge_position(asker: SessionRef, position: str) -> Deferred[None]:
        """``asker`` knows our history up to ``position`` (``timeline.number``)."""

    def authorize(
        asker: SessionRef, request: Request, may_recall: bool = False
    ) -> Deferred[Decision | Shortage]:
        """The stored answer to a key, else a new one with its reservation.

        With ``may_recall`` nothing is decided while sites hold some of what is missing.

        Rejected ``voided``, ``settled``, ``not-yours``, ``unknown-printer``, ``stale-session``.
        """

    def apply_journal(
        asker: SessionRef, stream: str, after: int, chain: str, records: Sequence[str]
    ) -> Deferred[Mark]:
        """A batch of a site's journal, its mark and its postings together, each record once.

        Rejected ``gap`` or ``chain``; a record that cannot be applied is parked.
        """

    # Replication.

    def head() -> Deferred[Position]:
        """The newest position of the change log."""

    def in_history(position: Position) -> Deferred[bool]:
        """Whether ``position`` is one of ours and its log is still kept."""

    def can_go_on(site: str, position: Position) -> Deferred[bool]:
        """Whether the site's replica at ``position`` is of our history and of its scope."""

    def changes_after(number: int, entries_max: int, bytes_max: int) -> Deferred[list[Change]]:
        """Entries of the change log after ``number``, in order, at least one if there is one."""

    def digests(
        table: str,
        after: int | str | None,
        until: int | str | None,
        version: int | None = None,
        scope: SiteScope = EVERYBODY,
    ) -> Deferred[tuple[Position, RangeDigest]]:
        """What a replica of who speaks ``version`` should hold in that range, and at which
        position; raises NotFound.
        """

    def resend(table: str, keys: Sequence[int | str]) -> Deferred[Position]:
        """Send these rows again as changes, all of them at the position or before."""

    def snapshot(
        scope: SiteScope = EVERYBODY,
        grouped: bool = True,
        grew: Callable[[SnapshotImage], None] = lambda image: None,
    ) -> Deferred[SnapshotImage]:
        """All replicated rows within ``scope`` at one position; ``grouped``: by table.

        ``grew`` is called with the image while it is made, first when it has its position.
        """

    def scope(site: str) -> Deferred[SiteScope]:
        """Which people ``site`` is sent."""

    def set_scope(site: str, groups: Sequence[str]) -> Deferred[SiteScope]:
        """``site`` is sent the members of ``groups`` alone; none: everybody. Raises NotFound."""

    def reach(scope: SiteScope) -> Deferred[Reach | None]:
        """What a site of that scope is sent, as it stands; None: everything."""

    # Records that were parked.

    def parked(after: tuple[str, int] = ("", 0)) -> Deferred[list[Row]]:
        """At most 500 of them after that (stream, number): why each could not be applied."""

    def lacking(capabilities: Sequence[str], version: int) -> Deferred[list[Row]]:
        """Rules that a site with these capabilities, which speaks ``version``, cannot evaluate:
        table, key, needs.
        """

    def parked_of(stream: str, after: int) -> Deferred[list[Row]]:
        """The same of one stream, for its site."""

    def retry_parked(after: tuple[str, int]) -> Deferred[Retried]:
        """Apply what can be applied by now of the next ones, in order, each once."""

    # Edits that a restore has lost (design 4.12).

    def newest_shared(places: Sequence[Mark]) -> Deferred[int]:
        """The newest of these places that is in our history; 0: none is."""

    def lost_edits(site: str | None = None, every: bool = False) -> Deferred[list[Row]]:
        """Those still lost, with what each row was and is; of what one site told, or of all.

        ``every``: also what was forgotten, or is so again.
        """

    def lost_edits_more(site: str | None = None) -> Deferred[int]:
        """How many more there are than the list has."""

    def forget_lost_edits(ids: Sequence[str] | None) -> Deferred[int]:
        """They are listed no more, by the beginnings of their ids; None: all. How many.

        Raises NotFound, InvalidValue.
        """

    # Certificates.

    def add_token(token_hash: str, role: str, name: str, expires_at: float) -> Deferred[None]:
        """A join token, by its hash."""

    def use_token(
        token_hash: str,
        role: str,
        name: str,
        serial: str,
        fingerprint: str,
        not_after: float,
        now: float,
    ) -> Deferred[None]:
        """Burn a token for a certificate; Rejected ``unknown-``, ``used-``, ``stale-token``."""

    def record_certificate(
        serial: str, role: str, name: str, fingerprint: str, not_after: float
    ) -> Deferred[None]:
        """A certificate was issued."""

    def revoke(role: str, name: str) -> Deferred[list[str]]:
        """Revoke all certificates of an identity; their serials. NotFound."""

    # Administration.

    rules = Attribute("Groups and the rules of cut sites: an IRuleStore.")
    people = Attribute("What is set of users: storage/people/people_store.py.")
    shared = Attribute("Shared accounts: storage/money/shared_account_store.py.")
    new_users = Attribute("Rules for new and unknown users: storage/people/new_user_store.py.")
    money = Attribute("Adjustments of many, transfers, refunds: storage/money/money_store.py.")
    purses = Attribute("Purses of the installation: storage/money/purse_store.py.")
    invoicing = Attribute("What is to be invoiced: storage/history/invoicing.py.")
    job_log = Attribute("Jobs as they were booked: storage/history/job_log.py.")
    transactions = Attribute("Money that came and went: storage/money/transactions.py.")
    audit = Attribute("What administrators did: storage/administration/audit.py.")
    monthly = Attribute("Monthly sums of charges: storage/history/monthly_report.py.")

    def ensure_secret(name: str, value: str) -> Deferred[None]:
        """``value`` becomes the secret called ``name``, unless there is one."""

    def add_user(name: str, **fields: Any) -> Deferred[int]:
        """A user with a personal account; AlreadyExists, InvalidValue."""

    def import_users(users: Sequence[Mapping[str, Any]]) -> Deferred[int]:
        """Those who are not there yet, all or nobody; how many."""

    def adjust(user: str, amount_e4: int, reason: str, purse: str = "") -> Deferred[None]:
        """Credit or debit a personal account; NotFound."""

    def set_verifier(user: str, kind: str, verifier: str) -> Deferred[None]:
        """The argon2id verifier of a ``password`` or ``pin``; NotFound."""

    def add_card(user: str, number: str) -> Deferred[None]:
        """AlreadyExists where it is another's; InvalidValue, NotFound."""

    def remove_card(number: str) -> Deferred[None]:
        """NotFound."""

    def merge_users(user: str, into: str) -> Deferred[None]:
        """``user`` is ``into`` for ever; NotFound, InvalidValue."""

    def rename_user(user: str, name: str, now: bool = False) -> Deferred[None]:
        """NotFound, InvalidValue, AlreadyExists; NameKept unless ``now``."""

    def delete_user(user: str) -> Deferred[int]:
        """What the closed account holds; NotFound."""

    def undelete_user(user: str) -> Deferred[None]:
        """Back under the last name; NotFound, AlreadyExists, NameKept."""

    def uncollected(after: str = "") -> Deferred[list[Row]]:
        """Charges booked to nobody and not assigned since, at most 500."""

    def assign(key: str, user: str) -> Deferred[int]:
        """``user`` pays an uncollected charge, once; how much. NotFound, AlreadyExists."""

    def users_after(name: str) -> Deferred[list[Row]]:
        """At most 500, by name."""

    def user(name: str) -> Deferred[Row]:
        """One user with the last charges; NotFound."""

    def add_prices(prices: PriceList) -> Deferred[int]:
        """The number of the new version."""

    def import_prices(draft: Draft, is_real: bool) -> Deferred[int]:
        """The number of the new version, all of it or nothing; 0 where it is only checked.
        NotFound, InvalidValue."""

    def export_prices(version: int) -> Deferred[Draft]:
        """That version with names, the newest for 0; NotFound."""

    def prices(before: int = 0) -> Deferred[list[Row]]:
        """At most 500 versions, the newest first; ``before``: of those older than that one."""

    def waiting_prices(since: float) -> Deferred[list[tuple[int, float]]]:
        """(version, effective from) of those that a newer one, from ``since`` on, overtakes."""

    def explain(word: str) -> Deferred[list[Row]]:
        """How charges came about: of a charge id, a key or a job id; NotFound."""

    def quote(document: Document, user: str, printer: str, account: str = "") -> Deferred[Row]:
        """What it would cost now, of ``user``, at ``printer`` and charged to a shared ``account``
        where they are given; NotFound."""

    def id_of(kind: str, name: str) -> Deferred[int]:
        """The id of a site, provider, printer or device; NotFound."""

    def add_site(name: str, host: str, port: int) -> Deferred[int]:
        """AlreadyExists, InvalidValue."""

    def set_site(name: str, columns: Mapping[str, Any]) -> Deferred[None]:
        """Columns among host, port, policy, cap_user_e4, deny_beyond_cap."""

    def remove_site(name: str) -> Deferred[list[str]]:
        """Its providers stand alone, its streams decide no more; the providers' names. NotFound."""

    def allowances_of_sites() -> Deferred[list[Row]]:
        """Each stream with what it was granted, returned and settled."""

    def ended_streams(site: str) -> Deferred[list[EndedStream]]:
        """Streams that a site left behind, and who may still bring something; NotFound."""

    def retire_stream(stream: str) -> Deferred[int]:
        """What it still held goes back to its owners; how much. NotFound, InvalidValue."""

    def refill_site(site: str, after: int) -> Deferred[int | None]:
        """Grant what it lacks of the next users' money; the last of them, None: there were none.

        Rejected ``unavailable`` while nothing can be granted to it.
        """

    def sites() -> Deferred[list[Row]]:
        """All of them."""

    def add_provider(name: str, site: str | None) -> Deferred[int]:
        """AlreadyExists, InvalidValue, NotFound (the site)."""

    def set_provider(name: str, preferred: str | None, site: str | None) -> Deferred[None]:
        """None leaves it; an empty ``site`` is none."""

    def providers() -> Deferred[list[Row]]:
        """All of them."""

    def add_printer(
        name: str, provider: str, uri: str, when_alone: str, **release: Any
    ) -> Deferred[int]:
        """``release``: release, group, held_max_s."""

    def set_release(name: str, release: str, group: str, held_max_s: int) -> Deferred[None]:
        """How jobs of a printer are released from now on."""

    def printers() -> Deferred[list[Row]]:
        """All of them."""

    def set_device(name: str, columns: Mapping[str, Any]) -> Deferred[None]:
        """Columns among site, printer, functions, logins, idle_s."""

    def add_device(name: str, printer: str, site: str | None, **fields: Any) -> Deferred[int]:
        """``fields``: functions, logins, idle_s."""

    def devices() -> Deferred[list[Row]]:
        """All of them."""

    def add_quota(schedule: Schedule) -> Deferred[int]:
        """Raises InvalidValue, AlreadyExists."""

    def shared_account(name: str) -> Deferred[int]:
        """The id of an open shared account; raises NotFound."""

    def change_quota(name: str, amount_e4: int | None, cap_e4: int | str | None) -> Deferred[None]:
        """Other figures from the next run on; raises NotFound, InvalidValue."""

    def remove_quota(name: str) -> Deferred[None]:
        """No more runs; raises NotFound, and InvalidValue while one is under way."""

    def quotas() -> Deferred[list[Row]]:
        """All quotas, by name."""

    def quota(name: str) -> Deferred[Row]:
        """One with its last runs; raises NotFound."""

    def run_quota(
        name: str | None = None, make_up: bool = False, accounts_max: int | None = None
    ) -> Deferred[QuotaPiece | None]:
        """One piece, of so many accounts at the most, of the run that is due first; None: nothing
        is due. Raises NotFound."""

    def skip_quota(name: str) -> Deferred[int]:
        """What was missed has no run; when the next is due. Raises NotFound, InvalidValue."""

    def quotas_waiting() -> Deferred[list[str]]:
        """Names of those overdue for more than 35 days."""

    def counts() -> Deferred[dict[str, int]]:
        """How many there are of what an administrator wants to know."""

    def site_states() -> Deferred[list[Row]]:
        """Each site with its stream and when it was last seen."""

    def settle_outages(sign: Callable[[bytes], Signature] | None = None) -> Deferred[None]:
        """Number outages that began, close those nobody is missing from, sign what is closed."""

    async def statement(
        since: float | None, until: float | None, outage: int | None = None
    ) -> dict[str, Any]:
        """Of a span of time, else of an outage by its number, or of the latest; NotFound."""

    async def outages(count_max: int) -> list[Row]:
        """Outages, newest first."""

    def installation() -> Deferred[str]:
        """The id of this installation."""

    def state_again(outage: int) -> Deferred[dict[str, Any]]:
        """What the books say of an outage now, whatever was kept of it; NotFound."""

    def verify(progress: Callable[[dict[str, Any]], None] = ...) -> Deferred[list[str]]:
        """Problems of books, charges and change log; empty: none."""

    def compare_with_provider(provider: str, printed: Set[str]) -> Deferred[list[str]]:
        """Keys printed and not charged, and the reverse."""


class IRuleStore(Interface):
    """Groups of users, and what cut sites may do for them."""

    def add_group(name: str) -> Deferred[int]:
        """AlreadyExists, InvalidValue."""

    def remove_group(name: str) -> Deferred[int]:
        """Gone with its rules; how many users it had. NotFound."""

    def change_group(
        name: str, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> Deferred[int]:
        """Users put in and taken out, all or none; how many changed. NotFound."""

    def groups() -> Deferred[list[Row]]:
        """All of them, with how many users each has."""

    def change_nested(
        name: str, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> Deferred[int]:
        """Groups put into a group and taken out, all or none; NotFound, InvalidValue."""

    def members(name: str, after: str = "", nested: bool = False) -> Deferred[list[Row]]:
        """At most 500 of its users, by name, ``nested``: of groups within too; NotFound."""

    def change_rules(set: Iterable[Rule] = (), clear: Iterable[Rule] = ()) -> Deferred[None]:
        """All or none of them; NotFound for one to clear that there is not."""

    def view() -> Deferred[RuleView]:
        """Rules, and the names of what they are about, at one moment."""

    def grouped_user(name: str) -> Deferred[GroupedUser]:
        """Whether restricted, and in which groups; NotFound."""


class ISiteStore(IJobStore):
    """A site's: journal, replica, and the decisions taken from both."""

    was_restored = Attribute("Whether the journal had been put back, once start has fired.")
    is_anchored = Attribute("False while the anchor beside the journal cannot be written.")
    looks = Attribute("What administrators look at there: storage/site/looks_here.py.")

    def identity() -> Deferred[SiteIdentity]:
        """Stream, marks, and the replica's position."""

    def stored(asker: SessionRef, request: Request) -> Deferred[Decision | None]:
        """The stored answer to a key, held by ``asker`` from now on; None: not decided yet."""

    def decide(asker: SessionRef, request: Request, soft: bool = True) -> Deferred[Decision]:
        """The stored answer, else the site's own; without ``soft`` a refusal is not stored."""

    def adopt(asker: SessionRef, request: Request, answer: Decision) -> Deferred[Decision]:
        """Make the application server's answer ours, unless the key was decided meanwhile."""

    def supersede(key: str, answer: Decision) -> Deferred[None]:
        """The application server's ``answer`` came after we had decided: give it back."""

    def go_by(dated_s: Callable[[], float]) -> None:
        """The clock of what is dated: prices, promises; may be read in another thread."""

    def staleness() -> Deferred[Kept | None]:
        """The staleness clock as it was last written; None: it never was."""

    def keep_staleness(kept: Kept) -> Deferred[None]:
        """Write it down."""

    def policy_of(user: int | None) -> Deferred[Effective]:
        """What holds at this site for a user; None: for anybody in no group."""

    def redeem_voucher(id: str, serial: str, name: str) -> Deferred[RedeemedHere]:
        """Journal that the user called so redeemed it; NotFound, UnknownSerial, InvalidValue."""

    def voucher_state(id: str) -> Deferred[str]:
        """``provisional`` until the replica knows what was decided of that redemption."""

    def rules_not_understood() -> Deferred[list[str]]:
        """Rules that concern this site and that this release cannot evaluate: what they touch
        is held."""

    def explain(word: str) -> Deferred[list[Row]]:
        """What this site knows of charges: of a key or a job id; NotFound."""

    def quote(document: Document, user: str, printer: str, account: str = "") -> Deferred[Row]:
        """What it would cost now, by the replica; NotFound, Rejected ``unavailable``."""

    def unsettled_total_e4() -> Deferred[int]:
        """Spent at this site and not in its replica yet."""

    def overlay(account: int) -> Deferred[Overlay | None]:
        """What an account shows here; None: not one of the replica's."""

    # Up.

    def journal_after(mark: Mark, records_max: int, bytes_max: int) -> Deferred[JournalBatch]:
        """Records after ``mark``, at least one where there is one."""

    def acknowledged(stream: str, mark: Mark) -> Deferred[bool]:
        """Applied up to ``mark``; False when the chain there is not ours."""

    def rewind(mark: Mark) -> Deferred[bool]:
        """Send again from ``mark``; False when the chain there is not ours."""

    def take_new_stream(stream: str) -> Deferred[None]:
        """The old one was restored, cloned or lost: its records go on in the new one."""

    def give_back(users: Sequence[int], amount_e4: int) -> Deferred[int]:
        """Of what is held of a person's money; the number of the record that says so, or 0."""

    def give_back_unneeded() -> Deferred[int]:
        """What is held of people for whom another policy is in force now; how much."""

    def tell_allowances() -> Deferred[bool]:
        """Journal what was granted and returned, once for each timeline; whether it was due."""

    def salvage(bodies: Sequence[str]) -> Deferred[None]:
        """Records of a journal that was set aside, written again."""

    def open_at_application() -> Deferred[list[str]]:
        """Keys whose answer we took from it and whose record it has not acknowledged."""

    # Down.

    def apply_changes(
        after: int, rows: Iterable[Sequence[Any]], position: Position, committed_at: float
    ) -> Deferred[None]:
        """One batch and its position together; Rejected ``gap``."""

    def begin_snapshot() -> Deferred[tuple[str, int]]:
        """(snapshot, next chunk) of one that was interrupted; else empty."""

    def restart_snapshot() -> Deferred[None]:
        """Throw away what was loaded."""

    def load_chunk(snapshot: str, index: int, rows: Iterable[Sequence[Any]]) -> Deferred[None]:
        """One chunk, and that it is loaded, together."""

    def places(above: int, below: int | None, count_max: int) -> Deferred[list[Mark]]:
        """Places of the replica's history between two numbers, evenly spaced, in order."""

    async def finish_snapshot(
        position: Position, version: int = 1, common: int | None = None
    ) -> int:
        """What was loaded, by ``version`` of the wire, is in force; the old replica served
        until now.
        """

    def begin_drill() -> Deferred[None]:
        """Journal that a drill has begun."""

    def note_drill_asked(key: str, answer: Decision) -> Deferred[None]:
        """A step that was asked at the application server after all."""

    def end_drill(reason: str) -> Deferred[bool]:
        """False when there is none to end."""

    def drill() -> Deferred[DrillRead | None]:
        """The newest drill."""

    def lag() -> Deferred[dict[str, float | None]]:
        """How late the last batches were applied, in milliseconds."""

    def verify(progress: Callable[[dict[str, Any]], None] = ...) -> Deferred[list[str]]:
        """Problems of the journal and the replica; empty: none."""

    def seal_rows(place: Place | None) -> Deferred[Place | None]:
        """Seal some rows of the replica in force that came by a snapshot, from ``place`` on; None:
        all are. Begin with None."""

    def replica_range(
        table: str,
        after: int | str | None,
        until: int | str | None,
        count_max: int | None = None,
        version: int | None = None,
    ) -> Deferred[RangeDigest]:
        """What the replica holds there, the first ``count_max`` rows at the most; of their
        columns those that who speaks ``version`` knows.
        """

    def lacking() -> Deferred[list[Row]]:
        """Rules of the replica that this release cannot evaluate: table, key, needs."""

    def revocations() -> Deferred[list[Row]]:
        """The certificates revoked last: role, name, at."""

    def drop_illegible(table: str) -> Deferred[list[str]]:
        """Take rows away whose key is no text any more; their keys as far as read."""

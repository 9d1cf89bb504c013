"""A site's store: its journal, its replica, and the decisions it takes from both.

The journal is never replaced; the replica is a copy and may be. All of it runs
on the journal's one writer; a batch of operations touches one database only,
so that a crash never leaves half of a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from papercutd.domain.chain import CHAIN_START, Mark, Position
from papercutd.domain.decision import (
    Decision,
)
from papercutd.domain.document import Document
from papercutd.domain.grant import Grant
from papercutd.domain.job import (
    TOLD_NOTHING,
    Completion,
    Receipt,
    Request,
    SessionRef,
    Told,
)
from papercutd.domain.policy import Effective
from papercutd.domain.staleness import Kept
from papercutd.errors import NotFound, Rejected
from papercutd.points import passing
from papercutd.storage.administration.listings import Row, read_lag
from papercutd.storage.administration.policies import (
    read_choice_timeout_s,
    rules_not_understood,
    unsettled_total_e4,
)
from papercutd.storage.engine import Connection
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.jobs import askers, runs
from papercutd.storage.money.shared_access import (
    find_by_pin,
    find_shared_account,
    find_shared_accounts,
)
from papercutd.storage.people.lockouts import LockedUser
from papercutd.storage.people.people import (
    Device,
    Login,
    find_by_name,
    find_notices,
    find_site_device,
    read_secret,
)
from papercutd.storage.proof import sealing
from papercutd.storage.proof.anchor import Anchor, was_restored
from papercutd.storage.proof.verifying import Progress, verify_site
from papercutd.storage.replication import lost_keys
from papercutd.storage.replication.needs import read_lacking
from papercutd.storage.replication.records import LINK_DOWN, LINK_REPORTED
from papercutd.storage.replication.replicated import TABLES, RangeDigest, find_table, read_range
from papercutd.storage.site import drills, lockouts_here, replica
from papercutd.storage.site.claims_here import owner_here
from papercutd.storage.site.deciding import Deciding, read_policy, read_purse
from papercutd.storage.site.looks_here import SiteLooks
from papercutd.storage.site.lost_edits_here import journal_lost_edits, read_places
from papercutd.storage.site.overlay import Overlay, read_overlay
from papercutd.storage.site.prices_here import explain_here, quote_here
from papercutd.storage.site.site_journal import (
    append_body,
    read_chain,
    read_identity,
    read_journal,
)
from papercutd.storage.site.staleness import read_staleness, write_staleness
from papercutd.storage.site.vouchers_here import RedeemedHere, read_state, redeem_here
from papercutd.storage.sqlite.writer import BARE, SqliteWriter
from papercutd.storage.values import (
    PRINTER_COLUMNS,
    Chargeable,
    JournalBatch,
    PrinterSettings,
    ProviderSettings,
    Purse,
    SiteIdentity,
)

T = TypeVar("T")
SCHEMA = "journal"
#: The group of operations that write the replica only.
REPLICA = "replica"
_ENCODE = msgspec.json.Encoder().encode
_DECODE_DECISION = msgspec.json.Decoder(Decision).decode
_DECODE_REQUEST = msgspec.json.Decoder(Request).decode


def create_site(connection: Connection, site: str, stream: str) -> None:
    """Fill an empty journal with its identity."""
    connection.execute(
        "INSERT INTO identity (one, site, stream, number, chain, acked_chain)"
        " VALUES (1, ?, ?, 0, ?, ?) ON CONFLICT DO NOTHING",
        (site, stream, CHAIN_START, CHAIN_START),
    )


@implementer(ISiteStore)
class SiteStore:
    """Everything a site keeps."""

    def __init__(
        self,
        writer: SqliteWriter,
        files: replica.ReplicaFiles,
        wall_s: Callable[[], float],
        anchor: Anchor | None = None,
    ) -> None:
        """``anchor``: a participant of ``writer``; without one no restore is found here."""
        self._anchor = anchor
        #: The journal had been put back when this process began.
        self.was_restored = False
        self._writer = writer
        self._files = files
        self._wall_s = wall_s
        self._dated_s = wall_s
        self._deciding = Deciding(wall_s, lambda: self.is_anchored)
        self.looks = SiteLooks(self.read, lambda: self._dated_s())

    def write(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        return self._writer.submit(operation)

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        return self._writer.submit(operation, BARE)

    async def close(self) -> None:
        await self._writer.close()

    def start(self) -> Deferred[None]:
        """Attach the replica in force; no session of an earlier run is alive."""

        def start(connection: Connection) -> None:
            if self._anchor is not None:
                self.was_restored = was_restored(connection, self._anchor.read())
                if not self.was_restored:
                    self._anchor.arm()
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            if not replica.is_attached(connection, replica.IN_FORCE):
                replica.attach(connection, self._files, number, replica.IN_FORCE)

        def end(connection: Connection) -> None:
            for (identity,) in connection.execute(
                "SELECT identity FROM asker WHERE connected = 1 ORDER BY identity"
            ).fetchall():
                if not askers.owes_nothing(connection, identity):
                    self._deciding.note_link(connection, identity, LINK_DOWN)
            askers.disconnect_all(connection)

        attached = self._writer.submit(start, BARE)
        return attached.addCallback(lambda done: self.write(end))

    @property
    def is_anchored(self) -> bool:
        """Whether what was answered last is anchored; False: the anchor cannot be written."""
        return self._anchor is None or not self._anchor.is_broken

    def go_by(self, dated_s: Callable[[], float]) -> None:
        """The clock of prices and of dated promises; until then it is the wall clock."""
        self._dated_s = self._deciding.dated_s = dated_s

    def staleness(self) -> Deferred[Kept | None]:
        return self.read(read_staleness)

    def keep_staleness(self, kept: Kept) -> Deferred[None]:
        return self.write(lambda c: write_staleness(c, kept))

    def policy_of(self, user: int | None) -> Deferred[Effective]:
        return self.read(lambda c: read_policy(c, user, self._dated_s()))

    def rules_not_understood(self) -> Deferred[list[str]]:
        return self.read(rules_not_understood)

    def unsettled_total_e4(self) -> Deferred[int]:
        return self.read(unsettled_total_e4)

    def identity(self) -> Deferred[SiteIdentity]:
        return self.read(read_identity)

    # Sessions of providers.

    def begin_provider(
        self,
        name: str,
        journal: str,
        mark: Mark,
        software: str,
        told: Told = TOLD_NOTHING,
    ) -> Deferred[askers.Seen]:
        """A provider's handshake; raises Rejected ``journal-behind`` or ``not-yours``.

        Rejected ``new-stream``: what we acknowledged to it is not in our journal, which was
        restored, or is a clone's.
        """

        def begin(connection: Connection) -> askers.Seen:
            (stream,) = connection.execute("SELECT stream FROM identity").fetchone()
            if told.mark is not None and told.stream == stream:
                if read_chain(connection, told.mark.number) != told.mark.chain:
                    raise Rejected("new-stream")
            found = connection.execute(
                "SELECT 1 FROM replica.provider JOIN replica.site"
                " ON replica.site.id = replica.provider.site WHERE replica.provider.name = ?"
                " AND replica.site.name = (SELECT site FROM identity)",
                (name,),
            ).fetchone()
            if found is None:
                raise Rejected("not-yours")
            return askers.begin_session(
                connection, f"provider:{name}", journal, mark, self._wall_s(), software
            )

        return self.write(begin)

    def end_session(self, asker: SessionRef) -> Deferred[bool]:
        def end(connection: Connection) -> bool:
            ended = askers.end_session(connection, asker, self._wall_s())
            if ended and not askers.owes_nothing(connection, asker.identity):
                self._deciding.note_link(connection, asker.identity, LINK_DOWN)
            return ended

        return self.write(end)

    def open_keys_of_lost(self, identity: str) -> Deferred[list[tuple[str, list[askers.OpenKey]]]]:
        return self.read(lambda c: askers.open_keys_of_lost(c, identity))

    def lost_reservations(self) -> Deferred[list[Row]]:
        """Open keys of lost journals."""
        return self.read(lambda c: lost_keys.read_lost(c, "replica."))

    def settle_lost(self, key: str) -> Deferred[Receipt]:
        """One of them was printed, an administrator says; raises as find_lost does."""

        def settle(connection: Connection) -> Receipt:
            lost = lost_keys.find_lost(connection, key)
            done = lost_keys.completion_of(connection, "replica.", lost, self._wall_s())
            return self._deciding.settle(connection, done)

        return self.write(settle)

    def void_lost(self, key: str) -> Deferred[None]:
        """One of them was not printed."""

        def void(connection: Connection) -> None:
            lost = lost_keys.find_lost(connection, key)
            lost_keys.void_lost(connection, lost, self._deciding.void)

        return self.write(void)

    def count_unseen(self, elapsed_s: float) -> Deferred[list[str]]:
        def count(connection: Connection) -> list[str]:
            askers.add_absence(connection, elapsed_s)
            for completion in runs.abandoned(connection, self._wall_s()):
                self._deciding.settle(connection, completion)
            return askers.end_unseen(connection, self._deciding.void)

        return self.write(count)

    def provider_settings(self, name: str) -> Deferred[ProviderSettings]:
        return self.read(lambda c: read_provider_settings(c, name))

    def explain(self, word: str) -> Deferred[list[Row]]:
        """What this site knows of the charges that ``word`` names; raises NotFound."""
        return self.read(lambda c: explain_here(c, word))

    def quote(
        self, document: Document, user: str, printer: str, account: str = ""
    ) -> Deferred[Row]:
        """What ``document`` would cost now, by the replica; raises NotFound, Rejected."""
        return self.read(lambda c: quote_here(c, document, user, printer, self._dated_s(), account))

    def printer_id(self, name: str) -> Deferred[int]:
        """The printer called ``name`` in the replica; raises NotFound."""

        def find(connection: Connection) -> int:
            found = connection.execute(
                "SELECT id FROM replica.printer WHERE name = ? AND removed = 0", (name,)
            ).fetchone()
            if found is None:
                raise NotFound("printer", name)
            return int(found[0])

        return self.read(find)

    def revoked_serials(self) -> Deferred[list[str]]:
        return self.read(
            lambda c: [row[0] for row in c.execute("SELECT serial FROM replica.revocation")]
        )

    def revoked_providers(self) -> Deferred[list[tuple[str, str]]]:
        return self.read(
            lambda c: c.execute(
                "SELECT name, serial FROM replica.revocation WHERE role = 'provider'"
            ).fetchall()
        )

    def login_by_name(self, name: str) -> Deferred[Login | None]:
        return self.read(lambda c: find_by_name(c, "replica.", name)).addCallback(self._at_now)

    def login_by_card(self, number: str) -> Deferred[Login | None]:
        return self.read(lambda c: owner_here(c, number)).addCallback(self._at_now)

    def _at_now(self, login: Login | None) -> Login | None:
        return None if login is None else login.at(self._dated_s())

    def link_card(self, user: int, number: str, claim: str) -> Deferred[str]:
        """Journal that the card is theirs: ``claimed``, or ``already``; Rejected ``card-taken``."""
        return self.write(lambda c: self._deciding.claim_card(c, claim, user, number))

    def redeem_voucher(self, id: str, serial: str, name: str) -> Deferred[RedeemedHere]:
        """Journal it; raises as ``redeem_here`` does."""
        dated_s, wall_s = self._dated_s(), self._wall_s()
        return self.write(lambda c: redeem_here(c, id, serial, name, dated_s, wall_s))

    def voucher_state(self, id: str) -> Deferred[str]:
        return self.read(lambda c: read_state(c, id))

    def notices(self, user: int) -> Deferred[list[str]]:
        return self.read(lambda c: find_notices(c, "replica.", user))

    def lockouts(self) -> Deferred[list[tuple[LockedUser, float]]]:
        now_s, read = self._dated_s(), lockouts_here.read_locked
        return self.read(lambda c: [(one, one.lockout.left_s(now_s)) for one in read(c)])

    def lock_out(self, user: int, failures: int, key: str) -> Deferred[None]:
        """One record, whatever the number of guesses."""
        dated_s, wall_s = self._dated_s(), self._wall_s()
        return self.write(lambda c: lockouts_here.lock_out(c, key, user, failures, dated_s, wall_s))

    def unlock(self, user: int, key: str) -> Deferred[None]:
        """At this site."""
        dated_s, wall_s = self._dated_s(), self._wall_s()
        return self.write(lambda c: lockouts_here.unlock(c, key, user, dated_s, wall_s))

    def purse(self, account: int) -> Deferred[Purse]:
        return self.read(lambda c: read_purse(c, account, self._dated_s()))

    def begin_device(
        self, name: str, journal: str, mark: Mark, software: str
    ) -> Deferred[askers.Seen]:
        """A device's handshake; raises Rejected ``journal-behind`` or ``not-yours``."""

        def begin(connection: Connection) -> askers.Seen:
            if find_site_device(connection, name) is None:
                raise Rejected("not-yours")
            return askers.begin_session(
                connection, f"device:{name}", journal, mark, self._wall_s(), software
            )

        return self.write(begin)

    def note_pages(self, grant: Grant, pages: int) -> Deferred[None]:
        """The last page event of a run, for a device that never comes back."""
        return self.write(lambda c: runs.note_pages(c, grant, pages))

    def secret(self, name: str) -> Deferred[str | None]:
        return self.read(lambda c: read_secret(c, "replica.", name))

    def shared_accounts(
        self, user: int, find: str, after: str, count_max: int
    ) -> Deferred[list[Chargeable]]:
        now = self._dated_s()
        return self.read(
            lambda c: find_shared_accounts(c, "replica.", user, find, after, count_max, now)
        )

    def chargeable(self, user: int, account: int) -> Deferred[Chargeable | None]:
        now = self._dated_s()
        return self.read(lambda c: find_shared_account(c, "replica.", user, account, now))

    def account_by_pin(self, user: int, pin: str) -> Deferred[list[Chargeable]]:
        now = self._dated_s()
        return self.read(lambda c: find_by_pin(c, "replica.", user, pin, now))

    def device(self, name: str) -> Deferred[Device | None]:
        return self.read(lambda c: find_site_device(c, name))

    # Drills.

    def begin_drill(self) -> Deferred[None]:
        return self.write(lambda c: drills.begin_drill(c, self._wall_s()))

    def note_drill_asked(self, key: str, answer: Decision) -> Deferred[None]:
        """A step that was asked at the application server after all."""
        return self.write(lambda c: drills.note_asked(c, key, answer, self._wall_s()))

    def end_drill(self, reason: str) -> Deferred[bool]:
        """False when there is none to end."""
        return self.write(lambda c: drills.end_drill(c, reason, self._wall_s()))

    def drill(self) -> Deferred[drills.DrillRead | None]:
        """The newest drill."""
        return self.read(drills.read_drill)

    def lag(self) -> Deferred[dict[str, float | None]]:
        return self.read(read_lag)

    def verify(self, progress: Progress = lambda figures: None) -> Deferred[list[str]]:
        return self.read(lambda c: verify_site(c, progress))

    def replica_range(
        self,
        table: str,
        after: int | str | None,
        until: int | str | None,
        count_max: int | None = None,
        version: int | None = None,
    ) -> Deferred[RangeDigest]:
        """What the replica holds there, the first ``count_max`` rows at the most.

        Of their columns those that who speaks ``version`` knows; None: all.
        """
        spec = find_table(table, version)
        source = f"{replica.IN_FORCE}.{table}"
        return self.read(lambda c: read_range(c, (source, spec), after, until, count_max))

    def lacking(self) -> Deferred[list[dict[str, Any]]]:
        """Rules of the replica that this release cannot evaluate."""
        return self.read(lambda c: read_lacking(c, self._wall_s(), f"{replica.IN_FORCE}."))

    def revocations(self) -> Deferred[list[dict[str, Any]]]:
        """The certificates revoked last, at most 20."""
        return self.read(
            lambda c: [
                {"role": role, "name": name, "at": at}
                for role, name, at in c.execute(
                    "SELECT role, name, revoked_at FROM replica.revocation"
                    " ORDER BY revoked_at DESC, serial LIMIT 20"
                )
            ]
        )

    def drop_illegible(self, table: str) -> Deferred[list[str]]:
        """Take rows away whose key is no text any more: nothing else can name them."""
        return self._writer.submit(lambda c: replica.drop_illegible(c, TABLES[table]), REPLICA)

    # Decisions.

    def stored(self, asker: SessionRef, request: Request) -> Deferred[Decision | None]:
        """The stored answer to a key, held by ``asker`` from now on; None: not decided yet."""
        return self.write(lambda c: self._deciding.stored(c, asker, request))

    def decide(self, asker: SessionRef, request: Request, soft: bool = True) -> Deferred[Decision]:
        """The stored answer, else this site's own from replica and overlay.

        With ``soft`` False a refusal that the application server might not give is
        not stored but returned with no hold, so that it may still be asked.
        """

        def decide(connection: Connection) -> Decision:
            stored = self._deciding.stored(connection, asker, request)
            if stored is not None:
                return stored
            decision = self._deciding.decide(connection, request)
            if soft or decision.allowed:
                self._deciding.keep(connection, asker, request, decision, "own")
            return decision

        return self.write(decide)

    def adopt(self, asker: SessionRef, request: Request, answer: Decision) -> Deferred[Decision]:
        """Make the application server's ``answer`` ours, unless the key was decided meanwhile.

        When it was, the answer is late: a ``superseded`` record gives it back.
        """

        def adopt(connection: Connection) -> Decision:
            stored = self._deciding.stored(connection, asker, request)
            if stored is None:
                self._deciding.keep(connection, asker, request, answer, "application")
                return answer
            self._deciding.supersede(connection, request.key, answer)
            return stored

        return self.write(adopt)

    def supersede(self, key: str, answer: Decision) -> Deferred[None]:
        """The application server's ``answer`` to ``key`` came after we had decided."""
        return self.write(lambda c: self._deciding.supersede(c, key, answer))

    def complete(self, asker: SessionRef, completion: Completion) -> Deferred[Receipt]:
        """Journal what was printed; it always is."""
        return self.write(lambda c: self._deciding.complete(c, asker, completion))

    def cancel(self, asker: SessionRef, key: str, reason: str) -> Deferred[None]:
        """``asker`` will not use that answer; raises Rejected ``settled``."""

        def cancel(connection: Connection) -> None:
            askers.check_session(connection, asker)
            found = connection.execute(
                "SELECT provider, state FROM decision WHERE key = ?", (key,)
            ).fetchone()
            if found is None:
                return
            if found[0] != asker.name:
                raise Rejected("not-yours")
            if found[1] == "settled":
                raise Rejected("settled")
            askers.release(connection, key, asker.identity, self._deciding.void)

        return self.write(cancel)

    def open_keys(self, asker: SessionRef, keys: Sequence[str]) -> Deferred[int]:
        """The whole list of a provider's open keys; the number of holds that ended."""

        def compare(connection: Connection) -> int:
            askers.check_session(connection, asker)
            settle, void = self._deciding.settle, self._deciding.void
            dropped = runs.compare(connection, asker, keys, self._wall_s(), settle, void)
            self._deciding.note_link(connection, asker.identity, LINK_REPORTED)
            passing("open-compared")
            return dropped

        return self.write(compare)

    def overlay(self, account: int) -> Deferred[Overlay | None]:
        return self.read(lambda c: read_overlay(c, account))

    # The journal, upwards.

    def journal_after(self, mark: Mark, records_max: int, bytes_max: int) -> Deferred[JournalBatch]:
        """Records after ``mark`` of the current stream, at least one where there is one."""
        return self.read(lambda c: read_journal(c, mark, records_max, bytes_max))

    def acknowledged(self, stream: str, mark: Mark) -> Deferred[bool]:
        """The application server has applied our stream up to ``mark``.

        False when the chain there is not ours: then nothing is marked.
        """

        def acknowledge(connection: Connection) -> bool:
            own = connection.execute("SELECT stream, acked FROM identity").fetchone()
            if own[0] != stream or read_chain(connection, mark.number) != mark.chain:
                return False
            if mark.number > own[1]:
                connection.execute(
                    "UPDATE identity SET acked = ?, acked_chain = ?", (mark.number, mark.chain)
                )
            return True

        return self.write(acknowledge)

    def rewind(self, mark: Mark) -> Deferred[bool]:
        """Send again from ``mark``; False when the chain there is not ours."""

        def rewind(connection: Connection) -> bool:
            if read_chain(connection, mark.number) != mark.chain:
                return False
            connection.execute(
                "UPDATE identity SET acked = ?, acked_chain = ?", (mark.number, mark.chain)
            )
            return True

        return self.write(rewind)

    def take_new_stream(self, stream: str) -> Deferred[None]:
        """Begin a new stream: the old one was restored, cloned or lost (design 4.12).

        Old records are kept under their stream's name; what they charged is
        written again, as the same keys, into the new stream.
        """

        def begin(connection: Connection) -> None:
            if self._anchor is not None:
                self._anchor.arm()
            (old,) = connection.execute("SELECT stream FROM identity").fetchone()
            bodies = [
                row[0]
                for row in connection.execute(
                    "SELECT body FROM journal WHERE stream = ? ORDER BY number", (old,)
                )
            ]
            connection.execute("DELETE FROM journal")
            # What the old stream was granted stays with it, until it is retired.
            connection.execute("DELETE FROM allowance")
            connection.execute(
                "UPDATE identity SET stream = ?, number = 0, chain = ?, acked = 0,"
                " acked_chain = ?, replaces = ?, reported_timeline = 0",
                (stream, CHAIN_START, CHAIN_START, old),
            )
            for body in bodies:
                number = append_body(connection, body, self._wall_s())
                key = msgspec.json.decode(body)["key"]
                connection.execute(
                    "UPDATE decision SET number = ? WHERE key = ? AND number > 0", (number, key)
                )
                for table in ("card_claim", "voucher_here"):
                    connection.execute(f"UPDATE {table} SET number = ? WHERE id = ?", (number, key))
            passing("stream-begins")

        return self.write(begin)

    def give_back(self, users: Sequence[int], amount_e4: int) -> Deferred[int]:
        """Journal that so much of what is held of a person goes back, as far as it is there.

        ``users``: the person and those merged into it. The record's number; 0: nothing was left.
        """
        return self.write(lambda c: self._deciding.give_back(c, users, amount_e4))

    def give_back_unneeded(self) -> Deferred[int]:
        """Give back what is held of people for whom another policy than STRICT is in force."""
        return self.write(self._deciding.give_back_unneeded)

    def tell_allowances(self) -> Deferred[bool]:
        """Journal the totals of all allowances, once for each timeline; whether it was due."""
        return self.write(self._deciding.tell_allowances)

    def salvage(self, bodies: Sequence[str]) -> Deferred[None]:
        """Records of a journal that was set aside, written again into this stream.

        The application server posts each key once, whichever stream it came by.
        """

        def append(connection: Connection) -> None:
            for body in bodies:
                append_body(connection, body, self._wall_s())

        return self.write(append)

    def open_at_application(self) -> Deferred[list[str]]:
        """Keys whose answer we took from it and whose record it has not acknowledged."""
        return self.read(
            lambda c: [
                row[0]
                for row in c.execute(
                    "SELECT key FROM decision WHERE origin = 'application' AND state <> 'refused'"
                    " AND (number = 0 OR number > (SELECT acked FROM identity)) ORDER BY key"
                )
            ]
        )

    # The replica, downwards.

    def apply_changes(
        self, after: int, rows: Iterable[Sequence[Any]], position: Position, committed_at: float
    ) -> Deferred[None]:
        """Apply one batch; raises Rejected ``gap`` unless it follows the replica's position."""

        def apply(connection: Connection) -> None:
            own = replica.read_position(connection)
            if own is None or own.number != after or position.number <= after:
                raise Rejected("gap")
            replica.apply_batch(connection, rows, position, committed_at, self._wall_s())

        return self._writer.submit(apply, REPLICA)

    def begin_snapshot(self) -> Deferred[tuple[str, int]]:
        """Attach the incoming replica; (snapshot, next chunk) of an interrupted one."""

        def begin(connection: Connection) -> tuple[str, int]:
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            if not replica.is_attached(connection, replica.INCOMING):
                replica.attach(connection, self._files, number + 1, replica.INCOMING)
            return replica.snapshot_progress(connection)

        return self._writer.submit(begin, BARE)

    def restart_snapshot(self) -> Deferred[None]:
        """Throw the incoming replica away and begin another."""

        def restart(connection: Connection) -> None:
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            replica.drop(connection, self._files, number + 1, replica.INCOMING)
            replica.attach(connection, self._files, number + 1, replica.INCOMING)

        return self._writer.submit(restart, BARE)

    def load_chunk(
        self, snapshot: str, index: int, rows: Iterable[Sequence[Any]]
    ) -> Deferred[None]:
        return self._writer.submit(lambda c: replica.load_chunk(c, snapshot, index, rows), REPLICA)

    def places(self, above: int, below: int | None, count_max: int) -> Deferred[list[Mark]]:
        """Places of the replica's history between two numbers, evenly spaced, in order."""
        return self.read(lambda c: read_places(c, above, below, count_max))

    async def finish_snapshot(
        self, position: Position, version: int = 1, common: int | None = None
    ) -> int:
        """Put the incoming replica, which came by ``version``, in force; the old one served
        until now.

        ``common``: the newest change that the application server's history shares with the
        old one's; what the old one has beyond it is journalled. How many records that made.
        """
        await self._writer.submit(replica.make_durable, BARE)
        await self._writer.submit(lambda c: replica.finish_snapshot(c, position, version), REPLICA)
        passing("snapshot-whole")

        def name(connection: Connection) -> int:
            records = 0
            if common is not None:
                records = journal_lost_edits(connection, position, common, self._wall_s())
            replica.name_incoming(connection)
            return records

        records = await self.write(name)
        passing("snapshot-named")
        await self._writer.submit(lambda c: replica.swap(c, self._files), BARE)
        passing("snapshot-in-force")
        return records

    def seal_rows(self, place: sealing.Place | None) -> Deferred[sealing.Place | None]:
        """Seal some more rows of the replica in force; None: all are. Begin with None."""
        return self._writer.submit(lambda c: sealing.seal_some(c, place), REPLICA)


def read_provider_settings(connection: Connection, name: str) -> ProviderSettings:
    """What ``* CONFIG`` says, from the replica."""
    provider, preferred, site = connection.execute(
        "SELECT id, preferred, site FROM replica.provider WHERE name = ?", (name,)
    ).fetchone()
    return ProviderSettings(
        printers=[
            PrinterSettings(*row)
            for row in connection.execute(
                f"SELECT {PRINTER_COLUMNS} FROM replica.printer"
                " WHERE provider = ? AND removed = 0 ORDER BY id",
                (provider,),
            )
        ],
        site=connection.execute(
            "SELECT name, host, port FROM replica.site WHERE id = ? AND removed = 0", (site,)
        ).fetchone(),
        preferred=preferred,
        price_version=connection.execute(
            "SELECT COALESCE(MAX(version), 0) FROM replica.price"
        ).fetchone()[0],
        retired=[
            row[0]
            for row in connection.execute(
                "SELECT id FROM replica.stream WHERE state <> 'live' ORDER BY id"
            )
        ],
        revoked=[
            row[0]
            for row in connection.execute(
                "SELECT serial FROM replica.revocation WHERE role = 'site' LIMIT 500"
            )
        ],
        account_choice_timeout_s=read_choice_timeout_s(connection, "replica.", site),
    )

"""A site's store: its journal, its replica, and the decisions it takes from both.

The journal is never replaced; the replica is a copy and may be. All of it runs
on the journal's one writer; a batch of operations touches one database only,
so that a crash never leaves half of a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from papercutd.domain.chain import CHAIN_START, MARK_START, Mark, Position, next_chain
from papercutd.domain.decision import (
    APPLICATION,
    Decision,
    Policy,
    Reason,
    SiteMoney,
    Verdict,
    decide_cut,
)
from papercutd.domain.document import correct_pages
from papercutd.domain.job import (
    Completion,
    Receipt,
    Request,
    SessionRef,
    fold_user_name,
    is_release,
)
from papercutd.domain.pricing import (
    PriceLine,
    PriceList,
    price_document,
    reprice_pages,
    total_e4,
    total_pages,
)
from papercutd.errors import NotFound, Rejected
from papercutd.storage import askers, replica
from papercutd.storage.directory import cap_of, decode_prices
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.listings import read_lag
from papercutd.storage.overlay import Overlay, read_overlay, replicated_mark
from papercutd.storage.people import (
    Device,
    Login,
    find_by_card,
    find_by_name,
    find_site_device,
)
from papercutd.storage.records import (
    CANCELED,
    COMPLETED,
    REFUSED,
    SUPERSEDED,
    Record,
    encode_record,
)
from papercutd.storage.values import (
    PRINTER_COLUMNS,
    JournalBatch,
    PrinterSettings,
    ProviderSettings,
    SiteIdentity,
)
from papercutd.storage.writer import BARE, SqliteWriter

T = TypeVar("T")
SCHEMA = "journal"
#: The group of operations that write the replica only.
REPLICA = "replica"
_ENCODE = msgspec.json.Encoder().encode
_DECODE_DECISION = msgspec.json.Decoder(Decision).decode
_DECODE_REQUEST = msgspec.json.Decoder(Request).decode


def create_site(connection: sqlite3.Connection, site: str, stream: str) -> None:
    """Fill an empty journal with its identity."""
    connection.execute(
        "INSERT OR IGNORE INTO identity (one, site, stream, number, chain, acked_chain)"
        " VALUES (1, ?, ?, 0, ?, ?)",
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
    ) -> None:
        self._writer = writer
        self._files = files
        self._wall_s = wall_s

    def write(self, operation: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        return self._writer.submit(operation)

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        return self._writer.submit(operation, BARE)

    async def close(self) -> None:
        await self._writer.close()

    def start(self) -> Deferred[None]:
        """Attach the replica in force; no session of an earlier run is alive."""

        def start(connection: sqlite3.Connection) -> None:
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            attached = {row[1] for row in connection.execute("PRAGMA database_list")}
            if replica.IN_FORCE not in attached:
                replica.attach(connection, self._files, number, replica.IN_FORCE)
            askers.disconnect_all(connection)

        return self._writer.submit(start, BARE)

    def identity(self) -> Deferred[SiteIdentity]:
        return self.read(read_identity)

    # Sessions of providers.

    def begin_provider(
        self, name: str, journal: str, mark: Mark, software: str
    ) -> Deferred[askers.Seen]:
        """A provider's handshake; raises Rejected ``journal-behind`` or ``not-yours``."""

        def begin(connection: sqlite3.Connection) -> askers.Seen:
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
        return self.write(lambda c: askers.end_session(c, asker, self._wall_s()))

    def open_keys_of_journal(self, identity: str, journal: str) -> Deferred[list[tuple[str, str]]]:
        return self.read(lambda c: askers.open_keys_of_journal(c, identity, journal))

    def count_unseen(self, elapsed_s: float) -> Deferred[list[str]]:
        return self.write(lambda c: askers.count_unseen(c, elapsed_s, self._void))

    def provider_settings(self, name: str) -> Deferred[ProviderSettings]:
        return self.read(lambda c: read_provider_settings(c, name))

    def printer_id(self, name: str) -> Deferred[int]:
        """The printer called ``name`` in the replica; raises NotFound."""

        def find(connection: sqlite3.Connection) -> int:
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

    def login_by_name(self, name: str) -> Deferred[Login | None]:
        return self.read(lambda c: find_by_name(c, "replica.", name))

    def login_by_card(self, number: str) -> Deferred[Login | None]:
        return self.read(lambda c: find_by_card(c, "replica.", number))

    def device(self, name: str) -> Deferred[Device | None]:
        return self.read(lambda c: find_site_device(c, name))

    def lag(self) -> Deferred[dict[str, float | None]]:
        return self.read(read_lag)

    def verify(self) -> Deferred[list[str]]:
        return self.read(verify_journal)

    # Decisions.

    def stored(self, asker: SessionRef, request: Request) -> Deferred[Decision | None]:
        """The stored answer to a key, held by ``asker`` from now on; None: not decided yet."""
        return self.write(lambda c: self._stored(c, asker, request))

    def decide(self, asker: SessionRef, request: Request, soft: bool = True) -> Deferred[Decision]:
        """The stored answer, else this site's own from replica and overlay.

        With ``soft`` False a refusal that the application server might not give is
        not stored but returned with no hold, so that it may still be asked.
        """

        def decide(connection: sqlite3.Connection) -> Decision:
            stored = self._stored(connection, asker, request)
            if stored is not None:
                return stored
            decision = self._decide(connection, request)
            if soft or decision.allowed:
                self._keep(connection, asker, request, decision, "own")
            return decision

        return self.write(decide)

    def adopt(self, asker: SessionRef, request: Request, answer: Decision) -> Deferred[Decision]:
        """Make the application server's ``answer`` ours, unless the key was decided meanwhile.

        When it was, the answer is late: a ``superseded`` record gives it back.
        """

        def adopt(connection: sqlite3.Connection) -> Decision:
            stored = self._stored(connection, asker, request)
            if stored is None:
                self._keep(connection, asker, request, answer, "application")
                return answer
            self._supersede(connection, request.key, answer)
            return stored

        return self.write(adopt)

    def supersede(self, key: str, answer: Decision) -> Deferred[None]:
        """The application server's ``answer`` to ``key`` came after we had decided."""
        return self.write(lambda c: self._supersede(c, key, answer))

    def complete(self, asker: SessionRef, completion: Completion) -> Deferred[Receipt]:
        """Journal what was printed; it always is."""
        return self.write(lambda c: self._complete(c, asker, completion))

    def cancel(self, asker: SessionRef, key: str, reason: str) -> Deferred[None]:
        """``asker`` will not use that answer; raises Rejected ``settled``."""

        def cancel(connection: sqlite3.Connection) -> None:
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
            askers.release(connection, key, asker.identity, self._void)

        return self.write(cancel)

    def open_keys(self, asker: SessionRef, keys: Sequence[str]) -> Deferred[int]:
        """The whole list of a provider's open keys; the number of holds that ended."""

        def compare(connection: sqlite3.Connection) -> int:
            askers.check_session(connection, asker)
            return askers.release_unlisted(connection, asker, keys, self._void)

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

        def acknowledge(connection: sqlite3.Connection) -> bool:
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

        def rewind(connection: sqlite3.Connection) -> bool:
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

        def begin(connection: sqlite3.Connection) -> None:
            (old,) = connection.execute("SELECT stream FROM identity").fetchone()
            bodies = [
                row[0]
                for row in connection.execute(
                    "SELECT body FROM journal WHERE stream = ? ORDER BY number", (old,)
                )
            ]
            connection.execute("DELETE FROM journal")
            connection.execute(
                "UPDATE identity SET stream = ?, number = 0, chain = ?, acked = 0,"
                " acked_chain = ?, replaces = ?",
                (stream, CHAIN_START, CHAIN_START, old),
            )
            for body in bodies:
                number = self._append_body(connection, body)
                key = msgspec.json.decode(body)["key"]
                connection.execute(
                    "UPDATE decision SET number = ? WHERE key = ? AND number > 0", (number, key)
                )

        return self.write(begin)

    def salvage(self, bodies: Sequence[str]) -> Deferred[None]:
        """Records of a journal that was set aside, written again into this stream.

        The application server posts each key once, whichever stream it came by.
        """

        def append(connection: sqlite3.Connection) -> None:
            for body in bodies:
                self._append_body(connection, body)

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

        def apply(connection: sqlite3.Connection) -> None:
            own = replica.read_position(connection)
            if own is None or own.number != after:
                raise Rejected("gap")
            replica.apply_batch(connection, rows, position, committed_at, self._wall_s())

        return self._writer.submit(apply, REPLICA)

    def begin_snapshot(self) -> Deferred[tuple[str, int]]:
        """Attach the incoming replica; (snapshot, next chunk) of an interrupted one."""

        def begin(connection: sqlite3.Connection) -> tuple[str, int]:
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            attached = {row[1] for row in connection.execute("PRAGMA database_list")}
            if replica.INCOMING not in attached:
                replica.attach(connection, self._files, number + 1, replica.INCOMING)
            return replica.snapshot_progress(connection)

        return self._writer.submit(begin, BARE)

    def restart_snapshot(self) -> Deferred[None]:
        """Throw the incoming replica away and begin another."""

        def restart(connection: sqlite3.Connection) -> None:
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            connection.execute("DETACH DATABASE incoming")
            self._files.remove(number + 1)
            replica.attach(connection, self._files, number + 1, replica.INCOMING)

        return self._writer.submit(restart, BARE)

    def load_chunk(
        self, snapshot: str, index: int, rows: Iterable[Sequence[Any]]
    ) -> Deferred[None]:
        return self._writer.submit(lambda c: replica.load_chunk(c, snapshot, index, rows), REPLICA)

    async def finish_snapshot(self, position: Position) -> None:
        """Put the incoming replica in force; the old one served until now."""
        await self._writer.submit(lambda c: replica.finish_snapshot(c, position), REPLICA)
        await self.write(lambda c: c.execute("UPDATE identity SET replica = replica + 1"))

        def swap(connection: sqlite3.Connection) -> None:
            (number,) = connection.execute("SELECT replica FROM identity").fetchone()
            connection.execute("DETACH DATABASE incoming")
            connection.execute("DETACH DATABASE replica")
            self._files.remove(number - 1)
            replica.attach(connection, self._files, number, replica.IN_FORCE)

        await self._writer.submit(swap, BARE)

    # Steps of the journal's transactions.

    def _stored(
        self, connection: sqlite3.Connection, asker: SessionRef, request: Request
    ) -> Decision | None:
        askers.check_session(connection, asker)
        found = connection.execute(
            "SELECT provider, state, body FROM decision WHERE key = ?", (request.key,)
        ).fetchone()
        if found is None:
            other = connection.execute(
                "SELECT 1 FROM decision WHERE key > ? AND key < ? AND provider <> ? LIMIT 1",
                (f"{request.job}/", f"{request.job}0", request.provider),
            ).fetchone()
            if other is not None:
                raise Rejected("not-yours")
            return None
        if found[0] != request.provider:
            raise Rejected("not-yours")
        if found[1] in ("voided", "settled"):
            raise Rejected(found[1])
        if found[1] == "open":
            askers.hold(connection, request.key, asker)
        return _DECODE_DECISION(found[2])

    def _decide(self, connection: sqlite3.Connection, request: Request) -> Decision:
        """This site's own answer (design 4.10); nothing is written."""
        identity = connection.execute("SELECT site, stream FROM identity").fetchone()
        owner = connection.execute(
            "SELECT p.name, r.release <> 'immediate' FROM replica.printer AS r"
            " JOIN replica.provider AS p ON p.id = r.provider WHERE r.id = ? AND r.removed = 0",
            (request.printer,),
        ).fetchone()
        if owner is None:
            raise Rejected("unknown-printer")
        if owner[0] != request.provider:
            raise Rejected("not-yours")
        waits = bool(owner[1])
        position = replica.read_position(connection)
        prices, capable = _prices_now(connection, self._wall_s())
        decision = Decision(
            verdict=Verdict.HOLD,
            reason=Reason.UNKNOWN_USER,
            decider=identity[1],
            user=None,
            account=None,
            printer=request.printer,
            price_version=prices.version,
            lines=price_document(request.document, prices),
            position="" if position is None else position.text,
        )
        person = connection.execute(
            "SELECT id, account, disabled FROM replica.user WHERE folded = ?",
            (fold_user_name(request.user_name),),
        ).fetchone()
        if not capable:
            return attrs.evolve(decision, reason=Reason.CAPABILITY)
        if person is None:
            return decision
        account = _payer(connection, person[1], request.account)
        decision = attrs.evolve(decision, user=person[0], account=account)
        if person[2]:
            return attrs.evolve(decision, reason=Reason.CLOSED)
        if waits and not is_release(request.step):
            return attrs.evolve(decision, reason=Reason.RELEASE)
        overlay = read_overlay(connection, account)
        if overlay is None:
            return decision
        money = _site_money(connection, identity[0], prices, overlay)
        verdict, reason = decide_cut(overlay.funds, money, decision.amount_e4)
        return attrs.evolve(decision, verdict=verdict, reason=reason)

    def _keep(
        self,
        connection: sqlite3.Connection,
        asker: SessionRef,
        request: Request,
        decision: Decision,
        origin: str,
    ) -> None:
        state = "open" if decision.allowed else "refused"
        number = 0
        # That a job waits for its person is no news for the job log.
        is_news = not decision.allowed and decision.reason is not Reason.RELEASE
        if is_news and origin == "own":
            number = self._append(
                connection,
                Record(REFUSED, request.key, *self._now(connection), None, request, decision),
            )
        connection.execute(
            "INSERT INTO decision (key, provider, job_uuid, user, account, reserved_e4, state,"
            " origin, body, request, number, decided_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(request.key, request.provider, request.job_uuid, decision.user),
                *(decision.account, decision.amount_e4 if decision.allowed else 0, state, origin),
                *(_ENCODE(decision), _ENCODE(request), number, self._wall_s()),
            ),
        )
        if decision.allowed:
            askers.hold(connection, request.key, asker)

    def _complete(
        self, connection: sqlite3.Connection, asker: SessionRef, completion: Completion
    ) -> Receipt:
        askers.check_session(connection, asker)
        key = completion.key
        found = connection.execute(
            "SELECT provider, state, reserved_e4, pages, body FROM decision WHERE key = ?", (key,)
        ).fetchone()
        if found is not None and found[0] != completion.provider:
            raise Rejected("not-yours")
        if found is not None and found[1] == "settled":
            return Receipt("already", found[2], found[3])
        decision = _DECODE_DECISION(found[4]) if found is not None else completion.decision
        if decision is None:
            raise Rejected("not-allowed", "a tracker's record is for the application server")
        completion = attrs.evolve(completion, decision=decision)
        record = Record(COMPLETED, key, *self._now(connection), completion)
        number = self._append(connection, record)
        lines = _final_lines(completion, decision)
        amount_e4, pages = total_e4(lines), total_pages(lines)
        if found is None:
            connection.execute(
                "INSERT INTO decision (key, provider, job_uuid, user, account, reserved_e4,"
                " state, origin, body, request, pages, number, decided_at)"
                " VALUES (?, ?, ?, ?, ?, ?, 'settled', 'own', ?, x'', ?, ?, ?)",
                (
                    *(key, completion.provider, completion.job_uuid, decision.user),
                    *(decision.account, amount_e4, _ENCODE(decision), pages, number),
                    self._wall_s(),
                ),
            )
        else:
            connection.execute(
                "UPDATE decision SET state = 'settled', reserved_e4 = ?, pages = ?, number = ?"
                " WHERE key = ?",
                (amount_e4, pages, number, key),
            )
            askers.release_all(connection, key)
        return Receipt("journalled", amount_e4, pages)

    def _void(self, connection: sqlite3.Connection, key: str) -> None:
        """Nobody holds ``key`` here: it reserves no more, and the application server is told."""
        found = connection.execute(
            "SELECT request, body FROM decision WHERE key = ? AND state = 'open'", (key,)
        ).fetchone()
        if found is None:
            return
        record = Record(
            CANCELED,
            key,
            *self._now(connection),
            None,
            _DECODE_REQUEST(found[0]),
            _DECODE_DECISION(found[1]),
        )
        number = self._append(connection, record)
        connection.execute(
            "UPDATE decision SET state = 'voided', number = ? WHERE key = ?", (number, key)
        )

    def _supersede(self, connection: sqlite3.Connection, key: str, answer: Decision) -> None:
        if answer.allowed:
            self._append(connection, Record(SUPERSEDED, key, *self._now(connection)))

    def _now(self, connection: sqlite3.Connection) -> tuple[str, float]:
        position = replica.read_position(connection)
        return ("" if position is None else position.text, self._wall_s())

    def _append(self, connection: sqlite3.Connection, record: Record) -> int:
        return self._append_body(connection, encode_record(record))

    def _append_body(self, connection: sqlite3.Connection, body: str) -> int:
        stream, number, chain = connection.execute(
            "SELECT stream, number, chain FROM identity"
        ).fetchone()
        number += 1
        chain = next_chain(chain, body.encode())
        connection.execute(
            "INSERT INTO journal VALUES (?, ?, ?, ?, ?)",
            (number, stream, body, chain, self._wall_s()),
        )
        connection.execute("UPDATE identity SET number = ?, chain = ?", (number, chain))
        return int(number)


def read_identity(connection: sqlite3.Connection) -> SiteIdentity:
    """Who this site is and how far it has come."""
    site, stream, number, chain, acked, acked_chain, replaces = connection.execute(
        "SELECT site, stream, number, chain, acked, acked_chain, replaces FROM identity"
    ).fetchone()
    return SiteIdentity(
        site,
        stream,
        Mark(number, chain),
        Mark(acked, acked_chain),
        replaces,
        replica.read_position(connection),
    )


def read_chain(connection: sqlite3.Connection, number: int) -> str | None:
    """The chain at record ``number`` of the current stream; None: there is none such."""
    if number == 0:
        return MARK_START.chain
    found = connection.execute("SELECT chain FROM journal WHERE number = ?", (number,)).fetchone()
    return None if found is None else str(found[0])


def read_journal(
    connection: sqlite3.Connection, mark: Mark, records_max: int, bytes_max: int
) -> JournalBatch:
    """Records after ``mark``."""
    records: list[str] = []
    size = 0
    for (body,) in connection.execute(
        "SELECT body FROM journal WHERE number > ? ORDER BY number LIMIT ?",
        (mark.number, records_max),
    ):
        # Quotes and backslashes of a record double on the wire.
        size += len(body.encode()) + body.count('"') + body.count("\\") + 3
        if records and size > bytes_max:
            break
        records.append(body)
    head = connection.execute("SELECT number, chain FROM identity").fetchone()
    return JournalBatch(mark, records, Mark(*head))


def verify_journal(connection: sqlite3.Connection) -> list[str]:
    """Problems of the journal: gaps, records whose bytes were changed, another head."""
    problems = []
    chain, expected = CHAIN_START, 1
    for number, body, stored in connection.execute(
        "SELECT number, body, chain FROM journal ORDER BY number"
    ):
        if number != expected:
            problems.append(f"journal: records {expected} to {number - 1} are missing")
        chain = next_chain(chain, body.encode())
        if chain != stored:
            problems.append(f"journal: record {number} is not what was written")
            chain = stored
        expected = number + 1
    head = connection.execute("SELECT number, chain FROM identity").fetchone()
    if head != (expected - 1, chain):
        problems.append(f"journal: the head says {head[0]}, the records {expected - 1}")
    return problems


def read_provider_settings(connection: sqlite3.Connection, name: str) -> ProviderSettings:
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
    )


def _prices_now(connection: sqlite3.Connection, wall_s: float) -> tuple[PriceList, bool]:
    """The version in force and whether this release can evaluate it."""
    found = connection.execute(
        "SELECT body, needs FROM replica.price WHERE effective_from <= ?"
        " ORDER BY version DESC LIMIT 1",
        (wall_s,),
    ).fetchone()
    if found is None:
        raise Rejected("unavailable", "the replica holds no price list in force")
    return decode_prices(found[0]), found[1] == ""


def _payer(connection: sqlite3.Connection, personal: int, chosen: int | None) -> int:
    if chosen is not None:
        found = connection.execute(
            "SELECT 1 FROM replica.account WHERE id = ? AND kind = 'shared' AND closed = 0",
            (chosen,),
        ).fetchone()
        if found is not None:
            return chosen
    found = connection.execute(
        "SELECT merged_into FROM replica.account WHERE id = ?", (personal,)
    ).fetchone()
    return personal if found is None or found[0] is None else int(found[0])


def _site_money(
    connection: sqlite3.Connection, site: str, prices: PriceList, overlay: Overlay
) -> SiteMoney:
    found = connection.execute(
        "SELECT policy, cap_user_e4, deny_beyond_cap FROM replica.site WHERE name = ?", (site,)
    ).fetchone()
    policy, cap, deny = found or ("closed", 0, 0)
    return SiteMoney(
        policy=Policy(policy),
        cap_user_e4=cap_of(cap, prices.grey_a4_e4),
        unsettled_e4=overlay.unsettled_e4,
        deny_beyond_cap=bool(deny),
    )


def _final_lines(completion: Completion, decision: Decision) -> tuple[PriceLine, ...]:
    """What the application server will charge for this record, as far as a site can tell."""
    if not completion.document.analysed:
        return (PriceLine("counted by the printer", completion.pages or 0, 0),)
    pages, _ = correct_pages(total_pages(decision.lines), completion.pages)
    return reprice_pages(decision.lines, pages)


__all__ = [
    "APPLICATION",
    "JournalBatch",
    "SiteIdentity",
    "SiteStore",
    "create_site",
    "replicated_mark",
    "verify_journal",
]

"""Taking in what sites forward: each record exactly once, in order, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from papercutd.domain.capabilities import lacking
from papercutd.domain.chain import CHAIN_START, Mark, is_chain, next_chain
from papercutd.domain.job import SessionRef, is_run
from papercutd.errors import NotFound, Rejected, StorageError
from papercutd.storage.engine import DATABASE_ERRORS, REFUSALS, Connection
from papercutd.storage.history import outages
from papercutd.storage.history.alarms import list_alarms
from papercutd.storage.jobs import askers
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.jobs.plain_records import PlainRecords
from papercutd.storage.jobs.posted_rows import Source
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.allowances import Allowances
from papercutd.storage.money.voucher_claims import VoucherClaims
from papercutd.storage.people.claims import Claim, Claims
from papercutd.storage.people.lockouts import Lockouts
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.lost_edits import LostEdits
from papercutd.storage.replication.records import (
    ALLOWANCE,
    CANCELED,
    CARD_CLAIM,
    COMPLETED,
    DRILL_ASKED,
    DRILL_BEGUN,
    DRILL_ENDED,
    LINK_DOWN,
    LINK_REPORTED,
    LOCKOUT,
    LOST_EDITS,
    REFUSED,
    SUPERSEDED,
    USER_MET,
    VOUCHER,
    Record,
    decode_record,
)
from papercutd.storage.replication.scope import check_spoken_for


def is_of_the_machine(error: Exception) -> bool:
    """Whether ``error`` is the database's or the machine's, whatever the record says."""
    if isinstance(error, REFUSALS):
        return False
    return isinstance(error, DATABASE_ERRORS) or isinstance(
        error, StorageError | MemoryError | OSError
    )


def _read_record(body: str) -> Record:
    """Raises Rejected ``capability``, or as decode_record does."""
    record = decode_record(body)
    missing = lacking(record.needs)
    if missing:
        raise Rejected("capability", f"it needs {' '.join(missing)[:200]}")
    return record


def _jobs_of(record: Record) -> list[str]:
    """The jobs that ``record`` may say something of."""
    named = [record.key.partition("/")[0]]
    return named + [one.job for one in (record.completion, record.request) if one is not None]


@attrs.frozen
class StreamSeen:
    """What is known of a stream at its handshake; None mark: it is new here."""

    mark: Mark | None


@attrs.frozen
class Arrived:
    """One record as it came: by whom, and where it stands."""

    asker: SessionRef
    stream: str
    number: int
    body: str


class Intake:
    """The application server's end of every site's journal."""

    def __init__(
        self,
        log: ChangeLog,
        charging: Charging,
        allowances: Allowances,
        claims: Claims,
        lockouts: Lockouts,
        wall_s: Callable[[], float],
    ) -> None:
        self._log = log
        #: Owners whom the batch under way was found to speak for.
        self._spoken_for: set[str] = set()
        self._charging = charging
        self._allowances = allowances
        self._claims = claims
        self._lockouts = lockouts
        self._lost_edits = LostEdits(log, wall_s)
        self._vouchers = VoucherClaims(log, charging, wall_s)
        self._wall_s = wall_s
        #: The demo's deliberate fault: ``drop-ack`` or ``double-post``; empty: none.
        self.sabotage = ""

    def begin_stream(self, connection: Connection, site: str, stream: str, mark: Mark) -> Mark:
        """The stream's mark here. A site that shows another stream has its old one frozen.

        Raises Rejected ``new-stream`` for a stream that is not live or stands
        before its mark here.
        """
        site_id = self._site_id(connection, site)
        found = connection.execute(
            "SELECT site, number, chain, state FROM stream WHERE id = ?", (stream,)
        ).fetchone()
        if found is None:
            for (old,) in connection.execute(
                "SELECT id FROM stream WHERE site = ? AND state = 'live'", (site_id,)
            ).fetchall():
                connection.execute(
                    "UPDATE stream SET state = 'frozen', ended = ? WHERE id = ?",
                    (self._log.number, old),
                )
                self._log.touch("stream", old)
                self._charging.list_item(
                    connection, "stream-replaced", "", f"site:{site}", f"{old} by {stream}"
                )
            connection.execute(
                "INSERT INTO stream (id, site, chain, began_at) VALUES (?, ?, ?, ?)",
                (stream, site_id, CHAIN_START, self._wall_s()),
            )
            self._log.touch("stream", stream)
            # A drill of a journal that is gone has no end there.
            self._note_drill(connection, f"site:{site}", "up")
            return Mark(0, CHAIN_START)
        owner, number, chain, state = found
        behind = mark.number < number or (mark.number == number and mark.chain != chain)
        if owner != site_id or state != "live" or behind:
            raise Rejected("new-stream")
        if self.sabotage == "double-post":
            # The deliberate fault: everything is asked for again, and taken for new.
            return Mark(0, CHAIN_START)
        return Mark(number, chain)

    def apply(
        self,
        connection: Connection,
        asker: SessionRef,
        stream: str,
        after: int,
        chain: str,
        records: Sequence[str],
    ) -> Mark:
        """Apply the records of one batch that are new; the stream's mark after it.

        Records, postings and mark are one transaction. Raises Rejected ``gap``,
        ``chain`` or ``new-stream``; a record that cannot be applied is parked.
        """
        askers.check_session(connection, asker)
        self._spoken_for.clear()
        found = connection.execute(
            "SELECT number, chain, state FROM stream WHERE id = ?", (stream,)
        ).fetchone()
        if found is None or found[2] != "live" or stream != asker.journal:
            raise Rejected("new-stream")
        mark = Mark(found[0], found[1])
        if after > mark.number:
            raise Rejected("gap")
        if after == mark.number and chain != mark.chain:
            raise Rejected("chain")
        if not is_chain(chain):
            raise Rejected("chain")
        again = after < mark.number and self.sabotage == "double-post"
        arrived = []
        for number, body in enumerate(records, after + 1):
            chain = next_chain(chain, body.encode())
            if number == mark.number and chain != mark.chain:
                raise Rejected("chain")
            if number <= mark.number:
                if again:
                    self._charging.ignore_unique_key = True
                    self._apply_one(connection, Arrived(asker, stream, number, body))
                    self._charging.ignore_unique_key = False
                continue
            if self.sabotage != "drop-ack":
                arrived.append(Arrived(asker, stream, number, body))
            mark = Mark(number, chain)
        self._apply_all(connection, arrived)
        connection.execute(
            "UPDATE stream SET number = ?, chain = ? WHERE id = ?",
            (mark.number, mark.chain, stream),
        )
        self._log.touch("stream", stream)
        self.note_reported(connection, asker)
        return mark

    def note_reported(self, connection: Connection, asker: SessionRef) -> None:
        """``asker`` has told all it retained: it is missing from no statement.

        A site has once its journal is here up to where it stood at the handshake.
        """
        if asker.role == "site":
            found = connection.execute(
                "SELECT 1 FROM asker JOIN stream ON stream.id = asker.journal"
                " WHERE asker.identity = ? AND stream.number < asker.number",
                (asker.identity,),
            ).fetchone()
            if found is not None or self._is_in_drill(connection, asker.identity):
                return
        is_news = self._link_event(connection, asker.identity, "", "reported")
        if is_news and asker.role == "site":
            list_alarms(connection, self._log.number, self._wall_s(), asker.name, asker.journal)

    def _note_link(self, connection: Connection, asker: SessionRef, record: Record) -> None:
        role, _, name = record.key.partition(":")
        if role not in ("provider", "device"):
            raise Rejected("bad-fields", f"no link of a site: {record.key[:64]}")
        self._check_spoken_for(connection, asker.name, record.key if role == "device" else name)
        if record.kind == LINK_REPORTED:
            self._link_event(connection, record.key, asker.name, "reported")
            return
        connected = connection.execute(
            "SELECT 1 FROM asker WHERE identity = ? AND connected = 1", (record.key,)
        ).fetchone()
        # A device reports to any one server, and this one came to us meanwhile.
        if role == "provider" or connected is None:
            self._link_event(connection, record.key, asker.name, "down")

    def _note_told(self, connection: Connection, device: str) -> None:
        """A site told the end of a run. ``device`` may have left us with nothing else open.

        Then no statement waits for it: it comes back to us only when it has to.
        """
        found = connection.execute(
            "SELECT event, via FROM link_event WHERE identity = ? AND event <> 'up'"
            " ORDER BY id DESC LIMIT 1",
            (device,),
        ).fetchone()
        if found == ("down", "") and askers.owes_nothing(connection, device):
            self._link_event(connection, device, "", "reported")

    def _link_event(self, connection: Connection, identity: str, via: str, event: str) -> bool:
        """Write it down, unless it says nothing new; of a device wherever it was said."""
        found = connection.execute(
            "SELECT event FROM link_event WHERE identity = ?1 AND event <> 'up'"
            " AND (via = ?2 OR ?1 LIKE 'device:%') ORDER BY id DESC LIMIT 1",
            (identity, via),
        ).fetchone()
        if found == (event,) or (found is None and event == "reported"):
            return False
        connection.execute(
            "INSERT INTO link_event (identity, via, event, at, number) VALUES (?, ?, ?, ?, ?)",
            (identity, via, event, self._wall_s(), self._log.number),
        )
        # A statement is closed at a place of the history.
        self._log.place()
        return True

    def _is_in_drill(self, connection: Connection, identity: str) -> bool:
        found = connection.execute(
            "SELECT event FROM link_event WHERE identity = ? AND drill = 1"
            " ORDER BY id DESC LIMIT 1",
            (identity,),
        ).fetchone()
        return bool(found == ("down",))

    def _note_drill(self, connection: Connection, identity: str, event: str) -> bool:
        """A site's drill begins (``down``) or ends (``up``); False when that is no news."""
        if self._is_in_drill(connection, identity) is (event == "down"):
            return False
        connection.execute(
            "INSERT INTO link_event (identity, event, at, number, drill) VALUES (?, ?, ?, ?, 1)",
            (identity, event, self._wall_s(), self._log.number),
        )
        self._log.place()
        if event == "down":
            outages.gather(connection)
        return True

    def _apply_drill(self, connection: Connection, asker: SessionRef, record: Record) -> None:
        if record.kind == DRILL_BEGUN:
            self._note_drill(connection, asker.identity, "down")
        elif record.kind == DRILL_ENDED:
            if self._note_drill(connection, asker.identity, "up"):
                self._charging.list_item(
                    connection, DRILL_ENDED, "", asker.identity, record.key[:32]
                )
        elif record.decision is not None:
            detail = f"{record.decision.verdict.value} {record.decision.reason.value}".strip()
            self._charging.list_item(connection, DRILL_ASKED, record.key, asker.identity, detail)

    def _check_spoken_for(self, connection: Connection, site: str, owner: str) -> None:
        """As scope.check_spoken_for: no record of a batch moves anybody, so once is enough."""
        if owner not in self._spoken_for:
            check_spoken_for(connection, site, owner)
            self._spoken_for.add(owner)

    def _apply_all(self, connection: Connection, arrived: Sequence[Arrived]) -> None:
        """Apply each of them or park it; together, as long as nothing is wrong with any."""
        # No record is an administrator's act.
        with self._charging.settings_stand():
            if self._try(connection, arrived) is not None:
                for one in arrived:
                    self._apply_one(connection, one)

    def _apply_one(self, connection: Connection, arrived: Arrived) -> None:
        why = self._try(connection, [arrived])
        if why is not None:
            # Whatever a record makes us stumble over, the records behind it must come in.
            connection.execute(
                "INSERT INTO parked VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (arrived.stream, arrived.number, arrived.body, why, self._wall_s()),
            )
            self._list(connection, "parked", arrived)

    def apply_again(self, connection: Connection, arrived: Arrived) -> bool:
        """Apply a record that was parked; False: it stays so, for the reason it has now."""
        self._spoken_for.clear()
        why = self._try(connection, [arrived], again=True)
        place = (arrived.stream, arrived.number)
        if why is not None:
            connection.execute(
                "UPDATE parked SET reason = ? WHERE stream = ? AND number = ?", (why, *place)
            )
            return False
        connection.execute("DELETE FROM parked WHERE stream = ? AND number = ?", place)
        self._list(connection, "applied-later", arrived)
        return True

    def _list(self, connection: Connection, kind: str, arrived: Arrived) -> None:
        detail = f"record {arrived.number} of {arrived.stream}"
        self._charging.list_item(connection, kind, "", arrived.asker.identity, detail)

    def _try(
        self, connection: Connection, arrived: Sequence[Arrived], again: bool = False
    ) -> str | None:
        """Apply these records, or nothing of them: then why not."""
        connection.execute("SAVEPOINT record")
        mark = self._log.mark()
        try:
            records = [_read_record(one.body) for one in arrived]
            plain = None
            if len(records) > 1:
                completions = (one.completion for one in records if one.kind == COMPLETED)
                plain = self._charging.plain_records(connection, filter(None, completions))
            for one, record in zip(arrived, records, strict=True):
                if not (again and record.kind in (LINK_DOWN, LINK_REPORTED)):
                    # How a link stood then says nothing of now.
                    self._apply_record(connection, one, record, plain)
            if plain is not None:
                plain.flush()
        except Exception as error:
            # Whatever a record makes us stumble over, the records behind it must come in. What
            # the disk or the memory cannot do is not the record's fault: it comes again.
            if is_of_the_machine(error):
                raise
            connection.execute("ROLLBACK TO record")
            self._log.undo(mark)
            connection.execute("RELEASE record")
            return f"{type(error).__name__}: {error}"
        connection.execute("RELEASE record")
        return None

    def _apply_record(
        self,
        connection: Connection,
        arrived: Arrived,
        record: Record,
        plain: PlainRecords | None = None,
    ) -> None:
        asker = arrived.asker
        source = Source(asker.identity, arrived.stream, arrived.number)
        completion = record.completion if record.kind == COMPLETED else None
        if completion is not None:
            self._check_spoken_for(connection, asker.name, completion.provider)
            if plain is not None and plain.post(completion, source):
                return
        if plain is not None:
            plain.passed(*_jobs_of(record))
        if completion is not None:
            self._charging.complete(connection, completion, source)
            if is_run(completion.step):
                self._note_told(connection, completion.provider)
        elif record.kind in (CANCELED, SUPERSEDED):
            askers.release(connection, record.key, asker.identity, self._charging.void)
            if record.request is not None and record.decision is not None:
                self._check_spoken_for(connection, asker.name, record.request.provider)
                self._charging.log_job(
                    connection, record.request, record.decision, source, ended=record.kind
                )
                if is_run(record.request.step):
                    self._note_told(connection, record.request.provider)
        elif record.kind == REFUSED and record.request is not None and record.decision is not None:
            self._check_spoken_for(connection, asker.name, record.request.provider)
            self._charging.log_job(connection, record.request, record.decision, source)
        elif record.kind in (LINK_DOWN, LINK_REPORTED):
            self._note_link(connection, asker, record)
        elif record.kind in (DRILL_BEGUN, DRILL_ASKED, DRILL_ENDED):
            self._apply_drill(connection, asker, record)
        elif record.kind == ALLOWANCE:
            self._take_totals(connection, asker, record)
        elif record.kind == CARD_CLAIM and record.card is not None:
            claim = Claim(record.key, record.card.hash, record.card.user)
            self._claims.decide(connection, claim, asker.name, record.position)
        elif record.kind == LOCKOUT and record.lockout is not None:
            self._lockouts.take(connection, record, record.lockout, asker.name)
        elif record.kind == VOUCHER and record.voucher is not None:
            self._vouchers.take(connection, record, record.voucher, asker.name)
        elif record.kind == LOST_EDITS and record.lost is not None:
            self._lost_edits.take(connection, record.key, record.lost, asker.name)
        elif record.kind == USER_MET and record.met is not None:
            name = record.met.name
            self._charging.unknown.met_at_site(connection, name, asker.identity, record.key)
        else:
            raise Rejected("unknown-kind", f"no such kind of record: {record.kind[:32]}")

    def _take_totals(self, connection: Connection, asker: SessionRef, record: Record) -> None:
        """Totals of a stream of this site: its own, or one whose records it salvaged."""
        (timeline,) = connection.execute("SELECT timeline FROM head").fetchone()
        found = connection.execute("SELECT site FROM stream WHERE id = ?", (record.key,)).fetchone()
        if found is None and timeline > 1:
            # A former stream of which a restore has lost all, its grants too: nothing is held.
            return
        if found is None or found[0] != self._site_id(connection, asker.name):
            raise Rejected("not-yours")
        if record.timeline < 0:
            raise Rejected("bad-fields", "no such timeline")
        # Of a timeline that we lost to a restore nobody has told us of yet: not the last word.
        told = record.timeline if record.timeline <= timeline else 0
        entry = Entry(
            key="",
            price_version=self._charging.prices_now(connection).version,
            who=asker.identity,
            place=f"stream:{record.key}",
            claimed_at=record.at,
            received_at=self._wall_s(),
        )
        self._allowances.take_totals(connection, record.key, record.totals, told, entry)

    def _site_id(self, connection: Connection, site: str) -> int:
        found = connection.execute(
            "SELECT id FROM site WHERE name = ? AND removed = 0", (site,)
        ).fetchone()
        if found is None:
            raise NotFound("site", site)
        return int(found[0])

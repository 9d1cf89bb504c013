"""The provider's durable memory: what it accepted, asked, was told, printed and owes.

Each method is one transaction: a chained record of what happened, and the
tables that follow from it. Nothing is asked, printed or said before the record
that makes it so is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred, succeed

from papercutd.domain.chain import Mark, Position
from papercutd.domain.decision import APPLICATION, Decision
from papercutd.domain.document import Document
from papercutd.domain.job import Completion
from papercutd.points import passing
from papercutd.storage.engine import Connection
from papercutd.storage.history.retention import Ages, read_ages
from papercutd.storage.replication.asker_journal import AskerJournal, append, forget_up_to

T = TypeVar("T")
SCHEMA = "provider"
#: How long acknowledged settlements and ended jobs are kept.
_ENCODE = msgspec.json.Encoder().encode
_DOCUMENT = msgspec.json.Decoder(Document).decode
_DECISION = msgspec.json.Decoder(Decision).decode
_COMPLETION = msgspec.json.Decoder(Completion).decode
_POSITION = msgspec.json.Decoder(Position).decode
#: The settings that hold the newest position seen, and the timeline everything was offered to.
POSITION = "position"
#: ``acked`` of what a site passed on and says the application server has.
RELAYED = 2
TIMELINE = "timeline"
_COLUMNS = (
    *("job", "state", "step", "printer", "user_name", "title", "host", "copies", "duplex"),
    *("format", "path", "digest", "size", "submitted_at", "job_uuid", "spooled", "reprint_of"),
    *("document", "decision", "decider", "reason", "waited_ms", "outcome", "pages", "assumed"),
    *("phase", "release", "target", "held_at", "grey", "account"),
    *("chosen", "unanswered", "choice_due_at", "comment", "invoice"),
)


@attrs.frozen
class Spooled:
    """What a spooler said of a job whose document it keeps."""

    queue: str
    #: The spooler's number of the job.
    number: int
    #: The options as the spooler gives them to its filters: ``copies=2 sides=one-sided``.
    options: str
    #: Where the queue would print without us.
    uri: str
    content_type: str = ""
    final_content_type: str = ""
    #: Filters made of the document what goes to the printer.
    is_filtered: bool = True
    #: The number of the printer's last job before this one; None: not known.
    printer_job_before: int | None = None
    #: Sheets that the spooler prints before the documents, and after them.
    sheets: tuple[int, int] = (0, 0)


@attrs.frozen
class Job:
    """One job as the journal has it."""

    job: str
    state: str
    step: int
    printer: int
    user_name: str
    title: str
    host: str
    copies: int
    duplex: bool
    format: str
    path: str
    digest: str
    size: int
    submitted_at: float
    job_uuid: str = ""
    #: None: the document was handed in here and lies at ``path``.
    spooled: Spooled | None = None
    reprint_of: str = ""
    document: Document | None = None
    decision: Decision | None = None
    decider: str = ""
    reason: str = ""
    waited_ms: float | None = None
    outcome: str = ""
    pages: int | None = None
    assumed: bool = False
    #: What its step is for: ``submit`` or ``release``.
    phase: str = "submit"
    #: The release under way or done; empty: none.
    release: str = ""
    #: The printer that release chose; 0: the queue the job came by.
    target: int = 0
    held_at: float = 0.0
    #: The printer that its release chose prints without colour.
    grey: bool = False
    #: The shared account that its release chose; None: the person's own.
    account: int | None = None
    #: Its person was asked, and has said so: the account stands for every later step.
    chosen: bool = False
    #: They have not: its step is decided by the policy.
    unanswered: bool = False
    #: Until when they are waited for, by the wall clock; 0: they are not.
    choice_due_at: float = 0.0
    #: With ``chosen``: what they said of it.
    comment: str = ""
    #: Whether its release said that it is to be invoiced; None: it said nothing.
    invoice: bool | None = None

    @property
    def to_be_printed(self) -> Document | None:
        """The document as the printer it goes to prints it, by which it is charged."""
        if self.document is None or not self.grey:
            return self.document
        groups = tuple(attrs.evolve(group, colour=0) for group in self.document.groups)
        return attrs.evolve(self.document, groups=groups)

    @property
    def step_name(self) -> str:
        return f"{self.phase}-{self.step}"

    @property
    def where(self) -> int:
        """The printer it goes to."""
        return self.target or self.printer

    @property
    def key(self) -> str:
        return f"{self.job}/{self.step_name}"


_SPOOLED = msgspec.json.Decoder(Spooled).decode


@attrs.frozen
class Claim:
    """What the journal says to a release or a deletion.

    With ``job`` it is begun by this call, and the job is its. ``answer`` is that of an
    earlier call with the same id, or why nothing was changed; empty: under way.
    """

    answer: str
    printer: int
    job: Job | None = None
    decision: Decision | None = None


@attrs.frozen
class Owed:
    """A completion or a cancellation that a server has not acknowledged."""

    key: str
    target: str
    completion: Completion | None
    reason: str
    number: int

    @property
    def decider(self) -> str:
        """Who decided what is settled; as ``target`` where nobody did, or nothing is."""
        decision = None if self.completion is None else self.completion.decision
        return self.target if decision is None else decision.decider


@attrs.frozen
class Salvaged:
    """What a journal that was set aside still owed."""

    journal: str
    #: (key, target, completion as stored).
    completions: list[tuple[str, str, bytes]]
    #: (key, target, reason).
    cancels: list[tuple[str, str, str]]
    #: Jobs that had not ended: they have to be handed in again.
    unended: int


def read_salvaged(connection: Connection) -> Salvaged:
    """What the journal still owes."""
    (journal,) = connection.execute("SELECT journal FROM identity").fetchone()
    (unended,) = connection.execute("SELECT COUNT(*) FROM job WHERE state <> 'ended'").fetchone()
    return Salvaged(
        journal,
        connection.execute(
            "SELECT key, target, completion FROM taken WHERE acked = 0 AND completion IS NOT NULL"
        ).fetchall(),
        connection.execute("SELECT key, target, reason FROM cancel WHERE acked = 0").fetchall(),
        unended,
    )


@attrs.frozen
class LostKey:
    """An open key of a journal that this one replaces, as ``target`` told it."""

    key: str
    job_uuid: str
    target: str
    journal: str
    told_at: float
    #: What ``target`` had answered; None: it did not say.
    decision: Decision | None


@attrs.frozen
class _Record:
    """What is chained, and what follows from it in the tables."""

    what: str
    fields: dict[str, Any]
    #: Called with the connection and the number of the record.
    change: Callable[[Connection, int], None]


#: How the names of settings begin that are open keys of a lost journal.
_LOST = "lost "
#: Seconds for which they are listed, as long as servers keep what is acknowledged.
LOST_KEPT_S = 35 * 86_400.0
_LOST_KEY = msgspec.json.Decoder(LostKey).decode


class ProviderJournal(AskerJournal):
    """The journal over one writer."""

    def _write_all(self, *records: _Record) -> Deferred[None]:
        """One transaction of several records, in order."""
        written: list[Mark] = []

        def write(connection: Connection) -> None:
            for record in records:
                written.append(append(connection, record.what, record.fields, self._wall_s()))
                record.change(connection, written[-1].number)
                passing(f"write.{record.what}")

        def committed(result: None) -> None:
            self.head = written[-1]
            for record in records:
                passing(f"written.{record.what}")

        return self._writer.submit(write).addCallback(committed)

    # Jobs.

    def received(self, job: Job) -> Deferred[None]:
        """A job is ours from now on."""
        fields: dict[str, Any] = {
            "job": job.job,
            "user_name": job.user_name,
            "digest": job.digest,
        }
        if job.spooled is not None:
            fields |= {"job_uuid": job.job_uuid, "reprint_of": job.reprint_of}

        def insert(connection: Connection, number: int) -> None:
            names = _COLUMNS[:17]
            values = [getattr(job, name) for name in names]
            connection.execute(
                f"INSERT INTO job ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                [_stored(value) for value in values],
            )

        return self._write("received", fields, insert)

    def analysed(self, job: str, document: Document) -> Deferred[None]:
        return self._write_all(_analysed(job, document))

    def analysed_and_asked(
        self, job: str, document: Document, phase: str, step: int
    ) -> Deferred[None]:
        """Both at once, where nobody is promised anything between them."""
        return self._write_all(_analysed(job, document), _asked(job, phase, step))

    def asked(
        self, job: str, phase: str, step: int, grey: bool = False, unanswered: bool = False
    ) -> Deferred[None]:
        """The key (job, phase-step) is about to be asked; why it was held before stays known.

        ``grey``: of what is printed where it goes nothing has colour. ``unanswered``: its person
        was asked.
        """
        return self._write_all(_asked(job, phase, step, grey, unanswered))

    def decided(self, job: Job, decision: Decision | None, giver: str) -> Deferred[None]:
        """The decision taken, whole, and who gave it; None: nobody could be asked (tracker).

        ``giver`` is ``application``, a stream, or ``tracker``.
        """
        return self._write_all(self._decided(job, decision, giver))

    def decided_and_printing(
        self, job: Job, decision: Decision, giver: str, waited_ms: float
    ) -> Deferred[None]:
        """Both at once, where what was allowed is let through without another question."""
        return self._write_all(
            self._decided(job, decision, giver), _printing(job.job, waited_ms, job.spooled)
        )

    def _decided(self, job: Job, decision: Decision | None, giver: str) -> _Record:
        fields = {"job": job.job, "key": job.key, "giver": giver, "decision": decision}

        def decide(connection: Connection, number: int) -> None:
            allowed = decision is None or decision.allowed
            if job.release and not allowed:
                _hold_again(connection, job)
                _answer(connection, job.release, "refused", decision)
            _set(
                connection,
                job.job,
                state="decided" if allowed else "held",
                decision=None if decision is None else _ENCODE(decision),
                decider=giver,
                reason="" if decision is None else decision.reason.value,
                decided_at=self._wall_s(),
                choice_due_at=job.choice_due_at,
                **({} if allowed else {"held_at": job.held_at or self._wall_s()}),
            )
            if job.release and allowed:
                _answer(connection, job.release, "released", decision)
            if decision is not None and allowed:
                connection.execute(
                    "INSERT OR IGNORE INTO taken (key, target, number, written_at)"
                    " VALUES (?, ?, ?, ?)",
                    (job.key, _settles_with(connection, giver), number, self._wall_s()),
                )

        return _Record("decided", fields, decide)

    def held(
        self, job: Job, reason: str, answer: str = "", decision: Decision | None = None
    ) -> Deferred[None]:
        """Nothing is printed until somebody or something asks again.

        ``answer`` and ``decision`` are what a release under way is told.
        """

        def hold(connection: Connection, number: int) -> None:
            held_at = job.held_at or self._wall_s()
            columns = {"state": "held", "reason": reason, "held_at": held_at, "decision": None}
            _set(connection, job.job, **columns, choice_due_at=job.choice_due_at)
            if job.release:
                _hold_again(connection, job)
                _answer(connection, job.release, answer, decision)

        return self._write("held", {"job": job.job, "reason": reason, "answer": answer}, hold)

    # Releases.

    def claim(
        self,
        release: str,
        job: str,
        printer: int,
        copies: int | None = None,
        duplex: bool | None = None,
        account: int | None = None,
        chosen: bool = False,
        comment: str = "",
        invoice: bool | None = None,
    ) -> Deferred[Claim]:
        """Compare and set: a held job belongs to ``release`` from now on (design 4.7).

        Copies and sides are as submitted where None. The step is the next. ``chosen``: the
        account is its person's answer.
        """

        def begin(connection: Connection, held: Job, number: int) -> Claim:
            assert held.document is not None
            document = attrs.evolve(
                held.document,
                copies=held.copies if copies is None else copies,
                duplex=held.duplex if duplex is None else duplex,
            )
            begun = attrs.evolve(
                held,
                state="asked",
                phase="release",
                step=held.step + 1,
                release=release,
                target=printer,
                document=document,
                decision=None,
                account=account,
                chosen=chosen,
                unanswered=False,
                comment=comment,
                invoice=invoice,
            )
            _set(
                connection,
                job,
                state=begun.state,
                phase=begun.phase,
                step=begun.step,
                release=release,
                target=printer,
                document=_ENCODE(document),
                decision=None,
                account=account,
                chosen=int(chosen),
                unanswered=0,
                comment=comment,
                invoice=_stored(invoice),
            )
            connection.execute(
                "INSERT INTO release (id, job, printer, written_at) VALUES (?, ?, ?, ?)",
                (release, job, printer, self._wall_s()),
            )
            return Claim("", printer, begun)

        return self._claim("releasing", release, job, printer, begin)

    def discard(self, release: str, job: str, outcome: str) -> Deferred[Claim]:
        """Compare and set: a held job is over and was not printed; nobody is owed anything.

        ``outcome`` is ``discarded`` or ``expired``.
        """

        def end(connection: Connection, held: Job, number: int) -> Claim:
            _set(connection, job, state="ended", outcome=outcome, ended_at=self._wall_s())
            connection.execute(
                "INSERT INTO release (id, job, printer, answer, written_at)"
                " VALUES (?, ?, 0, 'discarded', ?)",
                (release, job, self._wall_s()),
            )
            return Claim("discarded", 0, attrs.evolve(held, state="ended", outcome=outcome))

        return self._claim(outcome, release, job, 0, end)

    def claimed(self, release: str, job: str, printer: int) -> Deferred[Claim]:
        """What is known of ``release``; of one never seen, why nothing can be done."""
        return self.read(lambda c: _read_claim(c, release, job, printer))

    def _claim(
        self,
        what: str,
        release: str,
        job: str,
        printer: int,
        change: Callable[[Connection, Job, int], Claim],
    ) -> Deferred[Claim]:
        written: list[Mark] = []

        def compare_and_set(connection: Connection) -> Claim:
            held = next(iter(read_jobs(connection, "job = ? AND state = 'held'", job)), None)
            known = connection.execute("SELECT 1 FROM release WHERE id = ?", (release,)).fetchone()
            if held is None or known is not None:
                return _read_claim(connection, release, job, printer)
            fields = {"job": job, "release": release, "printer": printer}
            written.append(append(connection, what, fields, self._wall_s()))
            claim = change(connection, held, written[0].number)
            passing(f"write.{what}")
            return claim

        def committed(claim: Claim) -> Claim:
            if written:
                self.head = written[0]
                passing(f"written.{what}")
            return claim

        return self._writer.submit(compare_and_set).addCallback(committed)

    def printing(
        self, job: str, waited_ms: float | None, spooled: Spooled | None = None
    ) -> Deferred[None]:
        """From now on paper may come out."""
        return self._write_all(_printing(job, waited_ms, spooled))

    def ended(
        self, job: Job, completion: Completion | None, target: str, outcome: str
    ) -> Deferred[None]:
        """The job is over. With a completion, ``target`` is owed it."""
        fields = {"job": job.job, "outcome": outcome, "completion": completion}

        def end(connection: Connection, number: int) -> None:
            _set(
                connection,
                job.job,
                state="ended",
                outcome=outcome,
                ended_at=self._wall_s(),
                waited_ms=job.waited_ms,
                pages=None if completion is None else completion.pages,
                assumed=0 if completion is None else int(completion.assumed),
            )
            if completion is not None:
                connection.execute(
                    "INSERT INTO taken (key, target, completion, number, written_at)"
                    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET completion ="
                    " excluded.completion, number = excluded.number, acked = 0",
                    (
                        *(job.key, _settles_with(connection, target), _ENCODE(completion)),
                        *(number, self._wall_s()),
                    ),
                )

        return self._write("ended", fields, end)

    def abandoned(self, job: Job, outcome: str, reason: str = "") -> Deferred[None]:
        """The job is over and nothing was printed: who allowed it is owed a cancellation.

        ``outcome`` is ``canceled`` or ``aborted``. A release that was not answered yet is told
        ``reason``: ``no-document``, or without one that there is no such job any more.
        """
        fields = {"job": job.job, "key": job.key, "outcome": outcome, "reason": reason}

        def abandon(connection: Connection, number: int) -> None:
            _set(
                connection,
                job.job,
                state="ended",
                outcome=outcome,
                reason=reason or job.reason,
                ended_at=self._wall_s(),
            )
            connection.execute(
                "UPDATE release SET answer = ? WHERE id = ? AND answer = ''",
                (reason or "unknown-job", job.release),
            )
            taken = connection.execute(
                "SELECT taken.target, decider FROM taken JOIN job ON job = ?2"
                " WHERE key = ?1 AND completion IS NULL AND acked = 0",
                (job.key, job.job),
            ).fetchone()
            # Who gave the answer, where another is owed what comes of it, may be there still.
            for target in sorted(set(taken or ())):
                _owe_cancel(connection, job.key, target, outcome, number)

        return self._write("abandoned", fields, abandon)

    # What is owed.

    def cancel(self, key: str, target: str, reason: str) -> Deferred[None]:
        """``target``'s answer to ``key`` will not be used."""

        return self._write(
            "cancel",
            {"key": key, "target": target, "reason": reason},
            lambda c, n: _owe_cancel(c, key, target, reason, n),
        )

    def acknowledged(
        self,
        owed: Owed,
        refused: str = "",
        position: Position | None = None,
        mark: Mark | None = None,
        relayed: bool = False,
    ) -> Deferred[None]:
        """The server has it. ``refused``: the code with which it will never take it.

        ``relayed``: a site said so, in whose history it may be of a server that was put back
        since; it is told itself once it is there.

        ``position`` (the application server's) or ``mark`` (of the stream it was owed to) is
        where its history has it, kept in the same transaction: what we believe to be there we
        can ask for again.
        """
        fields = {"key": owed.key, "target": owed.target, "refused": refused}

        def settle(connection: Connection, number: int) -> None:
            if position is not None:
                _keep_position(connection, position)
            if mark is not None:
                connection.execute(
                    "UPDATE known_stream SET number = ?1, chain = ?2"
                    " WHERE stream = ?3 AND number < ?1",
                    (mark.number, mark.chain, owed.target),
                )
            if owed.completion is None:
                connection.execute(
                    "UPDATE cancel SET acked = 1 WHERE key = ? AND target = ?",
                    (owed.key, owed.target),
                )
                connection.execute(
                    "UPDATE taken SET acked = 1 WHERE key = ? AND target = ?"
                    " AND completion IS NULL",
                    (owed.key, owed.target),
                )
            else:
                # It may have been turned to another server while this one answered.
                connection.execute(
                    "UPDATE taken SET acked = ?, parked = ? WHERE key = ? AND target = ?",
                    (RELAYED if relayed else 1, refused, owed.key, owed.target),
                )
                decider = owed.decider
                if decider != owed.target and _is_shown(connection, decider):
                    # That stream was given up, and an application server that was restored to
                    # before that lets it live: what it reserved is paid now.
                    _owe_cancel(connection, owed.key, decider, "superseded", number)

        return self._write("acknowledged", fields, settle)

    def owed_to(
        self, target: str, limit: int, completions_only: bool = False
    ) -> Deferred[list[Owed]]:
        """What ``target`` has not acknowledged, oldest first."""
        return self.read(lambda c: read_owed(c, target, limit, completions_only))

    def parked(self) -> Deferred[list[tuple[str, str]]]:
        """(key, code) of the completions that a server refused for good."""
        return self.read(
            lambda c: c.execute(
                "SELECT key, parked FROM taken WHERE parked <> '' ORDER BY number"
            ).fetchall()
        )

    def salvage(self, former: Salvaged) -> Deferred[None]:
        """What a journal that was set aside still owed is owed by this one."""

        def take(connection: Connection, number: int) -> None:
            for key, target, completion in former.completions:
                connection.execute(
                    "INSERT OR IGNORE INTO taken (key, target, completion, number, written_at)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (key, target, completion, number, self._wall_s()),
                )
            for key, target, reason in former.cancels:
                connection.execute(
                    "INSERT OR IGNORE INTO cancel (key, target, reason, number)"
                    " VALUES (?, ?, ?, ?)",
                    (key, target, reason, number),
                )
            connection.execute(
                "UPDATE identity SET replaces = ? WHERE replaces = ''", (former.journal,)
            )

        fields = {"journal": former.journal, "completions": len(former.completions)}
        return self._write("salvaged", fields, take)

    def open_keys(self, target: str) -> Deferred[list[str]]:
        """Keys whose answer was taken from ``target`` and whose end it has not acknowledged.

        Also those under way that ``target`` allowed and another is to hear the end of.
        """
        return self.read(
            lambda c: [
                row[0]
                for row in c.execute(
                    "SELECT key FROM taken WHERE acked = 0 AND (target = ?1 OR key IN"
                    " (SELECT job || '/' || phase || '-' || step FROM job"
                    " WHERE state <> 'ended' AND decider = ?1)) ORDER BY key",
                    (target,),
                )
            ]
        )

    def saw_stream(self, site: str, stream: str) -> Deferred[int]:
        """``site`` shows ``stream``. If it showed another, what that one was owed or has
        acknowledged goes to the application server: the number of such completions."""

        def see(connection: Connection, number: int) -> int:
            found = connection.execute(
                "SELECT stream FROM known_stream WHERE site = ?", (site,)
            ).fetchone()
            if found is not None and found[0] == stream:
                return 0
            connection.execute(
                "INSERT OR REPLACE INTO known_stream (site, stream) VALUES (?, ?)", (site, stream)
            )
            return 0 if found is None else _turn_to_application(connection, found[0])

        return self._write("stream", {"site": site, "stream": stream}, see)

    def acknowledged_by_streams(self) -> Deferred[dict[str, Mark]]:
        """How far each site's stream stood when it last acknowledged something."""
        return self.read(
            lambda c: {
                stream: Mark(number, chain)
                for stream, number, chain in c.execute(
                    "SELECT stream, number, chain FROM known_stream WHERE number > 0"
                )
            }
        )

    def keep_position(self, position: Position) -> Deferred[None]:
        """The newest position of the application server that we were told."""
        return self._write("setting", {"name": POSITION}, lambda c, n: _keep_position(c, position))

    def offer_again(self, timeline: int) -> Deferred[int]:
        """The application server shows ``timeline``: restored, it may have lost what it took.

        Everything we retained is owed to it once more; the number of completions. What was
        offered for that timeline before is not offered again.
        """

        def offer(connection: Connection, number: int) -> int:
            found = connection.execute(
                "SELECT body FROM setting WHERE name = ?", (TIMELINE,)
            ).fetchone()
            if found is not None and int(found[0]) >= timeline:
                return 0
            connection.execute(
                "INSERT OR REPLACE INTO setting VALUES (?, ?)", (TIMELINE, b"%d" % timeline)
            )
            if found is None:
                return 0
            return connection.execute(
                "UPDATE taken SET acked = 0 WHERE target = ? AND completion IS NOT NULL"
                " AND parked = ''",
                (APPLICATION,),
            ).rowcount

        return self._write("timeline", {"timeline": timeline}, offer)

    def offer_relayed(self) -> Deferred[int]:
        """The application server is there: it is told what a site passed on to it; how many."""

        def offer(connection: Connection, number: int) -> int:
            return connection.execute(
                "UPDATE taken SET acked = 0 WHERE target = ? AND acked = ? AND parked = ''",
                (APPLICATION, RELAYED),
            ).rowcount

        def is_any(connection: Connection) -> bool:
            found = connection.execute("SELECT 1 FROM taken WHERE acked = ? LIMIT 1", (RELAYED,))
            return found.fetchone() is not None

        found: Deferred[bool] = self.read(is_any)
        return found.addCallback(
            lambda there: self._write("relayed", {}, offer) if there else succeed(0)
        )

    def retired(self, streams: list[str]) -> Deferred[int]:
        """Streams that decide no more; the number of completions turned to the centre."""
        return self._write(
            "retired",
            {"streams": streams},
            lambda c, n: sum(_turn_to_application(c, stream) for stream in streams),
        )

    # Of a lost journal.

    async def keep_lost_keys(self, target: str, journal: str, keys: Sequence[LostKey]) -> bool:
        """``target`` told of these, and of no others, of ``journal``; False: nothing is new."""
        prefix = f"{_LOST}{target} {journal} "
        wanted = {prefix + key.key: key for key in keys}
        known = set(await self.settings(prefix))
        if known == set(wanted):
            return False

        def keep(connection: Connection, number: int) -> None:
            for name in known - set(wanted):
                connection.execute("DELETE FROM setting WHERE name = ?", (name,))
            for name in sorted(set(wanted) - known):
                connection.execute(
                    "INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, _ENCODE(wanted[name]))
                )

        await self._write("lost-keys", {"keys": [key.key for key in keys]}, keep)
        return True

    def lost_keys(self) -> Deferred[list[LostKey]]:
        """Those of which nothing is known; none after 35 days."""
        oldest = self._wall_s() - LOST_KEPT_S

        def read(connection: Connection) -> list[LostKey]:
            found = [
                _LOST_KEY(body)
                for (body,) in connection.execute(
                    "SELECT body FROM setting WHERE name BETWEEN ? AND ? ORDER BY name",
                    (_LOST, _LOST + "~"),
                )
            ]
            return [
                key
                for key in found
                if key.told_at > oldest
                and connection.execute(
                    "SELECT 1 FROM taken WHERE key = ?1"
                    " UNION ALL SELECT 1 FROM cancel WHERE key = ?1 AND target = ?2",
                    (key.key, key.target),
                ).fetchone()
                is None
            ]

        return self.read(read)

    def settle_lost(self, key: LostKey, completion: Completion) -> Deferred[None]:
        """Its paper came out, as the spooler says: who allowed it is owed that."""

        def settle(connection: Connection, number: int) -> None:
            connection.execute(
                "INSERT OR IGNORE INTO taken (key, target, completion, number, written_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    *(key.key, _settles_with(connection, key.target), _ENCODE(completion)),
                    *(number, self._wall_s()),
                ),
            )

        return self._write("lost-settled", {"key": key.key, "completion": completion}, settle)

    # Settings.

    def settings(self, prefix: str) -> Deferred[dict[str, bytes]]:
        """Every setting whose name begins with ``prefix``."""

        def read(connection: Connection) -> dict[str, bytes]:
            return {
                name: bytes(body)
                for name, body in connection.execute("SELECT name, body FROM setting ORDER BY name")
                if name.startswith(prefix)
            }

        return self.read(read)

    # Reading jobs.

    def job(self, job: str) -> Deferred[Job | None]:
        return self.read(lambda c: next(iter(read_jobs(c, "job = ?", job)), None))

    def last_of_uuid(self, job_uuid: str) -> Deferred[Job | None]:
        """The newest job made of the spooler's job ``job_uuid``."""
        return self.read(
            lambda c: next(
                reversed(read_jobs(c, "job_uuid <> '' AND job_uuid = ?", job_uuid)), None
            )
        )

    def unended(self) -> Deferred[list[Job]]:
        """Jobs to take up again, oldest first."""
        return self.read(lambda c: read_jobs(c, "state <> 'ended'"))

    def jobs(self) -> Deferred[list[Job]]:
        return self.read(lambda c: read_jobs(c, "1"))

    def note_waited(self, job: str, waited_ms: float) -> Deferred[None]:
        """How long the decision took; for a job that does not go on to print."""
        return self._write(
            "waited", {"job": job, "ms": waited_ms}, lambda c, n: _set(c, job, waited_ms=waited_ms)
        )

    def prune(self, running_s: float | None = None) -> Deferred[int]:
        """Forget what ended and was acknowledged more than 35 days ago.

        ``running_s``: seconds since this process last did; None: it is the first time.
        """

        def prune(connection: Connection, number: int) -> int:
            connection.execute("DELETE FROM cancel WHERE acked = 1")
            ages = read_ages(connection, self._wall_s(), running_s)
            old = (ages.before, ages.beyond)
            # The site that showed a stream that is gone may never be there again.
            connection.execute(
                "DELETE FROM cancel WHERE target IN (SELECT stream FROM gone_stream) AND number"
                " IN (SELECT number FROM record WHERE written_at < ? OR written_at > ?)",
                old,
            )
            gone = connection.execute(
                "DELETE FROM taken WHERE acked > 0 AND (written_at < ? OR written_at > ?)", old
            ).rowcount
            connection.execute(
                "DELETE FROM job WHERE state = 'ended' AND (ended_at < ? OR ended_at > ?)", old
            )
            connection.execute(
                "DELETE FROM release WHERE (written_at < ? OR written_at > ?)"
                " AND job NOT IN (SELECT job FROM job WHERE state <> 'ended')",
                old,
            )
            _prune_records(connection, ages, number)
            return gone

        return self._write("prune", {}, prune)


def _keep_position(connection: Connection, position: Position) -> None:
    """Keep ``position`` unless a newer one is kept."""
    found = connection.execute("SELECT body FROM setting WHERE name = ?", (POSITION,)).fetchone()
    if found is not None:
        kept = _POSITION(found[0])
        if (kept.timeline, kept.number) >= (position.timeline, position.number):
            return
    connection.execute(
        "INSERT OR REPLACE INTO setting VALUES (?, ?)", (POSITION, _ENCODE(position))
    )


def _analysed(job: str, document: Document) -> _Record:
    return _Record(
        "analysed",
        {"job": job, "document": document},
        lambda c, n: _set(
            c, job, state="analysed", document=_ENCODE(document), duplex=int(document.duplex)
        ),
    )


def _asked(
    job: str, phase: str, step: int, grey: bool = False, unanswered: bool = False
) -> _Record:
    columns = {"grey": int(grey), "unanswered": int(unanswered)}
    return _Record(
        "asked",
        {"job": job, "phase": phase, "step": step},
        lambda c, n: _set(c, job, state="asked", phase=phase, step=step, **columns),
    )


def _printing(job: str, waited_ms: float | None, spooled: Spooled | None) -> _Record:
    return _Record(
        "printing",
        {"job": job, "waited_ms": waited_ms},
        lambda c, n: _set(c, job, state="printing", waited_ms=waited_ms, spooled=_stored(spooled)),
    )


def read_jobs(connection: Connection, condition: str, *values: object) -> list[Job]:
    """Jobs that meet ``condition``, oldest first."""
    jobs = []
    for row in connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM job WHERE {condition} ORDER BY job", values
    ):
        found = dict(zip(_COLUMNS, row, strict=True))
        found["duplex"] = bool(found["duplex"])
        found["assumed"] = bool(found["assumed"])
        for name in ("grey", "chosen", "unanswered"):
            found[name] = bool(found[name])
        found["invoice"] = None if found["invoice"] is None else bool(found["invoice"])
        if found["spooled"] is not None:
            found["spooled"] = _SPOOLED(found["spooled"])
        if found["document"] is not None:
            found["document"] = _DOCUMENT(found["document"])
        if found["decision"] is not None:
            found["decision"] = _DECISION(found["decision"])
        jobs.append(Job(**found))
    return jobs


def read_owed(
    connection: Connection, target: str, limit: int, completions_only: bool = False
) -> list[Owed]:
    owed = [
        Owed(key, target, _COMPLETION(completion), "", number)
        for key, completion, number in connection.execute(
            "SELECT key, completion, number FROM taken WHERE target = ? AND acked = 0"
            " AND completion IS NOT NULL ORDER BY number LIMIT ?",
            (target, limit),
        )
    ]
    if completions_only:
        return owed
    owed.extend(
        Owed(key, target, None, reason, number)
        for key, reason, number in connection.execute(
            "SELECT key, reason, number FROM cancel WHERE target = ? AND acked = 0"
            " ORDER BY number LIMIT ?",
            (target, limit),
        )
    )
    return sorted(owed, key=lambda one: one.number)[:limit]


def _stored(value: Any) -> Any:
    """``value`` as a column holds it."""
    if isinstance(value, Spooled):
        return _ENCODE(value)
    return int(value) if isinstance(value, bool) else value


def held_again(job: Job) -> Job:
    """``job`` as if its release had not been (4.7)."""
    document = job.document
    if document is not None:
        document = attrs.evolve(document, copies=job.copies, duplex=job.duplex)
    # What its person answered stands; what was taken at a printer does not.
    account, invoice = (job.account, job.invoice) if job.chosen else (None, None)
    again = attrs.evolve(job, account=account, invoice=invoice)
    return attrs.evolve(again, release="", target=0, document=document, grey=False)


def _hold_again(connection: Connection, job: Job) -> None:
    again = held_again(job)
    document = _ENCODE(again.document)
    columns = {"release": "", "target": 0, "document": document, "grey": 0}
    _set(connection, job.job, **columns, account=again.account, invoice=_stored(again.invoice))


def _read_claim(connection: Connection, release: str, job: str, printer: int) -> Claim:
    known = connection.execute(
        "SELECT answer, printer, decision FROM release WHERE id = ?", (release,)
    ).fetchone()
    if known is not None:
        return Claim(known[0], known[1], None, None if known[2] is None else _DECISION(known[2]))
    found = next(iter(read_jobs(connection, "job = ?", job)), None)
    if found is not None and found.release and found.outcome in ("", "completed"):
        return Claim("already-released", found.where)
    return Claim("unknown-job", printer)


def _answer(connection: Connection, release: str, answer: str, decision: Decision | None) -> None:
    connection.execute(
        "UPDATE release SET answer = ?, decision = ? WHERE id = ?",
        (answer, None if decision is None else _ENCODE(decision), release),
    )


def _execute(connection: Connection, statement: str, *values: object) -> None:
    connection.execute(statement, values)


def _set(connection: Connection, job: str, **columns: object) -> None:
    names = ", ".join(f"{name} = ?" for name in columns)
    connection.execute(f"UPDATE job SET {names} WHERE job = ?", (*columns.values(), job))


def _owe_cancel(connection: Connection, key: str, target: str, reason: str, number: int) -> None:
    if _settles_with(connection, target) != target and not _is_shown(connection, target):
        # That stream is no more, and what it reserved went with it. What was taken for the
        # key is another server's answer, or was turned to the application server.
        return
    connection.execute(
        "INSERT OR IGNORE INTO cancel (key, target, reason, number) VALUES (?, ?, ?, ?)",
        (key, target, reason, number),
    )


def _settles_with(connection: Connection, target: str) -> str:
    """``target``, or the application server once that stream is gone (4.1).

    An answer may be made durable after its stream went: the disk was full in between.
    """
    gone = connection.execute("SELECT 1 FROM gone_stream WHERE stream = ?", (target,)).fetchone()
    return target if gone is None else APPLICATION


def _prune_records(connection: Connection, ages: Ages, head: int) -> None:
    """Forget records that are old and older than everything still owed."""
    (keep,) = connection.execute(
        "SELECT MIN(number) FROM (SELECT number FROM record WHERE written_at BETWEEN ? AND ?"
        " UNION ALL SELECT number FROM taken WHERE acked = 0"
        " UNION ALL SELECT number FROM cancel WHERE acked = 0 UNION ALL SELECT ?)",
        (ages.before, ages.beyond, head),
    ).fetchone()
    forget_up_to(connection, keep)


def _turn_to_application(connection: Connection, stream: str) -> int:
    """All retained completions of ``stream``, acknowledged or not, go to the centre (4.1).

    What is under way goes there when it ends; of what was given up nothing more is to come.
    """
    connection.execute("INSERT OR IGNORE INTO gone_stream VALUES (?)", (stream,))
    if not _is_shown(connection, stream):
        connection.execute(
            "UPDATE taken SET acked = 1 WHERE target = ?1 AND completion IS NULL"
            " AND key IN (SELECT key FROM cancel WHERE target = ?1)",
            (stream,),
        )
        connection.execute("UPDATE cancel SET acked = 1 WHERE target = ?", (stream,))
    return connection.execute(
        "UPDATE taken SET target = ?1, acked = 0 WHERE target = ?2"
        " AND (completion IS NOT NULL OR acked = 0"
        " AND key NOT IN (SELECT key FROM cancel WHERE target = ?2))",
        (APPLICATION, stream),
    ).rowcount


def _is_shown(connection: Connection, stream: str) -> bool:
    """Whether a site shows ``stream``, as far as we have seen.

    One that is gone may be: its application server was restored to before that, or its site
    has not heard of it yet.
    """
    found = connection.execute("SELECT 1 FROM known_stream WHERE stream = ?", (stream,)).fetchone()
    return found is not None

"""Users from and to files: ``papercutd user import`` and ``export``, in PaperCut's formats.

The whole file is checked before anything changes. Where a line is rejected nothing is imported,
unless who asked wants the others. What was checked waits in the database; once it is begun to
be applied it is finished, at the next start too. Between two pieces others have the writer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from papercutd.domain.import_formats import FORMATS, ImportedUser, RowReader, write_row
from papercutd.domain.import_lines import Line, LineReader
from papercutd.environment import Environment
from papercutd.errors import DomainError, InvalidValue, Rejected, StorageClosed, StorageFull
from papercutd.identity.verifiers import Verifiers
from papercutd.services.new_user_operations import names_of_groups
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.pieces import Pieces
from papercutd.storage.engine import DatabaseFailed
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.purse_balances import TOGETHER
from papercutd.storage.people.imports import (
    AT_ONCE_MAX,
    PIECE_LINES,
    PIECE_LINES_MIN,
    ImportSettings,
    Plan,
    WaitingLine,
)
from papercutd.storage.people.people_store import PeopleStore

T = TypeVar("T")

_log = Logger()
#: Bytes that are read at once, and lines that are looked up at once: what the reactor is held for
#: at the most.
_READ_BYTES, _LOOKED_UP = 4_096, 200
ROWS_MAX = 1_000_000
#: A file with more lines that are wrong is of another format: it is not read on.
REJECTED_MAX = 10_000


@attrs.define
class Counts:
    """What became of the lines."""

    added: int = 0
    changed: int = 0
    same: int = 0
    #: (line, reason).
    rejected: list[tuple[int, str]] = attrs.field(factory=list)

    def reject(self, line: int, reason: str) -> None:
        """Raises InvalidValue for one too many."""
        self.rejected.append((line, reason))
        if len(self.rejected) > REJECTED_MAX:
            raise InvalidValue(
                "file",
                f"has more than {REJECTED_MAX} lines that cannot be taken, the first in line"
                f" {self.rejected[0][0]} ({self.rejected[0][1]}): nothing is imported",
            )

    def count(self, plan: Plan) -> None:
        if plan.known is None:
            self.added += 1
        elif plan.is_change:
            self.changed += 1
        else:
            self.same += 1


class ImportOperations:
    """At the application server. Without ``verifiers`` no passwords and PINs are taken."""

    def __init__(
        self, store: IApplicationStore, env: Environment, verifiers: Verifiers | None
    ) -> None:
        self._store = store
        self._env = env
        self._verifiers = verifiers
        self._is_busy = False

    @property
    def _people(self) -> PeopleStore:
        found: PeopleStore = self._store.people
        return found

    def all(self) -> dict[str, Operation]:
        return {"user.import-file": self.import_file, "user.export": self.export}

    def new_id(self) -> str:
        """Of an import that begins."""
        return self._env.new_id()

    async def import_file(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add and change users as a file on this machine says; with ``check`` nothing changes."""
        given = take(
            arguments,
            "path",
            **{"format": "users", "encoding": "utf-8", "check": False},
            **{"skip_rejected": False, "keep_balances": False, "now": False, "groups": []},
            purse="",
        )
        groups = names_of_groups(given["groups"])
        await self._store.new_users.check_groups(groups)
        if given["format"] not in FORMATS:
            raise InvalidValue("format", f"is one of {', '.join(FORMATS)}")
        if given["purse"] and "balance" not in FORMATS[given["format"]].columns:
            raise InvalidValue("purse", "is of balances: this format has none")
        given["purse"] = await self._kind(given["purse"])
        reader = LineReader(given["encoding"])
        if self._is_busy:
            raise Rejected("busy", "another import is under way")
        self._is_busy = True
        try:
            with open_file(given["path"]) as file:
                return await self._import(given, reader, file, progress)
        finally:
            self._is_busy = False

    async def export(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """At most 500 lines of a file of users, beyond the name ``after``; where to go on."""
        given = take(arguments, format="users", after="", purse="")
        if given["format"] not in ("users", "internal-users"):
            raise InvalidValue("format", "is users or internal-users: cards are kept hashed")
        purse = await self._kind(given["purse"])
        lines, after = await self._people.export(given["format"], given["after"], purse)
        return {"lines": [write_row(line) for line in lines], "after": after}

    async def _kind(self, purse: str) -> int:
        """Which balances are meant; raises NotFound."""
        return (await self._store.purses.find(purse)).id if purse else TOGETHER

    async def resume(self) -> None:
        """After a start: what was begun to be applied is finished, all else forgotten."""
        try:
            for id, state in await self._people.waiting_imports():
                if state == "applying":
                    counts = Counts()
                    await self.apply(id, counts, 0, lambda figures: None)
                    _log.info("an import that was interrupted is finished: {counts}", counts=counts)
                else:
                    await self.forget(id)
        except (StorageFull, StorageClosed):
            # The next start goes on.
            return

    async def _import(
        self, given: dict[str, Any], reader: LineReader, file: BinaryIO, progress: Progress
    ) -> dict[str, Any]:
        format = FORMATS[given["format"]]
        settings = ImportSettings(
            *(given["keep_balances"], given["now"], format.is_of_cards, tuple(given["groups"])),
            purse=given["purse"],
        )
        counts, rows, id = Counts(), RowReader(format), self._env.new_id()
        size, lines, put = os.fstat(file.fileno()).st_size, 0, 0
        users: list[ImportedUser] = []
        aside = _Aside(self._people, id)

        async def look_up() -> int:
            """Those that were read and can be taken are to be put aside; how many they are."""
            good = await self._plan(users, settings, counts)
            users.clear()
            if not given["check"]:
                await aside.add([await self._proved(p) for p in good])
            return len(good)

        if not given["check"]:
            await self._people.begin_import(id, format.name, settings)
        try:
            for part in file_parts(file, reader):
                lines += len(part)
                if lines > ROWS_MAX:
                    raise InvalidValue("file", f"has more than {ROWS_MAX} lines")
                users += read_part(rows.read, part, counts)
                if len(users) >= _LOOKED_UP:
                    put += await look_up()
                done = {"bytes": file.tell(), "of": size, "rejected": len(counts.rejected)}
                progress({"doing": "checking", "lines": lines, **done})
            put += await look_up()
            await aside.end()
        except BaseException:
            aside.leave()
            if not given["check"]:
                await self.forget(id)
            raise
        is_taken = not counts.rejected or given["skip_rejected"]
        if given["check"]:
            return told(given, reader, lines, counts, is_taken)
        if not is_taken:
            await self.forget(id)
            counts.added = counts.changed = counts.same = 0
            return told(given, reader, lines, counts, False)
        await self._people.begin_applying(id)
        counts.added = counts.changed = counts.same = 0
        await self.apply(id, counts, put, progress)
        return told(given, reader, lines, counts, True)

    async def _plan(
        self, users: list[ImportedUser], settings: ImportSettings, counts: Counts
    ) -> list[Plan]:
        good = []
        plans = await self._people.plan_import(users, settings) if users else []
        for plan in plans:
            user = plan.line.user
            problem = plan.problem
            if not problem and (user.pin or user.password) and self._verifiers is None:
                problem = "passwords and PINs are made by the running server: start it first"
            if problem:
                counts.reject(user.line, problem)
                continue
            plan = await self._without_known(plan)
            counts.count(plan)
            good.append(plan)
        return good

    async def _without_known(self, plan: Plan) -> Plan:
        """A password or PIN that is that person's already says nothing."""
        user, known = plan.line.user, plan.known
        if known is None or self._verifiers is None:
            return plan
        matches = self._verifiers.matches
        if user.password and known.verifier and await matches(known.verifier, user.password):
            user = attrs.evolve(user, password="")
        if user.pin and known.pin_verifier and await matches(known.pin_verifier, user.pin):
            user = attrs.evolve(user, pin="")
        return attrs.evolve(plan, line=attrs.evolve(plan.line, user=user))

    async def _proved(self, plan: Plan) -> WaitingLine:
        """With what proves its secrets; these are kept nowhere."""
        line = plan.line
        if self._verifiers is not None:
            if line.user.password:
                made = await self._verifiers.make(line.user.password)
                line = attrs.evolve(line, verifier=made)
            if line.user.pin:
                made = await self._verifiers.make(line.user.pin)
                line = attrs.evolve(line, pin_verifier=made)
        return line

    async def apply(self, id: str, counts: Counts, of: int, progress: Progress) -> None:
        """All that waits of an import, in pieces."""
        one_by_one, pieces = 0, Pieces(PIECE_LINES_MIN, PIECE_LINES)
        while True:
            try:
                piece = await self._people.apply_import(id, 1 if one_by_one else pieces.rows)
            except (DomainError, DatabaseFailed) as error:
                # One line spoils its piece: each of them for itself, then.
                if one_by_one:
                    counts.rejected.append((await self._people.skip_line(id), str(error)))
                one_by_one = one_by_one or PIECE_LINES
                continue
            one_by_one = max(0, one_by_one - 1)
            pieces.done(piece.number)
            counts.added += piece.added
            counts.changed += piece.changed
            counts.same += piece.same
            counts.rejected += piece.rejected
            done = counts.added + counts.changed + counts.same
            progress({"doing": "importing", "done": done, "of": of})
            if piece.is_done:
                return

    async def forget(self, id: str) -> None:
        """What waits of it is not to be."""
        while not await self._people.forget_import(id):
            pass


class _Aside:
    """Lines that were checked on their way to where they wait, while others are checked."""

    def __init__(self, people: PeopleStore, id: str) -> None:
        self._people = people
        self._id = id
        self._lines: list[WaitingLine] = []
        self._putting: Deferred[None] | None = None

    async def add(self, lines: list[WaitingLine]) -> None:
        """Raises what became of those before."""
        self._lines += lines
        # A commit for each part that is read would be most of the work.
        while len(self._lines) >= AT_ONCE_MAX:
            await self._put(AT_ONCE_MAX)

    async def end(self) -> None:
        """All of them wait."""
        while self._lines:
            await self._put(AT_ONCE_MAX)
        await self._put(0)

    def leave(self) -> None:
        """They are not to be: nor does it matter what becomes of those on their way."""
        if self._putting is not None:
            self._putting.addErrback(lambda failure: None)

    async def _put(self, count: int) -> None:
        """Begin with the next, once those before are there."""
        before, self._putting = self._putting, None
        if before is not None:
            await before
        if count:
            self._putting = self._people.put_aside(self._id, self._lines[:count])
            del self._lines[:count]


def open_file(path: str) -> BinaryIO:
    """Raises InvalidValue."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise InvalidValue("path", f"cannot be read by the server: {error.strerror}") from None


def file_parts(file: BinaryIO, reader: LineReader) -> Iterator[list[Line]]:
    """The lines of ``file``, some at a time."""
    while data := file.read(_READ_BYTES):
        yield from _slices(list(reader.feed(data)))
    yield from _slices(list(reader.finish()))


def _slices(lines: list[Line]) -> Iterator[list[Line]]:
    return (lines[at : at + AT_ONCE_MAX] for at in range(0, len(lines), AT_ONCE_MAX))


def read_part(read: Callable[[int, str], T], part: list[Line], counts: Counts) -> list[T]:
    """What ``read`` makes of the lines that can be taken; the others are counted."""
    rows = []
    for line in part:
        if line.problem:
            counts.reject(line.number, line.problem)
        elif line.text.strip(" "):
            try:
                rows.append(read(line.number, line.text))
            except InvalidValue as error:
                counts.reject(line.number, str(error))
    return rows


def told(
    given: dict[str, Any],
    reader: LineReader,
    lines: int,
    counts: Counts,
    is_ok: bool,
    what: str = "a user",
) -> dict[str, Any]:
    """The result of an import; ``what`` a line is about."""
    warnings = [] if reader.is_whole else ["the last line has no end: is the file whole?"]
    if not counts.rejected and not counts.added + counts.changed + counts.same:
        warnings.append(f"the file holds no line with {what}")
    return {
        "ok": is_ok,
        "changed_nothing": bool(given["check"]) or not is_ok,
        "encoding": reader.encoding,
        "lines": lines,
        "added": counts.added,
        "changed": counts.changed,
        "same": counts.same,
        "warnings": warnings,
        "rejected": [{"line": line, "reason": reason} for line, reason in sorted(counts.rejected)],
    }

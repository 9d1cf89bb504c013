"""Adjusting many accounts at once, and transfers between users, each once by its id.

Whoever is to be adjusted is found before anything changes: a line that is wrong, or an unknown
group, changes nothing at all. Between two pieces others have the writer.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BufferedReader
from typing import Any

import msgspec
from twisted.logger import Logger

from papercutd.domain.import_lines import Line, LineReader
from papercutd.domain.money import parse_amount_e4, parse_sum_e4, show_amount
from papercutd.domain.user_fields import check_text
from papercutd.errors import InvalidValue, Rejected, StorageClosed, StorageFull
from papercutd.services.money_operations import MoneyOperations
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.allowances import Shortage
from papercutd.storage.money.money_acts import Act, ActState, check_same

_log = Logger()
_READ_BYTES = 4_096
#: Users of one act; of a file with more lines that are wrong, so many are told.
USERS_MAX = 1_000_000
REJECTED_MAX = 1_000
AT_ONCE = 500
REASON_MAX = 255
ID_MAX = 64
_Rows = list[tuple[int, int]]


def check_reason(reason: str) -> str:
    """What was done to somebody's money is explained to them; raises InvalidValue."""
    if not reason.strip():
        raise InvalidValue("reason", "is needed: the history shows it to the user")
    return check_text("reason", reason, REASON_MAX)


def check_id(id: str) -> str:
    """Raises InvalidValue."""
    if not id or len(id) > ID_MAX or not id.isascii() or not id.isprintable() or " " in id:
        raise InvalidValue("id", f"is up to {ID_MAX} letters, digits and signs without spaces")
    return id


class _Wrong:
    """Lines that cannot be taken."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.count = 0
        self.warnings: list[str] = []

    def add(self, line: int, reason: str) -> None:
        self.count += 1
        if self.count <= REJECTED_MAX:
            self.lines.append({"line": line, "reason": reason})


class AdjustOperations(MoneyOperations):
    """At the application server."""

    def __init__(
        self,
        store: IApplicationStore,
        recall: Callable[[Shortage], Awaitable[bool]] | None = None,
    ) -> None:
        """``recall``: asks connected sites for what they hold of somebody's money."""
        super().__init__(store)
        self._recall = recall
        self._is_busy = False

    def all(self) -> dict[str, Operation]:
        return {"user.adjust-many": self.adjust_many, "user.transfer": self.transfer}

    async def adjust_many(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Credit or debit all users of a group or of a file; with ``check`` nothing changes."""
        given = take(
            arguments,
            *("id", "reason"),
            **{"amount": "", "group": "", "nested": False, "path": "", "check": False, "purse": ""},
        )
        check_id(given["id"]), check_reason(given["reason"])
        amount_e4 = _amount_e4(given["amount"], bool(given["path"]))
        if bool(given["group"]) == bool(given["path"]):
            raise InvalidValue("group", "is needed, or a file of users: one of the two")
        if self._is_busy:
            raise Rejected("busy", "other accounts are being adjusted: try again in a moment")
        self._is_busy = True
        try:
            said = _digest_of_file(given["path"]) if given["path"] else given["group"]
            purse = given["purse"]
            asked = (given["amount"], given["nested"], said, given["reason"])
            digest = _digest((*asked, purse) if purse else asked)
            act = Act(given["id"], "adjust", digest, given["reason"])
            return await self._adjust_many(given, act, amount_e4, progress)
        finally:
            self._is_busy = False

    async def transfer(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Money of one user becomes another one's: within what the giver may spend."""
        given = take(arguments, *("id", "name", "to", "amount", "reason"), purse="")
        amount_e4 = parse_amount_e4(given["amount"])
        if amount_e4 <= 0:
            raise InvalidValue("amount", "is above zero: the other way round, swap the users")
        check_id(given["id"]), check_reason(given["reason"])
        purse = given["purse"]
        asked = (
            given["name"],
            given["to"],
            amount_e4,
            given["reason"],
            *([purse] if purse else ()),
        )
        act = Act(given["id"], "transfer", _digest(asked), given["reason"])
        asked_for = (act, given["name"], given["to"], amount_e4, purse)
        is_new = await self._money.transfer(*asked_for, self._recall is not None)
        if isinstance(is_new, Shortage):
            # Nobody is refused because their money is parked at a branch: design 4.10.
            assert self._recall is not None
            await self._recall(is_new)
            is_new = await self._money.transfer(*asked_for)
        balances = [
            {"name": row["name"], "balance_e4": row["balance_e4"]}
            for row in [await self._store.user(given[name]) for name in ("name", "to")]
        ]
        done = {"id": act.id, "amount_e4": amount_e4, "repeated": not is_new}
        return {**done, "users": balances}

    async def resume(self) -> None:
        """After a start: what was begun to be applied is finished, all else forgotten."""
        try:
            for id, state in await self._money.waiting_acts():
                if state == "applying":
                    await self._apply(id, 0, lambda figures: None)
                    _log.info("adjustments that were interrupted are finished: {id}", id=id)
                elif not self._is_busy:
                    await self._forget(id)
        except (StorageFull, StorageClosed):
            # The next start goes on.
            return

    async def _adjust_many(
        self, given: dict[str, Any], act: Act, amount_e4: int | None, progress: Progress
    ) -> dict[str, Any]:
        before = check_same(await self._money.find_act(act.id), act)
        if before is not None and before.state == "filling":
            # It was interrupted before anything was done.
            await self._forget(act.id)
        elif before is not None:
            # As it was begun, whoever is in the group by now.
            return _told(act, await self._apply(act.id, 0, progress), repeated=True)
        is_rehearsal, wrong, users, total_e4 = given["check"], _Wrong(), 0, 0
        await self._store.purses.find(given["purse"])
        if not is_rehearsal:
            await self._money.begin_act(act, given["purse"])
        try:
            async for rows in self._rows(given, amount_e4, wrong):
                users, total_e4 = users + len(rows), total_e4 + sum(row[1] for row in rows)
                if users > USERS_MAX:
                    raise InvalidValue("users", f"are more than {USERS_MAX}")
                if rows and not is_rehearsal:
                    await self._money.put_act(act.id, rows)
                progress({"doing": "checking", "users": users, "rejected": wrong.count})
            if not wrong.count and not users:
                raise InvalidValue("users", "are none: nothing was adjusted")
        except BaseException:
            if not is_rehearsal:
                await self._forget(act.id)
            raise
        if not wrong.count and not is_rehearsal:
            await self._money.begin_applying_act(act.id, users)
            told = _told(act, await self._apply(act.id, users, progress))
            return {**told, "warnings": wrong.warnings}
        if not is_rehearsal:
            await self._forget(act.id)
        return {
            "ok": not wrong.count,
            "changed_nothing": True,
            "users": users,
            "total_e4": total_e4,
            "warnings": wrong.warnings,
            "rejected": wrong.lines,
        }

    async def _rows(
        self, given: dict[str, Any], amount_e4: int | None, wrong: _Wrong
    ) -> AsyncIterator[_Rows]:
        if given["path"]:
            with open_here(given["path"]) as file:
                async for rows in self._rows_of_file(file, amount_e4, wrong):
                    yield rows
            return
        assert amount_e4 is not None
        after, members = 0, [0]
        while members:
            members = await self._money.members_after(given["group"], given["nested"], after)
            after = members[-1] if members else after
            yield [(user, amount_e4) for user in members]

    async def _rows_of_file(
        self, file: BufferedReader, amount_e4: int | None, wrong: _Wrong
    ) -> AsyncIterator[_Rows]:
        reader, lines_of = LineReader(), dict[int, int]()
        is_read = False
        while not is_read:
            data = file.read(_READ_BYTES)
            is_read = not data
            lines = list(reader.feed(data) if data else reader.finish())
            for start in range(0, len(lines), AT_ONCE):
                yield await self._known(lines[start : start + AT_ONCE], amount_e4, wrong, lines_of)
        if not reader.is_whole:
            wrong.warnings.append("the last line has no end: is the file whole?")

    async def _known(
        self, lines: list[Line], amount_e4: int | None, wrong: _Wrong, lines_of: dict[int, int]
    ) -> _Rows:
        read: list[tuple[int, str, int]] = []
        for line in lines:
            name, _, amount = line.text.partition("\t")
            if line.problem:
                wrong.add(line.number, line.problem)
            elif name.strip():
                try:
                    own_e4 = _amount_e4(amount.strip(), False) if amount.strip() else amount_e4
                    if own_e4 is None:
                        raise InvalidValue("amount", "is needed: behind a tab, or for all of them")
                    read.append((line.number, name.strip(), own_e4))
                except InvalidValue as error:
                    wrong.add(line.number, str(error))
            elif amount.strip():
                wrong.add(line.number, "names nobody")
        rows = []
        found = await self._money.find_users([name for _, name, _ in read]) if read else []
        for (number, name, own_e4), user in zip(read, found, strict=True):
            if user is None:
                wrong.add(number, f"there is no user {name[:80]!r}")
            elif user in lines_of:
                wrong.add(number, f"is the same user as line {lines_of[user]}")
            else:
                lines_of[user] = number
                rows.append((user, own_e4))
        return rows

    async def _apply(self, id: str, of: int, progress: Progress) -> ActState:
        while (done := await self._money.apply_act(id)).state != "done":
            progress({"doing": "adjusting", "users": done.users, "of": of})
        return done

    async def _forget(self, id: str) -> None:
        while not await self._money.forget_act(id):
            pass


def open_here(path: str) -> BufferedReader:
    """Raises InvalidValue."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise InvalidValue("path", f"cannot be read by the server: {error.strerror}") from None


def _amount_e4(text: str, may_miss: bool) -> int | None:
    if not text and may_miss:
        return None
    amount_e4 = parse_sum_e4(text)
    if amount_e4 == 0:
        raise InvalidValue("amount", "is zero")
    return amount_e4


def _digest(asked: tuple[Any, ...]) -> str:
    return hashlib.blake2b(msgspec.json.encode(asked), digest_size=16).hexdigest()


def _digest_of_file(path: str) -> str:
    with open_here(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _told(act: Act, done: ActState, repeated: bool = False) -> dict[str, Any]:
    found = {
        "ok": not done.failed,
        "id": act.id,
        "users": done.users,
        "total_e4": done.total_e4,
        "total": show_amount(done.total_e4),
        "repeated": repeated,
    }
    # Their accounts would reach the limit of any amount, or the purse holds less than is taken.
    return {**found, "left_out": done.failed} if done.failed else found

"""Shared accounts from a file: ``papercutd account import``, in PaperCut's format.

As of users (services/import_operations.py): the whole file is checked before anything changes,
and where a line is rejected nothing is imported, unless who asked wants the others.
"""

from __future__ import annotations

import os
from typing import Any

from papercutd.domain.import_lines import LineReader
from papercutd.domain.shared_import import AccountReader, ImportedAccount, disabled
from papercutd.errors import InvalidValue, Rejected
from papercutd.services.import_operations import (
    Counts,
    ImportOperations,
    file_parts,
    open_file,
    read_part,
    told,
)
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.money.shared_account_store import SharedAccountStore
from papercutd.storage.money.shared_imports import FORMAT, AccountPlan
from papercutd.storage.people.imports import AT_ONCE_MAX, ImportSettings
from papercutd.storage.people.people_store import PeopleStore

#: A line may be below one before it: all are kept until the last is read.
ROWS_MAX = 20_000
#: Of those that a file does not name, so many are told by name.
MISSING_MAX = 500


class SharedAccountImport:
    """At the application server."""

    def __init__(
        self, shared: SharedAccountStore, people: PeopleStore, imports: ImportOperations
    ) -> None:
        """``people`` has the imports that wait, ``imports`` applies them."""
        self._shared = shared
        self._people = people
        self._imports = imports
        self._is_busy = False

    def all(self) -> dict[str, Operation]:
        return {"account.import": self.import_file}

    async def import_file(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add and change accounts as a file on this machine says; with ``check`` nothing
        changes."""
        given = take(
            arguments,
            "path",
            **{"encoding": "utf-8", "check": False, "skip_rejected": False},
            **{"keep_balances": False, "close_missing": False},
        )
        if given["close_missing"] and given["skip_rejected"]:
            # A line that cannot be read may be the one that names an account.
            raise InvalidValue("close-missing", "needs every line: not with skip-rejected")
        reader = LineReader(given["encoding"])
        if self._is_busy:
            raise Rejected("busy", "another import is under way")
        self._is_busy = True
        try:
            counts = Counts()
            rows, lines = _read(given["path"], reader, counts)
            return await self._import(given, reader, rows, lines, counts, progress)
        finally:
            self._is_busy = False

    async def _import(
        self,
        given: dict[str, Any],
        reader: LineReader,
        rows: list[ImportedAccount],
        lines: int,
        counts: Counts,
        progress: Progress,
    ) -> dict[str, Any]:
        progress({"doing": "checking", "lines": lines, "rejected": len(counts.rejected)})
        missing: list[str] = []
        if given["close_missing"] and not counts.rejected:
            if not rows:
                raise InvalidValue("file", "names no account: nothing is disabled")
            missing = await self._shared.missing(rows)
            rows = [*rows, *(disabled(lines + n, name) for n, name in enumerate(missing, 1))]
        plans = await self._shared.plan_import(rows, given["keep_balances"])
        good = [plan.row for plan in plans if not plan.problem]
        for plan in plans:
            _count(counts, plan)
        is_taken = not counts.rejected or given["skip_rejected"]
        if given["check"] or not is_taken:
            if not is_taken and not given["check"]:
                counts.added = counts.changed = counts.same = 0
            return _told(given, reader, lines, counts, is_taken, missing)
        id = self._imports.new_id()
        await self._people.begin_import(id, FORMAT, ImportSettings(given["keep_balances"]))
        try:
            for at in range(0, len(good), AT_ONCE_MAX):
                await self._shared.put_aside(id, good[at : at + AT_ONCE_MAX])
        except BaseException:
            await self._imports.forget(id)
            raise
        await self._people.begin_applying(id)
        counts.added = counts.changed = counts.same = 0
        await self._imports.apply(id, counts, len(good), progress)
        return _told(given, reader, lines, counts, True, missing)


def _told(
    given: dict[str, Any],
    reader: LineReader,
    lines: int,
    counts: Counts,
    is_ok: bool,
    missing: list[str],
) -> dict[str, Any]:
    """The result; with ``close_missing`` the accounts that are, or would be, disabled."""
    found = told(given, reader, lines, counts, is_ok, "an account")
    if given["close_missing"]:
        found["missing"] = {"count": len(missing), "names": missing[:MISSING_MAX]}
    return found


def _read(path: str, reader: LineReader, counts: Counts) -> tuple[list[ImportedAccount], int]:
    """The lines that can be taken, and how many there are."""
    rows: list[ImportedAccount] = []
    accounts, lines = AccountReader(), 0
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > ROWS_MAX * 4_096:
            raise InvalidValue("file", f"is larger than {ROWS_MAX} lines can be")
        for part in file_parts(file, reader):
            lines += len(part)
            if lines > ROWS_MAX:
                raise InvalidValue("file", f"has more than {ROWS_MAX} lines")
            rows += read_part(accounts.read, part, counts)
    return rows, lines


def _count(counts: Counts, plan: AccountPlan) -> None:
    if plan.problem:
        counts.reject(plan.row.line, plan.problem)
    elif plan.known is None:
        counts.added += 1
    elif plan.is_change:
        counts.changed += 1
    else:
        counts.same += 1

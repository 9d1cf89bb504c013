"""Users from a CSV file with a header: name, full_name, restricted, groups.

UTF-8, with or without a byte-order mark. Groups are separated by semicolons. Every
row that cannot be a user is named with its line; the others are told too, and it is
for the importer to import nothing while any is rejected.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from zope.interface import implementer

from papercutd.domain.job import fold_user_name
from papercutd.interfaces import IUserSource, RejectedRow, SourceUsers, UserRecord

COLUMNS = ("name", "full_name", "restricted", "groups")
COLUMNS_MAX = 100
FILE_MAX_BYTES = 200_000_000
_TRUTH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@implementer(IUserSource)
class CsvSource:
    """Reads ``path`` anew at each call."""

    description = "users from a CSV file"

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> SourceUsers:
        data = self._path.read_bytes()
        if len(data) > FILE_MAX_BYTES:
            return _nothing(1, "the file is too large")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            return _nothing(line, "is not UTF-8: save the file as UTF-8")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
        except csv.Error as error:
            return _nothing(1, str(error))
        unknown = [name for name in header if name not in COLUMNS]
        if len(header) > COLUMNS_MAX or unknown or "name" not in header:
            return _nothing(1, f"the header holds name and any of {', '.join(COLUMNS[1:])}")
        return self._rows(reader, header)

    def _rows(self, reader: Any, header: list[str]) -> SourceUsers:
        users: list[UserRecord] = []
        rejected: list[RejectedRow] = []
        seen: dict[str, int] = {}
        while True:
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                rejected.append(RejectedRow(reader.line_num, str(error)))
                break
            if not row:
                continue
            line = reader.line_num
            found = _user(row, header)
            if isinstance(found, str):
                rejected.append(RejectedRow(line, found))
                continue
            first = seen.setdefault(fold_user_name(found.name), line)
            if first != line:
                rejected.append(RejectedRow(line, f"{found.name!r} stands in line {first} too"))
                continue
            users.append(found)
        return SourceUsers(tuple(users), tuple(rejected))


def _nothing(line: int, reason: str) -> SourceUsers:
    return SourceUsers((), (RejectedRow(line, reason),))


def _user(row: list[str], header: list[str]) -> UserRecord | str:
    """The user of a row, or why it is none."""
    if len(row) != len(header):
        return f"has {len(row)} columns, the header has {len(header)}"
    given = dict(zip(header, (value.strip() for value in row), strict=True))
    name = given["name"]
    if not fold_user_name(name) or len(name) > 255 or not name.isprintable():
        return "the name is empty, too long or holds control characters"
    said = given.get("restricted", "").lower()
    restricted = _TRUTH.get(said)
    if said and restricted is None:
        return "restricted is yes or no"
    groups = tuple(g.strip() for g in given.get("groups", "").split(";") if g.strip())
    return UserRecord(name, given.get("full_name", ""), restricted, groups)

"""The job log: every job that was charged, refused or ended without paper, page by page.

A page looks through a bounded number of jobs, whatever is asked for, and tells where the next one
goes on: filters need no index of their own, which every charge would pay for.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable
from itertools import islice

import attrs
from twisted.internet.defer import Deferred

from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.history.invoicing import as_yes, names_of
from papercutd.storage.money.shared_accounts import find_account
from papercutd.storage.people.people import merged_users
from papercutd.storage.proof.seals import one_moment

#: Jobs that one page looks through.
LOOKED_MAX = 2_000
#: Beyond every change and every key.
_NEWEST = (2**62, "")
_OLDEST = (0, "")
_CHARGED = (
    'SELECT number, charge_id AS id, key, provider, printer, "user", user_name, account, decider,'
    " title, pages, sheets, amount_e4, forced, assumed, lines, price_version, outcome,"
    " '' AS reason, named, invoice, claimed_at, received_at FROM charge"
    " WHERE number {0}= ? AND (number, charge_id) {0} (?, ?)"
    " ORDER BY number {1}, charge_id {1} LIMIT ?"
)
_OTHER = (
    'SELECT number, key AS id, key, provider, printer, "user", user_name, NULL AS account, decider,'
    " title, 0 AS pages, 0 AS sheets, 0 AS amount_e4, 0 AS forced, 0 AS assumed, '[]' AS lines,"
    " NULL AS price_version, verdict AS outcome, reason, NULL AS named, NULL AS invoice,"
    " claimed_at, received_at FROM job_log"
    " WHERE number {0}= ? AND (number, key) {0} (?, ?) ORDER BY number {1}, key {1} LIMIT ?"
)
Place = tuple[int, str]


@attrs.frozen
class Filter:
    """What is asked for; None, empty or False: whatever it is."""

    user: str = ""
    printer: str = ""
    account: str = ""
    site: str = ""
    decider: str = ""
    since: float | None = None
    until: float | None = None
    forced: bool = False
    assumed: bool = False
    refused: bool = False
    charged: bool = False
    #: ``yes`` or ``no``: of those that a shared account pays, or is named for.
    invoice: str = ""


@attrs.frozen
class JobPage:
    """Jobs, how many were looked through, and where to go on; None: there are no more."""

    rows: list[Row]
    looked: int
    next: Place | None


def read_jobs(
    connection: Connection,
    directory: Directory,
    asked: Filter,
    after: Place | None,
    oldest_first: bool,
    count_max: int = LOOKED_MAX,
) -> JobPage:
    """Jobs in the order they were booked in, or back from the newest; raises NotFound."""
    tests = _tests(connection, directory, asked)
    signs = (">", "ASC") if oldest_first else ("<", "DESC")
    start = after or (_OLDEST if oldest_first else _NEWEST)
    sources = [
        rows(connection, query.format(*signs), start[0], *start, count_max)
        for query in (_CHARGED, _OTHER)
    ]
    merged = heapq.merge(*sources, key=_place, reverse=not oldest_first)
    looked = [_as_shown(row) for row in islice(merged, count_max)]
    last = _place(looked[-1]) if len(looked) == count_max else None
    if not oldest_first and asked.since is not None and looked:
        # A clock that was set back a little ends nothing: all of them are older.
        if all(row["received_at"] < asked.since for row in looked):
            last = None
    found = [row for row in looked if all(test(row) for test in tests)]
    return JobPage(_named(connection, found), len(looked), last)


def _as_shown(row: Row) -> Row:
    row["invoice"] = as_yes(row["invoice"])
    return row


def _place(row: Row) -> Place:
    return row["number"], row["id"]


def _tests(
    connection: Connection, directory: Directory, asked: Filter
) -> list[Callable[[Row], bool]]:
    tests: list[Callable[[Row], bool]] = []
    for column in ("forced", "assumed"):
        if getattr(asked, column):
            tests.append(lambda row, c=column: bool(row[c]))  # type: ignore[misc]
    if asked.refused:
        tests.append(lambda row: row["outcome"] in ("deny", "hold", "refused"))
    if asked.charged:
        tests.append(lambda row: row["account"] is not None)
    if asked.invoice:
        wanted = asked.invoice == "yes"
        tests.append(lambda row: row["invoice"] is wanted)
    if asked.decider:
        tests.append(lambda row: row["decider"] == asked.decider)
    since, until = asked.since, asked.until
    if since is not None:
        tests.append(lambda row: row["received_at"] >= since)
    if until is not None:
        tests.append(lambda row: row["received_at"] < until)
    if asked.user:
        mine = frozenset(merged_users(connection, "", directory.id_of_user(connection, asked.user)))
        tests.append(lambda row: row["user"] in mine)
    if asked.printer:
        printer = directory.id_of(connection, "printer", asked.printer)
        tests.append(lambda row: row["printer"] == printer)
    if asked.account:
        account = find_account(connection, asked.account)
        tests.append(lambda row: account in (row["account"], row["named"]))
    if asked.site:
        site = directory.id_of(connection, "site", asked.site)
        there = frozenset(_standing(connection, site))
        tests.append(lambda row: row["provider"] in there)
    return tests


def _standing(connection: Connection, site: int) -> Iterable[str]:
    """Who of the askers stands at ``site`` now."""
    for role, table in (("", "provider"), ("device:", "device")):
        for (name,) in connection.execute(f"SELECT name FROM {table} WHERE site = ?", (site,)):
            yield f"{role}{name}"


def _named(connection: Connection, found: list[Row]) -> list[Row]:
    printers = dict(connection.execute("SELECT id, name FROM printer").fetchall()) if found else {}
    accounts = {row[word] for row in found for word in ("account", "named")} - {None}
    names = names_of(connection, accounts)
    for row in found:
        row["printer"] = printers.get(row["printer"], "")
        row["account_name"] = names.get(row["account"])
        row["named_account"] = names.get(row["named"], "")
        row["lines"] = json.loads(row["lines"])
    return found


class JobLogStore:
    """Reads beside the writer, each at one moment."""

    def __init__(self, store: Transactions, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def page(self, asked: Filter, after: Place | None, oldest_first: bool) -> Deferred[JobPage]:
        """See ``read_jobs``."""

        def read(connection: Connection) -> JobPage:
            with one_moment(connection):
                return read_jobs(connection, self._directory, asked, after, oldest_first)

        return self._store.read(read)

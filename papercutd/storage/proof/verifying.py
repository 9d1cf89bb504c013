"""``verify``: whether a database holds what was written, and nothing else.

Everything is read as of one moment, in parts of bounded size, and nothing is written but
temporary tables. It says how far it is, since a large database takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.money.accounts import verify_accounts
from papercutd.storage.money.allowances import verify_allowances
from papercutd.storage.money.purses import verify_purses
from papercutd.storage.money.quota_lists import verify_quotas
from papercutd.storage.proof.monthly_check import verify_monthly
from papercutd.storage.proof.seals import legible, verify_ledger, verify_replica
from papercutd.storage.replication.change_log import verify_chain
from papercutd.storage.site.replica import IN_FORCE
from papercutd.storage.site.site_journal import verify_journal

Progress = Callable[[dict[str, Any]], None]
Told = Callable[[int, int], None]
Check = Callable[[Connection, Told], list[str]]


#: The charges of each key beside what its transfers moved. SQLite walks along both indexes;
#: PostgreSQL had rather add up both tables and join the sums.
_MOVED = "FROM transfer WHERE {} kind IN ('post', 'direct')"
_LOOKED_UP = (
    "SELECT key, count, charged, moved FROM (SELECT key, COUNT(*) AS count,"
    " SUM(amount_e4) AS charged, COALESCE((SELECT SUM(amount_e4)"
    f" {_MOVED.format('transfer.key = charge.key AND')}), 0) AS moved"
    # Without a limit the sum would be looked up for each time that it is named.
    " FROM charge GROUP BY key LIMIT -1) AS sums WHERE count > 1 OR charged <> moved"
)
_JOINED = (
    "SELECT c.key, count, charged, COALESCE(moved, 0) FROM (SELECT key, COUNT(*) AS count,"
    " SUM(amount_e4) AS charged FROM charge GROUP BY key) AS c LEFT JOIN (SELECT key,"
    f" SUM(amount_e4) AS moved {_MOVED.format('')} GROUP BY key) AS t ON t.key = c.key"
    " WHERE count > 1 OR charged <> COALESCE(moved, 0)"
)
#: On PostgreSQL a site's replica may be replaced meanwhile: how often it is begun anew then.
_TRIES = 3


def verify_books(connection: Connection, progress: Progress = lambda figures: None) -> list[str]:
    """Problems of the application server's books and change log; none is a clean bill."""
    #: What each takes of the whole, in hundredths, as measured (docs/performance.md).
    checks: tuple[tuple[str, int, Check], ...] = (
        ("the chain of the change log", 3, verify_chain),
        ("rows against their seals", 50, verify_ledger),
        ("accounts against their transfers", 5, _untold(verify_accounts)),
        ("allowances and purses", 1, _untold(lambda c: verify_allowances(c) + verify_purses(c))),
        ("charges against their transfers", 11, _untold(_verify_charges)),
        ("quotas", 1, _untold(verify_quotas)),
        ("monthly sums", 29, _untold(verify_monthly)),
    )
    with legible(connection):
        return _run(connection, checks, progress)


def verify_site(connection: Connection, progress: Progress = lambda figures: None) -> list[str]:
    """Problems of a site's journal and of its replica in force."""
    checks: tuple[tuple[str, int, Check], ...] = (
        ("the journal", 30, _untold(verify_journal)),
        ("the replica", 70, lambda c, told: verify_replica(c, IN_FORCE, told)),
    )
    for _ in range(_TRIES):
        before = _replica_number(connection)
        problems = _run(connection, checks, progress)
        if is_sqlite(connection) or _replica_number(connection) == before:
            break
    return problems


def _replica_number(connection: Connection) -> int:
    return int(connection.execute("SELECT replica FROM identity").fetchone()[0])


def _run(
    connection: Connection, checks: tuple[tuple[str, int, Check], ...], progress: Progress
) -> list[str]:
    problems: list[str] = []
    before = 0
    for doing, share, check in checks:
        told = _Told(doing, before, share, progress)
        told(0, 1)
        problems += check(connection, told)
        before += share
    return problems


def _untold(check: Callable[[Connection], list[str]]) -> Check:
    return lambda connection, told: check(connection)


class _Told:
    """Makes ``done`` of ``of`` of one check a percentage of the whole, said once for each."""

    def __init__(self, doing: str, before: int, share: int, progress: Progress) -> None:
        self._doing, self._before, self._share = doing, before, share
        self._progress = progress
        self._last = -1

    def __call__(self, done: int, of: int) -> None:
        percent = self._before + self._share * done // max(of, 1)
        if percent != self._last:
            self._last = percent
            self._progress({"doing": self._doing, "percent": percent})


def _verify_charges(connection: Connection) -> list[str]:
    """Keys charged twice, charges whose transfers are not there or of another amount."""
    problems = []
    how = _LOOKED_UP if is_sqlite(connection) else _JOINED
    for key, count, charged, moved in connection.execute(how):
        if count > 1:
            problems.append(f"charges: key {key} has {count} charges")
        if charged != moved:
            problems.append(f"charges: key {key} charges {charged}, its transfers moved {moved}")
    return problems

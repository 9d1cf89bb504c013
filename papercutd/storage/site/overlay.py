"""What a site shows and spends by: the replica plus the journal it does not yet contain.

One connection has the journal as ``main`` and the replica in force attached as
``replica``, so each figure is one consistent read. No record counts twice and
none is missing: a record is in the replica exactly from the replicated mark of
this stream on (design 4.9).
"""

from __future__ import annotations

import attrs

from papercutd.domain.decision import Funds
from papercutd.storage.engine import Connection


@attrs.frozen
class Overlay:
    """One account as the site sees it."""

    funds: Funds
    #: Debits at this site the replica does not contain, and open reservations here.
    unsettled_e4: int
    #: What sites hold of it in escrow: it belongs to the person, and is none of ``funds``.
    escrow_e4: int = 0
    #: Of the unsettled debits those that were printed.
    settled_e4: int = 0


def replicated_mark(connection: Connection) -> int:
    """The last record of our stream that the replica contains."""
    found = connection.execute(
        "SELECT number FROM replica.stream WHERE id = (SELECT stream FROM identity)"
    ).fetchone()
    return 0 if found is None else int(found[0])


def merged_accounts(connection: Connection, account: int) -> list[int]:
    """``account`` and all that the replica says were merged into it."""
    return [
        row[0]
        for row in connection.execute(
            "WITH RECURSIVE mine (id) AS (VALUES (CAST(? AS BIGINT)) UNION SELECT a.id"
            " FROM replica.account AS a JOIN mine ON a.merged_into = mine.id)"
            " SELECT id FROM mine",
            (account,),
        )
    ]


def read_overlay(connection: Connection, account: int) -> Overlay | None:
    """The figures of ``account``; None where the replica has no such account.

    What was decided here for those that were merged into it since is its own.
    """
    found = connection.execute(
        "SELECT restricted, credits_e4, debits_e4, pending_e4, floor_e4, purses_e4"
        " FROM replica.account WHERE id = ?",
        (account,),
    ).fetchone()
    if found is None:
        return None
    restricted, credits_e4, debits_e4, pending_e4, floor_e4, purses_e4 = found
    mark = replicated_mark(connection)
    mine = merged_accounts(connection, account)
    places = ", ".join("?" * len(mine))
    met_settled_e4, met_open_e4 = _as_met(connection, mine, mark)
    (settled_e4,) = connection.execute(
        "SELECT COALESCE(SUM(reserved_e4 - escrow_e4), 0) FROM decision"
        f" WHERE account IN ({places}) AND state = 'settled' AND number > ?"
        " AND key NOT IN (SELECT key FROM replica.charged)",
        (*mine, mark),
    ).fetchone()
    (open_e4,) = connection.execute(
        "SELECT COALESCE(SUM(reserved_e4 - escrow_e4), 0) FROM decision"
        f" WHERE account IN ({places}) AND state = 'open'"
        " AND key NOT IN (SELECT key FROM replica.charged)",
        mine,
    ).fetchone()
    settled_e4, open_e4 = settled_e4 + met_settled_e4, open_e4 + met_open_e4
    # The application server's reservation of a key that we hold or have settled is the
    # same money as ours.
    (twice_e4,) = connection.execute(
        "SELECT COALESCE(SUM(theirs.reserved_e4), 0) FROM replica.reservation AS theirs"
        " JOIN decision AS ours ON ours.key = theirs.key WHERE theirs.account = ?"
        " AND (ours.state = 'open' OR (ours.state = 'settled' AND ours.number > ?))",
        (account, mark),
    ).fetchone()
    funds = Funds(
        restricted=bool(restricted),
        credits_e4=credits_e4,
        debits_e4=debits_e4 + settled_e4,
        pending_e4=pending_e4 - twice_e4 + open_e4,
        floor_e4=floor_e4,
        purses_e4=purses_e4,
    )
    escrow_e4 = _escrow(connection, mine, mark)
    return Overlay(funds, settled_e4 + open_e4, escrow_e4, settled_e4)


def names_met(connection: Connection, accounts: list[int]) -> list[str]:
    """Of the owners of personal ``accounts``: the names by which this site met them before its
    replica had them. What it decided then names no account."""
    if connection.execute("SELECT 1 FROM user_met LIMIT 1").fetchone() is None:
        return []
    owners = (
        "SELECT user FROM replica.account WHERE kind = 'personal'"
        f" AND id IN ({', '.join('?' * len(accounts))})"
    )
    return [
        row[0]
        for row in connection.execute(
            "SELECT folded FROM user_met WHERE folded IN"
            f" (SELECT folded FROM replica.user WHERE id IN ({owners}) UNION ALL"
            f" SELECT folded FROM replica.former_name WHERE user IN ({owners}))",
            (*accounts, *accounts),
        ).fetchall()
    ]


def _as_met(connection: Connection, accounts: list[int], mark: int) -> tuple[int, int]:
    """What was decided of them under those names: settled beyond the mark, and open."""
    settled_e4 = open_e4 = 0
    for folded in names_met(connection, accounts):
        more_e4, still_open_e4 = connection.execute(
            "SELECT COALESCE(SUM(CASE WHEN state = 'settled' AND number > ?1"
            " THEN reserved_e4 END), 0),"
            " COALESCE(SUM(CASE WHEN state = 'open' THEN reserved_e4 END), 0) FROM decision"
            " WHERE met = ?2 AND met <> '' AND account IS NULL"
            " AND key NOT IN (SELECT key FROM replica.charged)",
            (mark, folded),
        ).fetchone()
        settled_e4, open_e4 = settled_e4 + more_e4, open_e4 + still_open_e4
    return settled_e4, open_e4


def _escrow(connection: Connection, accounts: list[int], mark: int) -> int:
    """What sites hold for the owners of personal ``accounts``, less what was spent of it here."""
    places = ", ".join("?" * len(accounts))
    (held_e4,) = connection.execute(
        "SELECT COALESCE(SUM(granted_e4 - returned_e4 - settled_e4), 0) FROM replica.allowance"
        f" WHERE user IN (SELECT user FROM replica.account WHERE id IN ({places})"
        " AND kind = 'personal')",
        accounts,
    ).fetchone()
    (spent_e4,) = connection.execute(
        "SELECT COALESCE(SUM(escrow_e4), 0) FROM decision"
        f" WHERE account IN ({places}) AND state = 'settled' AND number > ?"
        " AND key NOT IN (SELECT key FROM replica.charged)",
        (*accounts, mark),
    ).fetchone()
    return int(held_e4 - spent_e4)

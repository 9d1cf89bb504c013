"""What this site's stream was granted of people's money, and how much of it is left (STRICT).

The replica tells what was granted; the journal remembers, from the first time that it is
spent from, since replicas are replaced and the application server may be restored to before it
granted. What was spent, reserved and returned is the journal's alone. People who were merged
keep their rows: what is left for a person is the sum of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from papercutd.domain.decision import Decision
from papercutd.storage.engine import Connection
from papercutd.storage.people.people import heir_of_user, merged_users
from papercutd.storage.replication.records import Total
from papercutd.storage.site.site_journal import current_stream

#: Of each user with a row in the replica or the journal: granted, returned, spent, pending.
_FIGURES = (
    "SELECT MAX(COALESCE(ours.granted_e4, 0), COALESCE(theirs.granted_e4, 0)),"
    " COALESCE(ours.returned_e4, 0), COALESCE(ours.spent_e4, 0), COALESCE(ours.pending_e4, 0)"
    " FROM (SELECT ? AS user) AS wanted"
    " LEFT JOIN allowance AS ours ON ours.user = wanted.user"
    " LEFT JOIN replica.allowance AS theirs ON theirs.id = ? || '/' || wanted.user"
)


def available_e4(connection: Connection, user: int) -> int:
    """What may be spent here of the person's money: never more than was granted."""
    heir = heir_of_user(connection, "replica.", user)
    return _available(connection, merged_users(connection, "replica.", heir))


def available_of_account(connection: Connection, account: int) -> int:
    """The same by personal account; of a shared one nothing is ever granted."""
    found = connection.execute(
        "SELECT user FROM replica.account WHERE id = ? AND kind = 'personal'", (account,)
    ).fetchone()
    return 0 if found is None or found[0] is None else available_e4(connection, found[0])


def reserve(connection: Connection, user: int, amount_e4: int) -> None:
    """An open decision is to be paid from it; all that it may draw on is remembered."""
    heir = heir_of_user(connection, "replica.", user)
    for one in merged_users(connection, "replica.", heir):
        _remember(connection, one)
    connection.execute(
        "INSERT INTO allowance (user, pending_e4) VALUES (?1, ?2)"
        " ON CONFLICT (user) DO UPDATE SET pending_e4 = allowance.pending_e4 + ?2",
        (user, amount_e4),
    )


def resolve(connection: Connection, decision: Decision, spent_e4: int) -> None:
    """An open decision ended: ``spent_e4`` of its reservation was spent, the rest is free.

    What an earlier stream had reserved was never this one's.
    """
    if decision.decider == current_stream(connection):
        connection.execute(
            "UPDATE allowance SET pending_e4 = pending_e4 - ?, spent_e4 = spent_e4 + ?"
            " WHERE user = ?",
            (decision.amount_e4, spent_e4, decision.user),
        )


def spend_unreserved(connection: Connection, decision: Decision, spent_e4: int) -> None:
    """What this stream decided came in without the decision: a part of the journal is lost."""
    if decision.decider == current_stream(connection) and decision.user is not None:
        reserve(connection, decision.user, 0)
        connection.execute(
            "UPDATE allowance SET spent_e4 = spent_e4 + ? WHERE user = ?",
            (spent_e4, decision.user),
        )


def give_back(connection: Connection, users: Sequence[int], amount_e4: int) -> list[Total]:
    """Return so much of what is neither spent nor reserved; the new totals, none: nothing left.

    ``users``: the person and those merged into it, as the application server knows them.
    """
    left_e4 = min(amount_e4, _available(connection, users))
    totals = []
    for user in users:
        granted_e4, returned_e4, _, _ = _figures(connection, user)
        # Rows of one person pay for each other: only what was granted under a name returns by it.
        part_e4 = min(left_e4, granted_e4 - returned_e4)
        if part_e4 > 0:
            _remember(connection, user)
            connection.execute(
                "UPDATE allowance SET returned_e4 = returned_e4 + ? WHERE user = ?",
                (part_e4, user),
            )
            left_e4 -= part_e4
            totals.append(Total(user, granted_e4, returned_e4 + part_e4))
    return totals


def holders(connection: Connection) -> list[int]:
    """Users of whom this stream was granted something."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT user FROM allowance UNION SELECT user FROM replica.allowance"
            " WHERE stream = (SELECT stream FROM identity) ORDER BY 1"
        )
    ]


def read_totals(connection: Connection) -> list[Total]:
    """Of everybody of whom something was spent, reserved or returned."""
    return [
        Total(*row)
        for row in connection.execute(
            "SELECT user, granted_e4, returned_e4 FROM allowance ORDER BY user"
        )
    ]


def _available(connection: Connection, users: Sequence[int]) -> int:
    total_e4 = 0
    for user in users:
        granted_e4, returned_e4, spent_e4, pending_e4 = _figures(connection, user)
        total_e4 += granted_e4 - returned_e4 - spent_e4 - pending_e4
    return max(0, total_e4)


def _figures(connection: Connection, user: int) -> tuple[int, int, int, int]:
    stream = current_stream(connection)
    found: tuple[int, int, int, int] = connection.execute(_FIGURES, (user, stream)).fetchone()
    return found


def _remember(connection: Connection, user: int) -> None:
    """Keep what the replica says was granted, before any of it is used."""
    granted_e4, *_ = _figures(connection, user)
    if granted_e4:
        connection.execute(
            "INSERT INTO allowance (user, granted_e4) VALUES (?1, ?2)"
            " ON CONFLICT (user) DO UPDATE SET granted_e4 = ?2",
            (user, granted_e4),
        )

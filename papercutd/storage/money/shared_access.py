"""Who may charge a shared account, and what it adds to a price: the same at both servers.

``schema`` is empty for the application server's database, ``replica.`` at a site.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from papercutd.domain.capabilities import lacking
from papercutd.domain.card import hash_pin
from papercutd.domain.decision import Reason
from papercutd.domain.invoicing import CHOOSES
from papercutd.storage.engine import Connection
from papercutd.storage.people.people import CARD_KEY, merged_users, read_secret
from papercutd.storage.values import Chargeable


@attrs.frozen
class Choice:
    """What becomes of the shared account that was chosen for a job."""

    #: Why it cannot be charged; NONE: it can.
    refusal: Reason = Reason.NONE
    markup_e4: int = 0
    #: The account's invoice option (domain/invoicing.py); empty: nothing is set.
    invoice: str = ""


#: None was chosen.
NO_CHOICE = Choice()
_CHARGEABLE = "a.id, a.name, COALESCE(s.pin_hash, ''), COALESCE(s.invoice, ''), a.access"
_OF_ACCOUNTS = (
    f"SELECT {_CHARGEABLE} FROM {{0}}account AS a LEFT JOIN {{0}}shared_account AS s"
    " ON s.id = a.id WHERE a.kind = 'shared'"
)


def choose(
    connection: Connection,
    schema: str,
    account: int | None,
    user: int | None,
    now_s: float,
    checks_access: bool = True,
) -> Choice:
    """Whether ``user`` may charge the shared ``account``; nobody else is charged instead.

    ``checks_access``: it was chosen by a person, not by a rule of the administrator.
    """
    if account is None:
        return NO_CHOICE
    shut = "COALESCE(shut, closed)" if schema else "closed"
    found = connection.execute(
        f"SELECT kind, {shut}, access, markup_e4, disabled_until FROM {schema}account WHERE id = ?",
        (account,),
    ).fetchone()
    if found is None or found[0] != "shared" or found[1] or _is_disabled(found[4], now_s):
        return Choice(Reason.CLOSED)
    needs, invoice = _needs_and_invoice(connection, schema, account)
    if schema and lacking(needs.split()):
        return Choice(Reason.CAPABILITY)
    access, markup_e4 = found[2], found[3]
    if checks_access and access and user is not None:
        if not _may_charge(connection, schema, access, user):
            return Choice(Reason.ACCOUNT, markup_e4)
    return Choice(Reason.NONE, markup_e4, invoice)


def markup_of(connection: Connection, account: int | None) -> int:
    """The mark-up of what is charged to ``account``, at the application server."""
    if account is None:
        return 0
    found = connection.execute("SELECT markup_e4 FROM account WHERE id = ?", (account,)).fetchone()
    return 0 if found is None else int(found[0])


def most_markup_of(connection: Connection, account: int | None) -> int:
    """The most that it ever was, at the application server."""
    found = connection.execute(
        "SELECT markup_most_e4 FROM shared_account WHERE id = ?", (account,)
    ).fetchone()
    return 0 if found is None else int(found[0])


def find_shared_accounts(
    connection: Connection,
    schema: str,
    user: int,
    find: str,
    after: str,
    count_max: int,
    now_s: float,
) -> list[Chargeable]:
    """Shared accounts that ``user`` may charge, with ``find`` in their name, by name."""
    users, groups = _people_of(connection, schema, user)
    found = connection.execute(
        f"{_OF_ACCOUNTS.format(schema)} AND a.name > ?"
        " AND instr(lower(a.name), lower(?)) > 0"
        f" AND {_chargeable(schema, users, groups)} ORDER BY a.name LIMIT ?",
        (after, find, now_s, *users, *groups, count_max),
    ).fetchall()
    return list(map(_as_chargeable, found))


def find_shared_account(
    connection: Connection, schema: str, user: int, account: int, now_s: float
) -> Chargeable | None:
    """The one of that id, if ``user`` may charge it."""
    users, groups = _people_of(connection, schema, user)
    found = connection.execute(
        f"{_OF_ACCOUNTS.format(schema)} AND a.id = ? AND {_chargeable(schema, users, groups)}",
        (account, now_s, *users, *groups),
    ).fetchone()
    return None if found is None else _as_chargeable(found)


def find_by_pin(
    connection: Connection, schema: str, user: int, pin: str, now_s: float
) -> list[Chargeable]:
    """The account of exactly that PIN, if ``user`` may charge it.

    Raises InvalidValue for what can be none.
    """
    key = read_secret(connection, schema, CARD_KEY)
    if key is None:
        return []
    users, groups = _people_of(connection, schema, user)
    found = connection.execute(
        f"SELECT {_CHARGEABLE} FROM {schema}shared_account AS s JOIN {schema}account AS a"
        " ON a.id = s.id WHERE s.pin_hash = ? AND s.pin_hash <> '' AND a.kind = 'shared'"
        f" AND {_chargeable(schema, users, groups)} ORDER BY a.name LIMIT 1",
        (hash_pin(pin, key), now_s, *users, *groups),
    ).fetchall()
    return list(map(_as_chargeable, found))


def _as_chargeable(row: Sequence[Any]) -> Chargeable:
    id, name, pin_hash, invoice, access = row
    # Who may charge it because its access names them has no need of the PIN.
    return Chargeable(id, name, pin_hash != "" and not access, invoice or CHOOSES)


def all_groups_of_user(connection: Connection, schema: str, users: Sequence[int]) -> list[int]:
    """Groups that any of ``users`` is in, by way of another too."""
    return [
        row[0]
        for row in connection.execute(
            "WITH RECURSIVE mine (id) AS ("
            f"SELECT user_group FROM {schema}group_member WHERE user IN ({_places(users)})"
            f" UNION SELECT n.parent FROM {schema}group_nested AS n JOIN mine ON n.child = mine.id)"
            " SELECT id FROM mine ORDER BY id",
            tuple(users),
        )
    ]


def _people_of(connection: Connection, schema: str, user: int) -> tuple[list[int], list[int]]:
    """Whoever counts as ``user``, and the groups they are in."""
    users = merged_users(connection, schema, user)
    return users, all_groups_of_user(connection, schema, users)


def _may_charge(connection: Connection, schema: str, access: int, user: int) -> bool:
    users, groups = _people_of(connection, schema, user)
    found = connection.execute(
        f"SELECT 1 FROM {schema}account_access AS r WHERE r.account = ?"
        f" AND {_named(users, groups)} LIMIT 1",
        (access, *users, *groups),
    ).fetchone()
    return found is not None


def _chargeable(schema: str, users: Sequence[int], groups: Sequence[int]) -> str:
    """Of an account ``a``; its places are the time, the users and the groups."""
    shut = "COALESCE(a.shut, a.closed)" if schema else "a.closed"
    return (
        f"{shut} = 0 AND (a.disabled_until IS NULL OR a.disabled_until <= ?)"
        f" AND (a.access = 0 OR EXISTS (SELECT 1 FROM {schema}account_access AS r"
        f" WHERE r.account = a.access AND {_named(users, groups)}))"
    )


def _named(users: Sequence[int], groups: Sequence[int]) -> str:
    by_group = f" OR r.user_group IN ({_places(groups)})" if groups else ""
    return f"(r.user IN ({_places(users)}){by_group})"


def invoice_option(connection: Connection, schema: str, account: int) -> str:
    """Of a shared account; empty: nothing is set."""
    return _needs_and_invoice(connection, schema, account)[1]


def _needs_and_invoice(connection: Connection, schema: str, account: int) -> tuple[str, str]:
    found = connection.execute(
        f"SELECT needs, invoice FROM {schema}shared_account WHERE id = ?", (account,)
    ).fetchone()
    return ("", "") if found is None else (str(found[0]), str(found[1]))


def _is_disabled(until: float | None, now_s: float) -> bool:
    return until is not None and until > now_s


def _places(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)

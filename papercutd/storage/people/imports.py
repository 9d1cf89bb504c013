"""Users from a file, at the application server: checked whole, then applied in pieces.

What was checked waits in tables of its own, the lines of a piece in one row. From the moment an
import is begun to be applied it is finished, whatever restarts in between: each piece is one
transaction, and takes the lines that it applied from those that wait. Each line is looked at again
then: what an administrator changed meanwhile counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import msgspec

from papercutd.domain.card import hash_card
from papercutd.domain.import_formats import ImportedUser
from papercutd.domain.job import fold_user_name
from papercutd.domain.money import AMOUNT_LIMIT_E4
from papercutd.domain.purses import MAIN
from papercutd.domain.user_fields import DETAILS, forms_of_name
from papercutd.errors import InvalidValue, NameKept
from papercutd.storage.administration.directory import NAME_KEPT_S
from papercutd.storage.engine import Connection, among
from papercutd.storage.money.purse_balances import TOGETHER, balance_of
from papercutd.storage.money.purses import read_kinds
from papercutd.storage.people.people import CARD_KEY, heir_of_user, read_secret

#: Lines of one piece: what an interactive request waits for at the most; and at the least.
PIECE_LINES, PIECE_LINES_MIN = 100, 25
#: Lines of one statement that puts them aside.
AT_ONCE_MAX = 500
#: Rows that are thrown away at once, each with the lines of a piece.
_FORGOTTEN_MAX = 50


@attrs.frozen
class ImportSettings:
    """How an import was asked for."""

    #: Money of users who are there stays as it is.
    keep_balances: bool = False
    #: Names that somebody else bore in the last 35 days are given again.
    now: bool = False
    #: No line makes a user: the users are there.
    is_of_cards: bool = False
    #: New users are put into these.
    groups: tuple[str, ...] = ()
    #: The kind of purse that balances are of; TOGETHER: what all of them hold, and the main one
    #: takes the difference.
    purse: int = TOGETHER


@attrs.frozen
class WaitingLine:
    """A line as it waits: cards hashed, secrets as their verifiers."""

    user: ImportedUser
    card_hashes: tuple[str, ...] = ()
    verifier: str = ""
    pin_verifier: str = ""


@attrs.frozen
class Known:
    """Somebody who is there, as far as a file can say."""

    id: int
    folded: str
    name: str
    full_name: str
    account: int
    restricted: bool
    balance_e4: int
    verifier: str
    pin_verifier: str
    details: dict[str, str]


@attrs.frozen
class Plan:
    """What becomes of one line."""

    line: WaitingLine
    #: Why it cannot be taken.
    problem: str = ""
    #: None: a new user.
    known: Known | None = None
    #: Settings that differ (storage/people/user_settings.py), and money to give or (negative) take.
    settings: dict[str, Any] = attrs.field(factory=dict)
    amount_e4: int = 0
    cards: tuple[str, ...] = ()
    #: The name has to be taken from whoever bore it.
    is_former: bool = False

    @property
    def is_change(self) -> bool:
        """Of somebody who is there: whether anything changes."""
        line = self.line
        secrets = line.verifier or line.pin_verifier or line.user.pin or line.user.password
        return bool(self.settings or self.amount_e4 or self.cards or secrets)


_ENCODE = msgspec.json.Encoder().encode
#: A release before this one had a row for each line.
_DECODE_LINES = msgspec.json.Decoder(list[WaitingLine] | WaitingLine).decode
_KNOWN = (
    "SELECT user.id, user.folded, user.name, full_name, user.account, restricted,"
    " {balance}, verifier, pin_verifier,"
    f" {', '.join(f'COALESCE({detail}, {chr(39) * 2})' for detail in DETAILS)}"
    " FROM user JOIN account ON account.id = user.account"
    " LEFT JOIN user_detail ON user_detail.user = user.id WHERE {condition}"
)


def plan_lines(
    connection: Connection, lines: Sequence[WaitingLine], settings: ImportSettings, at: float
) -> list[Plan]:
    """What becomes of each, as things stand; nothing is written."""
    forms = {one.user.line: forms_of_name(one.user.name) for one in lines}
    wanted = {form for found in forms.values() for form in found}
    known = _read_known(connection, wanted, balance_of(settings.purse))
    why_not = _why_not(connection, settings.purse)
    unknown = [f for found in forms.values() if not known.keys() & set(found) for f in found]
    former = _read_former(connection, unknown)
    hashes = _read_owners(connection, "card", "hash", [h for one in lines for h in one.card_hashes])
    aliases = [fold_user_name(one.user.details.get("alias", "")) for one in lines]
    owners = _read_owners(connection, "user_detail", "alias_folded", [a for a in aliases if a])
    plans = []
    for one, alias in zip(lines, aliases, strict=True):
        found = next((known[form] for form in forms[one.user.line] if form in known), None)
        folded = fold_user_name(one.user.name)
        plan = _plan(one, found, settings)
        if found is None:
            plan = _plan_new(connection, plan, former.get(folded), settings, at)
        plan = _plan_cards(connection, plan, hashes)
        owed = why_not if one.user.balance_e4 is not None else ""
        if settings.purse > MAIN and (one.user.balance_e4 or 0) < 0:
            owed = owed or "balance is below zero: the main purse alone owes anything"
        plan = attrs.evolve(plan, problem=plan.problem or owed)
        if alias in owners and (found is None or owners[alias] != found.id):
            whose = _name_of(connection, owners[alias])
            plan = attrs.evolve(plan, problem=plan.problem or f"alias is that of {whose!r}")
        plans.append(plan)
    return plans


def _why_not(connection: Connection, kind: int) -> str:
    """Why balances of a purse are not taken; empty: they are."""
    if kind <= MAIN or any(one.id == kind for one in read_kinds(connection)):
        return ""
    return "the purse was removed"


def _plan(line: WaitingLine, known: Known | None, settings: ImportSettings) -> Plan:
    if known is None:
        return Plan(line)
    user = line.user
    changes: dict[str, Any] = {}
    if user.full_name and user.full_name != known.full_name:
        changes["full_name"] = user.full_name
    if user.restricted is not None and user.restricted != known.restricted:
        changes["restricted"] = user.restricted
    changes.update({k: v for k, v in user.details.items() if v != known.details[k]})
    amount_e4 = 0
    if user.balance_e4 is not None and not settings.keep_balances:
        amount_e4 = user.balance_e4 - known.balance_e4
    if abs(amount_e4) >= AMOUNT_LIMIT_E4:
        return Plan(line, "balance is out of bounds", known)
    return Plan(line, "", known, changes, amount_e4)


def _plan_new(
    connection: Connection,
    plan: Plan,
    former: tuple[int, float] | None,
    settings: ImportSettings,
    at: float,
) -> Plan:
    """Of somebody who is not there: whether the name may be given."""
    name = plan.line.user.name
    if settings.is_of_cards:
        return attrs.evolve(plan, problem=f"there is no user {name!r}")
    if former is None:
        return plan
    user, left_at = former
    until = left_at + NAME_KEPT_S
    if settings.now or at >= until:
        return attrs.evolve(plan, is_former=True)
    now_called, merged_into, deleted_at = connection.execute(
        "SELECT name, merged_into, deleted_at FROM user WHERE id = ?", (user,)
    ).fetchone()
    if merged_into is not None:
        heir = _name_of(connection, heir_of_user(connection, "", user))
        why = f"{name!r} was merged into {heir!r}: give {heir!r}'s own line alone"
    elif deleted_at is not None:
        why = f"{name!r} was deleted: `user undelete` brings that user back"
    else:
        why = f"{name!r} is the former name of {now_called!r}: give that name"
    return attrs.evolve(plan, problem=f"{why} ({NameKept(name, until)})")


def _plan_cards(connection: Connection, plan: Plan, owners: dict[str, int]) -> Plan:
    if not plan.line.card_hashes:
        return plan
    new = []
    for hashed in plan.line.card_hashes:
        owner = owners.get(hashed)
        if owner is None:
            new.append(hashed)
            continue
        heir = heir_of_user(connection, "", owner)
        if plan.known is None or heir != plan.known.id:
            whose = _name_of(connection, heir)
            return attrs.evolve(
                plan, problem=plan.problem or f"card is linked to {whose!r} already"
            )
    return attrs.evolve(plan, cards=tuple(new))


def _read_known(connection: Connection, forms: Iterable[str], balance: str) -> dict[str, Known]:
    found = {}
    for part in _parts(sorted(forms)):
        condition, values = among(connection, "user.folded", part)
        query = _KNOWN.format(balance=balance, condition=condition)
        for row in connection.execute(query, values).fetchall():
            one = Known(*(*row[:9], dict(zip(DETAILS, row[9:], strict=True))))
            found[one.folded] = attrs.evolve(one, restricted=bool(one.restricted))
    return found


def _read_former(connection: Connection, forms: Iterable[str]) -> dict[str, tuple[int, float]]:
    found = {}
    for part in _parts(sorted(set(forms))):
        condition, values = among(connection, "folded", part)
        rows = connection.execute(
            f"SELECT folded, user, left_at FROM former_name WHERE {condition}", values
        )
        found.update({folded: (user, left_at) for folded, user, left_at in rows.fetchall()})
    return found


def _read_owners(
    connection: Connection, table: str, column: str, values: Sequence[str]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in _parts(values):
        condition, taken = among(connection, column, part)
        rows = connection.execute(f"SELECT {column}, user FROM {table} WHERE {condition}", taken)
        found.update(rows.fetchall())
    return found


def _name_of(connection: Connection, user: int) -> str:
    return str(connection.execute("SELECT name FROM user WHERE id = ?", (user,)).fetchone()[0])


def _parts(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[at : at + AT_ONCE_MAX] for at in range(0, len(values), AT_ONCE_MAX))


# Lines that wait.


def begin_import(
    connection: Connection, id: str, format: str, settings: ImportSettings, at: float
) -> None:
    connection.execute(
        "INSERT INTO import_run VALUES (?, ?, ?, 'filling', ?)",
        (id, format, _ENCODE(settings).decode(), at),
    )


def put_aside(connection: Connection, id: str, lines: Sequence[WaitingLine]) -> None:
    """At most AT_ONCE_MAX of them, in the order of their numbers."""
    if not lines:
        return
    plain = []
    for one in lines:
        # What a person knows is not kept: what proves it is.
        if one.user.cards or one.user.pin or one.user.password:
            user = attrs.evolve(one.user, cards=(), pin="", password="")
            one = attrs.evolve(one, user=user)
        plain.append(one)
    pieces = [plain[at : at + PIECE_LINES] for at in range(0, len(plain), PIECE_LINES)]
    values = [v for one in pieces for v in (id, one[-1].user.line, _ENCODE(one).decode())]
    places = ", ".join(["(?, ?, ?)"] * len(pieces))
    connection.execute(f"INSERT INTO import_row (import, line, body) VALUES {places}", values)


def begin_applying(connection: Connection, id: str) -> None:
    """From this transaction on it is finished, whatever happens."""
    connection.execute("UPDATE import_run SET state = 'applying' WHERE id = ?", (id,))


def waiting_imports(connection: Connection) -> list[tuple[str, str]]:
    """(id, state) of each, the oldest first."""
    return connection.execute("SELECT id, state FROM import_run ORDER BY began_at, id").fetchall()


def read_settings(connection: Connection, id: str) -> ImportSettings | None:
    found = connection.execute("SELECT settings FROM import_run WHERE id = ?", (id,)).fetchone()
    return None if found is None else msgspec.json.decode(found[0], type=ImportSettings)


@attrs.frozen
class Waiting:
    """What waits next of an import, in the order of the file: a row of it."""

    id: str
    #: Of its last line.
    number: int
    lines: list[WaitingLine]


def next_waiting(connection: Connection, id: str) -> Waiting | None:
    """None: nothing waits any more."""
    found = connection.execute(
        "SELECT line, body FROM import_row WHERE import = ? ORDER BY line LIMIT 1", (id,)
    ).fetchone()
    if found is None:
        return None
    number, body = found
    lines = _DECODE_LINES(body)
    return Waiting(id, number, lines if isinstance(lines, list) else [lines])


def forget_first(connection: Connection, waiting: Waiting, count: int) -> None:
    """The first ``count`` of these lines wait no more."""
    _keep(connection, waiting.id, waiting.number, waiting.lines[count:])


def skip_line(connection: Connection, id: str) -> int:
    """The next line, of users or of shared accounts, waits no more; its number. There is one."""
    number, body = connection.execute(
        "SELECT line, body FROM import_row WHERE import = ? ORDER BY line LIMIT 1", (id,)
    ).fetchone()
    lines = msgspec.json.decode(body)
    if not isinstance(lines, list):
        _keep(connection, id, number, [])
        return int(number)
    _keep(connection, id, number, lines[1:])
    return int(lines[0]["user"]["line"])


def _keep(connection: Connection, id: str, number: int, lines: Sequence[Any]) -> None:
    """Of a row only ``lines`` wait still."""
    if lines:
        connection.execute(
            "UPDATE import_row SET body = ? WHERE import = ? AND line = ?",
            (_ENCODE(lines).decode(), id, number),
        )
    else:
        connection.execute("DELETE FROM import_row WHERE import = ? AND line = ?", (id, number))


def forget_lines(connection: Connection, id: str, until: int) -> None:
    """Those of whole rows up to line ``until`` wait no more."""
    connection.execute("DELETE FROM import_row WHERE import = ? AND line <= ?", (id, until))


def forget_import(connection: Connection, id: str) -> bool:
    """One part of what is left of it; True: all of it is gone."""
    last = connection.execute(
        "SELECT MAX(line) FROM (SELECT line FROM import_row WHERE import = ?"
        f" ORDER BY line LIMIT {_FORGOTTEN_MAX}) AS first",
        (id,),
    ).fetchone()[0]
    if last is not None:
        forget_lines(connection, id, last)
        return False
    connection.execute("DELETE FROM import_run WHERE id = ?", (id,))
    return True


def hash_cards(connection: Connection, users: Sequence[ImportedUser]) -> list[WaitingLine]:
    """As they wait, without verifiers yet; raises InvalidValue for cards before there is a key."""
    key = read_secret(connection, "", CARD_KEY)
    if key is None and any(user.cards for user in users):
        raise InvalidValue("card", "numbers are taken once the server was started a first time")
    return [
        WaitingLine(user, tuple(hash_card(card, key or "") for card in user.cards))
        for user in users
    ]


#: Gives money to, or takes it from, a user who is there: (connection, user, account, amount, kind
#: of purse).
Adjust = Callable[[Connection, int, int, int, int], None]

"""Who logs in: users by name or card, with what proves them; the same at both servers.

``schema`` is empty for the application server's database, ``replica.`` at a site.
"""

from __future__ import annotations

import functools
import sys

import attrs

from papercutd.domain.card import hash_card
from papercutd.domain.job import fold_user_name
from papercutd.storage.engine import Connection

#: The secret under which card numbers are hashed.
CARD_KEY = "card-key"


@attrs.frozen
class Login:
    """A user as a log-in needs it; verifiers are argon2id, empty where there is none."""

    user: int
    name: str
    full_name: str
    account: int
    disabled: bool
    verifier: str
    pin_verifier: str
    #: This user and all that were merged into it, and the names they are found by, folded.
    users: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    #: When this user ends; None: never.
    expires_at: float | None = None

    def at(self, now_s: float) -> Login:
        """As it is then: who has expired is disabled."""
        return attrs.evolve(self, disabled=self.disabled or has_expired(self.expires_at, now_s))


#: Merges that are followed, one into the next; a circle cannot be made.
MERGES_MAX = 1_000
_LOGIN = (
    "SELECT u.id, u.name, u.full_name, u.account, MAX(u.disabled, a.closed), u.verifier,"
    " u.pin_verifier, u.expires_at FROM {0}user AS u JOIN {0}account AS a ON a.id = u.account"
    " WHERE u.id = ?"
)


def has_expired(expires_at: float | None, now_s: float) -> bool:
    """Of a user who has an end: whether it has come."""
    return expires_at is not None and expires_at <= now_s


def find_by_name(connection: Connection, schema: str, name: str) -> Login | None:
    """Who is found by ``name`` now: who bears it, else who bore it last."""
    user = find_user(connection, schema, name)
    return None if user is None else find_by_id(connection, schema, user)


def find_user(connection: Connection, schema: str, name: str) -> int | None:
    """The id of who bears ``name``, else of who bore it last, or of whom they were merged into."""
    folded = fold_user_name(name)
    found = connection.execute(
        f"SELECT id FROM {schema}user WHERE folded = ?1 UNION ALL"
        f" SELECT user FROM {schema}former_name WHERE folded = ?1 LIMIT 1",
        (folded,),
    ).fetchone()
    return None if found is None else heir_of_user(connection, schema, found[0])


def heir_of_user(connection: Connection, schema: str, user: int) -> int:
    """Whom ``user`` was merged into, however often; itself where it was not."""
    for _ in range(MERGES_MAX):
        found = connection.execute(
            f"SELECT merged_into FROM {schema}user WHERE id = ?", (user,)
        ).fetchone()
        if found is None or found[0] is None:
            break
        user = found[0]
    return user


def merged_users(connection: Connection, schema: str, user: int) -> list[int]:
    """``user`` and all that were merged into it."""
    return [
        row[0]
        for row in connection.execute(
            "WITH RECURSIVE mine (id) AS (VALUES (CAST(? AS BIGINT)) UNION"
            f" SELECT u.id FROM {schema}user AS u JOIN mine ON u.merged_into = mine.id)"
            " SELECT id FROM mine",
            (user,),
        )
    ]


def find_by_card(connection: Connection, schema: str, number: str) -> Login | None:
    """Whose card that is; raises InvalidValue for what is no card number."""
    key = read_secret(connection, schema, CARD_KEY)
    if key is None:
        return None
    found = connection.execute(
        f"SELECT user FROM {schema}card WHERE hash = ?", (hash_card(number, key),)
    ).fetchone()
    if found is None:
        return None
    return find_by_id(connection, schema, heir_of_user(connection, schema, found[0]))


def find_by_id(connection: Connection, schema: str, user: int) -> Login | None:
    person = _login(connection.execute(_LOGIN.format(schema), (user,)).fetchone())
    if person is None:
        return None
    users = merged_users(connection, schema, user)
    places = ", ".join("?" * len(users))
    former = connection.execute(
        f"SELECT folded FROM {schema}former_name WHERE user IN ({places})", users
    )
    names = frozenset({fold_user_name(person.name), *(row[0] for row in former)})
    return attrs.evolve(person, users=frozenset(users), names=names)


def find_notices(connection: Connection, schema: str, user: int) -> list[str]:
    """What the person is to be told at a log-in: kinds of notices, each once."""
    users = merged_users(connection, schema, user)
    places = ", ".join("?" * len(users))
    return [
        row[0]
        for row in connection.execute(
            f"SELECT DISTINCT kind FROM {schema}notice WHERE user IN ({places})"
            " ORDER BY kind LIMIT 8",
            users,
        )
    ]


def read_secret(connection: Connection, schema: str, name: str) -> str | None:
    found = connection.execute(
        f"SELECT value FROM {schema}secret WHERE name = ?", (name,)
    ).fetchone()
    return None if found is None else str(found[0])


def _login(row: tuple[object, ...] | None) -> Login | None:
    if row is None:
        return None
    user, name, full_name, account, disabled, verifier, pin_verifier, expires_at = row
    assert isinstance(user, int) and isinstance(account, int)
    assert expires_at is None or isinstance(expires_at, float)
    return Login(
        *(user, str(name), str(full_name), account, bool(disabled)),
        *(str(verifier), str(pin_verifier)),
        expires_at=expires_at,
    )


@attrs.frozen
class Device:
    """A device as its server knows it."""

    id: int
    name: str
    printer: int
    printer_name: str
    functions: tuple[str, ...]
    logins: tuple[str, ...]
    idle_s: int
    #: The print provider of its printer.
    provider: str
    #: (name, host, port for devices) of the site it stands at.
    site: tuple[str, str, int] | None = None


def find_site_device(connection: Connection, name: str) -> Device | None:
    """At a site: the device called ``name``, if it stands there."""
    own = connection.execute(
        "SELECT 1 FROM replica.device AS d JOIN replica.site AS s ON s.id = d.site"
        " WHERE d.name = ? AND s.name = (SELECT site FROM identity)",
        (name,),
    ).fetchone()
    return None if own is None else find_device(connection, "replica.", name)


def find_device(connection: Connection, schema: str, name: str) -> Device | None:
    """The device called ``name``, if it was not removed."""
    found = connection.execute(
        f"SELECT d.id, d.name, d.printer, p.name, d.functions, d.logins, d.idle_s, v.name,"
        " s.name, s.host, s.device_port"
        f" FROM {schema}device AS d JOIN {schema}printer AS p ON p.id = d.printer"
        f" JOIN {schema}provider AS v ON v.id = p.provider"
        f" LEFT JOIN {schema}site AS s ON s.id = d.site AND s.removed = 0"
        " WHERE d.name = ? AND d.removed = 0",
        (name,),
    ).fetchone()
    if found is None:
        return None
    id, name, printer, printer_name, functions, logins, idle_s, provider, *site = found
    return Device(
        *(id, name, printer, sys.intern(printer_name), _words(functions), _words(logins)),
        *(idle_s, sys.intern(provider), None if site[0] is None else _place(*site)),
    )


# A server keeps a Device for each session: thousands of them say the same here.


@functools.lru_cache(maxsize=256)
def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@functools.lru_cache(maxsize=256)
def _place(name: str, host: str, port: int) -> tuple[str, str, int]:
    return (name, host, port)

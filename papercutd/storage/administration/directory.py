"""Users, printers, prices, sites and providers of the application server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import attrs
import msgspec

from papercutd.domain.card import hash_card, normalise_card
from papercutd.domain.job import fold_user_name
from papercutd.domain.money import check_amount_e4
from papercutd.domain.price_check import check_prices
from papercutd.domain.pricing import PriceList
from papercutd.domain.purses import MAIN
from papercutd.errors import AlreadyExists, InvalidValue, NameKept, NotFound, Rejected
from papercutd.storage.engine import Connection, insert_row
from papercutd.storage.money.accounts import ADJUSTMENT, Accounts, Entry
from papercutd.storage.money.purses import check_purse, purse_in_words
from papercutd.storage.people import new_users
from papercutd.storage.people.claims import Claims
from papercutd.storage.people.people import (
    CARD_KEY,
    find_user,
    has_expired,
    heir_of_user,
    read_secret,
)
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.scope import note_stood
from papercutd.storage.replication.timeline import is_lost, next_id

#: ``cap_user_e4`` of a site: the default of 200 grey A4 sides, and none at all.
CAP_DEFAULT = -1
CAP_NONE = -2
CAP_WORDS = {CAP_DEFAULT: "default", CAP_NONE: "none"}
#: Seconds for which a name that was somebody's is given to nobody else.
NAME_KEPT_S = 35 * 86_400.0
SITE_COLUMNS = frozenset(
    {"host", "port", "device_port", "https_port", "policy", "cap_user_e4", "deny_beyond_cap"}
)
#: ``link``: people may link a card that nobody has to themselves.
DEVICE_FUNCTIONS = ("copy", "scan", "fax", "release", "link")
DEVICE_LOGINS = ("card", "card-pin", "password")
#: Versions of prices that are kept parsed.
PRICES_KEPT = 16
_NUMBER = re.compile("[0-9]{1,15}")


@attrs.frozen
class Person:
    """A user as a decision needs it."""

    id: int
    account: int
    disabled: bool
    #: When this user ends; None: never.
    expires_at: float | None = None
    #: As it is kept (domain/account_mode.py).
    account_mode: str = ""

    def is_closed(self, now_s: float) -> bool:
        """Whether nothing new is allowed then."""
        return self.disabled or has_expired(self.expires_at, now_s)


def encode_prices(prices: PriceList) -> str:
    """The stored form of one version."""
    return msgspec.json.encode(prices).decode()


@lru_cache(maxsize=PRICES_KEPT)
def decode_prices(body: str) -> PriceList:
    """The version as it was stored; parsed once, for one that says the same is the same."""
    return msgspec.json.decode(body, type=PriceList)


def _words(field: str, text: str, among: tuple[str, ...]) -> str:
    words = text.split()
    if not words or not set(words) <= set(among):
        raise InvalidValue(field, f"are words of: {', '.join(among)}")
    return " ".join(word for word in among if word in words)


def _idle_s(value: object) -> int:
    if not isinstance(value, int) or not 5 <= value <= 3_600:
        raise InvalidValue("idle", "is not between 5 and 3600 seconds")
    return value


def _release_columns(release: str, group: str, held_max_s: int) -> dict[str, object]:
    if release not in ("immediate", "secure", "find-me"):
        raise InvalidValue("release", "is one of immediate, secure, find-me")
    if release == "find-me" and not group:
        raise InvalidValue("group", "is needed with find-me: which printers take its jobs")
    if len(group) > 63 or not group.isprintable():
        raise InvalidValue("group", "is longer than 63 or holds control characters")
    if not 60 <= held_max_s <= 31 * 86_400:
        raise InvalidValue("held-for", "is not between a minute and 31 days")
    return {"release": release, "pull_group": group, "held_max_s": held_max_s}


def check_user_name(name: str) -> str:
    """Its folded form; raises InvalidValue."""
    folded = fold_user_name(name)
    if not folded or len(name) > 255 or not name.isprintable():
        raise InvalidValue("name", "is empty, too long or holds control characters")
    return folded


def take_user_name(
    connection: Connection,
    log: ChangeLog,
    name: str,
    user: int | None,
    at: float,
    now: bool,
) -> None:
    """``name`` is to be borne by ``user`` (None: a new one) from now on, and finds no other.

    Raises AlreadyExists, and NameKept where it was another's less than 35 days ago:
    jobs under way and sites out of reach may still mean that person by it.
    """
    folded = check_user_name(name)
    taken = connection.execute(
        "SELECT 1 FROM user WHERE folded = ? AND id IS NOT ?", (folded, user)
    ).fetchone()
    if taken is not None:
        raise AlreadyExists("user", name)
    found = connection.execute(
        "SELECT user, left_at FROM former_name WHERE folded = ?", (folded,)
    ).fetchone()
    if found is None:
        return
    if found[0] != user and not now and at < found[1] + NAME_KEPT_S:
        raise NameKept(name, found[1] + NAME_KEPT_S)
    connection.execute("DELETE FROM former_name WHERE folded = ?", (folded,))
    log.touch("former_name", folded, ("user", found[0]))


class Directory:
    """The objects that administrators make; every change goes into the change log."""

    def __init__(self, log: ChangeLog, accounts: Accounts) -> None:
        self._log = log
        self._accounts = accounts

    def find_person(self, connection: Connection, name: str) -> Person | None:
        """Who bears ``name`` now, else who bore it last; of the merged it is the heir.

        Case and a domain before it do not count.
        """
        user = find_user(connection, "", name)
        return None if user is None else self._person(connection, user)

    def _person(self, connection: Connection, heir: int) -> Person:
        found = connection.execute(
            "SELECT id, account, disabled = 1 OR deleted_at IS NOT NULL, expires_at, account_mode"
            " FROM user WHERE id = ?",
            (heir,),
        ).fetchone()
        return Person(found[0], found[1], bool(found[2]), *found[3:])

    def find_person_as_of(self, connection: Connection, name: str, position: str) -> Person | None:
        """Who bore ``name`` at ``position``; where that is unknown, its only bearer ever.

        So of a position in a history that a restore has lost: its number is another change
        now. Of somebody merged since it is the heir; None where it is not certain.
        """
        _, _, digits = position.partition(".")
        is_known = _NUMBER.fullmatch(digits) and not is_lost(connection, position)
        return self._find_bearer(connection, name, int(digits) if is_known else None)

    def _find_bearer(self, connection: Connection, name: str, number: int | None) -> Person | None:
        folded = fold_user_name(name)
        rows = connection.execute(
            "SELECT DISTINCT user FROM user_name WHERE folded = ?1"
            " AND (?2 IS NULL OR (since <= ?2 AND (until IS NULL OR until > ?2)))",
            (folded, number),
        ).fetchall()
        if not rows and number is not None:
            return self._find_bearer(connection, name, None)
        if len(rows) != 1:
            return None
        return self._person(connection, heir_of_user(connection, "", rows[0][0]))

    def add_user(
        self,
        connection: Connection,
        name: str,
        *,
        full_name: str = "",
        restricted: bool | None = None,
        balance_e4: int | None = None,
        overdraft_e4: int | None = None,
        groups: Sequence[str] = (),
        administrator: bool = False,
        source: str = "local",
        expires_at: float | None = None,
        now: bool = False,
        entry: Entry,
    ) -> int:
        """A new user with a personal account; the opening balance is a transfer.

        What is None is as the rules for new users say (people/new_users.py), by the ``groups``
        that the user is put into. Raises NotFound, and NameKept for a name that somebody else
        bore lately, unless ``now``.
        """
        folded = check_user_name(name)
        joined = new_users.ids_of_groups(connection, groups)
        start = new_users.read_start(connection, joined)
        if balance_e4 is None:
            balance_e4, entry = start.credit_e4, attrs.evolve(entry, reason=new_users.REASON)
        restricted = start.restricted if restricted is None else restricted
        overdraft_e4 = start.overdraft_e4 if overdraft_e4 is None else overdraft_e4
        if overdraft_e4 < 0:
            raise InvalidValue("overdraft", "is the amount a balance may go below zero, not less")
        check_amount_e4(balance_e4, field="balance")
        check_amount_e4(overdraft_e4, field="overdraft")
        take_user_name(connection, self._log, name, None, entry.received_at, now)
        account = insert_row(
            connection,
            "INSERT INTO account (id, kind, name, restricted, floor_e4)"
            " VALUES (?, 'personal', ?, ?, ?)",
            (next_id(connection, "account"), name, int(restricted), -overdraft_e4),
        )
        user = insert_row(
            connection,
            "INSERT INTO user (id, name, folded, full_name, account, administrator, source,"
            " expires_at, account_mode, needs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(next_id(connection, "user"), name, folded, full_name, account),
                *(int(administrator), source, expires_at, *start.mode),
            ),
        )
        connection.execute("UPDATE account SET user = ? WHERE id = ?", (user, account))
        connection.execute(
            "INSERT INTO user_name VALUES (?, ?, ?, NULL)", (folded, user, self._log.number)
        )
        self._log.touch("user", user)
        self._log.touch("account", account)
        new_users.join_groups(connection, self._log, (user,), joined)
        if balance_e4:
            self.adjust(connection, account, balance_e4, entry)
        return user

    def adjust(
        self,
        connection: Connection,
        account: int,
        amount_e4: int,
        entry: Entry,
        kind: int = MAIN,
    ) -> None:
        """Credit (or, negative, debit) ``account`` by an administrator's word.

        ``kind``: of the person's purse that is meant. No other than the main one goes below zero:
        raises InvalidValue.
        """
        check_amount_e4(amount_e4)
        if amount_e4 == 0:
            raise InvalidValue("amount", "is zero")
        if amount_e4 > 0:
            transfer = self._accounts.into_purse(
                connection, ADJUSTMENT, account, kind, amount_e4, entry
            )
        else:
            check_purse(connection, account, kind, -amount_e4)
            transfer = self._accounts.from_purse(
                connection, account, kind, ADJUSTMENT, -amount_e4, entry
            )
        # Sites know it of the account beside which the purse is.
        reason = entry.reason + purse_in_words(connection, kind)
        self._log.adjusted(transfer, account, amount_e4, reason, entry.received_at)

    def account_of_user(self, connection: Connection, name: str) -> int:
        """The personal account of the user called ``name``; raises NotFound."""
        person = self.find_person(connection, name)
        if person is None:
            raise NotFound("user", name)
        return person.account

    def add_prices(self, connection: Connection, prices: PriceList) -> int:
        """A new version of the prices, in force from its ``effective_from``."""
        version = next_id(connection, "price", "version")
        check_prices(prices)
        self.check_currency(connection, prices.currency)
        prices = attrs.evolve(prices, version=version)
        connection.execute(
            "INSERT INTO price (version, effective_from, body, needs) VALUES (?, ?, ?, ?)",
            (version, prices.effective_from, encode_prices(prices), " ".join(prices.needs)),
        )
        self._log.touch("price", version)
        return version

    def check_currency(self, connection: Connection, currency: str) -> None:
        """Raise InvalidValue for another currency once there are amounts in the one in force."""
        found = connection.execute(
            "SELECT body FROM price WHERE EXISTS (SELECT 1 FROM transfer)"
            " ORDER BY version DESC LIMIT 1"
        ).fetchone()
        if found is not None and decode_prices(found[0]).currency != currency:
            raise InvalidValue("currency", "cannot change: there are amounts in another")

    def newest_prices(self, connection: Connection) -> int:
        """The newest version, 0 where there is none."""
        (version,) = connection.execute("SELECT COALESCE(MAX(version), 0) FROM price").fetchone()
        return int(version)

    def add_site(self, connection: Connection, name: str, host: str = "", port: int = 9195) -> int:
        return self._add(connection, "site", name, {"host": host, "port": port})

    def set_site(self, connection: Connection, name: str, columns: Mapping[str, object]) -> None:
        """Change what ``columns`` names, of: host, port, device_port, https_port, policy,
        cap_user_e4, deny_beyond_cap."""
        site = self.id_of(connection, "site", name)
        for column, value in columns.items():
            if column not in SITE_COLUMNS:
                raise InvalidValue(column, "is not a setting of a site")
            connection.execute(f"UPDATE site SET {column} = ? WHERE id = ?", (value, site))
        self._log.touch("site", site)

    def remove_site(self, connection: Connection, name: str) -> list[str]:
        """Take a site away: its providers stand alone, its stream decides no more.

        The names of its providers: each has to turn to the application server with what
        it retained of that stream.
        """
        site = self.id_of(connection, "site", name)
        providers = connection.execute(
            "SELECT id, name FROM provider WHERE site = ? AND removed = 0 ORDER BY name", (site,)
        ).fetchall()
        for kind in ("provider", "device"):
            for (moved,) in connection.execute(
                f"SELECT id FROM {kind} WHERE site = ?", (site,)
            ).fetchall():
                note_stood(connection, kind, moved)
        connection.execute("UPDATE provider SET site = NULL WHERE site = ?", (site,))
        connection.execute("UPDATE device SET site = NULL WHERE site = ?", (site,))
        connection.execute("UPDATE site SET removed = 1 WHERE id = ?", (site,))
        for (stream,) in connection.execute(
            "SELECT id FROM stream WHERE site = ? AND state = 'live'", (site,)
        ).fetchall():
            # Retired once nothing of it can come in any more: storage/replication/retiring.py.
            connection.execute(
                "UPDATE stream SET state = 'frozen', ended = ? WHERE id = ?",
                (self._log.number, stream),
            )
            self._log.touch("stream", stream)
        self._log.touch("site", site)
        for provider, _ in providers:
            self._log.touch("provider", provider)
        for (device,) in connection.execute("SELECT id FROM device").fetchall():
            self._log.touch("device", device)
        return [name for _, name in providers]

    def add_provider(self, connection: Connection, name: str, site: str | None = None) -> int:
        found = None if site is None else self.id_of(connection, "site", site)
        return self._add(connection, "provider", name, {"site": found})

    def add_printer(
        self,
        connection: Connection,
        name: str,
        provider: str,
        uri: str,
        when_alone: str = "print-and-log-later",
        *,
        release: str = "immediate",
        group: str = "",
        held_max_s: int = 86_400,
    ) -> int:
        """``release`` is ``immediate``, ``secure`` or ``find-me``, the last with a ``group``."""
        columns = {
            "provider": self.id_of(connection, "provider", provider),
            "uri": uri,
            "when_alone": when_alone,
            **_release_columns(release, group, held_max_s),
        }
        return self._add(connection, "printer", name, columns)

    def set_provider(
        self,
        connection: Connection,
        name: str,
        preferred: str | None = None,
        site: str | None = None,
    ) -> None:
        """Who a provider asks first, and which site it stands beside; empty ``site``: none."""
        provider = self.id_of(connection, "provider", name)
        if preferred is not None:
            if preferred not in ("application", "site"):
                raise InvalidValue("preferred", "is application or site")
            connection.execute(
                "UPDATE provider SET preferred = ? WHERE id = ?", (preferred, provider)
            )
        if site is not None:
            found = self.id_of(connection, "site", site) if site else None
            note_stood(connection, "provider", provider)
            connection.execute("UPDATE provider SET site = ? WHERE id = ?", (found, provider))
        self._log.touch("provider", provider)

    def set_release(
        self, connection: Connection, name: str, release: str, group: str, held_max_s: int
    ) -> None:
        """How jobs of a printer are released from now on; those held already stay held."""
        printer = self.id_of(connection, "printer", name)
        columns = _release_columns(release, group, held_max_s)
        connection.execute(
            "UPDATE printer SET release = ?, pull_group = ?, held_max_s = ? WHERE id = ?",
            (*columns.values(), printer),
        )
        self._log.touch("printer", printer)

    def add_device(
        self,
        connection: Connection,
        name: str,
        printer: str,
        site: str | None = None,
        *,
        functions: str = "copy release",
        logins: str = "card password",
        idle_s: int = 60,
    ) -> int:
        """A device at ``printer``; ``functions`` and ``logins`` are words with spaces between."""
        columns: dict[str, object] = {
            "site": None if site is None else self.id_of(connection, "site", site),
            "printer": self.id_of(connection, "printer", printer),
            "functions": _words("functions", functions, DEVICE_FUNCTIONS),
            "logins": _words("logins", logins, DEVICE_LOGINS),
            "idle_s": _idle_s(idle_s),
        }
        return self._add(connection, "device", name, columns)

    def set_device(self, connection: Connection, name: str, columns: Mapping[str, object]) -> None:
        """Change what ``columns`` names, of: site (its name, empty: none), printer (its name),
        functions, logins, idle_s."""
        device = self.id_of(connection, "device", name)
        for column, value in columns.items():
            if column == "site":
                note_stood(connection, "device", device)
                value = self.id_of(connection, "site", str(value)) if value else None
            elif column == "printer":
                value = self.id_of(connection, "printer", str(value))
            elif column == "functions":
                value = _words("functions", str(value), DEVICE_FUNCTIONS)
            elif column == "logins":
                value = _words("logins", str(value), DEVICE_LOGINS)
            elif column == "idle_s":
                value = _idle_s(value)
            else:
                raise InvalidValue(column, "is not a setting of a device")
            connection.execute(f"UPDATE device SET {column} = ? WHERE id = ?", (value, device))
        self._log.touch("device", device)

    def set_verifier(self, connection: Connection, name: str, kind: str, verifier: str) -> None:
        """The argon2id verifier of a password or PIN; ``kind`` is ``password`` or ``pin``."""
        column = {"password": "verifier", "pin": "pin_verifier"}[kind]
        user = self.id_of_user(connection, name)
        connection.execute(f"UPDATE user SET {column} = ? WHERE id = ?", (verifier, user))
        self._log.touch("user", user)

    def add_card(self, connection: Connection, name: str, number: str, added_at: float) -> None:
        """Link a card; raises AlreadyExists when it is another's, InvalidValue, NotFound."""
        user = self.id_of_user(connection, name)
        hashed = self._hash_card(connection, number)
        found = connection.execute("SELECT user FROM card WHERE hash = ?", (hashed,)).fetchone()
        if found is not None and found[0] != user:
            raise AlreadyExists("card", normalise_card(number))
        connection.execute(
            "INSERT INTO card (hash, user, added_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (hashed, user, added_at),
        )
        self._log.touch("card", hashed)

    def link_card(self, connection: Connection, claims: Claims, user: int, number: str) -> str:
        """``user`` links a card at a device here: ``linked``, or ``already``.

        Raises Rejected ``card-taken``, InvalidValue.
        """
        hashed = self._hash_card(connection, number)
        found = connection.execute("SELECT user FROM card WHERE hash = ?", (hashed,)).fetchone()
        if found is None:
            claims.link(connection, hashed, user)
            return "linked"
        if heir_of_user(connection, "", found[0]) != user:
            raise Rejected("card-taken")
        return "already"

    def remove_card(self, connection: Connection, number: str) -> None:
        """A card is nobody's from now on; raises NotFound."""
        hashed = self._hash_card(connection, number)
        gone = connection.execute("DELETE FROM card WHERE hash = ? RETURNING user", (hashed,))
        owners = gone.fetchall()
        if not owners:
            raise NotFound("card", normalise_card(number))
        self._log.touch("card", hashed, ("user", owners[0][0]))

    def ensure_secret(self, connection: Connection, name: str, value: str) -> None:
        """``value`` becomes the secret called ``name``, unless there is one."""
        done = connection.execute(
            "INSERT INTO secret VALUES (?, ?) ON CONFLICT DO NOTHING", (name, value)
        )
        if done.rowcount:
            self._log.touch("secret", name)

    def id_of_user(self, connection: Connection, name: str) -> int:
        """Raises NotFound."""
        person = self.find_person(connection, name)
        if person is None:
            raise NotFound("user", name)
        return person.id

    def _hash_card(self, connection: Connection, number: str) -> str:
        key = read_secret(connection, "", CARD_KEY)
        assert key is not None
        return hash_card(number, key)

    def id_of(self, connection: Connection, kind: str, name: str) -> int:
        """The id of a site, provider or printer; raises NotFound."""
        found = connection.execute(
            f"SELECT id FROM {kind} WHERE name = ? AND removed = 0", (name,)
        ).fetchone()
        if found is None:
            raise NotFound(kind, name)
        return int(found[0])

    def _add(self, connection: Connection, kind: str, name: str, columns: dict[str, object]) -> int:
        if not name or len(name) > 63 or not name.isprintable():
            raise InvalidValue("name", "is empty, longer than 63 or holds control characters")
        if ":" in name:
            # ``role:name`` tells identities apart.
            raise InvalidValue("name", "holds a colon")
        taken = connection.execute(f"SELECT 1 FROM {kind} WHERE name = ?", (name,)).fetchone()
        if taken is not None:
            raise AlreadyExists(kind, name)
        names = ", ".join(("id", "name", *columns))
        places = ", ".join("?" * (2 + len(columns)))
        made = insert_row(
            connection,
            f"INSERT INTO {kind} ({names}) VALUES ({places})",
            (next_id(connection, kind), name, *columns.values()),
        )
        self._log.touch(kind, made)
        return made

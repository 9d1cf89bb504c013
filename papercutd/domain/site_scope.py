"""Whose rows a site is sent: everybody's, or those of the members of some groups.

A site with a scope knows the people of its groups and what is theirs: accounts, cards, names,
memberships, lockouts, notices, allowances, reservations. Of settings, printers, prices, rules and
shared accounts it knows all, as any site does. Who enters is sent whole in the change by
which they enter, and who leaves is taken away in the change by which they leave: such a change
has every row of that person.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from papercutd.domain.lost_edit import ADJUSTED

#: Groups of one scope.
SCOPE_GROUPS_MAX = 100

#: Tables whose rows are somebody's, by the column that says whose.
OWNED_BY_USER = {
    "user": "id",
    "former_name": "user",
    "group_member": "user",
    "card": "user",
    "notice": "user",
    "lockout": "user",
    "allowance": "user",
    "purse": "user",
}
#: The event of a charge: it is for those whose account it is, and for who decided it.
CHARGE = "charge"

Key = int | str
#: ("user", id), ("account", id) or ("asker", name): whose a row is, or was until this change.
Owner = tuple[str, Key]
#: The kind that stands at the row of a site whose scope was changed by that change.
SCOPE = "scope"
Row = tuple[str, Key, Mapping[str, Any] | None]


class Seen(enum.Enum):
    """What a site is told of a row that changed."""

    WHOLE = "whole"
    #: It is not the site's any more.
    GONE = "gone"
    NOTHING = "nothing"


@attrs.frozen
class Whose:
    """Rows that jobs changed, by whom they may concern: their places in the change.

    With hundreds of sites no row is looked at for each of them.
    """

    users: dict[Key, list[int]] = attrs.field(factory=dict)
    accounts: dict[Key, list[int]] = attrs.field(factory=dict)
    askers: dict[Key, list[int]] = attrs.field(factory=dict)
    #: By the site's id.
    sites: dict[Key, list[int]] = attrs.field(factory=dict)
    everybody: list[int] = attrs.field(factory=list)
    #: Shared accounts among them.
    shared: set[int] = attrs.field(factory=set)

    def note(self, place: int, owner: Owner) -> None:
        by_kind = {"user": self.users, "account": self.accounts, "asker": self.askers}
        by_kind[owner[0]].setdefault(owner[1], []).append(place)


def whose(rows: Iterable[Row], owners: Mapping[tuple[str, Key], Iterable[Owner]]) -> Whose:
    """Of a change that only jobs made; as ``Reach.look`` has it."""
    found = Whose()
    for place, (table, key, columns) in enumerate(rows):
        was = list(owners.get((table, key), ()))
        if table == "stream" and columns is not None and columns["state"] == "live":
            found.sites.setdefault(columns["site"], []).append(place)
        elif table in ("account", "reservation", "allowance", "purse") and columns is not None:
            if columns.get("kind") == "shared":
                assert isinstance(key, int)
                found.everybody.append(place)
                found.shared.add(key)
            else:
                was.append(_owner(table, key, columns))
        elif table == "stream" or (table not in ("account", CHARGE) and not was):
            found.everybody.append(place)
        for owner in was:
            found.note(place, owner)
    return found


@attrs.define
class Reach:
    """What one site with a scope is sent; goes on with the changes it is shown, in order."""

    #: The site's id, and the groups of its scope.
    site: int
    groups: frozenset[int]
    #: Memberships of those groups: key to user.
    members: dict[str, int]
    #: Personal accounts of those users, and all shared ones.
    accounts: set[int]
    shared: set[int]
    #: Providers and devices that stand there or stood there, as they own jobs.
    askers: set[str]
    _users: dict[int, int] = attrs.field(init=False, factory=dict)
    _left: set[int] = attrs.field(init=False, factory=set)
    _left_accounts: set[int] = attrs.field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        for user in self.members.values():
            self._users[user] = self._users.get(user, 0) + 1

    def knows(self, user: int) -> bool:
        """Whether that person is within."""
        return user in self._users

    def begin_jobs(self) -> None:
        """Another change that only jobs made: nobody enters or leaves."""
        self._left.clear()
        self._left_accounts.clear()

    def begin(self, rows: Iterable[Row], owners: Mapping[tuple[str, Key], Iterable[Owner]]) -> None:
        """Another change of more than jobs: who enters by it, who leaves, what moves."""
        self.begin_jobs()
        rows = list(rows)
        for table, key, columns in rows:
            if table == "group_member":
                self._move(str(key), columns, owners.get((table, key), ()))
            elif table in ("provider", "device") and columns is not None:
                if columns["site"] == self.site:
                    prefix = "device:" if table == "device" else ""
                    self.askers.add(f"{prefix}{columns['name']}")
        self._left = {user for user in self._left if not self.knows(user)}
        for table, key, columns in rows:
            if table == "account" and columns is not None:
                assert isinstance(key, int)
                if columns["kind"] == "shared":
                    self.shared.add(key)
                elif columns["user"] in self._users:
                    self.accounts.add(key)
                else:
                    self.accounts.discard(key)
                    if columns["user"] in self._left:
                        self._left_accounts.add(key)

    def concerned(self, whose: Whose) -> list[int]:
        """The places of rows that may be ours, in order; of all others we are told nothing."""
        self.shared |= whose.shared
        places = set(whose.everybody)
        for ours, theirs in (
            (self._users.keys(), whose.users),
            (self.accounts, whose.accounts),
            (self.shared, whose.accounts),
            (self.askers, whose.askers),
        ):
            for owner in ours & theirs.keys():
                places.update(theirs[owner])
        places.update(whose.sites.get(self.site, ()))
        return sorted(places)

    def look(self, row: Row, was: Iterable[Owner]) -> Seen:
        """What the site is told of ``row``; ``was``: whose it was until this change."""
        table, key, columns = row
        if table == CHARGE:
            return Seen.WHOLE if any(map(self._is_ours, was)) else Seen.NOTHING
        if table == "stream":
            # Of others only that they are no more.
            is_ours = columns is None or columns["site"] == self.site or columns["state"] != "live"
            return Seen.WHOLE if is_ours else Seen.NOTHING
        if table == "account":
            return self._look_at_account(key, columns)
        if table == ADJUSTED:
            is_ours = columns is not None and self._is_ours(("account", columns["account"]))
            return Seen.WHOLE if is_ours else Seen.NOTHING
        if table not in OWNED_BY_USER and table != "reservation":
            return Seen.WHOLE
        if columns is None:
            # One of which nobody knows whose it was: that there is none, is no secret.
            was = tuple(was)
            return Seen.WHOLE if not was or self._had(was) else Seen.NOTHING
        owner = _owner(table, key, columns)
        if self._is_ours(owner):
            return Seen.WHOLE
        return Seen.GONE if self._had((owner, *was)) else Seen.NOTHING

    def _look_at_account(self, key: Key, columns: Mapping[str, Any] | None) -> Seen:
        if columns is None:
            # An account of the installation itself, which no site has: none is ever removed.
            return Seen.NOTHING
        assert isinstance(key, int)
        if columns["kind"] == "shared":
            return Seen.WHOLE
        if self._is_ours(("account", key)):
            return Seen.WHOLE
        return Seen.GONE if self._had((("account", key),)) else Seen.NOTHING

    def _move(self, key: str, columns: Mapping[str, Any] | None, owners: Iterable[Owner]) -> None:
        if int(key.partition(".")[0]) not in self.groups:
            return
        before = self.members.pop(key, None)
        if before is not None:
            self._users[before] -= 1
            if not self._users[before]:
                del self._users[before]
        if columns is not None:
            user = self.members[key] = columns["user"]
            self._users[user] = self._users.get(user, 0) + 1
            return
        self._left.update(int(user) for kind, user in owners if kind == "user")

    def _is_ours(self, owner: Owner) -> bool:
        kind, id = owner
        if kind == "user":
            return id in self._users
        if kind == "asker":
            return id in self.askers
        return id in self.accounts or id in self.shared

    def _had(self, owners: Iterable[Owner]) -> bool:
        return any(
            self._is_ours(owner)
            or (owner[0] == "user" and owner[1] in self._left)
            or (owner[0] == "account" and owner[1] in self._left_accounts)
            for owner in owners
        )


def _owner(table: str, key: Key, columns: Mapping[str, Any]) -> Owner:
    if table == "account":
        return ("account", key)
    if table == "reservation":
        return ("account", columns["account"])
    return ("user", columns[OWNED_BY_USER[table]])

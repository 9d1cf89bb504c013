"""Edits that a restored application server has lost, as a site that had followed them tells them.

What was printed is offered again and posts again; what an administrator changed is only listed
(design 4.12). Here is said which columns of which replicated tables somebody edits, and which
of them are nobody's to see.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

#: Edits that one site tells of one restore, and the characters of one value.
EDITS_MAX = 500
VALUE_LENGTH_MAX = 1_000
NAME_LENGTH_MAX = 255
#: Places of its history that a site shows at once to find the newest it shares.
PLACES_MAX = 200

#: Money given or taken by an administrator's word: an event of the change log, no table.
ADJUSTED = "adjusted"
ADJUSTED_COLUMNS = ("account", "amount_e4", "reason", "at")

#: Of an account whose credits a site has from a snapshot, and from nobody one by one.
UNTOLD = ("credits_e4",)

Key = int | str
Value = int | float | str | None


@attrs.frozen
class Watched:
    """A replicated table that administrators edit; the most important ones stand first."""

    table: str
    #: What people are shown, of rows for which ``condition`` holds.
    shown: tuple[str, ...]
    #: What changes by itself, or says nothing beside the others. Whatever is neither is
    #: named as changed, and never shown: a column of a later release too.
    ignored: tuple[str, ...] = ()
    condition: str = "1 = 1"
    #: What of ``shown`` an older release does not tell.
    later: tuple[str, ...] = ()
    #: The key itself is nobody's to see.
    is_key_secret: bool = False

    def hidden(self, key: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Of all ``columns`` those that are named, and not shown."""
        return tuple(c for c in columns if c not in (key, *self.shown, *self.ignored))


_MONEY = ("kind", "user", "credits_e4", "debits_e4", "pending_e4", "purses_e4")
#: What only shared accounts have.
_SHARED = ("access", "markup_e4", "disabled_until", "shut")
WATCHED = (
    Watched("price", ("effective_from", "body", "needs")),
    Watched("revocation", ("role", "name", "revoked_at")),
    Watched(
        "site",
        (
            *("name", "host", "port", "device_port", "policy", "cap_user_e4"),
            *("deny_beyond_cap", "removed"),
        ),
    ),
    Watched("provider", ("name", "site", "preferred", "removed")),
    Watched(
        "printer",
        (
            *("name", "provider", "uri", "when_alone", "release", "pull_group"),
            *("held_max_s", "removed"),
        ),
    ),
    Watched("device", ("name", "site", "printer", "functions", "logins", "idle_s", "removed")),
    Watched("site_policy", ("site", "user_group", "knob", "value", "needs"), ignored=("below",)),
    Watched(
        "schedule",
        ("name", "amount_e4", "cap_e4", "period", "day", "minute", "whom", "purse"),
        ignored=("next_at", "done_account", "last_account", "ran_at"),
        later=("purse",),
    ),
    Watched("new_user_rule", ("credit_e4", "restricted", "overdraft_e4", "account_selection")),
    Watched("secret", ()),
    Watched(
        "account",
        (
            *("name", "restricted", "floor_e4", "closed", "merged_into"),
            *_SHARED,
        ),
        ignored=_MONEY,
        condition="kind = 'shared'",
        later=_SHARED,
    ),
    Watched("shared_account", ("invoice", "comment"), ignored=("needs",)),
    Watched("account_access", ("account", "user", "user_group")),
    Watched("user_group", ("name",), ignored=("folded",)),
    Watched("group_nested", ("parent", "child")),
    Watched("purse_kind", ("name", "rank")),
    Watched("card", ("user",), is_key_secret=True),
    Watched(
        "user",
        (
            *("name", "full_name", "disabled", "administrator", "merged_into", "expires_at"),
            "account_mode",
        ),
        ignored=("folded", "account", "needs"),
    ),
    # Names and ends of personal accounts are those of their users.
    Watched(
        "account",
        ("restricted", "floor_e4"),
        ignored=(*_MONEY, "name", "closed", "merged_into", *_SHARED),
        condition="kind = 'personal'",
    ),
    Watched("group_member", ("user_group", "user")),
    # Last: a batch is thousands.
    Watched(
        "voucher",
        ("batch", "place", "amount_e4", "expires_at", "cancelled_at", "purse"),
        # An event of its own where it was at the application server, else the site tells again.
        ignored=("redeemed_at",),
        is_key_secret=True,
    ),
)
#: Replicated tables that no administrator edits: what is in them is told again by who knows.
UNWATCHED = frozenset(
    {"former_name", "notice", "lockout", "stream", "allowance", "reservation", "purse"}
)
TABLES_WATCHED = frozenset(watched.table for watched in WATCHED)


@attrs.frozen
class Edit:
    """One row as a site had it when the history ended in which it was changed."""

    table: str
    key: Key
    #: Whose or what row it is, in words.
    name: str
    #: When the application server had committed it; 0: the site does not know.
    at: float
    #: All columns that are shown; None: the row had been taken away.
    was: dict[str, Value] | None
    #: Columns that were other than they are now, and are not shown.
    hidden: tuple[str, ...] = ()


@attrs.frozen
class Lost:
    """What a site's former replica had and the new one has not."""

    edits: tuple[Edit, ...] = ()
    #: As many more that are not told one by one.
    omitted: int = 0


def printable(text: str, length_max: int) -> str:
    """``text`` without control characters, cut off."""
    plain = "".join(c if c.isprintable() else " " for c in text[: length_max + 1])
    return plain if len(plain) <= length_max else plain[: length_max - 1] + "…"


def clipped(value: Value) -> Value:
    """A value as it is told and compared: texts bounded."""
    return printable(value, VALUE_LENGTH_MAX) if isinstance(value, str) else value


def watched_of(table: str, was: Mapping[str, Value] | None) -> Watched | None:
    """Who says what of a row of ``table`` is shown; of accounts by the columns told."""
    found = [one for one in WATCHED if one.table == table]
    for one in found:
        if was is None or set(one.shown) - set(one.later) <= set(was):
            return one
    return found[-1] if found else None

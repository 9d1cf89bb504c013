r"""Files of shared accounts, as PaperCut's batch import has them: tabs between eleven columns, no
header.

An empty column says nothing: a new account gets the default, of one that is there it stays.
A parent stands in a line before its sub-accounts, or is there; of a tree deeper than two the
parent is a full name, ``Physics\Laser``.
"""

from __future__ import annotations

import attrs

from papercutd.domain.account_tree import SEPARATOR, check_own_name, fold_account_name, split_name
from papercutd.domain.card import normalise_card
from papercutd.domain.money import parse_sum_e4
from papercutd.domain.user_fields import check_text, parse_yes_no
from papercutd.errors import InvalidValue

COLUMNS = (
    *("parent", "name", "enabled", "pin", "balance", "restricted", "users", "groups"),
    *("invoice", "comment", "notes"),
)
#: Everybody may charge it.
ALL_USERS = "[All Users]"
#: Between the names of a list.
BETWEEN = "|"
NAMES_MAX = 1_000
_INVOICE = {
    "always_invoice": "always",
    "always": "always",
    "never_invoice": "never",
    "never": "never",
    "user_choice_on": "user-chooses",
    "user-chooses": "user-chooses",
    "user_choice_off": "user-chooses-no",
    "user-chooses-no": "user-chooses-no",
}
_COMMENT = {
    "no_comment": "none",
    "none": "none",
    "comment_optional": "optional",
    "optional": "optional",
    "comment_required": "required",
    "required": "required",
}


@attrs.frozen
class ImportedAccount:
    """One line that can be taken; None and empty: it says nothing of that."""

    line: int
    #: The full name.
    name: str
    enabled: bool | None = None
    pin: str = attrs.field(default="", repr=False)
    balance_e4: int | None = None
    restricted: bool | None = None
    #: Everybody may charge it, whatever holds for its parent.
    is_everybodys: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    invoice: str = ""
    comment: str = ""
    notes: str = ""
    #: As it waits: the PIN's hash, in its place.
    pin_hash: str = ""


def disabled(line: int, name: str) -> ImportedAccount:
    """As a line would have it that disables an account and says nothing else."""
    return ImportedAccount(line, name, enabled=False)


class AccountReader:
    """Reads the lines of one file, and remembers what must not come twice."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._pins: dict[str, int] = {}

    def read(self, line: int, text: str) -> ImportedAccount:
        """Raises InvalidValue for what cannot be taken, in words; of it nothing is remembered."""
        found = dict(zip(COLUMNS, self._split(text), strict=True))
        name = _full_name(found["parent"], found["name"])
        pin = _pin(found["pin"])
        users = _names("users", found["users"])
        groups = _names("groups", found["groups"])
        is_everybodys = ALL_USERS.casefold() in {one.casefold() for one in (*users, *groups)}
        if is_everybodys and len(users) + len(groups) > 1:
            raise InvalidValue("users", f"are {ALL_USERS}, or names: not both")
        row = ImportedAccount(
            line=line,
            name=name,
            enabled=_yes_no("enabled", found["enabled"]),
            pin=pin,
            balance_e4=_balance(found["balance"]),
            restricted=_yes_no("restricted", found["restricted"]),
            is_everybodys=is_everybodys,
            users=() if is_everybodys else users,
            groups=() if is_everybodys else groups,
            invoice=_word("invoice option", found["invoice"], _INVOICE),
            comment=_word("comment option", found["comment"], _COMMENT),
            notes=check_text("notes", found["notes"], 2_000),
        )
        folded = fold_account_name(name)
        if folded in self._names:
            raise InvalidValue("name", f"is that of line {self._names[folded]} too")
        if pin and pin in self._pins:
            raise InvalidValue("pin", f"is that of line {self._pins[pin]} too")
        self._names[folded] = line
        if pin:
            self._pins[pin] = line
        return row

    def _split(self, text: str) -> list[str]:
        count = text.count("\t") + 1
        if count == 1 and "," in text:
            raise InvalidValue("line", "holds commas and no tab: columns are separated by tabs")
        if count != len(COLUMNS):
            raise InvalidValue("line", f"has {count} columns, the format has {len(COLUMNS)}")
        return [field.strip() for field in text.split("\t")]


def write_account(row: dict[str, object], money: str) -> list[str]:
    """The columns of an account as the store shows it; its PIN is kept hashed, and left out."""
    parent, _, own = str(row["name"]).rpartition(SEPARATOR)
    users, groups = row["users"], row["groups"]
    assert isinstance(users, list) and isinstance(groups, list)
    is_own = row["access"] == "listed"
    if row["access"] == "everybody":
        users, is_own = [ALL_USERS], True
    yes = {True: "Y", False: "N"}
    return [
        *(parent, own, yes[row["disabled_until"] is None], "", money, yes[bool(row["restricted"])]),
        *(BETWEEN.join(users) if is_own else "", BETWEEN.join(groups) if is_own else ""),
        *(_say(str(row["invoice"]), _INVOICE), _say(str(row["comment"]), _COMMENT)),
        str(row["notes"]),
    ]


def _full_name(parent: str, own: str) -> str:
    if not parent and not own:
        raise InvalidValue("name", "is empty")
    if not parent or not own:
        # A top account stands in either of the two columns.
        return check_own_name(own or parent)
    if SEPARATOR in own:
        raise InvalidValue("name", "holds a backslash, which stands between parent and sub-account")
    name = f"{parent}{SEPARATOR}{own}"
    split_name(name)
    return name


def _pin(text: str) -> str:
    if not text:
        return ""
    try:
        return normalise_card(text)
    except InvalidValue:
        raise InvalidValue("pin", "is not 1 to 64 letters and digits") from None


def _names(field: str, text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(one.strip() for one in text.split(BETWEEN) if one.strip()))
    if len(found) > NAMES_MAX:
        raise InvalidValue(field, f"are more than {NAMES_MAX}: make a group of them")
    for one in found:
        check_text(field, one, 255)
    return found


def _balance(text: str) -> int | None:
    return parse_sum_e4(text, field="balance") if text else None


def _yes_no(field: str, text: str) -> bool | None:
    return parse_yes_no(field, text) if text else None


def _word(field: str, text: str, among: dict[str, str]) -> str:
    if not text:
        return ""
    found = among.get(text.lower())
    if found is None:
        shown = ", ".join(word.upper() for word in among if "_" in word)
        raise InvalidValue(field, f"is one of {shown} (it is {text[:40]!r})")
    return found


def _say(word: str, among: dict[str, str]) -> str:
    return next(text for text, meant in among.items() if meant == word).upper()

"""Files of users, as PaperCut's batch imports have them: tabs between columns, no header.

An empty column says nothing: a new user gets the default, of one who is there it stays.
"""

from __future__ import annotations

import unicodedata

import attrs

from papercutd.domain.card import normalise_card
from papercutd.domain.job import fold_user_name
from papercutd.domain.money import parse_sum_e4
from papercutd.domain.user_fields import (
    DETAILS,
    NAME_MAX,
    check_text,
    parse_yes_no,
    why_alike,
)
from papercutd.errors import InvalidValue

SECRET_MAX = 64
_INTERNAL_NAME_MAX = 50


@attrs.frozen
class Format:
    """The columns of one kind of file, in their order."""

    name: str
    columns: tuple[str, ...]
    columns_min: int = 1
    name_max: int = NAME_MAX
    #: Somebody's cards alone: the users are there.
    is_of_cards: bool = False


FORMATS = {
    one.name: one
    for one in (
        Format(
            "users",
            (
                *("name", "balance", "restricted", "full_name", "email", "department", "office"),
                *("card", "pin", "notes", "card", "other_emails", "alias", "home"),
            ),
        ),
        Format(
            "internal-users",
            (
                *("name", "password", "balance", "restricted", "full_name", "email"),
                *("department", "office", "card", "pin", "notes", "card", "home"),
            ),
            name_max=_INTERNAL_NAME_MAX,
        ),
        Format("cards", ("name", "card", "pin"), columns_min=2, is_of_cards=True),
    )
}


@attrs.frozen
class ImportedUser:
    """One line that can be taken; None and empty: it says nothing of that."""

    line: int
    name: str
    balance_e4: int | None = None
    restricted: bool | None = None
    full_name: str = ""
    details: dict[str, str] = attrs.field(factory=dict)
    #: As the reader gives them.
    cards: tuple[str, ...] = attrs.field(default=(), repr=False)
    pin: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)


class RowReader:
    """Reads the lines of one file, and remembers what must not come twice."""

    def __init__(self, format: Format) -> None:
        self._format = format
        self._count = 0
        #: Where a person, a card and an alias came: the line, and what was written there.
        self._people: dict[str, tuple[int, str]] = {}
        self._cards: dict[str, int] = {}
        self._aliases: dict[str, int] = {}

    def read(self, line: int, text: str) -> ImportedUser:
        """Raises InvalidValue for what cannot be taken, in words; of it nothing is remembered."""
        fields = self._split(text)
        columns = self._format.columns
        found = dict(zip(columns, fields, strict=False))
        cards = [f for c, f in zip(columns, fields, strict=False) if c == "card" and f]
        name = self._name(found["name"])
        form = unicodedata.normalize("NFC", fold_user_name(name))
        known = self._people.get(form)
        if known is not None and not self._format.is_of_cards:
            raise InvalidValue(
                "name", f"is the user of line {known[0]}: {why_alike(found['name'], known[1])}"
            )
        row = ImportedUser(
            line=line,
            name=name,
            balance_e4=_money(found.get("balance", "")),
            restricted=_yes_no(found.get("restricted", "")),
            full_name=check_text("full name", found.get("full_name", ""), NAME_MAX),
            details={
                field: check_text(field.replace("_", " "), found[field], DETAILS[field])
                for field in DETAILS
                if found.get(field)
            },
            cards=tuple(dict.fromkeys(map(normalise_card, cards))),
            pin=check_text("PIN", found.get("pin", ""), SECRET_MAX),
            password=check_text("password", found.get("password", ""), 256),
        )
        self._once(row)
        self._people.setdefault(form, (line, found["name"]))
        return row

    def _split(self, text: str) -> list[str]:
        fields = text.split("\t", len(self._format.columns) + 1)
        count = text.count("\t") + 1
        most = len(self._format.columns)
        if count > most:
            raise InvalidValue("line", f"has {count} columns, the format has {most}")
        if count == 1 and text.count(",") >= self._format.columns_min:
            raise InvalidValue("line", "holds commas and no tab: columns are separated by tabs")
        if count < self._format.columns_min:
            raise InvalidValue(
                "line", f"has {count} columns, at least {self._format.columns_min} are needed"
            )
        self._count = self._count or count
        if count != self._count:
            raise InvalidValue(
                "line",
                f"has {count} columns, the first line {self._count}: is it cut off, or is a"
                " tab missing?",
            )
        return [field.strip() for field in fields]

    def _name(self, text: str) -> str:
        name = unicodedata.normalize("NFC", text)
        check_text("name", name, self._format.name_max)
        if not fold_user_name(name):
            raise InvalidValue("name", "is empty")
        return name

    def _once(self, row: ImportedUser) -> None:
        """Raises InvalidValue for a card or an alias that another line has."""
        alias = fold_user_name(row.details.get("alias", ""))
        if alias and alias in self._aliases:
            raise InvalidValue("alias", f"is that of line {self._aliases[alias]} too")
        for card in row.cards:
            if card in self._cards:
                raise InvalidValue("card", f"is that of line {self._cards[card]} too")
        if alias:
            self._aliases[alias] = row.line
        self._cards.update(dict.fromkeys(row.cards, row.line))


def _money(text: str) -> int | None:
    return parse_sum_e4(text, field="balance") if text else None


def _yes_no(text: str) -> bool | None:
    return parse_yes_no("restricted", text) if text else None


#: What a file must not hold within a column.
_BETWEEN = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def write_row(fields: list[str]) -> str:
    """One line of an export, without its end."""
    return "\t".join(field.translate(_BETWEEN) for field in fields)

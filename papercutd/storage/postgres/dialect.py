"""Statements as they are written here, for SQLite, in the words of PostgreSQL.

Word by word, outside of texts, and remembered: a statement is translated once.

=========================  ==========================================
written                    for PostgreSQL
=========================  ==========================================
``?``, ``?2``              ``%s``, its values put in that order
``user``                   ``"user"``: the bare word is who is connected
``MAX(a, b)``, ``MIN``     ``GREATEST(a, b)``, ``LEAST``
``instr``, ``group_concat``  ``strpos``, ``string_agg``
``a IS ?``, ``IS NOT ?``   ``IS NOT DISTINCT FROM``, ``IS DISTINCT FROM``
``x'00'``                  ``'\\x00'::bytea``
``CAST(a AS BLOB)``        ``convert_to(a, 'UTF8')``: a text's bytes
``CAST(a AS TEXT)``        ``convert_from(a, 'UTF8')``: the text of bytes
``BEGIN IMMEDIATE``        ``BEGIN``
=========================  ==========================================
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

_WORDS = re.compile(
    r"""(?P<blob>\b[xX]'[0-9a-fA-F]*')
      | (?P<text>'(?:[^']|'')*')
      | (?P<name>"[^"]*")
      | (?P<note>--[^\n]*)
      | (?P<place>\?\d*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<space>\s+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_CALLED = {"instr": "strpos", "group_concat": "string_agg"}
_OF_SEVERAL = {"MAX": "GREATEST", "MIN": "LEAST"}
#: Between texts and their bytes; nothing else is cast so here.
_CASTS = (
    (re.compile(r"\bCAST\((\w+) AS BLOB\)"), r"convert_to(\1, 'UTF8')"),
    (re.compile(r"\bCAST\((\w+) AS TEXT\)"), r"convert_from(\1, 'UTF8')"),
)
#: After IS these keep their meaning.
_AFTER_IS = {"NULL", "TRUE", "FALSE", "DISTINCT", "UNKNOWN"}


@attrs.frozen
class Translated:
    """A statement for PostgreSQL."""

    sql: str
    #: Which of the given values each place takes; None: as they are given.
    order: tuple[int, ...] | None
    places: int


@lru_cache(maxsize=4096)
def translate(sql: str) -> Translated:
    """``sql`` in PostgreSQL's words."""
    for pattern, words in _CASTS:
        sql = pattern.sub(words, sql)
    found = [(m.lastgroup or "", m.group()) for m in _WORDS.finditer(sql)]
    places = any(kind == "place" for kind, _ in found)
    out: list[str] = []
    order: list[int] = []
    highest = 0
    for index, (kind, text) in enumerate(found):
        if kind == "place":
            number = int(text[1:]) if text[1:] else highest + 1
            highest = max(highest, number)
            order.append(number - 1)
            out.append("%s")
            continue
        if kind == "blob":
            text = f"'\\x{text[2:-1]}'::bytea"
        elif kind == "word":
            text = _word(found, index, text)
        # Where values are put in, a percent sign of the statement is written twice.
        out.append(text.replace("%", "%%") if places else text)
    in_order = order == list(range(len(order)))
    return Translated("".join(out), None if in_order else tuple(order), len(order))


def _word(found: list[tuple[str, str]], index: int, word: str) -> str:
    if word == "user":
        return '"user"'
    if word in _CALLED:
        return _CALLED[word]
    if word in _OF_SEVERAL and _has_several(found, index + 1):
        return _OF_SEVERAL[word]
    upper = word.upper()
    if upper == "IMMEDIATE" and _neighbour(found, index, -1) == "BEGIN":
        return ""
    if upper == "IS":
        after = _neighbour(found, index, 1)
        if after not in _AFTER_IS and after != "NOT":
            return "IS NOT DISTINCT FROM"
    elif upper == "NOT" and _neighbour(found, index, -1) == "IS":
        if _neighbour(found, index, 1) not in _AFTER_IS:
            return "DISTINCT FROM"
    elif upper in ("IGNORE", "REPLACE") and _neighbour(found, index, -1) == "OR":
        raise ValueError("INSERT OR is SQLite's alone: write ON CONFLICT")
    return word


def _neighbour(found: list[tuple[str, str]], index: int, step: int) -> str:
    index += step
    while 0 <= index < len(found) and found[index][0] == "space":
        index += step
    return found[index][1].upper() if 0 <= index < len(found) else ""


def _has_several(found: list[tuple[str, str]], index: int) -> bool:
    """Whether the call that opens at ``index`` has more than one argument."""
    if index >= len(found) or found[index][1] != "(":
        return False
    depth = 0
    for kind, text in found[index:]:
        if kind != "other":
            continue
        depth += (text == "(") - (text == ")")
        if depth == 0:
            return False
        if text == "," and depth == 1:
            return True
    return False

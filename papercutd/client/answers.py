"""How a question is answered: what was typed, or a rule given beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.domain.account_choice import COMMENT_MAX
from papercutd.errors import InvalidValue
from protocols.client import messages

#: What may be typed, for errors.
WORDS = "the number of an account, `p` or `c`, and a comment behind it"
RULES = "personal, cancel, or shared:NAME of a shared account"


@attrs.frozen
class Wanted:
    """An answer by its words; ``account`` is a name until it is found."""

    choice: str
    account: str = ""
    comment: str = ""


def parse_rule(text: str, comment: str = "") -> Wanted:
    """`--answer`; raises InvalidValue."""
    choice, colon, account = text.partition(":")
    is_shared = choice == "shared"
    if choice not in ("personal", "cancel", "shared") or is_shared is not bool(account):
        raise InvalidValue("answer", f"is {RULES}")
    del colon
    return Wanted(choice, account, check_comment(comment))


def parse_typed(
    text: str, question: messages.Question, accounts: Sequence[tuple[int, str]]
) -> tuple[str, int | None, str]:
    """(choice, account, comment) of what was typed; raises InvalidValue."""
    word, _, comment = text.strip().partition(" ")
    comment = check_comment(comment.strip())
    if word == "c":
        return "cancel", None, comment
    if word == "p" and (question.kind != "account" or question.may_choose_personal):
        return "personal", None, comment
    if question.kind == "account" and word.isascii() and word.isdigit():
        number = int(word) if len(word) < 6 else 0
        if 1 <= number <= len(accounts):
            return "shared", accounts[number - 1][0], comment
    raise InvalidValue("answer", f"is {WORDS}")


def check_comment(text: str) -> str:
    """Raises InvalidValue."""
    if len(text) > COMMENT_MAX or not text.isprintable():
        raise InvalidValue("comment", f"is at most {COMMENT_MAX} printable characters")
    return text

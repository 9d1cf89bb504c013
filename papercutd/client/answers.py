"""How a question is answered: what was typed, or a rule given beforehand."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from papercutd.domain.account_choice import COMMENT_MAX
from papercutd.domain.invoicing import may_choose
from papercutd.errors import InvalidValue
from protocols.client import messages
from protocols.common import TEXT_PATTERN
from protocols.device.messages import ChargeableAccount

#: What may be typed, for errors.
WORDS = (
    "the number of an account, `p` or `c`, and a comment behind it; behind the number +i or -i"
    " (to be invoiced or not), and pin=PIN"
)
RULES = "personal, cancel, or shared:NAME of a shared account"
#: Characters of a password or a PIN.
SECRET_MAX = 256
_INVOICE = {"+i": True, "-i": False}
_PIN = "pin="


@attrs.frozen
class Wanted:
    """An answer by its words; ``account`` is a name until it is found."""

    choice: str
    account: str = ""
    comment: str = ""
    #: Whether it is to be invoiced; None: as is usual for the account.
    invoice: bool | None = None
    pin: str = attrs.field(default="", repr=False)


@attrs.frozen
class Typed:
    """What was typed."""

    choice: str
    account: int | None = None
    comment: str = ""
    invoice: bool | None = None
    pin: str = attrs.field(default="", repr=False)


def parse_rule(text: str, comment: str = "", invoice: bool | None = None, pin: str = "") -> Wanted:
    """`--answer`; raises InvalidValue."""
    choice, colon, account = text.partition(":")
    is_shared = choice == "shared"
    if choice not in ("personal", "cancel", "shared") or is_shared is not bool(account):
        raise InvalidValue("answer", f"is {RULES}")
    del colon
    return Wanted(choice, account, check_comment(comment), invoice, pin)


def parse_typed(
    text: str, question: messages.Question, accounts: Sequence[ChargeableAccount]
) -> Typed:
    """Raises InvalidValue."""
    word, _, comment = text.strip().partition(" ")
    comment = check_comment(comment.strip())
    if word == "c":
        return Typed("cancel", comment=comment)
    if word == "p" and (question.kind != "account" or question.may_choose_personal):
        return Typed("personal", comment=comment)
    if question.kind == "account" and word.isascii() and word.isdigit():
        number = int(word) if len(word) < 6 else 0
        if 1 <= number <= len(accounts):
            return _shared(accounts[number - 1], comment)
    raise InvalidValue("answer", f"is {WORDS}")


def _shared(account: ChargeableAccount, comment: str) -> Typed:
    """With what stands before the comment."""
    invoice: bool | None = None
    pin = ""
    while comment:
        word, _, rest = comment.partition(" ")
        if word in _INVOICE:
            if not may_choose(account.invoice):
                raise InvalidValue("answer", f"says {word}, and {account.name} leaves no choice")
            invoice = _INVOICE[word]
        elif word.startswith(_PIN):
            # Never a comment, which others read.
            pin = check_secret("pin", word.removeprefix(_PIN))
        else:
            break
        comment = rest.lstrip()
    return Typed("shared", account.id, comment, invoice, pin if account.pin else "")


def check_secret(what: str, text: str) -> str:
    """A password or PIN, as it can be sent; raises InvalidValue."""
    if len(text) > SECRET_MAX or not re.fullmatch(TEXT_PATTERN, text):
        raise InvalidValue(what, f"is at most {SECRET_MAX} characters, none a control character")
    return text


def check_comment(text: str) -> str:
    """Raises InvalidValue."""
    if len(text) > COMMENT_MAX or not text.isprintable():
        raise InvalidValue("comment", f"is at most {COMMENT_MAX} printable characters")
    return text

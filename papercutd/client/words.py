"""What a person at a client reads: for every code what it means and what to do."""

from __future__ import annotations

from papercutd.domain.invoicing import is_invoiced, may_choose
from papercutd.domain.money import show_amount
from protocols.client import messages
from protocols.codes import WORDS, Code
from protocols.device.messages import ChargeableAccount
from protocols.errors import Refusal

_AGAIN = "Try again in a moment; if it stays so, tell the administrator."

TEXTS: dict[str, str] = {
    Code.BAD_CREDENTIALS: "Name or password is wrong, or the last log-in does not count any more:"
    " run `papercut-client login NAME`.",
    Code.LOCKED_OUT: "Too many attempts. Wait, then try again.",
    Code.CLOSED: "This user is disabled: tell the administrator.",
    Code.NO_LOGIN: "Nobody is logged in: run `papercut-client login NAME`.",
    Code.NOT_ALLOWED: "That is not allowed here now. At a site that is cut off passwords may not"
    " count; an account may not be yours to charge.",
    Code.NOT_YOURS: "That job is not yours.",
    Code.BUSY: "Five clients of yours are connected already, or the server has no time now. "
    + _AGAIN,
    Code.UNAVAILABLE: "The server is starting or stopping. " + _AGAIN,
    Code.STORAGE_FULL: "The server's disk is full: tell the administrator.",
    Code.TIMEOUT: "No answer came. " + _AGAIN,
    Code.INTERNAL: "The server failed at it; its log says why. " + _AGAIN,
    Code.BAD_FIELDS: "That is too long, or not a number or name that can be used.",
    Code.UNKNOWN_VERB: "The server is of a release that cannot do this.",
    Code.VERSION: "The server speaks no version that this client does: one is to be upgraded.",
}
STATES = {
    "online": "",
    "cut": "This site is cut off from the application server; printing goes on.",
    "cut-and-stale": "This site has been cut off for long; printing goes on.",
}
WITHDRAWN = {
    "answered": "It is answered.",
    "timed-out": "The time to answer is over: the policy decides.",
    "ended": "There is nothing to answer any more.",
}
ANSWERED = {
    "taken": "Your answer is taken.",
    "already": "It was answered before, and that stands.",
    "ended": "There is nothing to answer any more.",
}


def explain_answer(refusal: Refusal) -> str:
    """Of an answer to a question: whose it is was proved before."""
    if refusal.code is Code.BAD_CREDENTIALS:
        return "That account is charged with its PIN alone: give it, and the right one."
    return explain(refusal)


def explain(refusal: Refusal) -> str:
    """Total: a code of a later release has words too."""
    text = TEXTS.get(refusal.code, f"It was not done: {WORDS[refusal.code]}.")
    left_s = refusal.fields.get("retry_after_s")
    if isinstance(left_s, int | float) and left_s >= 1:
        text += f" ({round(left_s)} s are left.)"
    return text


def show_balance(balance_e4: int, available_e4: int | None, promised_e4: int) -> str:
    text = f"balance {show_amount(balance_e4)}"
    if available_e4 is not None and available_e4 != balance_e4:
        text += f", {show_amount(available_e4)} available here"
    if promised_e4:
        text += f", {show_amount(promised_e4)} promised"
    return text


def show_account(account: ChargeableAccount) -> str:
    """Its name, with what may be said of it."""
    asks = []
    if account.pin:
        asks.append("pin=PIN")
    if may_choose(account.invoice):
        usual = "yes" if is_invoiced(account.invoice) else "no"
        asks.append(f"+i or -i: invoice it or not, else {usual}")
    return f"{account.name} ({'; '.join(asks)})" if asks else account.name


def show_question(
    question: messages.Question, accounts: list[ChargeableAccount], left_s: float
) -> str:
    """What is asked, with the answers that may be typed."""
    pages = "1 page" if question.pages == 1 else f"{question.pages} pages"
    what = f"{question.title!r}: {pages} at {question.printer_name}"
    cost = show_amount(question.amount_e4)
    if question.kind != "account":
        lines = [f"{what}, {cost}. Print it?", "  p  print it"]
    else:
        lines = [f"{what}, {cost} where you pay. Who pays?"]
        lines += [f"  {number}  {show_account(one)}" for number, one in enumerate(accounts, 1)]
        lines += ["  p  you"] if question.may_choose_personal else []
    lines.append("  c  cancel: do not print it")
    lines.append(f"Type an answer, a comment behind it ({_show_left(left_s)}):")
    return "\n".join(lines)


def _show_left(left_s: float) -> str:
    if left_s < 120:
        return f"{round(left_s)} s"
    minutes = round(left_s / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"


def show_message(message: messages.Message) -> str:
    title = f"{message.title!r}: " if message.title else ""
    cost = "" if message.amount_e4 is None else f" ({show_amount(message.amount_e4)})"
    return f"{title}{message.text}{cost}"

"""What a person at the device reads: for every code what it means and what to do."""

from __future__ import annotations

from papercutd.device.errors import Local
from protocols.codes import WORDS, Code

_AGAIN = "Try again in a moment; if it stays so, tell the administrator."
_ADMINISTRATOR = "Tell the administrator."

TEXTS: dict[str, str] = {
    # The device's own.
    Local.NO_SERVER: "No server is in reach: nothing can be started. It is tried again all the"
    " time; see `status`.",
    Local.LOST: "The connection to the server broke. Log in again; what came out is counted.",
    Local.LOGGED_IN: "Somebody is logged in already. Type `logout` first.",
    Local.BUSY: "The machine is at work. Wait for it, or type `cancel`.",
    Local.IDLE: "Nothing is running.",
    Local.FULL: "The device's own disk is full, so that nothing can be counted: free some space.",
    Local.KEPT: "Too many copies wait to be reported to a server. Start again once one is in"
    " reach; see `status`.",
    Local.NOT_HERE: "This device does not offer that. The administrator may allow it.",
    Local.ACCOUNT_PIN: "That account is chosen by its PIN: type `account pin PIN` first.",
    Local.JAM: "Paper is stuck. Take it out and type `clear`.",
    # The protocol's.
    Code.BAD_CREDENTIALS: "Nobody is known by that. Check the card or name, PIN or password.",
    Code.LOCKED_OUT: "Too many attempts. Wait, then try again.",
    Code.CLOSED: "This account is closed. " + _ADMINISTRATOR,
    Code.NO_LOGIN: "Nobody is logged in. Type `login card NUMBER` or `login NAME`.",
    Code.NOT_ALLOWED: "That is not allowed here. The administrator may allow it.",
    Code.NOT_YOURS: "That belongs to somebody else.",
    Code.CARD_TAKEN: "That card is another person's. " + _ADMINISTRATOR,
    Code.UNREACHABLE: "The print server that holds the job is not in reach. The job is kept: try"
    " again later.",
    Code.TIMEOUT: "No answer came. " + _AGAIN,
    Code.BUSY: "The server has no time now. " + _AGAIN,
    Code.UNAVAILABLE: "The server is starting or stopping. " + _AGAIN,
    Code.STORAGE_FULL: "The server's disk is full. Log out and in again to be served by another."
    " " + _ADMINISTRATOR,
    Code.NOT_WRITER: "Another server decides. " + _AGAIN,
    Code.STALE_SESSION: "The connection was replaced. " + _AGAIN,
    Code.INTERNAL: "The server failed at it; its log says why. " + _AGAIN,
    Code.UNKNOWN_PRINTER: "The printer of this device is not known any more. " + _ADMINISTRATOR,
    Code.BAD_FIELDS: "That is too long, or not a number or name that can be used.",
    Code.REVOKED: "The certificate of this device is revoked: it has to join again.",
    Code.IDENTITY: "The server knows this device by another name: it has to join again.",
    Code.UNKNOWN_VERB: "The server is of a release that cannot do this yet.",
    Code.BAD_GRANT: "The server did not give that reservation; the copy is kept aside. "
    + _ADMINISTRATOR,
    Code.FEWER_PAGES: "The server has counted more pages of it; the copy is kept aside. "
    + _ADMINISTRATOR,
    # What people are told when they log in.
    "card-claimed-twice": "Somebody else linked your new card at another place at the same time:"
    " it is nobody's. Link it again, or see the administrator.",
    "card-refused": "The card you linked is another person's: it is not yours.",
    "voucher-taken-back": "A voucher you redeemed is not good: somebody redeemed it before, or it"
    " had ended. Its credit was taken back; see the administrator.",
    "no-such-pin": "No account that you may charge has that PIN.",
    # Why a voucher is not redeemed.
    "voucher-mistyped": "That is no serial: look at the voucher again.",
    "voucher-unknown": "No voucher with that serial is known here. One made while the site is cut"
    " is redeemed when it is online again.",
    "voucher-redeemed": "That voucher was redeemed before.",
    "voucher-cancelled": "That voucher was cancelled. " + _ADMINISTRATOR,
    "voucher-expired": "That voucher has expired. " + _ADMINISTRATOR,
    # What servers say of a run or a job.
    "funds": "There is not enough credit for it.",
    "unknown-user": "The server does not know you. " + _ADMINISTRATOR,
    "capability": "This server cannot decide that now: try again when the site is online.",
    "account": "It is not said who pays: choose an account that you may charge.",
    "confirm": "It waits for you to see what it costs: release it to have it printed.",
    "printed-before": "It was printed before; the administrator decides what becomes of it.",
    "canceled": "It was canceled.",
    "refused": "It was refused, and is held on.",
    "held": "It is held, for a reason that this release does not know.",
    "version": "The server speaks no version that this device does: one of them is to be upgraded.",
    "unanswered": "The print server got no answer; the job is held on. " + _AGAIN,
    "already-released": "It has been released already, perhaps at another printer.",
    "unknown-job": "There is no such job any more. Type `list`.",
    "no-document": "Its document is lost: nothing was printed or charged. Send it again.",
    "wrong-printer": "That job cannot be printed here.",
    # What was typed.
    "unknown-command": "There is no such command. Type `help`.",
    "bad-number": "That is no such number. Type `list` to see the numbers, `help` for the words.",
    "shown-pin": "Type the word `pin` behind the card: the PIN is then asked for, unseen.",
    "usage": "Some words are missing or too many. Type `help`.",
    "idle": "You were logged out, since nothing was done for a while.",
    "elsewhere": "You were logged out: you logged in at another device.",
}


def explain(code: str, retry_after_s: float = 0.0) -> str:
    """The words for ``code``, total: a code of a later release has some too."""
    known = {str(one.value): words for one, words in WORDS.items()}
    text = TEXTS.get(code)
    if text is None:
        meant = known.get(code, code)
        text = f"It was not done: {meant}. {_ADMINISTRATOR}"
    if retry_after_s >= 1:
        text += f" ({round(retry_after_s)} s are left.)"
    return text

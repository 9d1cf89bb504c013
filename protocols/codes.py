"""The closed list of error codes of every line protocol, each with its fixed words.

``TAG NO code {"text": words}`` is all a peer ever learns of a failure: never the
text of an exception. docs/protocols/*.md list the same; a test compares them.
"""

from __future__ import annotations

import enum


class Code(enum.StrEnum):
    """Why a request was not done."""

    BAD_LINE = "bad-line"
    BAD_JSON = "bad-json"
    BAD_FIELDS = "bad-fields"
    TOO_LONG = "too-long"
    UNKNOWN_VERB = "unknown-verb"
    WRONG_STATE = "wrong-state"
    DUPLICATE_TAG = "duplicate-tag"
    BUSY = "busy"
    NOT_WRITER = "not-writer"
    UNAVAILABLE = "unavailable"
    STORAGE_FULL = "storage-full"
    VERSION = "version"
    IDENTITY = "identity"
    PROVE = "prove"
    REVOKED = "revoked"
    REPLACED = "replaced"
    NOT_ALLOWED = "not-allowed"
    NOT_YOURS = "not-yours"
    UNKNOWN_PRINTER = "unknown-printer"
    VOIDED = "voided"
    SETTLED = "settled"
    STALE_SESSION = "stale-session"
    JOURNAL_BEHIND = "journal-behind"
    NEW_STREAM = "new-stream"
    GAP = "gap"
    CHAIN = "chain"
    SNAPSHOT_GONE = "snapshot-gone"
    BAD_CREDENTIALS = "bad-credentials"
    LOCKED_OUT = "locked-out"
    CLOSED = "closed"
    NO_LOGIN = "no-login"
    NO_RUN = "no-run"
    FEWER_PAGES = "fewer-pages"
    BAD_GRANT = "bad-grant"
    CARD_TAKEN = "card-taken"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


WORDS: dict[Code, str] = {
    Code.BAD_LINE: "a line is TAG VERB {json}, UTF-8, ended by LF",
    Code.BAD_JSON: "what follows the verb is not one JSON object",
    Code.BAD_FIELDS: "a field is missing, of the wrong type or out of bounds",
    Code.TOO_LONG: "the line is longer than 65536 bytes",
    Code.UNKNOWN_VERB: "this protocol has no such verb",
    Code.WRONG_STATE: "that verb is not in order now",
    Code.DUPLICATE_TAG: "that tag is in flight already",
    Code.BUSY: "too many requests are in flight, ask again or elsewhere",
    Code.NOT_WRITER: "another application server decides, ask there",
    Code.UNAVAILABLE: "the server is starting or stopping, ask elsewhere",
    Code.STORAGE_FULL: "the server cannot write, ask elsewhere",
    Code.VERSION: "no version of the protocol in common",
    Code.IDENTITY: "role or name is not that of the certificate",
    Code.PROVE: "prove the name: HELLO again, with a proof over the nonce",
    Code.REVOKED: "the certificate is revoked",
    Code.REPLACED: "a newer session of this identity replaced this one",
    Code.NOT_ALLOWED: "the role may not do this",
    Code.NOT_YOURS: "that object belongs to another identity",
    Code.UNKNOWN_PRINTER: "no printer has that id",
    Code.VOIDED: "the key is void, open the next step",
    Code.SETTLED: "the key is settled, its paper is known",
    Code.STALE_SESSION: "the session has been replaced",
    Code.JOURNAL_BEHIND: "the journal is behind what was seen of it, take a new journal id",
    Code.NEW_STREAM: "the stream was restored, cloned or retired, take a new stream",
    Code.GAP: "the batch does not follow the last record received",
    Code.CHAIN: "the chain of the batch is not the chain of the records received",
    Code.SNAPSHOT_GONE: "the snapshot is no longer kept, begin another",
    Code.BAD_CREDENTIALS: "nobody is known by that",
    Code.LOCKED_OUT: "too many attempts, wait",
    Code.CLOSED: "that user may not use this",
    Code.NO_LOGIN: "nobody is logged in by that id",
    Code.NO_RUN: "no such run is open in this session",
    Code.FEWER_PAGES: "more pages of that run were counted before",
    Code.BAD_GRANT: "that grant was not given by this installation",
    Code.CARD_TAKEN: "that card is another person's",
    Code.UNREACHABLE: "the peer that holds it has no session here",
    Code.TIMEOUT: "nothing came in time, or the handshake was not finished in time",
    Code.INTERNAL: "the server failed at this request, its log says why",
}

#: Answers to AUTHORIZE after which the other server is asked at once, with no suspicion
#: cleared (design 4.5).
ASK_ELSEWHERE = frozenset(
    {Code.BUSY, Code.NOT_WRITER, Code.UNAVAILABLE, Code.STORAGE_FULL, Code.STALE_SESSION}
)

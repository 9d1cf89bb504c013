"""What can go wrong on a session. Nothing here is ever shown to a peer as text.

A peer learns a ``Code`` and its fixed words (protocols/codes.py); the rest is logged.
"""

from __future__ import annotations

from collections.abc import Mapping

from protocols.codes import WORDS, Code


class ProtocolError(Exception):
    """Anything a line protocol raises on purpose."""


class LocalProtocolError(ProtocolError):
    """This side tried to send what it may not: a programming error, look at the traceback."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class NotSpoken(LocalProtocolError):
    """What was to be sent came with a later version than the session's."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what it may not; ``code`` is what it is told.

    Normal where people type by hand; otherwise look at the peer's release.
    """

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


class Refusal(ProtocolError):
    """``TAG NO code {json}``: raised by a handler to refuse, and the errback of a refused call.

    ``fields`` stand in the JSON object beside ``text`` (the fixed words of the code),
    for instance ``retry_after_s`` with ``busy`` or ``servers`` with ``not-writer``. Of a
    refusal received they are the peer's, unchecked: validate before use.
    """

    def __init__(self, code: Code, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.fields: dict[str, object] = dict(fields or {})

    def body(self) -> dict[str, object]:
        """The JSON object of the answer."""
        return {"text": WORDS[self.code], **self.fields}


class Challenge(ProtocolError):
    """HELLO is to be sent again, with a proof over ``nonce``: raised by whoever identifies."""

    def __init__(self, nonce: str) -> None:
        super().__init__("prove")
        self.nonce = nonce


class SessionLost(ProtocolError):
    """The session ended before the answer came: whether it was done there is not known.

    Ask again, there or elsewhere, under the same key.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

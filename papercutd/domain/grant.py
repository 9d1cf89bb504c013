"""Grants: what a device is given for a run, and gives back with its count.

A grant names the whole question and the whole decision, so that any server of the
installation can post the run from it alone; it is sealed with a key that servers
share and devices do not have, so that a device can count pages and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import attrs
import msgspec

from papercutd.domain.decision import Decision
from papercutd.domain.job import Completion, Request, device_owner
from papercutd.errors import Rejected

#: The name of the secret under which grants are sealed.
GRANT_KEY = "grant-key"
#: Characters of a sealed grant, at most: as the device protocol bounds it.
SEALED_MAX = 8192
_MAC_CHARS = 64


@attrs.frozen
class Grant:
    """A run that was allowed: ``request.document`` is what was reserved."""

    request: Request
    decision: Decision

    @property
    def key(self) -> str:
        return self.request.key

    @property
    def pages(self) -> int:
        """Sides reserved."""
        return self.request.document.pages

    def complete(
        self, pages: int, outcome: str, finished_at: float, assumed: bool = False
    ) -> Completion:
        """What the device counted, as every server posts it."""
        request = self.request
        return Completion(
            job=request.job,
            step=request.step,
            provider=request.provider,
            printer=request.printer,
            user_name=request.user_name,
            document=request.document,
            decision=self.decision,
            pages=pages,
            outcome=outcome if pages else "canceled",
            assumed=assumed,
            title=request.title,
            host=request.host,
            completed_at=finished_at,
        )


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Grant).decode


def encode_grant(grant: Grant) -> bytes:
    """For a server's own table."""
    return _ENCODE(grant)


def decode_grant(body: bytes) -> Grant:
    return _DECODE(body)


def seal(grant: Grant, key: str) -> str:
    """The grant as a device keeps it: HMAC-SHA256 in 64 characters, then base64url of JSON."""
    body = base64.urlsafe_b64encode(_ENCODE(grant))
    return _mac(body, key) + body.decode()


def unseal(sealed: str, key: str) -> Grant:
    """The grant that was sealed with ``key``; raises Rejected ``bad-grant``."""
    # As bytes: what a peer sends need not be ASCII.
    mac, body = sealed[:_MAC_CHARS].encode(), sealed[_MAC_CHARS:].encode()
    if not hmac.compare_digest(mac, _mac(body, key).encode()):
        raise Rejected("bad-grant")
    try:
        grant = _DECODE(base64.urlsafe_b64decode(body))
    except (binascii.Error, msgspec.MsgspecError):
        raise Rejected("bad-grant") from None
    if device_owner(grant.request.provider) is None:
        raise Rejected("bad-grant")
    return grant


def _mac(body: bytes, key: str) -> str:
    return hmac.new(f"papercut grant {key}".encode(), body, hashlib.sha256).hexdigest()

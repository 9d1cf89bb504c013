"""Tokens with which a person's client logs in again: signed by the server that took the password.

A token carries its signer's certificate, so that every server of the installation can tell who
gave it without asking anybody: what the application server gave counts at every site, cut or
not; what a site gave counts at that site alone. It is bound to what the person's password was
then (``mark``): with another password, or once the person's clients are logged out, it ends.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Protocol

import attrs
import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from papercutd.errors import Rejected
from papercutd.identity.names import APPLICATION, CertificatePeer, peer_of
from papercutd.identity.tls import Credentials

#: Seconds for which a token counts; it is not prolonged by being used.
TOKEN_LIFE_S = 30 * 86_400.0
#: Certificates that have been checked and are remembered: servers renew theirs once a year.
SIGNERS_KEPT = 32
_ALGORITHM = ec.ECDSA(hashes.SHA256())
#: No other signature of that key is of a text that begins so.
_CONTEXT = b"papercut client token 1\0"


@attrs.frozen
class ClientToken:
    """What a token says."""

    user: int
    #: ``mark_of`` the person's password when it was given.
    mark: str
    ends_at: float


@attrs.frozen
class _Sealed:
    token: ClientToken
    #: DER.
    certificate: bytes


@attrs.frozen
class _Signer:
    peer: CertificatePeer
    key: ec.EllipticCurvePublicKey


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(_Sealed).decode


def mark_of(verifier: str, epoch: str) -> str:
    """What a token is bound to; empty where no password proves that person here."""
    if not verifier:
        return ""
    return hashlib.sha256(f"papercut client {epoch}\0{verifier}".encode()).hexdigest()[:32]


class Tokens(Protocol):
    """Gives tokens, and tells whose a token is."""

    def give(self, user: int, mark: str) -> tuple[str, float]:
        """A token and when it ends."""

    def read(self, text: str) -> ClientToken:
        """What it says; raises Rejected ``bad-credentials`` for one that does not count here."""


class NoTokens:
    """Nobody logs in again without a password."""

    def give(self, user: int, mark: str) -> tuple[str, float]:
        return "", 0.0

    def read(self, text: str) -> ClientToken:
        raise Rejected("bad-credentials")


class SignedTokens:
    """With the key and certificate of this server."""

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        wall_s: Callable[[], float],
        is_revoked: Callable[[str], bool] = lambda serial: False,
    ) -> None:
        """``credentials``: those in force now; ``is_revoked``: by a certificate's serial."""
        self._credentials = credentials
        self._wall_s = wall_s
        self._is_revoked = is_revoked
        #: By authority and certificate: most of what a token takes to check is its signer.
        self._signers: dict[tuple[bytes, bytes], _Signer] = {}
        #: Who we are, by the credentials that say so.
        self._own: tuple[Credentials, CertificatePeer] | None = None

    def give(self, user: int, mark: str) -> tuple[str, float]:
        credentials = self._credentials()
        key = serialization.load_pem_private_key(credentials.key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        token = ClientToken(user, mark, round(self._wall_s() + TOKEN_LIFE_S, 3))
        certificate = credentials.certificate.public_bytes(serialization.Encoding.DER)
        body = _ENCODE(_Sealed(token, certificate))
        signature = key.sign(_CONTEXT + body, _ALGORITHM)
        return f"{_encode(body)}.{_encode(signature)}", token.ends_at

    def read(self, text: str) -> ClientToken:
        try:
            body, _, signature = text.partition(".")
            sealed = _DECODE(_decode(body))
            signer = self._signer(sealed.certificate)
            if self._is_revoked(signer.peer.serial) or not self._may_sign(signer.peer):
                raise Rejected("bad-credentials")
            signer.key.verify(_decode(signature), _CONTEXT + _decode(body), _ALGORITHM)
        except (ValueError, TypeError, binascii.Error, msgspec.MsgspecError, InvalidSignature):
            raise Rejected("bad-credentials") from None
        if sealed.token.ends_at <= self._wall_s():
            raise Rejected("bad-credentials")
        return sealed.token

    def _signer(self, certificate: bytes) -> _Signer:
        """A member of this installation; raises as ``read`` does, or what of it is odd."""
        ca_pem = self._credentials().ca_pem
        found = self._signers.get((ca_pem, certificate))
        if found is None:
            signer = x509.load_der_x509_certificate(certificate)
            signer.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
            key = signer.public_key()
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise Rejected("bad-credentials")
            try:
                found = _Signer(peer_of(signer), key)
            except Rejected:
                raise Rejected("bad-credentials") from None
            if len(self._signers) >= SIGNERS_KEPT:
                del self._signers[next(iter(self._signers))]
            self._signers[ca_pem, certificate] = found
        return found

    def _may_sign(self, peer: CertificatePeer) -> bool:
        credentials = self._credentials()
        if self._own is None or self._own[0] is not credentials:
            self._own = credentials, peer_of(credentials.certificate)
        own = self._own[1]
        return peer.role == APPLICATION or (peer.role, peer.name) == (own.role, own.name)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode(), altchars=b"-_", validate=True)

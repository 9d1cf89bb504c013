"""TLS 1.3 between the parts of an installation: both ends prove role and name.

Dates of certificates end nothing at sites and providers: a wrong clock would
end printing. They raise an alarm there, and are enforced by the application
server (design 4.10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.pyopenssl import verify_hostname
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from papercutd.errors import Rejected
from papercutd.identity.names import CertificatePeer, dns_name, peer_of
from protocols.codes import Code
from protocols.errors import Refusal

_log = Logger()
#: OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_DATE_ERRORS = frozenset({9, 10})
PARTIAL_CHAIN = 0x80000


@attrs.frozen
class Credentials:
    """Key, certificate and CA of one node, as they lie in its data directory."""

    key_pem: bytes
    chain_pem: bytes
    ca_pem: bytes

    @classmethod
    def load(cls, directory: Path) -> Credentials:
        """From ``key.pem``, ``chain.pem`` and ``ca.pem``."""
        return cls(*((directory / f"{n}.pem").read_bytes() for n in ("key", "chain", "ca")))

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain_pem)


def _alarm(why: str) -> None:
    _log.error("certificate alarm: {why}", why=why)


def make_context(credentials: Credentials | None) -> SSL.Context:
    """A TLS 1.3 context showing ``credentials``."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if credentials is not None:
        context.use_certificate(credentials.certificate)
        key = serialization.load_pem_private_key(credentials.key_pem, None)
        context.use_privatekey(key)  # type: ignore[arg-type]
        store = context.get_cert_store()
        assert store is not None
        for ca in x509.load_pem_x509_certificates(credentials.ca_pem):
            store.add_cert(crypto.X509.from_cryptography(ca))
        # The installation's CA is the anchor, whether or not it stands under another.
        store.set_flags(PARTIAL_CHAIN)
    return context


def _verifier(enforce_dates: bool, alarm: Callable[[str], None]) -> Callable[..., bool]:
    def verify(connection: Any, certificate: Any, error: int, depth: int, ok: int) -> bool:
        if not ok and error in _DATE_ERRORS and not enforce_dates:
            alarm(f"a certificate at depth {depth} is outside its dates (error {error})")
            return True
        return bool(ok)

    return verify


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Shows our certificate; with ``demand`` asks for one of the installation's."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        demand: bool = True,
        enforce_dates: bool = False,
        alarm: Callable[[str], None] = _alarm,
    ) -> None:
        self._context = make_context(credentials)
        if demand:
            self._context.set_verify(
                SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verifier(enforce_dates, alarm)
            )

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """Shows our certificate and accepts one server: of that role and name, of our CA."""

    def __init__(
        self,
        credentials: Credentials,
        role: str,
        name: str,
        *,
        enforce_dates: bool = False,
        alarm: Callable[[str], None] = _alarm,
    ) -> None:
        self._expected = dns_name(role, name)
        self._context = make_context(credentials)
        self._context.set_verify(SSL.VERIFY_PEER, _verifier(enforce_dates, alarm))
        self._context.set_info_callback(self._check)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        connection.set_tlsext_host_name(self._expected.encode())
        return connection

    def _check(self, connection: SSL.Connection, where: int, ret: int) -> None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            try:
                verify_hostname(connection, self._expected)
            except (VerificationError, ValueError):
                connection.get_app_data().failVerification(Failure())


@implementer(IOpenSSLClientConnectionCreator)
class PinnedTls:
    """Accepts the one public key that a join token names: checked inside the handshake."""

    def __init__(self, pin: str, pin_of: Callable[[x509.Certificate], str]) -> None:
        self._context = make_context(None)

        def verify(connection: Any, certificate: Any, error: int, depth: int, ok: int) -> bool:
            return depth > 0 or pin_of(certificate.to_cryptography()) == pin

        self._context.set_verify(SSL.VERIFY_PEER, verify)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self._context, None)


class Revocations:
    """Serials that are refused, and who wants to know of new ones."""

    def __init__(self) -> None:
        self._serials: set[str] = set()
        self._subscribers: list[Callable[[str], None]] = []

    def is_revoked(self, serial: str) -> bool:
        return serial in self._serials

    def add(self, serials: Iterable[str]) -> None:
        """Refuse these from now on; subscribers end their sessions."""
        for serial in serials:
            if serial not in self._serials:
                self._serials.add(serial)
                for subscriber in self._subscribers:
                    subscriber(serial)

    def subscribe(self, subscriber: Callable[[str], None]) -> None:
        self._subscribers.append(subscriber)


def identifier(revocations: Revocations) -> Callable[[Any], CertificatePeer]:
    """What a session factory calls to learn who is at the other end of a transport."""

    def identify(transport: Any) -> CertificatePeer:
        certificate = transport.getPeerCertificate()
        if certificate is None:
            raise Refusal(Code.IDENTITY)
        try:
            peer = peer_of(certificate.to_cryptography())
        except Rejected:
            raise Refusal(Code.IDENTITY) from None
        if revocations.is_revoked(peer.serial):
            raise Refusal(Code.REVOKED)
        return peer

    return identify

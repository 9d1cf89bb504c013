"""TLS 1.3 between the parts of an installation: both ends prove role and name.

Dates of certificates end nothing at sites and providers: a wrong clock would
end printing. They raise an alarm there, and are enforced by the application
server (design 4.10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.logger import Logger
from zope.interface import implementer

from papercutd.errors import ConfigError, Rejected
from papercutd.identity.files import PrivateFile, finish_together, write_together
from papercutd.identity.names import CertificatePeer, dns_name, peer_of
from protocols.codes import Code
from protocols.errors import Refusal

_log = Logger()
_DATE_ERRORS = frozenset(
    {
        SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID,
        SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED,
    }
)
PARTIAL_CHAIN = 0x80000
DEMAND = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
#: The name (SNI) that parts of the installation ask for on the port they share with browsers.
INSTALLATION_NAME = "provider.papercut.internal"
#: ... and the protocol (ALPN) with which they ask for the link, not for HTTP.
LINK_PROTOCOL = b"papercut-link/1"
#: Looks at the certificate of the other end; whether it will do.
Check = Callable[[x509.Certificate], bool]


@attrs.frozen
class Credentials:
    """Key, certificate and CA of one node, as they lie in its data directory."""

    key_pem: bytes
    chain_pem: bytes
    ca_pem: bytes

    @classmethod
    def load(cls, directory: Path) -> Credentials:
        """From ``key.pem``, ``chain.pem`` and ``ca.pem``; ends an interrupted ``save``."""
        finish_together(directory)
        return cls(*((directory / f"{n}.pem").read_bytes() for n in ("key", "chain", "ca")))

    def save(self, directory: Path) -> None:
        """Replace what ``directory`` holds: after a crash it is all old or all new."""
        files = [
            # The key first: where it lies there is an identity to load.
            PrivateFile("key.pem", self.key_pem),
            PrivateFile("chain.pem", self.chain_pem, 0o644),
            PrivateFile("ca.pem", self.ca_pem, 0o644),
        ]
        write_together(directory, files)

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain_pem)


@attrs.frozen
class Trusted:
    """The CA of an installation, for who has no certificate of it: people's clients."""

    ca_pem: bytes


def _alarm(why: str) -> None:
    _log.error("certificate alarm: {why}", why=why)


def new_context() -> SSL.Context:
    """A TLS 1.3 context that shows nothing."""
    context = SSL.Context(SSL.TLS_METHOD)
    # A buffer of a whole record each way, 33 kB, is there only while one passes: most of the
    # many sessions of a site are idle most of the time.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def make_context(credentials: Credentials | Trusted) -> SSL.Context:
    """A TLS 1.3 context showing ``credentials``; nothing where they are only trusted."""
    context = new_context()
    if isinstance(credentials, Trusted):
        _trust(context, credentials.ca_pem)
        return context
    try:
        certificate, *between = x509.load_pem_x509_certificates(credentials.chain_pem)
        context.use_certificate(certificate)
        for above in between:
            context.add_extra_chain_cert(above)
        key = serialization.load_pem_private_key(credentials.key_pem, None)
        context.use_privatekey(key)  # type: ignore[arg-type]
        context.check_privatekey()
        _trust(context, credentials.ca_pem)
    except (SSL.Error, ValueError, TypeError):
        raise ConfigError(
            ["identity: key.pem, chain.pem and ca.pem do not belong together: join again"]
        ) from None
    return context


def _trust(context: SSL.Context, ca_pem: bytes) -> None:
    """Raises ValueError for what is no PEM of certificates."""
    store = context.get_cert_store()
    assert store is not None
    for ca in x509.load_pem_x509_certificates(ca_pem):
        store.add_cert(crypto.X509.from_cryptography(ca))
    # The installation's CA is the anchor, whether or not it stands under another.
    store.set_flags(PARTIAL_CHAIN)


def _verifier(
    enforce_dates: bool, alarm: Callable[[str], None], check: Check | None = None
) -> Callable[..., bool]:
    """OpenSSL's verify callback: chain, dates, and at the end of the chain ``check``.

    Called inside the handshake, so that whoever fails it is sent nothing: neither our
    certificate nor a byte of the session. It must not raise: pyOpenSSL would raise that
    again in another connection of the same context.
    """

    def is_accepted(certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        if not ok:
            if enforce_dates or error not in _DATE_ERRORS:
                return False
            try:
                alarm(f"a certificate at depth {depth} is outside its dates (error {error})")
            except Exception:
                # An alarm that fails must not end printing.
                _log.failure("raising a certificate alarm failed")
        return depth > 0 or check is None or check(certificate.to_cryptography())

    def verify(connection: Any, certificate: Any, error: int, depth: int, ok: int) -> bool:
        try:
            return is_accepted(certificate, error, depth, ok)
        except Exception:
            _log.failure("a certificate could not be verified")
            return False

    return verify


def _is_identity(role: str, name: str, revocations: Revocations | None = None) -> Check:
    expected = dns_name(role, name)

    def check(certificate: x509.Certificate) -> bool:
        try:
            verify_certificate_hostname(certificate, expected)
            # Stricter than browsers are: one name, no wildcard.
            peer = peer_of(certificate)
        except (VerificationError, CertificateError, Rejected, ValueError):
            peer = None
        if peer is not None and (peer.role, peer.name) == (role, name):
            if revocations is None or not revocations.is_revoked(peer.serial):
                return True
            _log.error("the certificate of {expected} is revoked: refused", expected=expected)
            return False
        _log.warn("the certificate shown is not that of {expected}: refused", expected=expected)
        return False

    return check


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
        alpn: Sequence[bytes] = (),
    ) -> None:
        """``alpn``: protocols that may be chosen; of what a client offers its first counts."""
        self._alpn = alpn
        #: OpenSSL's callback; None: nothing is demanded.
        self.verify = _verifier(enforce_dates, alarm) if demand else None
        self.use(credentials)

    def use(self, credentials: Credentials) -> None:
        """Show these from the next connection on."""
        self.context = make_context(credentials)
        self.certificate = credentials.certificate
        if self.verify is not None:
            self.context.set_verify(DEMAND, self.verify)
        if self._alpn:
            self.context.set_alpn_select_callback(self._select)

    def _select(self, connection: SSL.Connection, offered: list[bytes]) -> Any:
        for name in offered:
            if name in self._alpn:
                return name
        return SSL.NO_OVERLAPPING_PROTOCOLS

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class Shown(Protocol):
    """What browsers are shown: the context of the next connection."""

    @property
    def context(self) -> SSL.Context: ...


@implementer(IOpenSSLServerConnectionCreator)
class WebTls:
    """One port for browsers and for parts of the installation, told apart by the name asked for.

    Who asks for ``INSTALLATION_NAME`` is shown the installation's certificate and has to
    show one of its own; of ``others`` each has its own context; everybody else is shown
    ``web`` and asked for nothing.
    """

    def __init__(
        self, web: Shown, installation: ServerTls, others: Mapping[str, ServerTls] | None = None
    ) -> None:
        """``others``: by the name asked for."""
        self._web = web
        self._by_name = {INSTALLATION_NAME: installation, **(others or {})}
        self._prepared: SSL.Context | None = None

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        if self._prepared is not self._web.context:
            # Once for each: a context in use may not be changed any more.
            self._prepared = self._web.context
            self._prepared.set_tlsext_servername_callback(self._choose)
        return SSL.Connection(self._prepared, None)

    def _choose(self, connection: SSL.Connection) -> None:
        asked = (connection.get_servername() or b"").decode("ascii", "replace")
        chosen = self._by_name.get(asked)
        if chosen is None:
            return
        connection.set_context(chosen.context)
        # The context chosen brings its certificate along, not what it demands.
        if chosen.verify is not None:
            connection.set_verify(DEMAND, chosen.verify)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """Shows our certificate and accepts one server: of that role and name, of our CA."""

    def __init__(
        self,
        credentials: Credentials | Trusted,
        role: str,
        name: str,
        *,
        enforce_dates: bool = False,
        alarm: Callable[[str], None] = _alarm,
        server_name: str = "",
        revocations: Revocations | None = None,
        alpn: Sequence[bytes] = (),
    ) -> None:
        """``server_name`` is asked for instead of the name that is expected."""
        self._alpn = list(alpn)
        self._server_name = (server_name or dns_name(role, name)).encode()
        self._verify = _verifier(enforce_dates, alarm, _is_identity(role, name, revocations))
        self.use(credentials)

    def use(self, credentials: Credentials | Trusted) -> None:
        """Show these from the next connection on."""
        self._context = make_context(credentials)
        self._context.set_verify(SSL.VERIFY_PEER, self._verify)
        if self._alpn:
            self._context.set_alpn_protos(self._alpn)

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_tlsext_host_name(self._server_name)
        return connection


@implementer(IOpenSSLClientConnectionCreator)
class PinnedTls:
    """Accepts the one public key that a join token names: checked inside the handshake."""

    def __init__(
        self,
        pin: str,
        pin_of: Callable[[x509.Certificate], str],
        *,
        server_name: str = "",
        alpn: Sequence[bytes] = (),
    ) -> None:
        self._server_name = server_name.encode()
        #: A server showed the key: only then can anything have been sent.
        self.was_shown = False
        #: A server showed another key.
        self.was_another_shown = False
        self._context = new_context()

        def verify(connection: Any, certificate: Any, error: int, depth: int, ok: int) -> bool:
            try:
                if depth == 0 and pin_of(certificate.to_cryptography()) != pin:
                    self.was_another_shown = True
                    return False
            except Exception:
                _log.failure("the key a server showed could not be read")
                return False
            self.was_shown = self.was_shown or depth == 0
            return True

        self._context.set_verify(SSL.VERIFY_PEER, verify)
        if alpn:
            self._context.set_alpn_protos(list(alpn))

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if self._server_name:
            connection.set_tlsext_host_name(self._server_name)
        return connection


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
                self._tell(serial)

    def replace(self, serials: Iterable[str]) -> None:
        """Refuse exactly these (a new replica's): subscribers hear of those that are new."""
        whole = set(serials)
        self._serials &= whole
        self.add(sorted(whole))

    def subscribe(self, subscriber: Callable[[str], None]) -> None:
        """``subscriber(serial)`` is called once for each serial from now on."""
        self._subscribers.append(subscriber)

    def _tell(self, serial: str) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(serial)
            except Exception:
                # The others' sessions end all the same.
                _log.failure("ending the sessions of a revoked identity failed")


def is_in_its_dates(certificate: x509.Certificate, wall_s: float) -> bool:
    """Whether it is valid at ``wall_s``, seconds since 1970."""
    begins = certificate.not_valid_before_utc.timestamp()
    return bool(begins <= wall_s <= certificate.not_valid_after_utc.timestamp())


def serial_of(transport: Any) -> str:
    """The serial of the certificate that the other end of ``transport`` showed; else empty."""
    shown = getattr(transport, "getPeerCertificate", lambda: None)()
    return "" if shown is None else f"{shown.get_serial_number():x}"


def identifier(
    revocations: Revocations, wall_s: Callable[[], float] | None = None
) -> Callable[[Any], CertificatePeer]:
    """What a session factory calls to learn who is at the other end of a transport.

    Raises Refusal: ``revoked``, or ``identity`` for no certificate or an odd one; with
    ``wall_s`` also for one outside its dates, where the handshake does not look at them.
    """

    def identify(transport: Any) -> CertificatePeer:
        shown = getattr(transport, "getPeerCertificate", None)
        certificate = shown() if shown is not None else None
        if certificate is None:
            raise Refusal(Code.IDENTITY)
        try:
            peer = peer_of(certificate.to_cryptography())
        except Rejected:
            raise Refusal(Code.IDENTITY) from None
        if wall_s is not None and not is_in_its_dates(certificate.to_cryptography(), wall_s()):
            raise Refusal(Code.IDENTITY)
        if revocations.is_revoked(peer.serial):
            raise Refusal(Code.REVOKED)
        return peer

    return identify

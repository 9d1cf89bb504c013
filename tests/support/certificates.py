"""Certificates good and odd, and a memory of them: what tests of identity start from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred, fail, succeed

from papercutd.errors import Rejected
from papercutd.identity.authority import (
    Authority,
    certificate_pem,
    key_pem,
    make_key,
    make_request,
)
from papercutd.identity.names import dns_name
from papercutd.identity.tls import Credentials

DAY_S = 86_400.0


def make_authority(wall_s: float) -> Authority:
    """A CA in a directory that is gone again."""
    with tempfile.TemporaryDirectory() as directory:
        return Authority.create(Path(directory), wall_s)


def signing_key(authority: Authority | Signer) -> ec.EllipticCurvePrivateKey:
    """The CA's key: what a test that plays the CA needs."""
    key = authority.key if isinstance(authority, Signer) else authority._key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def credentials(
    authority: Authority, role: str, name: str, wall_s: float, trusting: Authority | None = None
) -> Credentials:
    """What a node of ``role`` and ``name`` has after joining; ``trusting`` is whose CA it knows."""
    key = make_key()
    issued = authority.issue(make_request(key, role, name), role, name, wall_s)
    return Credentials(key_pem(key), issued.chain_pem, (trusting or authority).pem)


def odd_credentials(
    authority: Authority,
    names: Sequence[x509.GeneralName] | None,
    wall_s: float,
    from_days: float = -1.0,
    to_days: float = 30.0,
    signed_by: ec.EllipticCurvePrivateKey | None = None,
    self_signed: bool = False,
) -> Credentials:
    """A certificate that ``issue`` would never make: any names, dates and signer."""
    key = make_key()
    certificate = odd_certificate(
        authority, key, names, wall_s, from_days, to_days, key if self_signed else signed_by
    )
    return Credentials(key_pem(key), certificate_pem(certificate), authority.pem)


def odd_certificate(
    authority: Authority,
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[x509.GeneralName] | None,
    wall_s: float,
    from_days: float = -1.0,
    to_days: float = 30.0,
    signed_by: ec.EllipticCurvePrivateKey | None = None,
) -> x509.Certificate:
    """The same, the certificate alone."""
    now = datetime.fromtimestamp(wall_s, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=from_days))
        .not_valid_after(now + timedelta(days=to_days))
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signed_by or signing_key(authority), hashes.SHA256())


def dns(role: str, name: str) -> x509.DNSName:
    return x509.DNSName(dns_name(role, name))


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@attrs.define
class _Token:
    role: str
    name: str
    expires_at: float
    is_used: bool = False


class MemoryCertificates:
    """What identity/joining.py needs of a store, in memory."""

    def __init__(self) -> None:
        self.tokens: dict[str, _Token] = {}
        #: Serial to (role, name).
        self.certificates: dict[str, tuple[str, str]] = {}
        self.revoked: set[str] = set()

    def add_token(self, token_hash: str, role: str, name: str, expires_at: float) -> Deferred[None]:
        self.tokens[token_hash] = _Token(role, name, expires_at)
        return succeed(None)

    def use_token(
        self,
        token_hash: str,
        role: str,
        name: str,
        serial: str,
        fingerprint: str,
        not_after: float,
        now: float,
    ) -> Deferred[None]:
        token = self.tokens.get(token_hash)
        if token is None:
            return fail(Rejected("unknown-token"))
        if (token.role, token.name) != (role, name):
            return fail(Rejected("foreign-token"))
        if token.is_used:
            return fail(Rejected("used-token"))
        if token.expires_at < now:
            return fail(Rejected("stale-token"))
        token.is_used = True
        return self.record_certificate(serial, role, name, fingerprint, not_after)

    def record_certificate(
        self, serial: str, role: str, name: str, fingerprint: str, not_after: float
    ) -> Deferred[None]:
        self.certificates[serial] = (role, name)
        return succeed(None)

    def revoked_serials(self) -> Deferred[list[str]]:
        return succeed(sorted(self.revoked))


AnyKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pem_of_key(key: AnyKey, passphrase: bytes = b"") -> bytes:
    """PKCS 8, locked where there is a passphrase."""
    locked = serialization.BestAvailableEncryption(passphrase) if passphrase else None
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        locked or serialization.NoEncryption(),
    )


@attrs.frozen
class Signer:
    """A CA that is not ours: the administrator's, or one that browsers know."""

    certificate: x509.Certificate
    key: AnyKey

    @classmethod
    def make(
        cls,
        wall_s: float,
        *,
        key: AnyKey | None = None,
        above: Signer | None = None,
        path_length: int | None = None,
        is_ca: bool = True,
        days: float = 3_000.0,
        usage: x509.KeyUsage | None = None,
    ) -> Signer:
        """Signed by itself, or by ``above``."""
        key = key or make_key()
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"CA {x509.random_serial_number():x}"[:32])]
        )
        builder = _builder(name, above.certificate.subject if above else name, key, wall_s, days)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=is_ca, path_length=path_length if is_ca else None),
            critical=True,
        )
        if usage is not None:
            builder = builder.add_extension(usage, critical=True)
        return cls(builder.sign(above.key if above else key, hashes.SHA256()), key)

    @property
    def pem(self) -> bytes:
        return certificate_pem(self.certificate)

    def web(
        self,
        wall_s: float,
        names: Sequence[str] = ("print.example.org", "localhost"),
        *,
        key: AnyKey | None = None,
        from_days: float = -1.0,
        to_days: float = 90.0,
    ) -> tuple[bytes, bytes]:
        """PEM of a server's certificate for ``names``, and of its key."""
        key = key or make_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a web server")])
        builder = _builder(subject, self.certificate.subject, key, wall_s, to_days, from_days)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
        return certificate_pem(builder.sign(self.key, hashes.SHA256())), pem_of_key(key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: AnyKey,
    wall_s: float,
    to_days: float,
    from_days: float = -1.0,
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(wall_s, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=from_days))
        .not_valid_after(now + timedelta(days=to_days))
    )

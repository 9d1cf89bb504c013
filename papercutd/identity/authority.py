"""The installation's certificate authority: made once, on its own or under another."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from papercutd.errors import AlreadyExists, InvalidValue
from papercutd.identity.names import dns_name

CERTIFICATE_DAYS = 397
AUTHORITY_DAYS = 3_650
#: Renewed from one third of its life left, until so long after its end.
RENEW_LEFT = CERTIFICATE_DAYS / 3
RENEW_AFTER_DAYS = 30
#: Clocks of new machines run behind: a certificate is valid from a day before it was made.
BACKDATED = timedelta(days=1)


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write ``data`` whole or not at all, readable by its owner alone, synced to the disk."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def make_request(key: ec.EllipticCurvePrivateKey, role: str, name: str) -> bytes:
    """A certificate signing request, PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_name(role, name))])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pin_of(certificate: x509.Certificate) -> str:
    """SHA-256 of the public key a server shows, hexadecimal."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(public).hexdigest()


@attrs.frozen
class Issued:
    """A certificate with what follows it up to the installation's CA."""

    chain_pem: bytes
    serial: str
    fingerprint: str
    #: Seconds since 1970.
    not_after: float


@attrs.frozen
class Authority:
    """The CA's key and certificate."""

    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, directory: Path, wall_s: float) -> Authority:
        """A new CA of its own in ``directory``; raises AlreadyExists."""
        key = make_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "papercutd installation CA")])
        return cls._build(directory, wall_s, key, name, name, key)

    @classmethod
    def create_under(
        cls, directory: Path, wall_s: float, ca_pem: bytes, ca_key_pem: bytes
    ) -> Authority:
        """A new intermediate CA under the administrator's."""
        above = x509.load_pem_x509_certificate(ca_pem)
        above_key = serialization.load_pem_private_key(ca_key_pem, None)
        if not isinstance(above_key, ec.EllipticCurvePrivateKey):
            raise InvalidValue("ca-key", "is not an elliptic curve key")
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "papercutd installation CA (intermediate)")]
        )
        return cls._build(directory, wall_s, make_key(), name, above.subject, above_key)

    @classmethod
    def _build(
        cls,
        directory: Path,
        wall_s: float,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
    ) -> Authority:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (directory / "ca.key").exists():
            raise AlreadyExists("certificate authority", str(directory))
        now = datetime.fromtimestamp(wall_s, UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(issuer_key, hashes.SHA256())
        )
        write_private(directory / "ca.key", key_pem(key))
        write_private(directory / "ca.pem", certificate_pem(certificate), 0o644)
        return cls(certificate, key)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes()), key)

    @property
    def pem(self) -> bytes:
        return certificate_pem(self.certificate)

    def issue(self, request_pem: bytes, role: str, name: str, wall_s: float) -> Issued:
        """A certificate for the key of ``request_pem``: role and name are ours to say."""
        try:
            request = x509.load_pem_x509_csr(request_pem)
        except ValueError:
            raise InvalidValue("csr", "is not a certificate signing request") from None
        if not request.is_signature_valid:
            raise InvalidValue("csr", "is not signed by its own key")
        identity = dns_name(role, name)
        now = datetime.fromtimestamp(wall_s, UTC)
        not_after = now + timedelta(days=CERTIFICATE_DAYS)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity)]))
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(not_after)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(identity)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Issued(
            chain_pem=certificate_pem(certificate),
            serial=f"{certificate.serial_number:x}",
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            not_after=not_after.timestamp(),
        )


def renewal_due(certificate: x509.Certificate, wall_s: float) -> bool:
    """Whether a third of its life, or less, is left."""
    left = certificate.not_valid_after_utc.timestamp() - wall_s
    return left < RENEW_LEFT * 86_400

"""The installation's certificate authority: made once, on its own or under another."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from papercutd.errors import AlreadyExists, InvalidValue
from papercutd.identity.files import write_private as write_private
from papercutd.identity.names import dns_name

if TYPE_CHECKING:
    from random import Random

CERTIFICATE_DAYS = 397
AUTHORITY_DAYS = 3_650
RSA_BITS_MIN = 2_048
#: Renewed from one third of its life left, until so long after its end.
RENEW_LEFT = CERTIFICATE_DAYS / 3
RENEW_AFTER_DAYS = 30
#: Clocks of new machines run behind: a certificate is valid from a day before it was made.
BACKDATED = timedelta(days=1)
#: What may sign: our own keys are elliptic, an administrator's CA is often RSA.
SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


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
    """A certificate signing request, PEM; raises InvalidValue for a role or name that is none."""
    dns_name(role, name)
    subject = _subject(name)
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
    #: Certificates between this one and a root that others know; most often none.
    above_pem: bytes = b""

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
        """A new intermediate CA under the administrator's (elliptic or RSA).

        ``ca_pem`` begins with the certificate of ``ca_key_pem``; those above it may follow.
        Raises InvalidValue for a certificate or key that cannot be used, AlreadyExists.
        """
        chain, above_key = _load_above(ca_pem, ca_key_pem, wall_s)
        above = chain[0]
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "papercutd installation CA (intermediate)")]
        )
        between = [one for one in chain if one.issuer != one.subject]
        above_pem = b"".join(certificate_pem(one) for one in between)
        return cls._build(
            directory, wall_s, make_key(), name, above.subject, above_key, above, above_pem
        )

    @classmethod
    def _build(
        cls,
        directory: Path,
        wall_s: float,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        issuer: x509.Name,
        issuer_key: SigningKey,
        above: x509.Certificate | None = None,
        above_pem: bytes = b"",
    ) -> Authority:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (directory / "ca.key").exists():
            raise AlreadyExists("certificate authority", str(directory))
        now = datetime.fromtimestamp(wall_s, UTC)
        not_after = now + timedelta(days=AUTHORITY_DAYS)
        if above is not None:
            not_after = min(not_after, above.not_valid_after_utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                _key_usage(signs_certificates=True),
                critical=True,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(_issued_by(issuer_key), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        write_private(directory / "ca.pem", certificate_pem(certificate), 0o644)
        write_private(directory / "above.pem", above_pem, 0o644)
        # The key last: it is what says that there is a CA here.
        write_private(directory / "ca.key", key_pem(key))
        return cls(certificate, key, above_pem)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """The CA in ``directory``; raises OSError, or InvalidValue for what is not ours."""
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise InvalidValue("ca.key", "is not an elliptic curve key")
        if key.public_key() != certificate.public_key():
            raise InvalidValue("ca.key", "is not the key of ca.pem: restore both of one backup")
        above = directory / "above.pem"
        return cls(certificate, key, above.read_bytes() if above.exists() else b"")

    @property
    def pem(self) -> bytes:
        return certificate_pem(self.certificate)

    def issue(
        self,
        request_pem: bytes,
        role: str,
        name: str,
        wall_s: float,
        rng: Random | None = None,
    ) -> Issued:
        """A certificate for the key of ``request_pem``: role and name are ours to say.

        ``rng`` is where the serial comes from. Raises InvalidValue for a request that is
        none, that its own key did not sign, or whose key is not P-256.
        """
        identity = dns_name(role, name)
        public_key = _requested_key(request_pem)
        now = datetime.fromtimestamp(wall_s, UTC)
        not_after = min(
            now + timedelta(days=CERTIFICATE_DAYS), self.certificate.not_valid_after_utc
        )
        serial = x509.random_serial_number() if rng is None else rng.getrandbits(158) | 1
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_subject(name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(serial)
            .not_valid_before(now - BACKDATED)
            .not_valid_after(not_after)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(identity)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(_issued_by(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = certificate_pem(certificate)
        if self.certificate.issuer != self.certificate.subject:
            # Browsers know the administrator's CA only, and need what stands between.
            chain += self.pem + self.above_pem
        return Issued(
            chain_pem=chain,
            serial=f"{certificate.serial_number:x}",
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            not_after=not_after.timestamp(),
        )

    def issue_for_documents(
        self,
        public_key: ec.EllipticCurvePublicKey,
        purpose: x509.ObjectIdentifier,
        wall_s: float,
        rng: Random,
    ) -> x509.Certificate:
        """A certificate for signing documents alone: it names nobody who could connect."""
        now = datetime.fromtimestamp(wall_s, UTC)
        not_after = min(
            now + timedelta(days=CERTIFICATE_DAYS), self.certificate.not_valid_after_utc
        )
        return (
            x509.CertificateBuilder()
            .subject_name(_subject("papercutd statements"))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(rng.getrandbits(158) | 1)
            .not_valid_before(now - BACKDATED)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
            .add_extension(_issued_by(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Whether ``certificate`` bears this CA's signature."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except Exception:
            # ValueError, TypeError or InvalidSignature, by what does not match.
            return False
        return True


def renewal_due(certificate: x509.Certificate, wall_s: float) -> bool:
    """Whether a third of its life, or less, is left."""
    left = certificate.not_valid_after_utc.timestamp() - wall_s
    return left < RENEW_LEFT * 86_400


def is_renewable(certificate: x509.Certificate, wall_s: float) -> bool:
    """Whether it may be renewed: due, and ended 30 days ago at the longest."""
    ended = wall_s - certificate.not_valid_after_utc.timestamp()
    return renewal_due(certificate, wall_s) and ended <= RENEW_AFTER_DAYS * 86_400


def _subject(name: str) -> x509.Name:
    # For people who look; it holds 64 characters, too few for a whole DNS name. What
    # counts is the alternative name.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(key: SigningKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _requested_key(request_pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(request_pem)
        is_signed = request.is_signature_valid
        public_key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InvalidValue("csr", "is not a certificate signing request") from None
    if not is_signed:
        raise InvalidValue("csr", "is not signed by its own key")
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1
    ):
        raise InvalidValue("csr", "is not of an ECDSA P-256 key")
    return public_key


def _load_above(
    ca_pem: bytes, ca_key_pem: bytes, wall_s: float
) -> tuple[list[x509.Certificate], SigningKey]:
    """The administrator's CA and what stands above it; raises InvalidValue."""
    try:
        chain = x509.load_pem_x509_certificates(ca_pem)
    except ValueError:
        raise InvalidValue("ca-cert", "is not the PEM of a CA's certificate") from None
    key = _load_above_key(ca_key_pem)
    if key.public_key() != chain[0].public_key():
        raise InvalidValue("ca-key", "is not the key of --ca-cert (its first certificate)")
    for below, certificate in enumerate(chain):
        _check_may_sign(certificate, below, wall_s)
    for one, issuer in itertools.pairwise(chain):
        try:
            one.verify_directly_issued_by(issuer)
        except Exception:
            # ValueError, TypeError or InvalidSignature, by what does not match.
            raise InvalidValue(
                "ca-cert", "is not in order: each certificate has to be followed by its issuer's"
            ) from None
    return chain, key


def _load_above_key(ca_key_pem: bytes) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(ca_key_pem, None)
    except TypeError:
        raise InvalidValue("ca-key", "has a passphrase: give a copy without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidValue("ca-key", "is not the PEM of a private key") from None
    if not isinstance(key, SigningKey):
        raise InvalidValue("ca-key", "is neither an elliptic curve nor an RSA key")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < RSA_BITS_MIN:
        raise InvalidValue("ca-key", f"is too weak: RSA needs {RSA_BITS_MIN} bits")
    return key


def _check_may_sign(certificate: x509.Certificate, below: int, wall_s: float) -> None:
    """``below``: how many CAs, besides ours, stand between it and what we issue."""
    try:
        extensions = certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound):
        raise InvalidValue("ca-cert", "is not a CA's certificate") from None
    if not constraints.ca:
        raise InvalidValue("ca-cert", "is not a CA's certificate")
    if constraints.path_length is not None and constraints.path_length < below + 1:
        raise InvalidValue(
            "ca-cert",
            f"admits no further CA below it (path length {constraints.path_length}):"
            " have one made that does",
        )
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.key_cert_sign:
        raise InvalidValue("ca-cert", "may not sign certificates (its key usage)")
    if certificate.not_valid_after_utc.timestamp() < wall_s:
        raise InvalidValue("ca-cert", "is past its end")
    if certificate.not_valid_before_utc.timestamp() > wall_s:
        raise InvalidValue("ca-cert", "is not valid yet: look at this machine's clock")

"""What the CA signs, and what it does not."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import ConfigError, InvalidValue
from papercutd.identity.authority import (
    AUTHORITY_DAYS,
    CERTIFICATE_DAYS,
    Authority,
    is_renewable,
    key_pem,
    make_key,
    make_request,
    renewal_due,
)
from papercutd.identity.files import write_private
from papercutd.identity.tls import Credentials, make_context
from tests.support.certificates import DAY_S, credentials, make_authority
from tests.support.stores import WALL_S


def request_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class IssueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = make_authority(WALL_S)

    def issue(self, wall_s: float = WALL_S) -> x509.Certificate:
        return credentials(self.authority, "site", "north", wall_s).certificate

    def test_life_and_use(self) -> None:
        certificate = self.issue()
        ends = certificate.not_valid_after_utc.timestamp()
        self.assertEqual(ends, WALL_S + CERTIFICATE_DAYS * DAY_S)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        self.assertFalse(constraints.ca)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        self.assertFalse(usage.key_cert_sign)
        self.assertTrue(self.authority.has_issued(certificate))
        self.assertFalse(make_authority(WALL_S).has_issued(certificate))

    def test_nothing_outlives_the_ca(self) -> None:
        late = WALL_S + (AUTHORITY_DAYS - 10) * DAY_S
        ends = self.issue(late).not_valid_after_utc
        self.assertEqual(ends, self.authority.certificate.not_valid_after_utc)

    def test_the_serial_comes_from_the_random_source(self) -> None:
        request = make_request(make_key(), "site", "north")

        def serial(seed: int) -> str:
            rng = random.Random(seed)
            return self.authority.issue(request, "site", "north", WALL_S, rng=rng).serial

        self.assertEqual(serial(1), serial(1))
        self.assertNotEqual(serial(1), serial(2))

    def test_requests_that_are_refused(self) -> None:
        good = make_request(make_key(), "site", "north")
        forged = x509.load_pem_x509_csr(good).public_bytes(serialization.Encoding.DER)
        forged = forged[:-1] + bytes([forged[-1] ^ 1])
        for request in (
            b"",
            b"garbage",
            good[:200],
            good.replace(b"REQUEST", b"RUBBISH"),
            request_of(rsa.generate_private_key(65537, 2048)),
            request_of(ec.generate_private_key(ec.SECP384R1())),
            pem_of(forged),
        ):
            with self.assertRaises(InvalidValue) as caught:
                self.authority.issue(request, "site", "north", WALL_S)
            self.assertEqual(caught.exception.field, "csr")

    def test_renewal(self) -> None:
        certificate = self.issue()
        for days, is_due, may_be in (
            (0, False, False),
            (264, False, False),
            (265, True, True),
            (397 + 29, True, True),
            (397 + 31, True, False),
        ):
            now = WALL_S + days * DAY_S
            self.assertEqual(renewal_due(certificate, now), is_due, days)
            self.assertEqual(is_renewable(certificate, now), may_be, days)


class UnderTests(SynchronousTestCase):
    """An intermediate under the administrator's CA."""

    def make(self, certificate: bytes, key: bytes, wall_s: float = WALL_S) -> Authority:
        return Authority.create_under(Path(self.mktemp()), wall_s, certificate, key)

    def test_elliptic(self) -> None:
        above = make_authority(WALL_S)
        under = self.make(above.pem, key_pem(above._key))
        under.certificate.verify_directly_issued_by(above.certificate)
        found = credentials(under, "site", "north", WALL_S)
        chain = x509.load_pem_x509_certificates(found.chain_pem)
        self.assertEqual(chain[1:], [under.certificate])
        make_context(found)

    def test_rsa(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        pem = self_signed(key, is_ca=True)
        under = self.make(pem, private_pem(key))
        under.certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(pem))

    def test_refused(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = self_signed(key, is_ca=True)
        locked = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
        for certificate, private, field in (
            (b"x", private_pem(key), "ca-cert"),
            (self_signed(key, is_ca=False), private_pem(key), "ca-cert"),
            (pem, b"x", "ca-key"),
            (pem, locked, "ca-key"),
            (pem, private_pem(make_key()), "ca-key"),
        ):
            with self.assertRaises(InvalidValue) as caught:
                self.make(certificate, private)
            self.assertEqual(caught.exception.field, field)
        with self.assertRaises(InvalidValue):
            self.make(pem, private_pem(key), WALL_S + 10_000 * DAY_S)

    def test_it_does_not_outlive_what_is_above(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = self_signed(key, is_ca=True, days=100)
        ends = self.make(pem, private_pem(key)).certificate.not_valid_after_utc
        self.assertEqual(ends, x509.load_pem_x509_certificate(pem).not_valid_after_utc)


class LoadTests(SynchronousTestCase):
    def test_an_interrupted_creation_is_begun_anew(self) -> None:
        directory = Path(self.mktemp())
        Authority.create(directory, WALL_S)
        (directory / "ca.key").unlink()
        again = Authority.create(directory, WALL_S)
        self.assertEqual(Authority.load(directory).pem, again.pem)

    def test_a_key_of_another(self) -> None:
        directory = Path(self.mktemp())
        Authority.create(directory, WALL_S)
        write_private(directory / "ca.key", key_pem(make_key()))
        with self.assertRaises(InvalidValue):
            Authority.load(directory)

    def test_credentials_that_do_not_belong_together(self) -> None:
        authority = make_authority(WALL_S)
        one, other = (credentials(authority, "site", n, WALL_S) for n in ("a", "b"))
        for odd in (
            Credentials(other.key_pem, one.chain_pem, one.ca_pem),
            Credentials(b"x", one.chain_pem, one.ca_pem),
            Credentials(one.key_pem, b"x", one.ca_pem),
            Credentials(one.key_pem, one.chain_pem, b"x"),
        ):
            with self.assertRaises(ConfigError):
                make_context(odd)


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def self_signed(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, is_ca: bool, days: float = 3_000
) -> bytes:
    now = datetime.fromtimestamp(WALL_S, UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the administrator's")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def pem_of(request_der: bytes) -> bytes:
    lines = base64.encodebytes(request_der)
    kind = b"CERTIFICATE REQUEST"
    return b"-----BEGIN " + kind + b"-----\n" + lines + b"-----END " + kind + b"-----\n"

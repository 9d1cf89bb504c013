"""What the CA signs, and what it does not."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import crypto
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
from tests.support.certificates import DAY_S, Signer, credentials, make_authority, pem_of_key
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

    def under(self, signer: Signer, *above: Signer, key: bytes = b"") -> Authority:
        pem = b"".join(one.pem for one in (signer, *above))
        return self.make(pem, key or pem_of_key(signer.key))

    def refused(self, field: str, words: str, *chain: Signer, key: bytes = b"") -> None:
        with self.assertRaises(InvalidValue) as caught:
            self.under(*chain, key=key)
        self.assertEqual(caught.exception.field, field)
        self.assertIn(words, str(caught.exception))

    def test_keys_of_every_kind(self) -> None:
        for key in (
            make_key(),
            ec.generate_private_key(ec.SECP384R1()),
            rsa.generate_private_key(65537, 2048),
        ):
            above = Signer.make(WALL_S, key=key)
            under = self.under(above)
            under.certificate.verify_directly_issued_by(above.certificate)
            found = credentials(under, "site", "north", WALL_S)
            chain = x509.load_pem_x509_certificates(found.chain_pem)
            self.assertEqual(chain[1:], [under.certificate])
            make_context(found)

    def test_under_an_intermediate(self) -> None:
        """All of the chain is shown but the root, which everybody has who knows it."""
        root = Signer.make(WALL_S, path_length=2)
        between = Signer.make(WALL_S, above=root, path_length=1)
        directory = Path(self.mktemp())
        pem = between.pem + root.pem
        made = Authority.create_under(directory, WALL_S, pem, pem_of_key(between.key))
        for under in (made, Authority.load(directory)):
            found = credentials(under, "site", "north", WALL_S)
            shown = x509.load_pem_x509_certificates(found.chain_pem)
            self.assertEqual(shown[1:], [under.certificate, between.certificate])
            store = crypto.X509Store()
            store.add_cert(crypto.X509.from_cryptography(root.certificate))
            store.set_time(datetime.fromtimestamp(WALL_S, UTC))
            leaf, *between_them = (crypto.X509.from_cryptography(one) for one in shown)
            crypto.X509StoreContext(store, leaf, between_them).verify_certificate()

    def test_what_may_not_sign(self) -> None:
        no_signing = x509.KeyUsage(
            *(True, False, False, False, False, False, True), *(False, False)
        )
        root = Signer.make(WALL_S)
        for above, words in (
            (Signer.make(WALL_S, is_ca=False), "not a CA"),
            (Signer.make(WALL_S, path_length=0), "path length 0"),
            (Signer.make(WALL_S, usage=no_signing), "key usage"),
            (Signer.make(WALL_S - 20 * DAY_S, days=10.0), "past its end"),
            (Signer.make(WALL_S + 20 * DAY_S), "clock"),
        ):
            self.refused("ca-cert", words, above)
        short = Signer.make(WALL_S, path_length=1)
        self.refused("ca-cert", "path length 1", Signer.make(WALL_S, above=short), short)
        self.refused(
            "ca-cert", "not in order", Signer.make(WALL_S, above=root), Signer.make(WALL_S)
        )
        leaf, _ = root.web(WALL_S)
        with self.assertRaises(InvalidValue):
            self.make(leaf, pem_of_key(root.key))

    def test_keys_that_cannot_sign(self) -> None:
        above = Signer.make(WALL_S)
        for key, words in (
            (b"x", "not the PEM"),
            (above.pem, "not the PEM"),
            (pem_of_key(above.key, b"x"), "passphrase"),
            (pem_of_key(make_key()), "not the key of --ca-cert"),
            (pem_of_key(ed25519.Ed25519PrivateKey.generate()), "neither"),  # type: ignore[arg-type]
        ):
            self.refused("ca-key", words, above, key=key)
        weak = rsa.generate_private_key(65537, 1024)
        self.refused("ca-key", "too weak", Signer.make(WALL_S, key=weak))
        for pem in (b"", b"x", pem_of_key(above.key)):
            with self.assertRaises(InvalidValue) as caught:
                self.make(pem, pem_of_key(above.key))
            self.assertEqual(caught.exception.field, "ca-cert")

    def test_refused_it_leaves_nothing(self) -> None:
        directory = Path(self.mktemp())
        above = Signer.make(WALL_S, path_length=0)
        with self.assertRaises(InvalidValue):
            Authority.create_under(directory, WALL_S, above.pem, pem_of_key(above.key))
        self.assertFalse(directory.exists())

    def test_it_does_not_outlive_what_is_above(self) -> None:
        above = Signer.make(WALL_S, days=100.0)
        self.assertEqual(
            self.under(above).certificate.not_valid_after_utc,
            above.certificate.not_valid_after_utc,
        )


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


def pem_of(request_der: bytes) -> bytes:
    lines = base64.encodebytes(request_der)
    kind = b"CERTIFICATE REQUEST"
    return b"-----BEGIN " + kind + b"-----\n" + lines + b"-----END " + kind + b"-----\n"

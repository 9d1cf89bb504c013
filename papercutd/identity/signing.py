"""What the application server signs for others to keep: statements, and heads of its history.

The key is made for that purpose alone, with a certificate of the installation's CA that is
good for nothing else: it names nobody, so that no session can be opened with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

from papercutd.domain.signed import Signature, as_printed, canonical
from papercutd.environment import Environment
from papercutd.errors import InvalidValue
from papercutd.identity.authority import (
    Authority,
    certificate_pem,
    key_pem,
    make_key,
    renewal_due,
)
from papercutd.identity.files import PrivateFile, finish_together, write_together

#: id-kp-documentSigning (RFC 9336).
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")


class Signer:
    """Signs with the key in ``directory``; made, and made anew, when it is time."""

    def __init__(self, env: Environment, authority: Authority, directory: Path) -> None:
        self._env = env
        self._authority = authority
        self._directory = directory
        self._key, self._certificate = self._load() or self._make()

    def sign(self, body: bytes) -> Signature:
        """Sign ``body`` with a key whose certificate has at least a third of its life left."""
        if renewal_due(self._certificate, self._env.wall_s()):
            self._key, self._certificate = self._make()
        signature = self._key.sign(body, ec.ECDSA(hashes.SHA256()))
        return Signature(signature.hex(), certificate_pem(self._certificate).decode())

    def check(self, document: dict[str, Any], text: str) -> None:
        """Raises InvalidValue unless ``document``, read from ``text``, is as it was signed."""
        check_signed(document, text, self._authority.pem)

    def _load(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
        finish_together(self._directory)
        try:
            key = serialization.load_pem_private_key(
                (self._directory / "key.pem").read_bytes(), None
            )
            certificate = x509.load_pem_x509_certificate(
                (self._directory / "certificate.pem").read_bytes()
            )
        except (OSError, ValueError):
            return None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            return None
        if key.public_key() != certificate.public_key():
            return None
        # A CA made anew does not vouch for what the one before has issued.
        return (key, certificate) if self._authority.has_issued(certificate) else None

    def _make(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = make_key()
        certificate = self._authority.issue_for_documents(
            key.public_key(), DOCUMENT_SIGNING, self._env.wall_s(), self._env.rng
        )
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_together(
            self._directory,
            [
                PrivateFile("key.pem", key_pem(key)),
                PrivateFile("certificate.pem", certificate_pem(certificate), 0o644),
            ],
        )
        return key, certificate


def check_signed(document: dict[str, Any], text: str, ca_pem: bytes) -> None:
    """Raises InvalidValue unless ``document``, read from ``text``, is as it was signed.

    That its certificate has ended since says nothing: it was good when it signed.
    """
    signed = document.get("signed")
    if not isinstance(signed, dict):
        raise InvalidValue("statement", "is not signed: one that is open never is")
    try:
        found = Signature(str(signed["signature"]), str(signed["certificate"]))
        signature = bytes.fromhex(found.signature)
        certificate = x509.load_pem_x509_certificate(found.certificate.encode())
        authority = x509.load_pem_x509_certificate(ca_pem)
    except (KeyError, ValueError):
        raise InvalidValue("statement", "has no signature that can be read") from None
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:
        # ValueError, TypeError or InvalidSignature, by what does not match.
        raise InvalidValue("statement", "is signed by another installation") from None
    key = certificate.public_key()
    if not _is_for_documents(certificate) or not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidValue("statement", "is signed with a key that may not sign documents")
    try:
        key.verify(signature, canonical(document), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise InvalidValue("statement", "is not what was signed: it was changed") from None
    same = Signature(signature.hex(), certificate_pem(certificate).decode()).as_shown()
    if signed != same or text.strip("\n") != as_printed(document):
        raise InvalidValue(
            "statement", "is not byte for byte as it was printed, though what it says was signed"
        )


def _is_for_documents(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return list(usage) == [DOCUMENT_SIGNING]

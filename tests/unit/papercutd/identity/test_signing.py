"""Documents signed with a key of their own: genuine or not, by the CA's certificate alone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.signed import Signature, as_printed, canonical
from papercutd.errors import InvalidValue
from papercutd.identity.authority import certificate_pem, make_key
from papercutd.identity.files import write_private
from papercutd.identity.names import peer_of
from papercutd.identity.signing import Signer, check_signed
from tests.support.certificates import credentials, make_authority, private_key
from tests.support.stores import WALL_S, Turner

DOCUMENT = {"kind": "outage", "since": 1.5, "user": "jürgen", "jobs": 3, "items": [{"a": None}]}


class SignerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.env = Turner().environment()
        self.authority = make_authority(WALL_S)

    def signer(self, **more: Any) -> Signer:
        env = attrs.evolve(self.env, **more)
        return Signer(env, self.authority, self.directory / "signing")

    def signed(self, signer: Signer | None = None, **more: Any) -> dict[str, Any]:
        document = {**DOCUMENT, **more}
        made = (signer or self.signer()).sign(canonical(document))
        return {**document, "signed": made.as_shown()}

    def refused(self, document: dict[str, Any], text: str | None = None) -> str:
        with self.assertRaises(InvalidValue) as caught:
            check_signed(document, text or as_printed(document), self.authority.pem)
        return str(caught.exception)

    def test_genuine(self) -> None:
        document = self.signed()
        check_signed(document, as_printed(document) + "\n", self.authority.pem)

    def test_changed(self) -> None:
        for name, value in (("jobs", 4), ("since", 1.25), ("items", []), ("more", 1)):
            document = {**self.signed(), name: value}
            self.assertIn("changed", self.refused(document), name)
        self.assertIn("byte for byte", self.refused(self.signed(), as_printed(self.signed())[::-1]))

    def test_not_signed(self) -> None:
        self.assertIn("not signed", self.refused(dict(DOCUMENT)))
        for signed in ({}, {"signature": "xy", "certificate": ""}, {"signature": "00"}):
            self.assertIn("signature", self.refused({**DOCUMENT, "signed": signed}))

    def test_another_installation(self) -> None:
        other = Signer(self.env, make_authority(WALL_S), self.directory / "other")
        self.assertIn("another installation", self.refused(self.signed(other)))

    def test_a_member_signs_no_statement(self) -> None:
        """A site's certificate is of the same CA, and good for sessions alone."""
        member = credentials(self.authority, "site", "north", WALL_S)
        key = private_key(member.key_pem)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        signature = key.sign(canonical(DOCUMENT), ec.ECDSA(hashes.SHA256())).hex()
        shown = Signature(signature, certificate_pem(member.certificate).decode()).as_shown()
        self.assertIn("may not sign", self.refused({**DOCUMENT, "signed": shown}))

    def test_its_certificate_names_nobody(self) -> None:
        """No session is opened with it."""
        signer = self.signer()
        with self.assertRaises(Exception):  # noqa: B017
            peer_of(signer._certificate)

    def test_the_key_stays(self) -> None:
        first = self.signed()["signed"]["certificate"]
        self.assertEqual(self.signed()["signed"]["certificate"], first)
        key = self.directory / "signing" / "key.pem"
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)

    def test_a_new_key_in_time(self) -> None:
        """What the old one has signed stays genuine."""
        old = self.signed()
        late = self.signer(wall_s=lambda: WALL_S + 300 * 86_400)
        new = self.signed(late)
        self.assertNotEqual(new["signed"]["certificate"], old["signed"]["certificate"])
        for document in (old, new):
            check_signed(document, as_printed(document), self.authority.pem)

    def test_a_damaged_key(self) -> None:
        """It is made anew: what it has signed needs the certificate alone."""
        old = self.signed()
        write_private(self.directory / "signing" / "key.pem", b"damaged")
        self.assertNotEqual(self.signed()["signed"]["certificate"], old["signed"]["certificate"])
        self.assertNotEqual(make_key(), make_key())

"""What a certificate says about whom."""

from __future__ import annotations

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import InvalidValue, Rejected
from papercutd.identity.authority import make_key, make_request
from papercutd.identity.names import ROLES, dns_name, peer_of
from tests.support.certificates import credentials, dns, make_authority, odd_certificate
from tests.support.stores import WALL_S


class PeerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = make_authority(WALL_S)

    def test_every_role(self) -> None:
        for role in ROLES:
            name = role if role == "application" else "n" * 63
            certificate = credentials(self.authority, role, name, WALL_S).certificate
            peer = peer_of(certificate)
            self.assertEqual((peer.role, peer.name), (role, name))
            self.assertEqual(int(peer.serial, 16), certificate.serial_number)

    def test_odd_names(self) -> None:
        odd: list[list[x509.GeneralName] | None] = [
            None,
            [],
            [dns("site", "a"), dns("site", "b")],
            [dns("site", "a"), x509.RFC822Name("a@example.org")],
            [x509.RFC822Name("a@a.site.papercut.internal")],
            [x509.UniformResourceIdentifier("https://a.site.papercut.internal")],
        ]
        for text in (
            "*.site.papercut.internal",
            "a.site.papercut.internal.",
            "a.site.papercut.internal.example.org",
            "a.site.example.org",
            "a.king.papercut.internal",
            "a.b.site.papercut.internal",
            "site.papercut.internal",
            ".site.papercut.internal",
            "A.site.papercut.internal",
            "-a.site.papercut.internal",
            "other.application.papercut.internal",
        ):
            odd.append([x509.DNSName(text)])
        for names in odd:
            certificate = odd_certificate(self.authority, make_key(), names, WALL_S)
            with self.assertRaises(Rejected, msg=repr(names)) as caught:
                peer_of(certificate)
            self.assertEqual(caught.exception.code, "identity")

    def test_there_is_one_application_server(self) -> None:
        self.assertEqual(
            dns_name("application", "application"), "application.application.papercut.internal"
        )
        with self.assertRaises(InvalidValue):
            dns_name("application", "other")
        with self.assertRaises(InvalidValue):
            make_request(make_key(), "application", "other")

"""Who is refused, and who hears of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.identity.tls import Revocations, identifier
from protocols.codes import Code
from protocols.errors import Refusal


class RevocationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.revocations = Revocations()
        self.heard: list[str] = []
        self.revocations.subscribe(self.heard.append)

    def test_told_once(self) -> None:
        self.revocations.add(["a", "b"])
        self.revocations.add(["b", "c"])
        self.assertEqual(self.heard, ["a", "b", "c"])
        self.assertTrue(self.revocations.is_revoked("a"))
        self.assertFalse(self.revocations.is_revoked("d"))

    def test_replace(self) -> None:
        self.revocations.add(["a", "b"])
        self.revocations.replace(["b", "c"])
        self.assertEqual(self.heard, ["a", "b", "c"])
        self.assertEqual(
            [self.revocations.is_revoked(serial) for serial in "abc"], [False, True, True]
        )

    def test_one_that_fails_stops_nobody(self) -> None:
        def fail(serial: str) -> None:
            raise RuntimeError(serial)

        revocations = Revocations()
        revocations.subscribe(fail)
        revocations.subscribe(self.heard.append)
        revocations.add(["a", "b"])
        self.assertEqual(self.heard, ["a", "b"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_a_transport_without_tls_is_nobody(self) -> None:
        class Shows:
            def getPeerCertificate(self) -> None:
                return None

        for transport in (object(), Shows()):
            with self.assertRaises(Refusal) as caught:
                identifier(self.revocations)(transport)
            self.assertEqual(caught.exception.code, Code.IDENTITY)

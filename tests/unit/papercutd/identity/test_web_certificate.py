"""The administrator's certificate: what can be used, and what happens when its files change."""

from __future__ import annotations

import os
import random
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.errors import ConfigError
from papercutd.identity.authority import make_key
from papercutd.identity.web_certificate import LOOK_INTERVAL_S, WebCertificate, WebPair, check_web
from tests.support.certificates import DAY_S, Signer, pem_of_key
from tests.support.stores import WALL_S


class FilesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Signer.make(WALL_S)
        self.between = Signer.make(WALL_S, above=self.root)
        directory = Path(self.mktemp())
        directory.mkdir()
        self.certificate, self.key = directory / "web.pem", directory / "web.key"

    def write(self, certificate: bytes, key: bytes) -> None:
        self.certificate.write_bytes(certificate)
        self.key.touch(mode=0o600)
        self.key.write_bytes(key)

    def write_new(self, to_days: float = 90.0) -> x509.Certificate:
        """A whole chain and its key; the server's certificate."""
        pem, key = self.between.web(WALL_S, to_days=to_days)
        self.write(pem + self.between.pem, key)
        return x509.load_pem_x509_certificate(pem)


class LoadTests(FilesCase):
    def refused(self, *words: str) -> None:
        with self.assertRaises(ConfigError) as caught:
            WebPair.load(self.certificate, self.key)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_keys_of_every_kind(self) -> None:
        for key in (
            make_key(),
            ec.generate_private_key(ec.SECP384R1()),
            rsa.generate_private_key(65537, 2048),
        ):
            pem, private = self.between.web(WALL_S, key=key)
            self.write(pem + self.between.pem + self.root.pem, private)
            pair = WebPair.load(self.certificate, self.key)
            self.assertEqual(len(pair.chain), 3)
            self.assertEqual(pair.warnings(), [])

    def test_files_that_cannot_be_read(self) -> None:
        self.refused("web.certificate", str(self.certificate), "No such file")
        self.write_new()
        self.key.unlink()
        self.refused("web.key", str(self.key), "No such file")
        self.key.mkdir()
        self.refused("web.key", "directory")

    def test_files_that_hold_something_else(self) -> None:
        pem, key = self.between.web(WALL_S)
        locked = pem_of_key(make_key(), b"secret")
        odd = dsa.generate_private_key(1024)
        for certificate, private, words in (
            (b"", key, "no certificate"),
            (key, key, "no certificate"),
            (pem.replace(b"MII", b"MIX", 1), key, "no certificate"),
            (pem, b"", "no private key"),
            (pem, pem, "no private key"),
            (pem, locked, "passphrase"),
            (pem, pem_of_key(ec.generate_private_key(ec.SECP256K1())), "neither"),
            (pem, pem_of_key(odd), "neither"),  # type: ignore[arg-type]
        ):
            self.write(certificate, private)
            self.refused(words)

    def test_a_key_of_another(self) -> None:
        pem, _ = self.between.web(WALL_S)
        self.write(pem, pem_of_key(make_key()))
        self.refused("is not the certificate of the key", str(self.key))

    def test_the_chain_before_the_certificate(self) -> None:
        pem, key = self.between.web(WALL_S)
        self.write(self.between.pem + pem, key)
        self.refused("it first, then its chain")

    def test_a_weak_key(self) -> None:
        pem, key = self.between.web(WALL_S, key=rsa.generate_private_key(65537, 1024))
        self.write(pem, key)
        self.refused("too weak")

    def test_what_browsers_will_not_like(self) -> None:
        pem, key = self.between.web(WALL_S, names=())
        self.write(pem + self.root.pem, key)
        chain, names = WebPair.load(self.certificate, self.key).warnings()
        self.assertIn("not in order", chain)
        self.assertIn("no DNS name", names)

    def test_both_or_none(self) -> None:
        check_web("", "")
        for pair, missing in ((("a", ""), "web.key"), (("", "a"), "web.certificate")):
            with self.assertRaises(ConfigError) as caught:
                check_web(*pair)
            self.assertIn(missing, str(caught.exception))
        self.write_new()
        check_web(str(self.certificate), str(self.key))


class FollowTests(FilesCase):
    """Renewals need no restart, and a renewal that goes wrong ends nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.wall_s = WALL_S
        self.first = self.write_new()
        self.said: list[tuple[LogLevel, str]] = []

        def observe(event: object) -> None:
            assert isinstance(event, dict)
            if event.get("log_namespace", "").endswith("web_certificate"):
                text = event["log_format"].format(**event)
                self.said.append((event["log_level"], text))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.web = self.make()
        self.web.start()
        self.addCleanup(self.web.stop)

    def make(self) -> WebCertificate:
        env = Environment(self.clock, lambda: self.wall_s, random.Random(1))
        return WebCertificate(env, str(self.certificate), str(self.key))

    def warned(self, words: str) -> int:
        return sum(words in text for level, text in self.said if level >= LogLevel.warn)

    def test_as_it_is(self) -> None:
        before = self.web.context
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertIs(self.web.context, before)
        self.assertEqual(self.web.certificate, self.first)
        self.assertEqual(
            self.web.status(),
            {
                "names": ["print.example.org", "localhost"],
                "days_left": 90.0,
                "alarm": False,
                "problem": "",
            },
        )

    def test_a_renewal(self) -> None:
        before = self.web.context
        second = self.write_new(to_days=180.0)
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(self.web.certificate, second)
        self.assertIsNot(self.web.context, before)
        self.assertEqual(self.web.status()["days_left"], 180.0)

    def test_a_link_that_points_elsewhere(self) -> None:
        """As certbot does it."""
        for path in (self.certificate, self.key):
            kept = path.with_name(path.name + ".1")
            path.rename(kept)
            path.symlink_to(kept.name)
        self.clock.advance(LOOK_INTERVAL_S)
        pem, key = self.between.web(WALL_S)
        for path, data in ((self.certificate, pem), (self.key, key)):
            fresh = path.with_name(path.name + ".2")
            fresh.write_bytes(data)
            path.unlink()
            path.symlink_to(fresh.name)
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(self.web.certificate, x509.load_pem_x509_certificate(pem))

    def test_half_a_renewal(self) -> None:
        pem, key = self.between.web(WALL_S)
        self.certificate.write_bytes(pem)
        for _ in range(3):
            self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(self.web.certificate, self.first)
        self.assertIn("is not the certificate of the key", self.web.status()["problem"])
        self.assertTrue(self.web.status()["alarm"])
        # Said once, not at each look.
        self.assertEqual(self.warned("stays as it is"), 1)
        self.key.write_bytes(key)
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(self.web.certificate, x509.load_pem_x509_certificate(pem))
        self.assertEqual(self.web.status()["problem"], "")

    def test_files_that_go_and_come_back(self) -> None:
        gone = self.certificate.with_suffix(".gone")
        self.certificate.rename(gone)
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertIn("cannot be read", self.web.status()["problem"])
        gone.rename(self.certificate)
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(self.web.status()["problem"], "")
        self.assertEqual(self.web.certificate, self.first)

    def test_the_same_length_within_the_same_second(self) -> None:
        second, key = self.between.web(WALL_S)
        stamp = self.certificate.stat()
        for path, data in ((self.certificate, second), (self.key, key)):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(data)
            os.utime(fresh, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            fresh.replace(path)
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(self.web.certificate, x509.load_pem_x509_certificate(second))

    def test_past_its_end(self) -> None:
        """It warns and goes on: a page with a warning is better than none."""
        self.wall_s += 80 * DAY_S
        self.clock.advance(LOOK_INTERVAL_S)
        self.assertTrue(self.web.status()["alarm"])
        self.assertEqual(self.warned("outside its dates"), 0)
        self.wall_s += 20 * DAY_S
        for _ in range(3):
            self.clock.advance(LOOK_INTERVAL_S)
        self.assertEqual(self.warned("outside its dates"), 1)
        self.make()
        self.assertEqual(self.warned("outside its dates"), 2)
        self.assertEqual(self.web.certificate, self.first)

    def test_a_key_that_everybody_may_read(self) -> None:
        self.assertEqual(self.warned("everybody may read"), 0)
        self.key.chmod(0o644)
        self.make()
        self.assertEqual(self.warned("everybody may read"), 1)

    def test_no_look_after_the_end(self) -> None:
        self.web.stop()
        self.write_new()
        self.clock.advance(10 * LOOK_INTERVAL_S)
        self.assertEqual(self.web.certificate, self.first)
        self.assertEqual(self.clock.getDelayedCalls(), [])

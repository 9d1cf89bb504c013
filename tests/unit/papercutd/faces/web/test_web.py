"""The web face: what it answers, how often, and what it does not say."""

from __future__ import annotations

import json
import random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.faces.web import BODY_MAX, JOINS_PER_MINUTE, REQUEST_TIMEOUT_S, make_web
from papercutd.identity.authority import make_key, make_request
from papercutd.identity.joining import JoinService
from tests.support.certificates import MemoryCertificates, make_authority
from tests.support.stores import WALL_S


class WebCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.env = Environment(self.clock, lambda: WALL_S, random.Random(1))
        self.joining = JoinService(
            make_authority(WALL_S), MemoryCertificates(), self.env, lambda: "ab" * 32
        )
        self.health: dict[str, Any] = {"ok": True, "checks": []}
        self.state = "online"
        self.site = self.make(self.joining)

    def make(self, joining: JoinService | None) -> Any:
        async def health() -> dict[str, Any]:
            return self.health

        site: Any = make_web(self.env, health, joining, lambda: self.state)
        # HTTPFactory looks for the global reactor, to date its answers and time them.
        site.reactor = self.clock
        site._updateLogDateTime = lambda: None
        return site

    def connect(self, host: str = "192.0.2.1") -> tuple[Any, StringTransportWithDisconnection]:
        transport = StringTransportWithDisconnection(peerAddress=IPv4Address("TCP", host, 40_000))
        protocol = self.site.buildProtocol(None)
        transport.protocol = protocol
        protocol.callLater = self.clock.callLater
        protocol.makeConnection(transport)
        return protocol, transport

    def ask(
        self, method: str, path: str, body: bytes = b"", host: str = "192.0.2.1"
    ) -> tuple[int, dict[str, str], bytes]:
        protocol, transport = self.connect(host)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        protocol.dataReceived(head.encode() + b"Connection: close\r\n\r\n" + body)
        answered, _, content = transport.value().partition(b"\r\n\r\n")
        status, *lines = answered.decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        if headers.get("transfer-encoding") == "chunked":
            content = content.partition(b"\r\n")[2].partition(b"\r\n0\r\n")[0]
        return int(status.split(" ")[1]), headers, content

    def join(self, body: bytes, host: str = "192.0.2.1") -> tuple[int, dict[str, Any]]:
        code, headers, content = self.ask("POST", "/api/join", body, host)
        self.assertEqual(headers["content-type"], "application/json")
        return code, json.loads(content)

    def question(self, **more: object) -> bytes:
        made = self.successResultOf(
            self.defer(self.joining.make_token("site", "north")),
        )
        csr = make_request(make_key(), "site", "north").decode()
        return json.dumps(
            {"token": made, "role": "site", "name": "north", "csr": csr, **more}
        ).encode()

    def defer(self, work: Any) -> Any:
        return Deferred.fromCoroutine(work)


class HealthTests(WebCase):
    def test_the_state(self) -> None:
        for self.state in ("online", "cut", "cut-and-stale"):
            status, _, body = self.ask("GET", "/")
            self.assertEqual(status, 200)
            self.assertIn(f"papercutd: {self.state}.", body.decode())

    def test_well_and_not(self) -> None:
        code, headers, content = self.ask("GET", "/api/health")
        self.assertEqual((code, json.loads(content)), (200, self.health))
        self.assertEqual(headers["cache-control"], "no-store")
        self.health = {"ok": False, "checks": [{"name": "disk", "ok": False}]}
        code, _, content = self.ask("GET", "/api/health")
        self.assertEqual((code, json.loads(content)), (500, self.health))

    def test_an_error_is_not_told(self) -> None:
        del self.health["ok"]
        code, _, content = self.ask("GET", "/api/health")
        self.assertEqual((code, json.loads(content)["code"]), (500, "internal"))
        self.assertNotIn(b"KeyError", content)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_what_browsers_ask_for_unasked(self) -> None:
        code, _, content = self.ask("GET", "/favicon.ico")
        self.assertEqual((code, content), (204, b""))

    def test_no_version_anywhere(self) -> None:
        for path in ("/", "/api/health", "/api/join", "/nothing", "/api"):
            _, headers, content = self.ask("GET", path)
            self.assertNotIn("twisted", str(headers).lower())
            self.assertNotIn(b"twisted", content.lower())

    def test_a_slow_client_is_cut_off(self) -> None:
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET /api/hea")
        self.clock.advance(REQUEST_TIMEOUT_S + 1)
        self.assertTrue(transport.disconnecting or not transport.connected)


class JoinPageTests(WebCase):
    def test_join(self) -> None:
        code, answer = self.join(self.question())
        self.assertEqual(code, 200)
        self.assertIn("BEGIN CERTIFICATE", answer["chain"])
        self.assertIn("BEGIN CERTIFICATE", answer["ca"])
        self.assertNotIn("PRIVATE KEY", answer["chain"] + answer["ca"])

    def test_refused(self) -> None:
        question = self.question()
        self.join(question)
        code, answer = self.join(question)
        self.assertEqual((code, answer["code"]), (403, "used-token"))
        code, answer = self.join(self.question(name="south"))
        self.assertEqual((code, answer["code"]), (403, "foreign-token"))
        code, answer = self.join(self.question(csr="x"))
        self.assertEqual(code, 403)

    def test_bad_bodies(self) -> None:
        for number, body in enumerate(
            (b"", b"x", b"[]", b"{}", b"null", b'{"token": 1}', self.question(role=None))
        ):
            code, answer = self.join(body, f"192.0.2.{number + 10}")
            self.assertEqual((code, answer["code"]), (400, "bad-request"))

    def test_not_offered_on_plaintext(self) -> None:
        self.site = self.make(None)
        code, _, _ = self.ask("POST", "/api/join", self.question())
        self.assertEqual(code, 404)

    def test_ten_a_minute(self) -> None:
        for _ in range(JOINS_PER_MINUTE):
            self.assertEqual(self.join(b"{}")[0], 400)
        code, answer = self.join(self.question())
        self.assertEqual((code, answer["code"]), (429, "too-often"))
        self.assertEqual(self.join(b"{}", "192.0.2.2")[0], 400)
        self.clock.advance(61)
        self.assertEqual(self.join(self.question())[0], 200)

    def test_a_long_body(self) -> None:
        """It is refused by its length, or once it is too long: never taken in whole."""
        long = b"y" * (BODY_MAX + 1)
        for framing, body in (
            (b"Content-Length: 209715200", b""),
            (b"Transfer-Encoding: chunked", b"%x\r\n" % len(long) + long),
        ):
            protocol, transport = self.connect()
            head = b"POST /api/join HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
            protocol.dataReceived(head + body)
            self.assertTrue(transport.value().startswith(b"HTTP/1.1 413 "), transport.value())
            self.assertFalse(transport.connected)

    def test_the_longest_body(self) -> None:
        self.assertEqual(self.join(b"x" * BODY_MAX)[0], 400)

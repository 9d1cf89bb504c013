"""Outages in a browser: for administrators, with nothing in them that a browser would run."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from papercutd.domain.signed import Signature
from papercutd.errors import NotFound
from papercutd.faces.statement_pages import POLICY, Door, add_statement_pages
from papercutd.faces.web import make_web
from tests.contract.test_statement import StatementContract as _Outage
from tests.support.engines import ENGINES
from tests.support.stores import Turner
from tests.unit.papercutd.faces.web.test_web import WebCase


class PlainVerifiers:
    """A verifier is its password: argon2id has tests of its own."""

    async def make(self, secret: str) -> str:
        return secret

    async def matches(self, verifier: str, secret: str) -> bool:
        return bool(verifier) and verifier == secret


class Told:
    def __init__(self, case: StatementPagesTests) -> None:
        self._store = case.centre.store

    async def signed_outages(self, count: int) -> list[dict[str, Any]]:
        return await self._store.outages(count)

    async def signed_statement(self, outage: int) -> dict[str, Any]:
        if outage == 99:
            raise NotFound("outage", "99")
        return await self._store.statement(None, None, outage)


class StatementPagesTests(WebCase):
    engine = ENGINES[0]

    def setUp(self) -> None:
        super().setUp()
        self.turner = Turner(self.clock)
        _Outage.setUp(self)  # type: ignore[arg-type]
        result, store = self.turner.result, self.centre.store
        for name in ("root", "ben"):
            self.centre.user(name, administrator=name == "root")
            result(store.set_verifier(name, "password", f"{name}'s secret"))
        _Outage.cut(self)  # type: ignore[arg-type]
        _Outage.print_at_site(self)  # type: ignore[arg-type]
        _Outage.heal(self)  # type: ignore[arg-type]
        _Outage.forward(self)  # type: ignore[arg-type]
        result(store.settle_outages(lambda body: Signature("ab", "a certificate")))

        async def health() -> dict[str, Any]:
            return self.health

        door = Door(self.env, store, PlainVerifiers())
        site: Any = make_web(
            self.env, health, pages=lambda root: add_statement_pages(root, door, Told(self))
        )
        site.reactor = self.clock
        site._updateLogDateTime = lambda: None
        self.site = site

    def get(
        self, path: str, login: str | None = "root:root's secret", host: str = "192.0.2.1"
    ) -> tuple[int, dict[str, str], str]:
        protocol, transport = self.connect(host)
        shown = ""
        if login is not None:
            shown = f"Authorization: Basic {b64encode(login.encode()).decode()}\r\n"
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\n{shown}Connection: close\r\n\r\n"
        protocol.dataReceived(head.encode())
        self.turner.settle()
        answered, _, content = transport.value().partition(b"\r\n\r\n")
        status, *lines = answered.decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        return int(status.split()[1]), headers, content.decode()

    def test_pages(self) -> None:
        code, headers, page = self.get("/outages")
        self.assertEqual(code, 200)
        self.assertEqual(headers["content-security-policy"], POLICY)
        self.assertEqual(headers["cache-control"], "no-store")
        self.assertIn('<a href="/outages/1">north</a>', page)
        code, _, page = self.get("/outages/1")
        self.assertEqual(code, 200)
        for words in ("Outage 1 at north: closed, signed", "0 lost, 0 charged twice.", "anna"):
            self.assertIn(words, page)
        self.assertNotIn("<script", page)
        self.assertNotIn("style=", page)
        code, headers, text = self.get("/outages/1.json")
        self.assertEqual((code, headers["content-type"]), (200, "application/json"))
        self.assertEqual(json.loads(text[text.index("{") : text.rindex("}") + 1])["jobs"], 1)
        self.assertEqual(self.get("/style.css", login=None)[0], 200)

    def test_what_is_not_there(self) -> None:
        for path in ("/outages/99", "/outages/one", "/outages/1.txt", "/outages/1/2"):
            self.assertEqual(self.get(path)[0], 404, path)

    def test_names_are_text(self) -> None:
        self.turner.result(self.centre.store.end_session(self.session))
        self.centre.query("UPDATE outage SET body = x''")
        self.centre.query("UPDATE charge SET user_name = '<script>alert(1)</script>'")
        page = self.get("/outages/1")[2]
        self.assertIn("&lt;script&gt;alert(1)", page)
        self.assertNotIn("<script", page)

    def test_only_administrators(self) -> None:
        """Nobody else is told more than that a name and password are needed."""
        for login in (None, "ben:ben's secret", "root:wrong", "nobody:x", "root:", ":", "root"):
            code, headers, page = self.get("/outages/1", login)
            self.assertEqual((code, "anna" in page), (401, False), login)
            self.assertIn("Basic", headers["www-authenticate"])

    def test_guessing_ends(self) -> None:
        codes = [self.get("/outages", "root:wrong")[0] for _ in range(6)]
        self.assertEqual(codes, [401] * 5 + [429])
        self.assertEqual(self.get("/outages")[0], 429)
        self.clock.advance(1_000)
        self.assertEqual(self.get("/outages")[0], 200)

"""Outages and statements in a browser, over HTTPS, for administrators who log in.

Made on the server, without a script: the pages hold what `papercutd statement` prints.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined, Template
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import NoResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from papercutd.domain.job import fold_user_name
from papercutd.domain.money import show_amount
from papercutd.domain.signed import as_printed
from papercutd.domain.statement_sections import make_headline, make_sections
from papercutd.environment import Environment
from papercutd.errors import NotFound, Rejected
from papercutd.identity.verifiers import Verifiers
from papercutd.services.attempts import Attempts, LockedOut
from papercutd.storage.people.people import Login

_log = Logger()
_HERE = Path(__file__).with_name("templates")
#: Failed log-ins of a name, and from an address, before both wait a quarter of an hour.
NAME_ATTEMPTS_MAX, ADDRESS_ATTEMPTS_MAX = 5, 20
OUTAGES_SHOWN = 100
POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
Answer = tuple[int, str, str]


class People(Protocol):
    """Where administrators are looked up."""

    def login_by_name(self, name: str) -> Deferred[Login | None]: ...

    def user(self, name: str) -> Deferred[dict[str, Any]]: ...


class Told(Protocol):
    """Where statements come from."""

    async def signed_outages(self, count: int) -> list[dict[str, Any]]: ...

    async def signed_statement(self, outage: int) -> dict[str, Any]: ...


class Door:
    """Lets administrators in by name and password, and tells the others nothing."""

    def __init__(self, env: Environment, people: People, verifiers: Verifiers) -> None:
        self._people = people
        self._verifiers = verifiers
        self._by_name = Attempts(env, NAME_ATTEMPTS_MAX)
        self._by_address = Attempts(env, ADDRESS_ATTEMPTS_MAX)

    async def admits(self, header: bytes | None, address: str) -> bool:
        """Whether an ``Authorization`` header is an administrator's; LockedOut, Rejected."""
        shown = _credentials(header)
        if shown is None:
            return False
        name, password = shown
        folded = fold_user_name(name)
        with self._by_address.trying(address), self._by_name.trying(folded):
            person = await self._people.login_by_name(name)
            # Somebody unknown takes as long as somebody known.
            verifier = "" if person is None else person.verifier
            proved = await self._verifiers.matches(verifier, password)
            if person is not None and proved and not person.disabled:
                if (await self._people.user(person.name))["administrator"]:
                    self._by_name.succeeded(folded)
                    return True
            self._by_address.failed(address)
            self._by_name.failed(folded)
        return False


def _credentials(header: bytes | None) -> tuple[str, str] | None:
    if header is None or not header.lower().startswith(b"basic "):
        return None
    try:
        name, colon, password = b64decode(header[6:], validate=True).decode().partition(":")
    except ValueError:
        return None
    return (name, password) if colon and name else None


class _Page(Resource):
    """One page behind the door."""

    def __init__(self, door: Door, make: Callable[[], Awaitable[Answer]]) -> None:
        super().__init__()
        self._door = door
        self._make = make

    def render_GET(self, request: Request) -> int:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        async def run() -> None:
            code, kind, text = await self._answer(request)
            if not gone:
                _write(request, code, kind, text.encode())
                request.finish()

        Deferred.fromCoroutine(run()).addErrback(
            lambda failure: _log.failure("a page failed", failure=failure)
        )
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> Answer:
        plain = "text/plain; charset=utf-8"
        address = str(getattr(request.getClientAddress(), "host", ""))
        try:
            if not await self._door.admits(request.getHeader(b"authorization"), address):
                request.setHeader(
                    b"www-authenticate", b'Basic realm="papercutd administrators", charset="UTF-8"'
                )
                return 401, plain, "An administrator's name and password are needed.\n"
            return await self._make()
        except LockedOut as locked:
            return 429, plain, f"Too many attempts: wait {round(locked.left_s)} seconds.\n"
        except Rejected:
            return 503, plain, "The server is busy: try again.\n"
        except NotFound:
            return 404, plain, "There is no such outage.\n"
        except Exception:
            _log.failure("making a page failed")
            return 500, plain, "The server failed at this, its log says why.\n"


class _Style(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._text = (_HERE / "style.css").read_bytes()

    def render_GET(self, request: Request) -> bytes:
        _set_headers(request, "text/css; charset=utf-8")
        request.setHeader(b"cache-control", b"max-age=3600")
        return self._text


class OutagePages(Resource):
    """``/outages``, ``/outages/7`` and ``/outages/7.json``."""

    def __init__(self, door: Door, told: Told) -> None:
        super().__init__()
        self._door = door
        self._told = told

    def render_GET(self, request: Request) -> int:
        return _Page(self._door, self._list).render_GET(request)

    def getChild(self, path: bytes, request: Request) -> Resource:
        if path == b"":
            return _Page(self._door, self._list)
        name, _, kind = path.decode("utf-8", "replace").partition(".")
        if not name.isascii() or not name.isdigit() or len(name) > 9 or kind not in ("", "json"):
            return NoResource()
        make = self._one if not kind else self._json
        return _Page(self._door, lambda: make(int(name)))

    async def _list(self) -> Answer:
        rows = await self._told.signed_outages(OUTAGES_SHOWN)
        return 200, "text/html; charset=utf-8", _template("outages.html").render(rows=rows)

    async def _one(self, number: int) -> Answer:
        stated = await self._told.signed_statement(number)
        page = _template("statement.html").render(
            number=number,
            headline=make_headline(stated, _when),
            is_signed="signed" in stated,
            sections=list(make_sections(stated, _when)),
        )
        return 200, "text/html; charset=utf-8", page

    async def _json(self, number: int) -> Answer:
        stated = await self._told.signed_statement(number)
        return 200, "application/json", as_printed(stated) + "\n"


@cache
def _template(name: str) -> Template:
    """Compiled when it is first shown: that would be a quarter of the server's start."""
    templates = Templates(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    templates.filters["moment"] = _when
    templates.filters["amount"] = show_amount
    return templates.get_template(name)


def add_statement_pages(root: Resource, door: Door, told: Told) -> None:
    """Into the web face of an application server, where it speaks TLS."""
    root.putChild(b"outages", OutagePages(door, told))
    root.putChild(b"style.css", _Style())


def _when(at: float | None) -> str:
    if at is None:
        return "now"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _set_headers(request: Request, kind: str) -> None:
    request.setHeader(b"content-type", kind.encode())
    request.setHeader(b"content-security-policy", POLICY.encode())
    request.setHeader(b"x-content-type-options", b"nosniff")
    request.setHeader(b"referrer-policy", b"no-referrer")


def _write(request: Request, code: int, kind: str, body: bytes) -> None:
    request.setResponseCode(code)
    _set_headers(request, kind)
    request.setHeader(b"cache-control", b"no-store")
    request.write(body)

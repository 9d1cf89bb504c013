"""HTTP: whether the server is well, and joining."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from papercutd.environment import Environment
from papercutd.errors import PapercutError
from papercutd.identity.joining import JoinService

_log = Logger()
BODY_MAX = 65_536
#: Attempts to join from one address in a minute.
JOINS_PER_MINUTE = 10
REQUEST_TIMEOUT_S = 30
_WORDS = {
    "unknown-token": "that token is not one of this installation's",
    "used-token": "that token was used already: make another",
    "stale-token": "that token is older than an hour: make another",
    "foreign-token": "that token is for another name",
    "not-due": "it is too early to renew that certificate, or more than 30 days too late",
    "revoked": "that certificate is revoked: join again with a new token",
}
Health = Callable[[], Awaitable[dict[str, Any]]]


def _answer(request: Request, code: int, body: dict[str, Any]) -> None:
    request.setResponseCode(code)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    request.write(json.dumps(body).encode() + b"\n")
    request.finish()


class _Async(Resource):
    isLeaf = True

    def start(self, request: Request, work: Any) -> int:
        gone: list[object] = []
        request.notifyFinish().addErrback(gone.append)

        async def run() -> None:
            try:
                code, body = await work
            except Exception:
                _log.failure("a web request failed")
                code, body = 500, {"code": "internal", "text": "the server's log says why"}
            if not gone:
                _answer(request, code, body)

        Deferred.fromCoroutine(run())
        return NOT_DONE_YET


class HealthPage(_Async):
    """``GET /api/health``: 200 when all checks are well, else 500."""

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    def render_GET(self, request: Request) -> int:
        async def work() -> tuple[int, dict[str, Any]]:
            found = await self._health()
            return (200 if found["ok"] else 500), found

        return self.start(request, work())


class JoinPage(_Async):
    """``POST /api/join``: a token and a signing request against a certificate."""

    def __init__(self, joining: JoinService, env: Environment) -> None:
        super().__init__()
        self._joining = joining
        self._env = env
        self._recent: dict[str, deque[float]] = {}

    def render_POST(self, request: Request) -> int:
        return self.start(request, self._join(request))

    async def _join(self, request: Request) -> tuple[int, dict[str, Any]]:
        if self._is_too_often(str(request.getClientAddress())):
            return 429, {"code": "too-often", "text": "wait a minute"}
        assert request.content is not None
        body = request.content.read(BODY_MAX + 1)
        try:
            if len(body) > BODY_MAX:
                raise ValueError
            asked = json.loads(body)
            fields = [asked[name] for name in ("token", "role", "name", "csr")]
            if not all(isinstance(field, str) for field in fields):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return 400, {"code": "bad-request", "text": "token, role, name and csr are needed"}
        try:
            token, role, name, csr = fields
            joined = await self._joining.join(token, role, name, csr.encode())
        except PapercutError as error:
            code = getattr(error, "code", "refused")
            return 403, {"code": code, "text": _WORDS.get(code, str(error))}
        return 200, {"chain": joined.chain_pem.decode(), "ca": joined.ca_pem.decode()}

    def _is_too_often(self, source: str) -> bool:
        host = source.split("host=")[-1].split(",")[0]
        if len(self._recent) > 10_000:
            self._recent.clear()
        times = self._recent.setdefault(host, deque(maxlen=JOINS_PER_MINUTE))
        now = self._env.now()
        if len(times) == JOINS_PER_MINUTE and now - times[0] < 60:
            return True
        times.append(now)
        return False


class RenewPage(_Async):
    """``POST /api/renew``: a signing request, over a connection proved with a certificate."""

    def __init__(self, joining: JoinService) -> None:
        super().__init__()
        self._joining = joining

    def render_POST(self, request: Request) -> int:
        return self.start(request, self._renew(request))

    async def _renew(self, request: Request) -> tuple[int, dict[str, Any]]:
        assert request.channel is not None
        shown = getattr(request.channel.transport, "getPeerCertificate", lambda: None)()
        if shown is None:
            return 403, {"code": "identity", "text": "no certificate was shown"}
        assert request.content is not None
        try:
            csr = json.loads(request.content.read(BODY_MAX))["csr"].encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            return 400, {"code": "bad-request", "text": "csr is needed"}
        try:
            joined = await self._joining.renew(shown.to_cryptography(), csr)
        except PapercutError as error:
            code = getattr(error, "code", "refused")
            return 403, {"code": code, "text": _WORDS.get(code, str(error))}
        return 200, {"chain": joined.chain_pem.decode(), "ca": joined.ca_pem.decode()}


class _Front(Resource):
    def __init__(self, state: Callable[[], str]) -> None:
        super().__init__()
        self._state = state

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        return f"papercutd: {self._state()}. Health: /api/health\n".encode()


class _NoIcon(Resource):
    """Browsers ask for it unasked, and complain in their console where it is not found."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        request.setResponseCode(204)
        request.setHeader(b"cache-control", b"max-age=86400")
        return b""


class BoundedRequest(Request):
    """A request whose body is bounded while it comes in: nothing asked here is longer."""

    _is_too_long = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        if length is not None and length > BODY_MAX:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        if self._is_too_long:
            return
        assert self.content is not None
        if self.content.tell() + len(data) > BODY_MAX:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def _refuse(self) -> None:
        self._is_too_long = True
        assert self.channel.transport is not None
        self.channel.transport.write(
            b"HTTP/1.1 413 Content Too Large\r\nServer: papercutd\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        self.channel.loseConnection()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self._is_too_long:
            super().requestReceived(command, path, version)


class QuietSite(Site):
    """Tells nobody which software it is, and waits for nobody for long."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource, requestFactory=BoundedRequest, timeout=REQUEST_TIMEOUT_S)
        self.noisy = False

    def getResourceFor(self, request: Any) -> Any:
        request.setHeader(b"server", b"papercutd")
        return super().getResourceFor(request)

    def log(self, request: Any) -> None:
        """No access log: the reactor's thread has better things to do."""


def make_web(
    env: Environment,
    health: Health,
    joining: JoinService | None = None,
    state: Callable[[], str] = lambda: "online",
    pages: Callable[[Resource], None] = lambda root: None,
) -> Site:
    """The web face; joining and ``pages``, which are added, only where they are given (TLS).

    ``state``: online, cut or cut-and-stale, as the first page says it.
    """
    root = Resource()
    root.putChild(b"", _Front(state))
    root.putChild(b"favicon.ico", _NoIcon())
    api = Resource()
    root.putChild(b"api", api)
    api.putChild(b"health", HealthPage(health))
    if joining is not None:
        api.putChild(b"join", JoinPage(joining, env))
        api.putChild(b"renew", RenewPage(joining))
    pages(root)
    return QuietSite(root)

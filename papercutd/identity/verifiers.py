"""Passwords and PINs: argon2id, at most four at once, a bounded queue behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.defer import DeferredSemaphore

from papercutd.acquired import Acquired
from papercutd.errors import InvalidValue, Rejected

#: Computed at once, and waiting for that.
AT_ONCE = 4
WAITING_MAX = 50
SECRET_LENGTH_MAX = 256
#: A verifier of no secret: unknown users take as long as known ones.
_NOBODY = (
    "$argon2id$v=19$m=19456,t=2,p=1$4Aoheb18pKbsj8rDC1/BMg"
    "$6YL4i7Z5R5JQgXBDGkAwQjRObAOcbXvwlsZ+2XQU1sE"
)


class Verifiers(Protocol):
    """Makes and checks verifiers without blocking."""

    async def make(self, secret: str) -> str:
        """The verifier of ``secret``; raises InvalidValue for an empty or overlong one."""

    async def matches(self, verifier: str, secret: str) -> bool:
        """Whether ``secret`` is it; raises Rejected ``busy`` when too many wait."""


class NoVerifiers:
    """Nobody proves anything."""

    async def make(self, secret: str) -> str:
        raise Rejected("unavailable")

    async def matches(self, verifier: str, secret: str) -> bool:
        return False


class ArgonVerifiers:
    """argon2id with 19 MiB and two passes (RFC 9106's second choice, scaled down by OWASP).

    ``run(function, *arguments)`` runs in a thread and answers with a Deferred.
    """

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._at_once = DeferredSemaphore(AT_ONCE)
        self._waiting = 0

    async def make(self, secret: str) -> str:
        if not secret or len(secret) > SECRET_LENGTH_MAX:
            raise InvalidValue("secret", f"is empty or longer than {SECRET_LENGTH_MAX}")
        return str(await self._queued(self._hasher.hash, secret))

    async def matches(self, verifier: str, secret: str) -> bool:
        if len(secret) > SECRET_LENGTH_MAX:
            return False
        found = await self._queued(self._check, verifier or _NOBODY, secret)
        return bool(found) and bool(verifier) and bool(secret)

    def _check(self, verifier: str, secret: str) -> bool:
        try:
            return self._hasher.verify(verifier, secret)
        except (VerificationError, InvalidHashError):
            return False

    async def _queued(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._waiting >= WAITING_MAX:
            raise Rejected("busy")
        self._waiting += 1
        try:
            await self._at_once.acquire()
            with Acquired(self._at_once.release):
                return await self._run(function, *arguments)
        finally:
            self._waiting -= 1

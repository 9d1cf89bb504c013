"""Joining: the application server's part. A token once, a certificate for it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import attrs

from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.identity.authority import Authority
from papercutd.identity.tokens import TOKEN_LIFE_S, Token, parse_token


class CertificateStore(Protocol):
    """Where tokens and certificates are remembered; each call is one transaction."""

    def add_token(
        self, token_hash: str, role: str, name: str, expires_at: float
    ) -> Awaitable[None]: ...

    def use_token(
        self,
        token_hash: str,
        role: str,
        name: str,
        serial: str,
        fingerprint: str,
        not_after: float,
        now: float,
    ) -> Awaitable[None]: ...


@attrs.frozen
class Joined:
    """What a new site or provider is given."""

    chain_pem: bytes
    ca_pem: bytes


class JoinService:
    """Makes tokens and honours them."""

    def __init__(
        self, authority: Authority, store: CertificateStore, env: Environment, pin: str
    ) -> None:
        self._authority = authority
        self._store = store
        self._env = env
        self._pin = pin

    async def make_token(self, role: str, name: str) -> str:
        """A token for ``name``; shown once, stored as its hash."""
        token = Token(role, name, f"{self._env.rng.getrandbits(128):032x}", self._pin)
        await self._store.add_token(token.hash, role, name, self._env.wall_s() + TOKEN_LIFE_S)
        return token.text

    async def join(self, text: str, role: str, name: str, request_pem: bytes) -> Joined:
        """Raises Rejected (``unknown-token``, ``used-token``, ``stale-token``,
        ``foreign-token``) or InvalidValue."""
        token = parse_token(text)
        if (token.role, token.name) != (role, name):
            raise Rejected("foreign-token")
        now = self._env.wall_s()
        issued = self._authority.issue(request_pem, role, name, now)
        await self._store.use_token(
            *(token.hash, role, name, issued.serial, issued.fingerprint, issued.not_after, now)
        )
        return Joined(issued.chain_pem, self._authority.pem)

"""Joining: the application server's part. A token once, a certificate for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
from cryptography import x509
from twisted.logger import Logger

from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.identity.authority import Authority, Issued, is_renewable
from papercutd.identity.names import peer_of
from papercutd.identity.tokens import TOKEN_LIFE_S, Token, check_joining, parse_token

_log = Logger()


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

    def record_certificate(
        self, serial: str, role: str, name: str, fingerprint: str, not_after: float
    ) -> Awaitable[None]: ...

    def revoked_serials(self) -> Awaitable[list[str]]: ...


@attrs.frozen
class Joined:
    """What a new site or provider is given."""

    chain_pem: bytes
    ca_pem: bytes


class JoinService:
    """Makes tokens and honours them."""

    def __init__(
        self,
        authority: Authority,
        store: CertificateStore,
        env: Environment,
        pin: Callable[[], str],
    ) -> None:
        """``pin()`` is the SHA-256 of the public key that 9192 shows at that moment."""
        self._authority = authority
        self._store = store
        self._env = env
        self._pin = pin

    async def make_token(self, role: str, name: str) -> str:
        """A token for ``name``; shown once, stored as its hash.

        Raises InvalidValue for a role that cannot join or a name that is none.
        """
        check_joining(role, name)
        secret = f"{self._env.rng.getrandbits(128):032x}"
        token = Token(role, name, secret, self._pin())
        await self._store.add_token(token.hash, role, name, self._env.wall_s() + TOKEN_LIFE_S)
        return token.text

    async def join(self, text: str, role: str, name: str, request_pem: bytes) -> Joined:
        """A certificate against a token.

        Raises Rejected (``unknown-token``, ``used-token``, ``stale-token``,
        ``foreign-token``) or InvalidValue; the token is burned only with a certificate.
        """
        token = parse_token(text)
        if (token.role, token.name) != (role, name):
            raise Rejected("foreign-token")
        now = self._env.wall_s()
        issued = self._issue(request_pem, role, name)
        await self._store.use_token(
            *(token.hash, role, name, issued.serial, issued.fingerprint, issued.not_after, now)
        )
        _log.info("{role} {name} joined: certificate {serial}", **_fields(role, name, issued))
        return Joined(issued.chain_pem, self._authority.pem)

    async def renew(self, certificate: x509.Certificate, request_pem: bytes) -> Joined:
        """A new certificate for the identity of ``certificate``, from a third of its life left.

        Whoever calls has proved that it holds that certificate's key: the handshake of
        the session it asks in. Raises Rejected (``identity``, ``revoked``, ``not-due``: too
        early, or more than 30 days too late) or InvalidValue.
        """
        peer = peer_of(certificate)
        if not self._authority.has_issued(certificate):
            raise Rejected("identity")
        if peer.serial in await self._store.revoked_serials():
            raise Rejected("revoked")
        if not is_renewable(certificate, self._env.wall_s()):
            raise Rejected("not-due")
        issued = self._issue(request_pem, peer.role, peer.name)
        await self._store.record_certificate(
            issued.serial, peer.role, peer.name, issued.fingerprint, issued.not_after
        )
        fields = _fields(peer.role, peer.name, issued)
        _log.info("{role} {name} renewed: certificate {serial}", **fields)
        return Joined(issued.chain_pem, self._authority.pem)

    def _issue(self, request_pem: bytes, role: str, name: str) -> Issued:
        return self._authority.issue(request_pem, role, name, self._env.wall_s(), rng=self._env.rng)


def _fields(role: str, name: str, issued: Issued) -> dict[str, str]:
    return {"role": role, "name": name, "serial": issued.serial}

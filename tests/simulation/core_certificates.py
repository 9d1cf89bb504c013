"""Certificates of simulated nodes, and what servers refuse of them.

Revocations are the real ones of ``papercutd.identity.tls``; only the certificates are not: a
peer's serial is that of its name, and a new one when it has joined again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from papercutd.identity.tls import Revocations
from papercutd.roles.application import end_revoked
from protocols.codes import Code
from protocols.errors import Refusal
from tests.simulation.network import identify


@attrs.frozen
class SimPeer:
    """As ``papercutd.identity`` names a peer."""

    role: str
    name: str
    serial: str


class Certificates:
    """Who shows which certificate, and what each server refuses."""

    def __init__(self) -> None:
        self._joined: dict[str, int] = {}
        self._expired: set[str] = set()
        self.refused_expired = 0

    def serial(self, role: str, name: str) -> str:
        return f"{role}-{name}-{self._joined.get(name, 0)}"

    def join_again(self, name: str) -> None:
        self._joined[name] = self._joined.get(name, 0) + 1

    def expire(self, role: str, name: str) -> None:
        """What ``name`` shows is good no more, until it has joined again."""
        self._expired.add(self.serial(role, name))

    def identifier(self, revocations: Revocations) -> Callable[[Any], Any]:
        """For a server's factory."""

        def identified(transport: Any) -> SimPeer:
            peer = identify(transport)
            serial = self.serial(peer.role, peer.name)
            if revocations.is_revoked(serial):
                raise Refusal(Code.REVOKED)
            if serial in self._expired:
                # TLS ends such a connection; here it is begun first.
                self.refused_expired += 1
                raise Refusal(Code.IDENTITY)
            return SimPeer(peer.role, peer.name, serial)

        return identified

    @staticmethod
    def revocations(*sessions: Any) -> Revocations:
        """What a server refuses; ``sessions`` end with it."""
        revocations = Revocations()
        for one in sessions:
            revocations.subscribe(lambda serial, one=one: end_revoked(one, serial))  # type: ignore[misc]
        return revocations

"""People's clients at a running server: what both roles wire the same."""

from __future__ import annotations

from typing import Any

from papercutd.environment import Environment
from papercutd.faces.client import (
    CONNECTIONS_MAX,
    ClientFace,
    ClientService,
    ClientSessionFactory,
    nobody,
)
from papercutd.identity.client_tokens import SignedTokens
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.tls import Revocations
from papercutd.services.clients import Clients
from protocols.client.spec import CLIENT
from protocols.endpoint import ServerHandler


def give_tokens(
    clients: Clients, env: Environment, identity: NodeIdentity, revocations: Revocations
) -> None:
    """From now on who logs in by password can do so again without it."""
    clients.log_ins.tokens = SignedTokens(
        lambda: identity.credentials, env.wall_s, revocations.is_revoked
    )


def client_face(
    env: Environment, service: ClientService, name: str, identity: NodeIdentity
) -> ClientFace:
    return ClientFace(env, service, name, lambda: identity.credentials.ca_pem)


def client_sessions(env: Environment, face: ServerHandler) -> Any:
    """What the HTTPS port hands connections of clients to."""
    return ClientSessionFactory(CLIENT, env.clock, face, nobody, CONNECTIONS_MAX)

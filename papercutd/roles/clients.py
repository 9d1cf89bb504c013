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
from papercutd.identity.authority import pin_of
from papercutd.identity.client_tokens import SignedTokens
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.tls import Revocations
from papercutd.roles.common import Operation
from papercutd.services.application_server import ApplicationServer
from papercutd.services.client_operations import ClientOperations
from papercutd.services.client_places import ApplicationPlaces
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


def with_clients(
    operations: dict[str, Operation], clients: Clients, *more: dict[str, Operation]
) -> dict[str, Operation]:
    """``operations`` and ``more``, status saying how many clients are connected."""
    status = operations["status"]

    async def told(arguments: dict[str, Any], progress: Any) -> Any:
        return {**await status(arguments, progress), "clients": clients.count}

    return {**operations, **{k: v for one in more for k, v in one.items()}, "status": told}


def client_operations(
    env: Environment, server: ApplicationServer, places: ApplicationPlaces, identity: NodeIdentity
) -> dict[str, Operation]:
    """What administrators do about them, at the application server."""
    return ClientOperations(
        *(server.store, places),
        lambda: pin_of(identity.credentials.certificate),
        env.new_id,
    ).all()

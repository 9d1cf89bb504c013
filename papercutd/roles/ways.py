"""The ways of a site and a print provider to the servers that they ask."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from papercutd.config.model import ApplicationServer, AskedApplicationServer, SiteServer
from papercutd.environment import Environment
from papercutd.errors import ConfigError
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.names import APPLICATION
from papercutd.identity.plain import PlainEndpoint, SecretFile
from papercutd.identity.renewal import NodeIdentity, Renewer
from papercutd.identity.tls import INSTALLATION_NAME, LINK_PROTOCOL, Credentials
from papercutd.services.places import Place, Places, parse_place


def asking_renewer(
    env: Environment, identity: NodeIdentity, reactor: Any, server: ApplicationServer
) -> Renewer:
    """A renewer that asks the application server, over HTTPS."""

    async def ask(present: Credentials) -> Credentials:
        # Its HTTP client is an eighth of what a start imports, and is needed once in months.
        from papercutd.identity.join_client import JoinFailed, ask_renewal

        hosts = [server.host, *(host for host, _ in other_places(server, server.https))]
        for host in hosts[:-1]:
            try:
                return await ask_renewal(reactor, present, host, server.https)
            except JoinFailed:
                # Another one on that database writes.
                continue
        return await ask_renewal(reactor, present, hosts[-1], server.https)

    return Renewer(env, identity, ask)


def application_endpoint(
    reactor: Any, identity: NodeIdentity, server: ApplicationServer, **options: Any
) -> IStreamClientEndpoint:
    """The way to the application server's links, on the port that is configured."""
    return links_endpoint(reactor, identity, server, APPLICATION, APPLICATION, **options)


def other_places(server: ApplicationServer, port: int) -> list[Place]:
    """Where further application servers are; raises ConfigError."""
    found = []
    for text in server.others:
        place = parse_place(text) or parse_place(f"{text}:{port}")
        if place is None:
            raise ConfigError([f"application.others: {text!r} is neither host nor host:port"])
        found.append(place)
    return found


def links_endpoint(
    reactor: Any,
    identity: NodeIdentity,
    server: ApplicationServer | SiteServer,
    role: str,
    name: str,
    **options: Any,
) -> IStreamClientEndpoint:
    """The same, of a server of any role and name; raises ConfigError."""
    if server.over == "plain":
        assert isinstance(server, AskedApplicationServer | SiteServer)
        secret = SecretFile(f"{role}.secret", server.secret)
        return PlainEndpoint(reactor, server.host, server.http, secret)
    port = server.port
    if server.over == "https":
        port = server.https
        options |= {"server_name": INSTALLATION_NAME, "alpn": (LINK_PROTOCOL,)}
    tls = identity.client_tls(role, name, **options)
    if isinstance(server, ApplicationServer):
        places = [(server.host, port), *other_places(server, port)]

        def endpoint_of(host: str, named: int) -> IStreamClientEndpoint:
            # What a server is told of another is the port for links.
            is_ours = server.over != "https" or (host, named) in places
            return tls_endpoint(reactor, host, named if is_ours else port, tls)

        return Places(places, endpoint_of)
    return tls_endpoint(reactor, server.host, port, tls)

"""Port 9192 of a server: browsers and parts of the installation, told apart by SNI and ALPN."""

from __future__ import annotations

from typing import Any

from papercutd.config.model import Listen, Web
from papercutd.environment import Environment
from papercutd.identity.authority import pin_of
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.switch import ProtocolSwitch
from papercutd.identity.tls import LINK_PROTOCOL, ServerTls, WebTls
from papercutd.identity.web_certificate import WebCertificate
from papercutd.roles.common import Listeners
from protocols.client.spec import CLIENT_NAME, CLIENT_PROTOCOL

ShownToBrowsers = WebCertificate | ServerTls


def shown_to_browsers(
    env: Environment, config: Web, identity: NodeIdentity, listeners: Listeners
) -> ShownToBrowsers:
    """The administrator's certificate where there is one, else our own; raises ConfigError."""
    if not config.certificate and not config.key:
        return identity.server_tls(demand=False)
    web = WebCertificate(env, config.certificate, config.key)
    web.start()
    listeners.when_closed(web.stop)
    return web


def pin_shown(shown: ShownToBrowsers) -> str:
    """The hash of the public key that browsers are shown from now on."""
    if isinstance(shown, WebCertificate):
        # A token made just after a renewal names the new key.
        shown.look()
    return pin_of(shown.certificate)


def listen_https(
    *,
    listeners: Listeners,
    listen: Listen,
    clock: Any,
    shown: ShownToBrowsers,
    identity: NodeIdentity,
    web: Any,
    links: Any,
    clients: Any,
) -> int:
    """``web`` for browsers, ``links`` for those who prove an identity, ``clients`` for people's
    own, who prove nothing before they log in; the port's number.

    Dates end no handshake here, or nobody could renew late: what is asked looks at them.
    """
    installation = identity.server_tls(alpn=(LINK_PROTOCOL, b"http/1.1"))
    for_clients = identity.server_tls(demand=False, alpn=(CLIENT_PROTOCOL,))
    switch = ProtocolSwitch(clock, web, {LINK_PROTOCOL: links, CLIENT_PROTOCOL: clients})
    tls = WebTls(shown, installation, {CLIENT_NAME: for_clients})
    return listeners.tcp(listen.interface, listen.https, switch, tls)

"""Connecting to another node: TCP with bounds, TLS that proves who it is."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from papercutd.identity.tls import ClientTls

CONNECT_TIMEOUT_S = 4.0


def tls_endpoint(reactor: Any, host: str, port: int, tls: ClientTls) -> IStreamClientEndpoint:
    """An endpoint whose connections are proved to end at the identity ``tls`` expects."""
    endpoint: IStreamClientEndpoint = wrapClientTLS(
        tls, HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT_S)
    )
    return endpoint

"""Options of a TCP connection that a session wants, where the transport has them."""

from __future__ import annotations

import socket

#: Milliseconds that sent bytes may go unacknowledged before the kernel gives up: a peer
#: whose cable was pulled is noticed in 10 s, not in a quarter of an hour.
USER_TIMEOUT_MS = 10_000


def tune(transport: object) -> None:
    """Send small lines at once and notice a dead peer soon. Other transports are left alone."""
    # TLS transports pass the first two on; the socket itself is the wrapped transport's.
    for name in ("setTcpNoDelay", "setTcpKeepAlive"):
        option = getattr(transport, name, None)
        if callable(option):
            option(True)
    handle: object = None
    while transport is not None:
        handle = getattr(transport, "socket", handle)
        transport = getattr(transport, "transport", None)
    if isinstance(handle, socket.socket) and handle.family in (socket.AF_INET, socket.AF_INET6):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)

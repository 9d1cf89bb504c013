"""The client protocol, as protocols/machine.py runs it."""

from __future__ import annotations

from protocols.client.messages import CLIENT_EVENTS, REQUESTS, SERVER_EVENTS
from protocols.machine import ProtocolSpec
from protocols.provider.messages import Bye

#: The name (SNI) that clients ask for on the HTTPS port ...
CLIENT_NAME = "client.papercut.internal"
#: ... and the protocol (ALPN) with which they ask for lines, not for HTTP.
CLIENT_PROTOCOL = b"papercut-client/1"

CLIENT = ProtocolSpec(
    name="client",
    client_requests=REQUESTS,
    server_events=SERVER_EVENTS,
    client_events=CLIENT_EVENTS,
    bye=Bye,
)

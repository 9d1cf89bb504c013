"""The print provider protocol, as protocols/machine.py runs it."""

from __future__ import annotations

from protocols.machine import ProtocolSpec
from protocols.provider.messages import CLIENT_EVENTS, REQUESTS, SERVER_EVENTS, Bye

PROVIDER = ProtocolSpec(
    name="provider",
    client_requests=REQUESTS,
    server_events=SERVER_EVENTS,
    client_events=CLIENT_EVENTS,
    bye=Bye,
)

"""The device protocol, as protocols/machine.py runs it."""

from __future__ import annotations

from protocols.device.messages import CLIENT_EVENTS, REQUESTS, SERVER_EVENTS
from protocols.machine import ProtocolSpec
from protocols.provider.messages import Bye

DEVICE = ProtocolSpec(
    name="device",
    client_requests=REQUESTS,
    server_events=SERVER_EVENTS,
    client_events=CLIENT_EVENTS,
    bye=Bye,
)

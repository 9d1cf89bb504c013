"""Real lines to start from: the transcripts of docs/protocols, by protocol and speaker."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from protocols.client.spec import CLIENT
from protocols.device.spec import DEVICE
from protocols.machine import ProtocolSpec, Side
from protocols.provider.spec import PROVIDER
from protocols.site.spec import SITE

PAGES = Path(__file__).resolve().parents[2] / "docs" / "protocols"
SPECS: dict[str, ProtocolSpec] = {
    "provider": PROVIDER,
    "device": DEVICE,
    "site": SITE,
    "client": CLIENT,
}
_SPEAKERS = {Side.CLIENT: "C: ", Side.SERVER: "S: "}


@functools.cache
def spoken(protocol: str, speaker: Side) -> tuple[bytes, ...]:
    """The lines, without their ends, that ``speaker`` says in the transcripts, in order."""
    text = (PAGES / f"{protocol}.md").read_text()
    start = _SPEAKERS[speaker]
    found = tuple(
        line.removeprefix(start).encode()
        for transcript in re.findall(r"```transcript\n(.*?)```", text, re.DOTALL)
        for line in transcript.splitlines()
        if line.startswith(start)
    )
    assert found, protocol
    return found


@functools.cache
def words() -> tuple[bytes, ...]:
    """Every verb, event and answer word of all protocols, and some that there are not."""
    said = {
        line.split(b" ", 2)[1]
        for protocol in SPECS
        for side in Side
        for line in spoken(protocol, side)
        if line.count(b" ") >= 2
    }
    return tuple(sorted(said | {b"OK", b"NO", b"DANCE", b"ping", b"A" * 33}))

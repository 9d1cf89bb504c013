"""Device URIs that hold a password: CUPS shows them without it, the provider keeps them whole."""

from __future__ import annotations

from pathlib import Path

import attrs
import msgspec

from papercutd.provider.journal import ProviderJournal


@attrs.frozen
class KeptUri:
    """A device URI with a password: as CUPS shows it, and as it is."""

    shown: str
    real: str


def kept_name(queue: str) -> str:
    """The name of the journal's setting that keeps a device URI."""
    return f"cups-uri {queue}"


async def kept_uri(journal: ProviderJournal, queue: str, shown: str) -> str | None:
    """The device URI kept of ``queue`` if CUPS shows it as ``shown``; None: there is none."""
    body = await journal.setting(kept_name(queue))
    if body is None:
        return None
    kept = msgspec.json.decode(body, type=KeptUri)
    return kept.real if kept.shown == shown else None


def may_have_password(uri: str) -> bool:
    """Whether CUPS may have left something out: only what names a host has a place for it."""
    return "://" in uri and uri.partition(":")[0] not in ("usb", "file", "hp", "parallel", "serial")


def without_password(uri: str) -> str:
    """``uri`` as CUPS shows it: without what stands before an ``@`` in front of the host."""
    head, slashes, rest = uri.partition("//")
    place, slash, path = rest.partition("/")
    return head + slashes + place.rpartition("@")[2] + slash + path


def read_device_uri(path: str, queue: str) -> str | None:
    """What CUPS's ``printers.conf`` says of ``queue``; None: nothing. Raises OSError."""
    lines = Path(path).read_text(errors="surrogateescape").splitlines()
    inside = False
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word in ("<Printer", "<DefaultPrinter"):
            inside = rest.rstrip(">") == queue
        elif word.startswith("</"):
            inside = False
        elif inside and word == "DeviceURI":
            return rest.strip()
    return None

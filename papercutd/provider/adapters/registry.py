"""The direct adapters, by the scheme of a printer's address."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from papercutd.provider.adapters import Adapter
from papercutd.provider.adapters.ipp_printer import IppPrinter
from papercutd.provider.adapters.socket_printer import SocketPrinter


def direct_adapters(reactor: Any, clock: IReactorTime) -> dict[str, Adapter]:
    """An adapter for each scheme that a print server without a spooler can serve."""
    return {"socket": SocketPrinter(reactor, clock), "ipp": IppPrinter(reactor, clock)}

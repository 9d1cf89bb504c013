"""One server at several addresses: the application servers on one database (design.md 4.5).

To a link they are one: one suspicion, one decider. Here is only where to connect next. The ones
that are configured are never forgotten; what `not-writer` names is tried next, and kept for a
while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

#: Addresses that were heard of and are remembered.
HEARD_MAX = 8

Place = tuple[str, int]


def parse_place(text: object) -> Place | None:
    """``host:port``; None where that is none."""
    if not isinstance(text, str) or len(text) > 300:
        return None
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    number = int(port)
    return (host, number) if 1 <= number <= 65_535 else None


def show_place(host: str, port: int) -> str:
    """``host:port``, an address of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@implementer(IStreamClientEndpoint)
class Places:
    """An endpoint that connects to whichever address answers, the last that served us first."""

    def __init__(
        self,
        configured: Sequence[Place],
        endpoint_of: Callable[[str, int], IStreamClientEndpoint],
    ) -> None:
        self._configured = list(configured)
        self._heard: list[Place] = []
        self._endpoint_of = endpoint_of
        self._endpoints: dict[Place, IStreamClientEndpoint] = {}
        self._next = self._configured[0]

    def all(self) -> list[Place]:
        """All that are known, the one to try next first."""
        known = [*self._configured, *self._heard]
        at = known.index(self._next) if self._next in known else 0
        return known[at:] + known[:at]

    def follow(self, named: object) -> bool:
        """Go where a `not-writer` says; whether it named a place other than the one that spoke."""
        spoke, found = self._next, False
        for text in reversed(named if isinstance(named, list) else []):
            place = parse_place(text)
            if place is None or place == spoke:
                continue
            if place not in self._configured and place not in self._heard:
                self._heard = [place, *self._heard][:HEARD_MAX]
            self._next, found = place, True
        if not found:
            self.pass_over()
        return found

    def pass_over(self) -> None:
        """The one we were at does not serve: another is tried next."""
        known = self.all()
        self._next = known[1 % len(known)]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """To the first that takes the connection; who waits no longer finds another next time."""
        return self._try(protocolFactory, self.all())

    def _try(self, factory: IProtocolFactory, places: list[Place]) -> Deferred[Any]:
        place, *others = places
        self._next = place
        endpoint = self._endpoints.get(place)
        if endpoint is None:
            endpoint = self._endpoints[place] = self._endpoint_of(*place)
        connecting: Deferred[Any] = endpoint.connect(factory)
        given_up: list[bool] = []

        def cancel(waiting: Deferred[Any]) -> None:
            given_up.append(True)
            connecting.cancel()

        outcome: Deferred[Any] = Deferred(cancel)

        def failed(failure: Failure) -> None:
            if given_up or not others:
                self.pass_over()
                outcome.errback(failure)
                return
            nonlocal connecting
            connecting = self._try(factory, others)
            connecting.addBoth(outcome.callback)

        connecting.addCallbacks(outcome.callback, failed)
        return outcome

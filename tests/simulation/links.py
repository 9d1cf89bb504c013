"""The way from one node to another, one direction of it, and what is wrong with it now."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable

import attrs

#: Seconds after which a lost packet is sent again, drawn between these.
RETRANSMIT_S = (0.2, 3.0)


@attrs.frozen
class LinkProfile:
    """How a healthy link is. Seconds, and bytes a second (None: no bound worth counting)."""

    latency_s: tuple[float, float] = (0.0002, 0.002)
    bytes_per_s: float | None = None


LAN = LinkProfile()
WAN = LinkProfile(latency_s=(0.008, 0.06), bytes_per_s=2_500_000.0)


@attrs.frozen(eq=False)
class Trouble:
    """One thing wrong with a link; several may be at once."""

    is_cut: bool = False
    #: Share of the segments that arrive only when sent again.
    loss: float = 0.0
    #: Up to so many seconds more for each segment: connections overtake each other.
    delay_s: float = 0.0
    #: At the least so many seconds more, for each.
    delay_min_s: float = 0.0
    bytes_per_s: float | None = None
    #: The stream is cut into the smallest pieces, wherever that is.
    tiny: bool = False


class Link:
    """One direction from ``source`` to ``target``.

    ``counters``: held, lost, delayed, slowed, split, refused: how often a trouble had an
    effect; a fault that had none has tested nothing.
    """

    def __init__(self, source: str, target: str, rng: random.Random, profile: LinkProfile) -> None:
        self.source = source
        self.target = target
        self.profile = profile
        self.counters: collections.Counter[str] = collections.Counter()
        self._rng = rng
        #: What is wrong with it now.
        self.troubles: list[Trouble] = []
        #: When the last byte given to it will have left, where its rate is bounded.
        self._free_at_s = 0.0
        self._refresh()

    def __repr__(self) -> str:
        return f"<link {self.source} -> {self.target}>"

    # Troubles.

    def add(self, trouble: Trouble) -> None:
        self.troubles.append(trouble)
        self._refresh()

    def remove(self, trouble: Trouble) -> None:
        """End ``trouble``, if it has not been ended."""
        self.troubles = [one for one in self.troubles if one is not trouble]
        self._refresh()

    def clear(self) -> None:
        self.troubles = []
        self._refresh()

    def _refresh(self) -> None:
        troubles = self.troubles
        self.is_cut = any(one.is_cut for one in troubles)
        self._loss = max((one.loss for one in troubles), default=0.0)
        self._delay_s = max((one.delay_s for one in troubles), default=0.0)
        self._delay_min_s = max((one.delay_min_s for one in troubles), default=0.0)
        self.is_tiny = any(one.tiny for one in troubles)
        rates = [one.bytes_per_s for one in troubles if one.bytes_per_s is not None]
        self._is_slow = bool(rates)
        if self.profile.bytes_per_s is not None:
            rates.append(self.profile.bytes_per_s)
        self._bytes_per_s = min(rates, default=None)

    # What a segment meets.

    def latency_s(self) -> float:
        """How long a small packet is under way."""
        rng = self._rng
        found = rng.uniform(*self.profile.latency_s)
        if self._delay_s or self._delay_min_s:
            self.counters["delayed"] += 1
            found += rng.uniform(self._delay_min_s, max(self._delay_s, self._delay_min_s))
        if self._loss and rng.random() < self._loss:
            self.counters["lost"] += 1
            found += rng.uniform(*RETRANSMIT_S)
        return found

    def arrival_s(self, now: float, size: int) -> float:
        """When ``size`` bytes given to the link now are all at its other end."""
        leaves = now
        if self._bytes_per_s is not None:
            leaves = self._free_at_s = max(now, self._free_at_s) + size / self._bytes_per_s
            if self._is_slow:
                self.counters["slowed"] += 1
        return leaves + self.latency_s()

    def cut_segment(self, waiting: int) -> int:
        """How many of ``waiting`` bytes travel together: any boundary is as good as another."""
        rng = self._rng
        if self.is_tiny:
            self.counters["split"] += 1
            return rng.randint(1, min(waiting, 64 if waiting < 4096 else 1024))
        if waiting < 4 or rng.random() < 0.8:
            return min(waiting, 16_384)
        return rng.randint(1, min(waiting, 16_384))

    def hold(self) -> None:
        """Something did not get through."""
        self.counters["held"] += 1


class Links:
    """Every direction between two nodes, made when first used.

    ``on_change`` is called after each change that may let something through again.
    """

    def __init__(
        self, rng_of: Callable[[str], random.Random], on_change: Callable[[], None]
    ) -> None:
        self._rng_of = rng_of
        self._on_change = on_change
        self._links: dict[tuple[str, str], Link] = {}
        self._profiles: dict[frozenset[str], LinkProfile] = {}

    def __getitem__(self, ends: tuple[str, str]) -> Link:
        link = self._links.get(ends)
        if link is None:
            source, target = ends
            profile = self._profiles.get(frozenset(ends), LAN)
            link = Link(source, target, self._rng_of(f"link {source} {target}"), profile)
            self._links[ends] = link
        return link

    def set_profile(self, a: str, b: str, profile: LinkProfile) -> None:
        """How the way between ``a`` and ``b`` is, both directions."""
        self._profiles[frozenset((a, b))] = profile
        for ends in ((a, b), (b, a)):
            link = self[ends]
            link.profile = profile
            link.remove(Trouble())

    def trouble(self, source: str, target: str, trouble: Trouble) -> Callable[[], None]:
        """Add ``trouble`` to that direction; call what is returned to end it."""
        link = self[(source, target)]
        link.add(trouble)

        def end() -> None:
            link.remove(trouble)
            self._on_change()

        return end

    def cut(self, source: str, target: str) -> Callable[[], None]:
        """Nothing gets from ``source`` to ``target`` any more; call what is returned to heal."""
        return self.trouble(source, target, Trouble(is_cut=True))

    def cut_both(self, a: str, b: str) -> Callable[[], None]:
        """Neither direction."""
        ends = (self.cut(a, b), self.cut(b, a))

        def heal() -> None:
            for end in ends:
                end()

        return heal

    def heal_all(self) -> None:
        """Every link is as healthy as its profile."""
        for link in self._links.values():
            link.clear()
        self._on_change()

"""Positions and chains: how two nodes know that they speak of the same history."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import attrs

#: The chain before the first record of any history, hexadecimal.
CHAIN_START = "00" * 32


def is_chain(text: str) -> bool:
    """Whether ``text`` is a chain at all: 32 bytes, hexadecimal as this module writes it."""
    return len(text) == len(CHAIN_START) and set(text) <= set("0123456789abcdef")


def next_chain(before: str, body: bytes) -> str:
    """BLAKE2b-256(chain before || bytes as written), hexadecimal."""
    return blake2b(bytes.fromhex(before) + body, digest_size=32).hexdigest()


@attrs.frozen
class Mark:
    """A place in one journal: the number of its last record and the chain there."""

    number: int
    chain: str


#: An empty journal.
MARK_START = Mark(0, CHAIN_START)


@attrs.frozen
class Position:
    """A place in the application server's change log."""

    timeline: int
    number: int
    chain: str

    @property
    def text(self) -> str:
        """``timeline.number``: what decisions and tracker records name."""
        return f"{self.timeline}.{self.number}"


def check_chain(
    rows: Iterable[tuple[int, bytes, str]], before: Mark, where: str, one: str, many: str
) -> tuple[list[str], Mark]:
    """Problems of ``rows`` (number, body, stored chain) after ``before``, and where they end.

    ``where``, ``one`` and ``many`` are words for people: ``journal``, ``record``, ``records``.
    """
    problems = []
    # After a record whose bytes or chain were changed, the next goes on from what was reckoned
    # or from what is stored, whichever of the two is whole.
    chains, expected = [before.chain], before.number + 1
    for number, body, stored in rows:
        if number != expected:
            problems.append(f"{where}: {many} {expected} to {number - 1} are missing")
        reckoned = [next_chain(chain, body) for chain in chains]
        if stored in reckoned:
            chains = [stored]
        else:
            problems.append(f"{where}: {one} {number} is not what was written")
            chains = [*([stored] if _is_chain(stored) else []), reckoned[0]]
        expected = number + 1
    return problems, Mark(expected - 1, chains[0])


def _is_chain(text: str) -> bool:
    return len(text) == len(CHAIN_START) and all(c in "0123456789abcdef" for c in text)

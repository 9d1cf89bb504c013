"""How much of a long work is one transaction: little while others write, more while nobody does.

Whoever asks something meanwhile waits for the piece under way. What a transaction costs once is
then paid more often, by work that nobody waits for.
"""

from __future__ import annotations


class Pieces:
    """Between ``least`` and ``most`` rows at once."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._number: int | None = None
        self.rows = most

    def done(self, number: int) -> None:
        """A piece was done; ``number``: that of its change. A gap before it is somebody else's."""
        is_alone = self._number is None or number <= self._number + 1
        self._number = number
        if is_alone:
            self.rows = min(self.rows * 2, self._most)
        else:
            self.rows = max(self.rows // 2, self._least)

"""What was acquired is released at the end of a block, whoever waits for it next."""

from __future__ import annotations

from collections.abc import Callable


class Acquired:
    """``with Acquired(lock.release):`` around what awaits.

    Unlike ``finally`` it does nothing for a coroutine that is thrown away with its process: so are
    those who wait, and a dead one would be called.
    """

    __slots__ = ("_release",)

    def __init__(self, release: Callable[[], object]) -> None:
        self._release = release

    def __enter__(self) -> None:
        """It was acquired before."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not GeneratorExit:
            self._release()

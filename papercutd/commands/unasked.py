"""What stands for the commands of a group that nobody asked for."""

from __future__ import annotations

from typing import Any


class Unasked:
    """Takes what is said of a parser, and makes nothing of it.

    The arguments of all commands take longer to make than most commands take to run.
    """

    def _take(self, *words: Any, **settings: Any) -> Any:
        return self

    add_argument = add_argument_group = add_mutually_exclusive_group = _take
    add_parser = add_subparsers = set_defaults = _take

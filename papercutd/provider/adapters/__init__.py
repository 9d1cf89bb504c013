"""Spool adapters: how a document reaches a printer, by the scheme of the printer's address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs


@attrs.frozen
class Outcome:
    """How a document's printing ended."""

    #: ``completed``, ``canceled`` or ``aborted``.
    state: str
    #: Sides counted by spooler or printer; None: it does not count.
    pages: int | None = None
    assumed: bool = False


@attrs.frozen
class PrintOptions:
    """What the printer is told beside the document."""

    job: str = ""
    title: str = ""
    user_name: str = ""
    copies: int = 1
    duplex: bool = False


class PrinterUnreachable(Exception):
    """Nothing was sent: the printer does not answer. Try again later."""


class Adapter(Protocol):
    """Prints one document at one printer."""

    async def print_document(
        self,
        path: str,
        uri: str,
        started: Callable[[], Awaitable[None]],
        options: PrintOptions,
    ) -> Outcome:
        """Print the file at ``path``, with all its copies.

        ``started`` is awaited after the printer was reached and before the first byte
        of the document goes to it. Raises PrinterUnreachable when nothing was printed,
        FileNotFoundError when the document is not there.
        """

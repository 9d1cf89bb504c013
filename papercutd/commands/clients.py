"""``papercutd client show`` and ``papercutd user log-out``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def add_client_commands(
    add: Callable[..., Any],
    group: Callable[..., Any],
    user: Any,
    operation: Callable[[str], Any],
) -> None:
    """``add``, ``group``, ``user`` and ``operation`` are those of commands/main.py."""
    client = group("client", "people's own clients (papercut-client)")
    add("show", "what people set their clients up with", operation("client.show"), client)
    what = "end the log-ins of a user's clients: each asks for the password again"
    add("log-out", what, operation("user.log-out"), user).add_argument("name")

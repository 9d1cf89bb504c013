"""Calling a running server through its control socket. Standard library only: it starts fast."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any


class ControlError(Exception):
    """The call failed; the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def call(
    path: str,
    name: str,
    arguments: dict[str, Any],
    on_progress: Callable[[dict[str, Any]], None] = lambda figures: None,
    timeout_s: float = 600.0,
    who: str | None = None,
) -> Any:
    """The result of operation ``name``, asked by ``who`` (None: this process's user).

    Raises ControlError (``not-running``: nobody listens).
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    try:
        connection.connect(path)
    except OSError as error:
        raise ControlError("not-running", f"no server answers at {path}: start it first") from error
    with connection, connection.makefile("rwb") as stream:
        asked = {"call": name, "arguments": arguments, "as": who}
        stream.write(json.dumps(asked).encode() + b"\n")
        stream.flush()
        for line in stream:
            said = json.loads(line)
            if "progress" in said:
                on_progress(said["progress"])
            elif "error" in said:
                raise ControlError(said["error"]["code"], said["error"]["text"])
            else:
                return said["result"]
    raise ControlError("not-running", "the server ended before it answered")

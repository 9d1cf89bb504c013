"""Named points at which a role's process kills itself: for tests of what a crash leaves.

``PAPERCUT_CRASH_AT=POINT[:N]`` in the environment of a role is SIGKILL at the N-th passing
of the point. Points: ``before-commit``, ``after-commit`` (on the disk, nobody told),
``before-send.WORD`` and ``after-send.WORD`` (the bytes had time to leave), WORD being a
verb, an event, or ``OK`` for any answer; and ``at.POINT``, POINT being one of papercutd/points.py.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.logger import Logger

from papercutd import points
from papercutd.errors import ConfigError
from protocols.device import messages as device
from protocols.endpoint import Session
from protocols.provider import messages as provider
from protocols.site import messages as site

_log = Logger()
VARIABLE = "PAPERCUT_CRASH_AT"
#: Seconds after a line was written until it counts as sent.
LEAVE_S = 0.02
_MESSAGES = (
    *(*provider.REQUESTS, *provider.SERVER_EVENTS, *site.REQUESTS, *site.SERVER_EVENTS),
    *(*device.REQUESTS, *device.SERVER_EVENTS),
)
WORDS = frozenset(vars(m).get("VERB") or vars(m)["EVENT"] for m in _MESSAGES) | {"OK"}


def die() -> None:
    """As the power going out would do it."""
    os.kill(os.getpid(), signal.SIGKILL)


@attrs.define
class CrashPoint:
    """The one point of this process; none by default."""

    point: str = ""
    #: Passings still to come.
    left: int = 1
    call_later: Callable[..., Any] = lambda delay_s, call: call()
    die: Callable[[], None] = die

    def before_commit(self) -> None:
        self._pass("before-commit")

    def after_commit(self) -> None:
        self._pass("after-commit")

    def before_send(self, line: bytes) -> None:
        self._pass(f"before-send.{_word(line)}")

    def after_send(self, line: bytes) -> None:
        if self.point.startswith("after-send."):
            self.call_later(LEAVE_S, lambda: self._pass(f"after-send.{_word(line)}"))

    def at(self, point: str) -> None:
        self._pass(f"at.{point}")

    def _pass(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                self.die()


def _word(line: bytes) -> str:
    """The verb or event of a line; ``OK`` or ``NO`` of an answer."""
    parts = line.split(b" ", 2)
    return parts[1].decode("ascii", "replace") if len(parts) > 1 else ""


def crash_point(reactor: Any, environment: Mapping[str, str] = os.environ) -> CrashPoint:
    """The point that the environment asks for; raises ConfigError for one there is not."""
    text = environment.get(VARIABLE, "")
    if not text:
        return CrashPoint()
    point, _, count = text.partition(":")
    kind, _, word = point.partition(".")
    is_commit = point in ("before-commit", "after-commit")
    is_send = kind in ("before-send", "after-send") and word in WORDS
    is_named = kind == "at" and word in points.POINTS
    if (
        not (is_commit or is_send or is_named)
        or not (count or "1").isdigit()
        or int(count or 1) < 1
    ):
        raise ConfigError([f"{VARIABLE}: there is no point {text!r}"])
    _log.critical("this process will kill itself: {point}", point=text)
    made = CrashPoint(point, int(count or 1))
    if is_send:
        made.call_later = reactor.callLater
        Session.tap = made
    if is_named:
        points.listener = made.at
    return made

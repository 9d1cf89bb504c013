"""The provider's socket for CUPS's backends: each asks whether its job may print.

The words are in docs/protocols/backend.md. Who is at the other end the kernel says: CUPS's
own user, root, or this process's user; everybody else is closed at once.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IFileDescriptorReceiver, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger()
VERSION = 1
LINE_MAX = 65_536
UUID_MAX = 64
#: Seconds a backend has for its announcement.
ANNOUNCE_S = 5.0
#: Backends connected at once; a queue runs one at a time. With the submissions they leave a
#: process of 1,024 open files enough for all else.
BACKENDS_MAX = 500
#: Seconds after which a backend that was allowed and says nothing counts as gone.
GO_S = 5.0


@attrs.frozen
class Announcement:
    """What a backend says of its job."""

    version: int
    queue: str
    job: int
    uuid: str
    user: str
    title: str
    copies: int
    options: str
    host: str
    content_type: str
    final_content_type: str
    uri: str
    filtered: bool = True
    #: What goes to the printer comes with it, as an open file.
    stream: bool = False
    #: ``copies`` and ``options`` are those of a sheet before the job (``job-sheets``).
    sheet: bool = False


_DECODE = msgspec.json.Decoder(Announcement).decode


@implementer(IFileDescriptorReceiver)
class Backend(LineOnlyReceiver):
    """One backend that waits for its answer."""

    delimiter = b"\n"
    MAX_LENGTH = LINE_MAX

    def __init__(self, owner: BackendFactory) -> None:
        self._owner = owner
        self._timer: IDelayedCall | None = None
        self._files: list[int] = []
        self._went: Deferred[bool] | None = None
        self.announcement: Announcement | None = None
        self.is_there = False
        #: Told once, when it is gone.
        self.on_gone: Callable[[Backend], None] = lambda backend: None

    def connectionMade(self) -> None:
        assert self.transport is not None
        peer = self.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # type: ignore[attr-defined]
        uid = struct.unpack("3i", peer)[1]
        if uid not in self._owner.users or len(self._owner.backends) >= BACKENDS_MAX:
            self._owner.note_turned_away(uid)
            self.transport.abortConnection()  # type: ignore[attr-defined]
            return
        self.is_there = True
        self._owner.backends.add(self)
        self._set_timer(ANNOUNCE_S)

    def _set_timer(self, seconds: float) -> None:
        self._timer = self._owner.clock.callLater(seconds, self.close)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self._files.append(descriptor)
        if len(self._files) > 1 or self.announcement is not None or not self.is_there:
            self.close()

    def lineReceived(self, line: bytes) -> None:
        if not self.is_there:
            return
        verb, _, body = line.partition(b" ")
        if self._went is not None and verb == b"GO":
            went, self._went = self._went, None
            went.callback(True)
            self.close()
            return
        if verb != b"ANNOUNCE" or self.announcement is not None:
            self.refuse("the provider does not understand the backend: is it of this release?")
            return
        self._stop_timer()
        try:
            announcement = _DECODE(body)
        except (ValueError, RecursionError):
            # Not JSON, not an announcement, or nested deeper than the decoder follows.
            self.refuse("the provider does not understand the backend: is it of this release?")
            return
        self.announcement = announcement
        if announcement.version != VERSION:
            self.refuse(f"the backend is of another release: install version {VERSION}")
            return
        if not 0 < len(announcement.uuid) <= UUID_MAX:
            self.refuse("CUPS gives the job no job-uuid, by which it would be known again")
            return
        self._owner.announced(announcement, self)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse("the announcement is too long")

    # What is answered; nothing of it once it is gone.

    async def allow(self, uri: str | None = None) -> bool:
        """Let the job print. False: it went away before it heard so, and does not print.

        ``uri``: where, if that is more than the backend was told by CUPS.
        """
        if not self.is_there:
            return False
        went = self._went = Deferred()
        self._say("ALLOW", {} if uri is None else {"uri": uri})
        self._set_timer(GO_S)
        return await went

    def hold(self, state: str, text: str) -> None:
        self._answer("HOLD", {"state": state, "text": text})

    def cancel(self, state: str, text: str) -> None:
        self._answer("CANCEL", {"state": state, "text": text})

    def refuse(self, text: str) -> None:
        """Not now: CUPS tries again."""
        _log.warn("a backend is sent away: {text}", text=text)
        self._answer("RETRY", {"text": text})

    def ask_stream(self) -> None:
        """It comes again, with what goes to the printer."""
        self._answer("STREAM", {})

    def take_stream(self) -> int | None:
        """The open file that came along; the caller closes it. Its offset is not ours to move."""
        return self._files.pop() if self._files else None

    def _answer(self, verb: str, fields: dict[str, Any]) -> None:
        self._say(verb, fields)
        self.close()

    def _say(self, verb: str, fields: dict[str, Any]) -> None:
        if self.is_there:
            self.sendLine(verb.encode() + b" " + msgspec.json.encode(fields))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        was_there, self.is_there = self.is_there, False
        self._owner.backends.discard(self)
        self._stop_timer()
        for descriptor in self._files:
            os.close(descriptor)
        self._files.clear()
        went, self._went = self._went, None
        if went is not None:
            went.callback(False)
        if was_there:
            self.on_gone(self)


class BackendFactory(Factory):
    """Hears the backends of CUPS's user ``cups_user``."""

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        cups_user: str,
        announced: Callable[[Announcement, Backend], None],
    ) -> None:
        self.clock = clock
        self.announced = announced
        self.backends: set[Backend] = set()
        self._turned_away: set[int] = set()
        #: Who may announce jobs, by user id.
        self.users = {0, os.geteuid()}
        try:
            self.users.add(pwd.getpwnam(cups_user).pw_uid)
        except KeyError:
            _log.warn("there is no user {name}: is CUPS installed?", name=cups_user)

    def note_turned_away(self, uid: int) -> None:
        """Once for each user: whoever insists does not fill the log."""
        if uid in self._turned_away:
            return
        self._turned_away.add(uid)
        if uid in self.users:
            _log.warn("more than {count} backends are connected", count=BACKENDS_MAX)
        else:
            _log.warn("user id {uid} may not announce print jobs", uid=uid)

    def buildProtocol(self, addr: Any) -> Backend:
        return Backend(self)

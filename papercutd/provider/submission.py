"""Handing in a document on the provider's own machine: a header line, then the bytes.

``{"printer": ..., "user": ..., "size": n, "title": ..., "copies": n, "duplex": b, "wait": b}``,
LF, then ``size`` bytes. Answers are lines: ``{"job": id}`` once the job is ours,
``{"state": ...}`` at each change if asked to wait, or ``{"error": text}``.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from papercutd.environment import Environment
from papercutd.errors import PapercutError
from papercutd.provider.analysis.formats import guess_format
from papercutd.provider.journal import Job
from papercutd.provider.operations import job_shown
from papercutd.provider.provider import PrintProvider, Submission
from papercutd.syncing import sync

_log = Logger()
HEADER_MAX = 65_536
#: Copies of a document at the most, as at a release.
COPIES_MAX = 9_999
#: Seconds for the header, and after it for the document.
HEADER_S = 10.0
TIMEOUT_S = 300.0
#: Connections at once, and of one user who is neither root nor the provider's own.
CONNECTIONS_MAX = 200
CONNECTIONS_OF_USER_MAX = 50


def peer_uid(transport: Any) -> int:
    """The user id at the other end of a Unix socket, as the kernel says."""
    peer = transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", peer)[1])


def remove_orphans(spool: Path, kept: Iterable[str]) -> int:
    """Delete the documents in ``spool`` that no job has: their submission died half-way.

    ``kept`` are the paths of the jobs that have not ended. To be called before the
    socket listens. Returns how many were deleted.
    """
    # By name: the same spool may have been called otherwise when a job came in.
    known = {os.path.basename(path) for path in kept}
    orphans = [path for path in spool.iterdir() if path.is_file() and path.name not in known]
    for path in orphans:
        path.unlink(missing_ok=True)
    return len(orphans)


class _Submitter(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = HEADER_MAX

    def __init__(self, factory: SubmissionFactory) -> None:
        self._owner = factory
        self._file: IO[bytes] | None = None
        self._path = ""
        self._left = 0
        self._head = b""
        self._digest = hashlib.sha256()
        self._header: dict[str, Any] = {}
        self._timer: Any = None
        #: Who is at the other end; None: not admitted, or gone.
        self._uid: int | None = None
        self._has_refused = False
        #: All of it is here; whether it is a job is being decided.
        self._is_accepting = False

    def connectionMade(self) -> None:
        self._uid = self._owner.uid_of(self.transport)
        if not self._owner.admit(self._uid):
            self._uid = None
            self._refuse("too many documents are being handed in: try again in a moment")
            return
        self._set_timer(HEADER_S)

    def _set_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._owner.env.clock.callLater(seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _too_slow(self) -> None:
        self._refuse("the document did not arrive in time")

    def lineReceived(self, line: bytes) -> None:
        if self._uid is None or self._has_refused:
            return
        try:
            header = json.loads(line)
            size = header["size"]
            if not isinstance(size, int) or not isinstance(header.get("printer"), str):
                raise ValueError
            if not isinstance(header.get("copies", 1), int):
                raise ValueError
            # JSON can name half of a character, which no journal can keep.
            json.dumps(header, ensure_ascii=False).encode()
        except (ValueError, KeyError, TypeError, RecursionError):
            self._refuse("the header is one JSON object with printer and size")
            return
        if not 1 <= header.get("copies", 1) <= COPIES_MAX:
            self._refuse(f"copies: from 1 to {COPIES_MAX}")
            return
        if not 0 < size <= self._owner.size_max:
            self._refuse("the document is empty" if size == 0 else "the document is too large")
            return
        self._header, self._left = header, size
        path = str(self._owner.spool / self._owner.env.new_id())
        try:
            self._file = open(path, "xb")
        except OSError as error:
            self._refuse(f"the document cannot be kept: {error.strerror}")
            return
        self._path = path
        self._set_timer(TIMEOUT_S)
        self.setRawMode()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse("the header is too long")

    def rawDataReceived(self, data: bytes) -> None:
        if self._file is None:
            return
        data = data[: self._left]
        self._head += data[: max(0, 1024 - len(self._head))]
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            self._refuse(f"the document cannot be kept: {error.strerror}")
            return
        self._left -= len(data)
        if self._left == 0:
            file, self._file = self._file, None
            self._is_accepting = True
            self._stop_timer()
            accepting = Deferred.fromCoroutine(self._accept(file))
            accepting.addErrback(self._failed)

    async def _accept(self, file: IO[bytes]) -> None:
        with file:
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        sync(self._owner.spool)
        header = self._header
        submission = Submission(
            printer=header["printer"],
            user_name=str(header.get("user") or self._peer_user()),
            path=self._path,
            digest=self._digest.hexdigest(),
            size=size,
            format=guess_format(self._head),
            title=str(header.get("title", ""))[:1024],
            host=str(header.get("host", ""))[:255],
            copies=header.get("copies", 1),
            duplex=bool(header.get("duplex", False)),
        )
        job = await self._owner.provider.submit(submission)
        self._path = ""
        self._say({"job": job})
        if header.get("wait"):
            self._owner.provider.watch(job, self._changed)
        else:
            self._close()

    def _changed(self, job: Job) -> None:
        self._say(job_shown(job))
        if job.state in ("ended", "held"):
            self._close()

    def _failed(self, failure: Failure) -> None:
        # It became no job: nobody else knows of the file.
        self._forget()
        if not failure.check(PapercutError):
            _log.failure("a submission failed", failure=failure)
            self._refuse("the provider failed at this, its log says why")
            return
        self._refuse(str(failure.value))

    def _peer_user(self) -> str:
        """Who is at the other end, as the kernel says."""
        uid = self._uid
        assert uid is not None
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)

    def _say(self, message: dict[str, Any]) -> None:
        if self.connected:
            self.sendLine(json.dumps(message).encode())

    def _refuse(self, text: str) -> None:
        if self._has_refused:
            return
        self._has_refused = True
        self._say({"error": text})
        self._close()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        uid, self._uid = self._uid, None
        if uid is not None:
            self._owner.dismiss(uid)
        if self._file is not None:
            self._file.close()
        if not self._is_accepting:
            self._forget()

    def _forget(self) -> None:
        if self._path:
            Path(self._path).unlink(missing_ok=True)
            self._path = ""


class SubmissionFactory(Factory):
    """Accepts documents into ``spool``."""

    noisy = False

    def __init__(
        self, env: Environment, provider: PrintProvider, spool: Path, size_max: int
    ) -> None:
        self.env = env
        self.provider = provider
        self.spool = spool
        self.size_max = size_max
        self.uid_of: Callable[[Any], int] = peer_uid
        self._connections: Counter[int] = Counter()

    def admit(self, uid: int) -> bool:
        """Whether one more of that user may connect; to be dismissed in the end."""
        is_trusted = uid in (0, os.geteuid())
        if self._connections.total() >= CONNECTIONS_MAX or (
            not is_trusted and self._connections[uid] >= CONNECTIONS_OF_USER_MAX
        ):
            return False
        self._connections[uid] += 1
        return True

    def dismiss(self, uid: int) -> None:
        self._connections[uid] -= 1
        if not self._connections[uid]:
            del self._connections[uid]

    def buildProtocol(self, addr: Any) -> _Submitter:
        return _Submitter(self)

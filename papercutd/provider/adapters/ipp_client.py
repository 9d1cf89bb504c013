"""Asking IPP questions over HTTP: requests with documents, answers with limits."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Sequence
from typing import BinaryIO

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from papercutd.provider.adapters.ipp import (
    ANSWER_MAX,
    Attribute,
    BadIpp,
    CutOff,
    Operation,
    Response,
    Tag,
    decode_beginning,
    decode_response,
    encode_request,
)

#: Seconds a server may take to answer a question that carries no document.
ANSWER_TIMEOUT_S = 30.0


class IppFailed(Exception):
    """No answer that can be used; ``reached``: the request may have arrived.

    ``http_status`` is what HTTP said, 0 where it was not even that.
    """

    def __init__(self, why: str, reached: bool, http_status: int = 0) -> None:
        super().__init__(why)
        self.reached = reached
        self.http_status = http_status


class DocumentTooLarge(IppFailed):
    """A document followed that is larger than was wanted."""


class _RequestAndDocument(io.RawIOBase):
    """The bytes of a request, then those of an open document, as one file."""

    def __init__(self, request: bytes, document: BinaryIO | None) -> None:
        self._request = request
        self._document = document
        self._at = 0
        self._length = len(request)
        if document is not None:
            self._length += os.fstat(document.fileno()).st_size

    def read(self, size: int = -1) -> bytes:
        if self._at < len(self._request):
            data = self._request[self._at : self._at + size if size >= 0 else None]
        else:
            data = b"" if self._document is None else self._document.read(size)
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """For finding out the length: it is read from front to end."""
        self._at = self._length + offset if whence == os.SEEK_END else offset
        return self._at


class _Body(Protocol):
    """Gathers an answer, up to its limit."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._data = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > ANSWER_MAX and self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss) and len(self._data) <= ANSWER_MAX:
            self.whole.callback(bytes(self._data))
        else:
            self.whole.errback(reason)


class _DocumentBody(Protocol):
    """An answer that a document follows: the document goes into a file."""

    def __init__(self, file: BinaryIO, size_max: int) -> None:
        self.whole: Deferred[Response] = Deferred()
        self._file = file
        self._left = size_max
        self._data = b""
        self._answer: Response | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.whole.called:
            return
        try:
            self._take(data)
        except (BadIpp, IppFailed, OSError):
            self.whole.errback(Failure())
            assert self.transport is not None
            self.transport.loseConnection()

    def _take(self, data: bytes) -> None:
        if self._answer is None:
            self._data += data
            try:
                self._answer, at = decode_beginning(self._data)
            except CutOff:
                if len(self._data) > ANSWER_MAX:
                    raise
                return
            data, self._data = self._data[at:], b""
        self._left -= len(data)
        if self._left < 0:
            raise DocumentTooLarge("the document is too large", True)
        self._file.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss) and self._answer is not None:
            self.whole.callback(self._answer)
        else:
            self.whole.errback(reason)


class IppClient:
    """Asks at ``agent``; ``headers`` go with every request."""

    def __init__(
        self,
        agent: IAgent,
        clock: IReactorTime,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        headers: dict[bytes, bytes] | None = None,
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._answer_timeout_s = answer_timeout_s
        self._headers = {b"Content-Type": b"application/ipp", **(headers or {})}
        self._numbers = itertools.count(1)

    async def ask(
        self,
        url: bytes,
        operation: Operation,
        attributes: Sequence[Attribute],
        further: Sequence[Attribute] = (),
        *,
        further_tag: Tag = Tag.JOB,
        document: BinaryIO | None = None,
        into: BinaryIO | None = None,
        into_max: int = 0,
        timeout_s: float | None = None,
    ) -> Response:
        """The answer, whatever its status; raises IppFailed.

        ``document`` follows the request; a document that follows the answer is written to
        ``into``, at most ``into_max`` bytes.
        """
        number = next(self._numbers) & 0x7FFFFFFF
        request = encode_request(operation, number, attributes, further, further_tag)
        source = _RequestAndDocument(request, document)
        asked = Deferred.fromCoroutine(self._exchange(url, source, into, into_max))
        asked.addTimeout(
            self._answer_timeout_s if timeout_s is None else timeout_s,
            self._clock,
        )
        try:
            return await asked
        except (CancelledError, IppFailed):
            raise
        except BadIpp as error:
            raise IppFailed(f"its answer is not IPP: {error}", True) from error
        except Exception as error:
            raise IppFailed(f"no answer: {error!r}", source.tell() > 0) from error

    async def _exchange(
        self, url: bytes, source: _RequestAndDocument, into: BinaryIO | None, into_max: int
    ) -> Response:
        headers = Headers({name: [value] for name, value in self._headers.items()})
        response = await self._agent.request(b"POST", url, headers, FileBodyProducer(source))
        if response.code != 200:
            response.deliverBody(gathered := _Body())
            await gathered.whole
            # HTTP refuses it before IPP sees it: 401, 404, 426, 503.
            is_refused = 400 <= response.code < 500 or response.code == 503
            raise IppFailed(f"HTTP status {response.code}", not is_refused, response.code)
        if into is not None:
            saved = _DocumentBody(into, into_max)
            response.deliverBody(saved)
            return await saved.whole
        response.deliverBody(gathered := _Body())
        return decode_response(await gathered.whole)

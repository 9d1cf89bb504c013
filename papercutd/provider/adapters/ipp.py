"""IPP messages to bytes and back (RFC 8010), as far as a print provider needs them.

Sans-IO: no socket, no HTTP. Values are ``int``, ``bool`` or ``str``; a value of any
other syntax (dates, ranges, resolutions, collections) is kept as its bytes.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence

import attrs

Value = int | bool | str | bytes
#: Bytes of an answer at the most: the answers asked for are a few attributes long.
ANSWER_MAX = 1_048_576


class BadIpp(Exception):
    """The bytes are not an IPP message."""


class CutOff(BadIpp):
    """The bytes are the beginning of an IPP message, at the most."""


class Operation(enum.IntEnum):
    """Operations asked of a printer, or of a CUPS server."""

    PRINT_JOB = 0x0002
    CANCEL_JOB = 0x0008
    GET_JOB_ATTRIBUTES = 0x0009
    GET_JOBS = 0x000A
    GET_PRINTER_ATTRIBUTES = 0x000B
    SET_JOB_ATTRIBUTES = 0x0014
    CREATE_PRINTER_SUBSCRIPTIONS = 0x0016
    RENEW_SUBSCRIPTION = 0x001A
    CANCEL_SUBSCRIPTION = 0x001B
    GET_NOTIFICATIONS = 0x001C
    CUPS_GET_PRINTERS = 0x4002
    CUPS_ADD_MODIFY_PRINTER = 0x4003
    CUPS_MOVE_JOB = 0x400D
    CUPS_GET_DOCUMENT = 0x4027


class JobState(enum.IntEnum):
    """``job-state``, RFC 8011, 5.3.7."""

    PENDING = 3
    HELD = 4
    PROCESSING = 5
    STOPPED = 6
    CANCELED = 7
    ABORTED = 8
    COMPLETED = 9


class Tag(enum.IntEnum):
    """Delimiter tags and value tags, RFC 8010, 3.5."""

    OPERATION = 0x01
    JOB = 0x02
    END = 0x03
    PRINTER = 0x04
    UNSUPPORTED = 0x05
    SUBSCRIPTION = 0x06
    EVENT = 0x07
    INTEGER = 0x21
    BOOLEAN = 0x22
    ENUM = 0x23
    TEXT_WITH_LANGUAGE = 0x35
    NAME_WITH_LANGUAGE = 0x36
    TEXT = 0x41
    NAME = 0x42
    KEYWORD = 0x44
    URI = 0x45
    CHARSET = 0x47
    LANGUAGE = 0x48
    MIME_TYPE = 0x49
    MEMBER_NAME = 0x4A


_NUMBERS = frozenset({Tag.INTEGER, Tag.ENUM})
_STRINGS = frozenset(range(0x41, 0x4A))
_WITH_LANGUAGE = frozenset({Tag.TEXT_WITH_LANGUAGE, Tag.NAME_WITH_LANGUAGE})
#: Values of these tags are what the lines of a collection are made of.
_BEGIN_COLLECTION, _END_COLLECTION = 0x34, 0x37


@attrs.frozen
class Attribute:
    """One attribute to send, with one or more values of one syntax."""

    tag: Tag
    name: str
    values: Sequence[Value]


#: The attributes of one group by name, each with its values in order.
Group = dict[str, list[Value]]


@attrs.frozen
class Response:
    """An answer: its status, and its groups in order, each with its tag."""

    status: int
    request_id: int
    groups: list[tuple[int, Group]]

    def all(self, tag: Tag) -> list[Group]:
        """Every group of one kind."""
        return [group for found, group in self.groups if found == tag]

    def _first(self, tag: Tag) -> Group:
        return next(iter(self.all(tag)), {})

    @property
    def operation(self) -> Group:
        return self._first(Tag.OPERATION)

    @property
    def printer(self) -> Group:
        """The printer asked for, or the first of several."""
        return self._first(Tag.PRINTER)

    @property
    def job(self) -> Group:
        """The job asked for, or the first of several."""
        return self._first(Tag.JOB)

    @property
    def is_successful(self) -> bool:
        return self.status < 0x0100


def encode_request(
    operation: Operation,
    request_id: int,
    attributes: Sequence[Attribute],
    further: Sequence[Attribute] = (),
    further_tag: Tag = Tag.JOB,
) -> bytes:
    """The bytes of a request; a document follows them as it is.

    Charset and language come first, as the standard demands. ``further`` are the
    attributes of a second group, of a job unless ``further_tag`` says otherwise.
    """
    first = (
        Attribute(Tag.CHARSET, "attributes-charset", ("utf-8",)),
        Attribute(Tag.LANGUAGE, "attributes-natural-language", ("en",)),
    )
    out = bytearray(struct.pack(">BBHI", 1, 1, operation, request_id))
    out.append(Tag.OPERATION)
    for attribute in (*first, *attributes):
        out += _encode_attribute(attribute)
    if further:
        out.append(further_tag)
        for attribute in further:
            out += _encode_attribute(attribute)
    out.append(Tag.END)
    return bytes(out)


def _encode_attribute(attribute: Attribute) -> bytes:
    out = bytearray()
    name = attribute.name.encode()
    for value in attribute.values:
        body = _encode_value(attribute.tag, value)
        out += struct.pack(">BH", attribute.tag, len(name)) + name
        out += struct.pack(">H", len(body)) + body
        name = b""  # Further values of the same attribute have no name.
    return bytes(out)


def _encode_value(tag: Tag, value: Value) -> bytes:
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    if isinstance(value, int):
        return struct.pack(">i", value)
    return value.encode() if isinstance(value, str) else value


def decode_response(data: bytes) -> Response:
    """The answer in ``data``; raises BadIpp."""
    return decode_beginning(data)[0]


def decode_beginning(data: bytes) -> tuple[Response, int]:
    """The answer with which ``data`` begins, and where it ends: a document may follow.

    Raises CutOff where more bytes may make it whole, else BadIpp.
    """
    if len(data) < 9:
        raise CutOff("shorter than a header")
    major, _, status, request_id = struct.unpack(">BBHI", data[:8])
    if major not in (1, 2):
        raise BadIpp(f"version {major}")
    groups: list[tuple[int, Group]] = []
    group: Group = {}
    name = ""
    depth = 0
    at = 8
    for tag, found, body, end in _walk(data):
        at = end
        if body is None:
            group = {}
            groups.append((tag, group))
            name, depth = "", 0
        elif tag == _BEGIN_COLLECTION:
            depth += 1
        elif tag == _END_COLLECTION:
            depth -= 1
        elif depth == 0:
            name = found or name
            if not name:
                raise BadIpp("a value without a name")
            group.setdefault(name, []).append(_decode_value(tag, body))
        if depth and found:
            name = found
    # One byte more: the tag of the end.
    return Response(status, request_id, groups), at + 1


def _walk(data: bytes) -> Iterator[tuple[int, str, bytes | None, int]]:
    """(tag, name, value, where it ends) of every line; the value is None where a group begins."""
    at = 8
    while True:
        if at >= len(data):
            raise CutOff("it does not end")
        tag = data[at]
        at += 1
        if tag == Tag.END:
            return
        if tag < 0x10:
            yield tag, "", None, at
            continue
        name, at = _take(data, at)
        value, at = _take(data, at)
        yield tag, name.decode("utf-8", "replace"), value, at


def _take(data: bytes, at: int) -> tuple[bytes, int]:
    """The length-prefixed bytes at ``at``, and where they end."""
    if at + 2 > len(data):
        raise CutOff("a length is cut off")
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if end > len(data):
        raise CutOff("a value is cut off")
    return data[at + 2 : end], end


def _decode_value(tag: int, body: bytes) -> Value:
    if tag in _NUMBERS:
        if len(body) != 4:
            raise BadIpp("a number is not four bytes long")
        return int.from_bytes(body, "big", signed=True)
    if tag == Tag.BOOLEAN:
        if len(body) != 1:
            raise BadIpp("a boolean is not one byte long")
        return body != b"\x00"
    if tag in _STRINGS:
        return body.decode("utf-8", "replace")
    if tag in _WITH_LANGUAGE:
        try:
            _, at = _take(body, 0)
            text, _ = _take(body, at)
        except CutOff as error:
            # Nothing that follows the value makes it whole.
            raise BadIpp(str(error)) from error
        return text.decode("utf-8", "replace")
    return body

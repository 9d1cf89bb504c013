"""IPP 1.1 messages to bytes and back (RFC 8010), as far as a print provider needs them.

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


class Operation(enum.IntEnum):
    """Operations asked of a printer."""

    PRINT_JOB = 0x0002
    CANCEL_JOB = 0x0008
    GET_JOB_ATTRIBUTES = 0x0009
    GET_PRINTER_ATTRIBUTES = 0x000B


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


@attrs.frozen
class Response:
    """An answer: its status, and the attributes of each group by name, values in order."""

    status: int
    request_id: int
    operation: dict[str, list[Value]]
    printer: dict[str, list[Value]]
    job: dict[str, list[Value]]

    @property
    def is_successful(self) -> bool:
        return self.status < 0x0100


def encode_request(
    operation: Operation,
    request_id: int,
    attributes: Sequence[Attribute],
    job_attributes: Sequence[Attribute] = (),
) -> bytes:
    """The bytes of a request; a document follows them as it is.

    Charset and language come first, as the standard demands.
    """
    first = (
        Attribute(Tag.CHARSET, "attributes-charset", ("utf-8",)),
        Attribute(Tag.LANGUAGE, "attributes-natural-language", ("en",)),
    )
    out = bytearray(struct.pack(">BBHI", 1, 1, operation, request_id))
    out.append(Tag.OPERATION)
    for attribute in (*first, *attributes):
        out += _encode_attribute(attribute)
    if job_attributes:
        out.append(Tag.JOB)
        for attribute in job_attributes:
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
    if len(data) < 9:
        raise BadIpp("shorter than a header")
    major, _, status, request_id = struct.unpack(">BBHI", data[:8])
    if major not in (1, 2):
        raise BadIpp(f"version {major}")
    groups: dict[int, dict[str, list[Value]]] = {
        Tag.OPERATION: {},
        Tag.PRINTER: {},
        Tag.JOB: {},
    }
    group: dict[str, list[Value]] = {}
    seen: set[int] = set()
    name = ""
    depth = 0
    for tag, found, body in _walk(data):
        if body is None:
            # The first group of a kind is the one asked for; others are other objects.
            group = {} if tag in seen else groups.get(tag, {})
            seen.add(tag)
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
    return Response(status, request_id, groups[Tag.OPERATION], groups[Tag.PRINTER], groups[Tag.JOB])


def _walk(data: bytes) -> Iterator[tuple[int, str, bytes | None]]:
    """(tag, name, value) of every line; the value is None where a group begins."""
    at = 8
    while True:
        if at >= len(data):
            raise BadIpp("it does not end")
        tag = data[at]
        at += 1
        if tag == Tag.END:
            return
        if tag < 0x10:
            yield tag, "", None
            continue
        name, at = _take(data, at)
        value, at = _take(data, at)
        yield tag, name.decode("utf-8", "replace"), value


def _take(data: bytes, at: int) -> tuple[bytes, int]:
    """The length-prefixed bytes at ``at``, and where they end."""
    if at + 2 > len(data):
        raise BadIpp("a length is cut off")
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if end > len(data):
        raise BadIpp("a value is cut off")
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
        _, at = _take(body, 0)
        text, _ = _take(body, at)
        return text.decode("utf-8", "replace")
    return body

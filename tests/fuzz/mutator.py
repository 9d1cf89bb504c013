"""Damaged lines from real ones: by byte, by word, and inside their JSON.

Made for speed (tens of thousands a second), so without hypothesis: all chance is one
``random.Random``, and the same seed gives the same lines.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from protocols.limits import LINE_LENGTH_MAX
from tests.fuzz.corpus import words

#: JSON, and what is nearly JSON, to put where anything stands.
VALUES: tuple[bytes, ...] = (
    *(b"null", b"true", b"false", b"0", b"-0", b"-1", b"1.5", b"-1.5e-300", b"1e308"),
    *(b"1e999", b"-1e999", b"NaN", b"Infinity", b"9007199254740993", b"9223372036854775807"),
    *(b"9223372036854775808", b"-9223372036854775809", b"1" * 400, b"0." + b"3" * 400, b"01"),
    *(
        b'""',
        b'" "',
        b'"\\u0000"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\xff\xfe"',
        b'"\xed\xa0\x80"',
    ),
    *(b'"\\n"', b'"\\x"', b'"unended', b'"' + b"x" * 300 + b'"', '"ж\U0001f5a8"'.encode(), b'"1"'),
    *(b"[]", b"{}", b"[null]", b"[{}]", b'{"":{}}', b"[[[[[[[[]]]]]]]]", b'[1,"2",null,{}]'),
    *(
        b"[" * 200 + b"]" * 200,
        b"[" * 3000,
        b'{"a":' * 1200 + b"1" + b"}" * 1200,
        b"[0" + b",0" * 600 + b"]",
    ),
)
_PLACE = "@here@"
_QUOTED_PLACE = f'"{_PLACE}"'.encode()
TAGS: tuple[bytes, ...] = (b"*", b"?", b"1", b"2", b"a.b_c:d-e", b"x" * 32, b"x" * 33, b"", b"\xff")


def damage_json(rng: random.Random, body: bytes, edits: int = 1) -> bytes:
    """``body`` with ``edits`` of its values, keys or members replaced, removed or doubled."""
    for _ in range(edits):
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return body
        body = _damage_once(rng, value)
    return body


def _damage_once(rng: random.Random, value: Any) -> bytes:
    holder: Any = None
    at: Any = None
    inner = value
    # Down to some depth: a member of a member is as likely as a member.
    while isinstance(inner, dict | list) and inner and (holder is None or rng.random() < 0.6):
        holder = inner
        at = rng.choice(list(inner)) if isinstance(inner, dict) else rng.randrange(len(inner))
        inner = inner[at]
    replacement = rng.choice(VALUES)
    if holder is None:
        return replacement
    what = rng.random()
    if what < 0.7:
        holder[at] = _PLACE
    elif what < 0.8:
        del holder[at]
    elif isinstance(holder, dict):
        # Twice the same key, or one that nobody knows, beside the one that was there.
        key = at if what < 0.9 else rng.choice(("", "unknown", "x" * 200, at + "\x00"))
        text = json.dumps(value).encode()
        own = json.dumps(holder).encode()
        return text.replace(own, b"{%b:%b," % (json.dumps(key).encode(), replacement) + own[1:], 1)
    else:
        holder.extend([_PLACE] * rng.choice((1, 2, 600)))
    return json.dumps(value, separators=(",", ":")).encode().replace(_QUOTED_PLACE, replacement)


class Mutator:
    """Lines like ``corpus``, most of them damaged; without their ends."""

    def __init__(self, rng: random.Random, corpus: Sequence[bytes]) -> None:
        self._rng = rng
        self._corpus = corpus
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            *(self._whole,) * 5,
            *(self._json,) * 6,
            *(self._bytes,) * 3,
            *(self._cut, self._splice, self._tag, self._word, self._noise),
        )

    def line(self) -> bytes:
        rng = self._rng
        line = rng.choice(self._corpus)
        if rng.random() < 0.001:
            return self._long(line)
        return rng.choice(self._ways)(line)

    def data(self, count: int) -> bytes:
        """``count`` lines with their ends."""
        ends = (b"\n",) * 12 + (b"\r\n", b"\n\n", b"\r\r\n")
        return b"".join(self.line() + self._rng.choice(ends) for _ in range(count))

    def split(self, data: bytes) -> list[bytes]:
        """``data`` in pieces cut at any byte: seldom, and then anything from bytes to halves."""
        rng = self._rng
        if rng.random() < 0.5:
            return [data]
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randint(1, 12)))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _whole(self, line: bytes) -> bytes:
        return line

    def _json(self, line: bytes) -> bytes:
        head, brace, body = line.partition(b"{")
        return head + damage_json(self._rng, brace + body, self._rng.choice((1, 1, 1, 2)))

    def _bytes(self, line: bytes) -> bytes:
        rng = self._rng
        data = bytearray(line)
        for _ in range(rng.randint(1, 6)):
            where = rng.randrange(len(data) + 1)
            data[where : where + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        return bytes(data)

    def _cut(self, line: bytes) -> bytes:
        return line[: self._rng.randrange(len(line) + 1)]

    def _splice(self, line: bytes) -> bytes:
        other = self._rng.choice(self._corpus)
        return line[: self._rng.randrange(len(line))] + other[self._rng.randrange(len(other)) :]

    def _tag(self, line: bytes) -> bytes:
        return self._rng.choice(TAGS) + b" " + line.partition(b" ")[2]

    def _word(self, line: bytes) -> bytes:
        parts = line.split(b" ", 2)
        if len(parts) > 1:
            parts[1] = self._rng.choice(words())
        return b" ".join(parts)

    def _noise(self, line: bytes) -> bytes:
        return self._rng.randbytes(self._rng.randrange(80))

    def _long(self, line: bytes) -> bytes:
        """As long as may be, a little less, a little more; with and without a body that ends."""
        head = line.partition(b"{")[0] + b'{"unknown":"'
        length = LINE_LENGTH_MAX + self._rng.choice((-2, -1, 0, 1, 2, 5_000))
        end = self._rng.choice((b'"}', b""))
        return head + b"x" * (length - len(head) - len(end)) + end

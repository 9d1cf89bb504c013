"""Tests of protocols.framing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from protocols.framing import LineBuffer
from protocols.limits import LINE_LENGTH_MAX


class LineBufferTests(SynchronousTestCase):
    def test_cuts_at_lf_and_crlf(self) -> None:
        buffer = LineBuffer()
        self.assertEqual(buffer.receive(b"one\ntwo\r\n\nthr"), [b"one", b"two", b""])
        self.assertEqual(buffer.receive(b"ee\n"), [b"three"])
        self.assertEqual(len(buffer), 0)

    def test_a_cr_elsewhere_stays(self) -> None:
        self.assertEqual(LineBuffer().receive(b"a\rb\r\r\n"), [b"a\rb\r"])

    def test_byte_at_a_time(self) -> None:
        buffer = LineBuffer()
        lines = [line for byte in b"one\r\ntwo\n" for line in buffer.receive(bytes([byte]))]
        self.assertEqual(lines, [b"one", b"two"])

    def test_the_longest_line(self) -> None:
        longest = b"x" * LINE_LENGTH_MAX
        for end in (b"\n", b"\r\n"):
            self.assertEqual(LineBuffer().receive(longest + end), [longest])
            buffer = LineBuffer()
            lines = [
                line
                for index in range(0, LINE_LENGTH_MAX + 2, 999)
                for line in buffer.receive((longest + end)[index : index + 999])
            ]
            self.assertEqual(lines, [longest])
            self.assertFalse(buffer.overflowed)

    def test_a_line_too_long(self) -> None:
        for end in (b"\n", b"\r\n"):
            buffer = LineBuffer(line_length_max=4)
            self.assertEqual(buffer.receive(b"good\n12345" + end + b"good\n"), [b"good"])
            self.assertTrue(buffer.overflowed)
            self.assertEqual(buffer.receive(b"good\n"), [])

    def test_a_line_that_never_ends(self) -> None:
        buffer = LineBuffer(line_length_max=4)
        self.assertEqual(buffer.receive(b"1234"), [])
        self.assertFalse(buffer.overflowed)
        self.assertEqual(buffer.receive(b"5"), [])
        self.assertTrue(buffer.overflowed)
        self.assertEqual(len(buffer), 0)

    def test_one_cr_beyond_the_limit_may_be_the_end(self) -> None:
        buffer = LineBuffer(line_length_max=4)
        self.assertEqual(buffer.receive(b"1234\r"), [])
        self.assertFalse(buffer.overflowed)
        self.assertEqual(buffer.receive(b"\n"), [b"1234"])
        self.assertEqual(buffer.receive(b"1234\r"), [])
        buffer.receive(b"x")
        self.assertTrue(buffer.overflowed)

    def test_never_keeps_more_than_the_limit(self) -> None:
        buffer = LineBuffer()
        for _ in range(100):
            buffer.receive(b"x" * 10_000)
            self.assertLessEqual(len(buffer), LINE_LENGTH_MAX + 1)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=30))
    def test_chunks_do_not_matter(self, data: bytes, sizes: list[int]) -> None:
        whole = LineBuffer(line_length_max=20)
        expected = whole.receive(data)
        pieces = LineBuffer(line_length_max=20)
        lines: list[bytes] = []
        rest = data
        for size in sizes:
            lines += pieces.receive(rest[:size])
            rest = rest[size:]
        lines += pieces.receive(rest)
        self.assertEqual((lines, pieces.overflowed), (expected, whole.overflowed))

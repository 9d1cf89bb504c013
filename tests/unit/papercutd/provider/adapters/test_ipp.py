"""IPP messages: what goes out byte for byte, what comes in whatever the bytes."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.provider.adapters.ipp import (
    Attribute,
    BadIpp,
    JobState,
    Operation,
    Tag,
    decode_response,
    encode_request,
)


def line(tag: int, name: str, value: bytes) -> bytes:
    body = name.encode()
    return struct.pack(">BH", tag, len(body)) + body + struct.pack(">H", len(value)) + value


def answer(*parts: bytes, status: int = 0) -> bytes:
    return struct.pack(">BBHI", 1, 1, status, 7) + b"".join(parts) + b"\x03"


class EncodeTests(SynchronousTestCase):
    def test_request(self) -> None:
        found = encode_request(
            Operation.GET_JOB_ATTRIBUTES,
            5,
            [Attribute(Tag.INTEGER, "job-id", (3,)), Attribute(Tag.KEYWORD, "k", ("a", "b"))],
            [Attribute(Tag.BOOLEAN, "t", (True,))],
        )
        expected = struct.pack(">BBHI", 1, 1, 9, 5) + b"\x01"
        expected += line(0x47, "attributes-charset", b"utf-8")
        expected += line(0x48, "attributes-natural-language", b"en")
        expected += line(0x21, "job-id", b"\0\0\0\x03")
        expected += line(0x44, "k", b"a") + line(0x44, "", b"b")
        expected += b"\x02" + line(0x22, "t", b"\x01") + b"\x03"
        self.assertEqual(found, expected)


class DecodeTests(SynchronousTestCase):
    def test_groups_and_values(self) -> None:
        found = decode_response(
            answer(
                b"\x01",
                line(0x47, "attributes-charset", b"utf-8"),
                b"\x02",
                line(0x23, "job-state", b"\0\0\0\x09"),
                line(0x44, "job-state-reasons", b"none"),
                line(0x44, "", b"other"),
                b"\x04",
                line(0x22, "printer-is-accepting-jobs", b"\0"),
                line(0x36, "n", b"\0\x02en\0\x03abc"),
                line(0x31, "when", b"\x07\xe8"),
                status=1,
            )
        )
        self.assertTrue(found.is_successful)
        self.assertEqual((found.status, found.request_id), (1, 7))
        self.assertEqual(found.operation, {"attributes-charset": ["utf-8"]})
        self.assertEqual(
            found.job,
            {"job-state": [JobState.COMPLETED], "job-state-reasons": ["none", "other"]},
        )
        self.assertEqual(
            found.printer,
            {"printer-is-accepting-jobs": [False], "n": ["abc"], "when": [b"\x07\xe8"]},
        )

    def test_collections_are_passed_over(self) -> None:
        found = decode_response(
            answer(
                b"\x04",
                line(0x34, "media-col-default", b""),
                line(0x4A, "", b"media-size"),
                line(0x34, "", b""),
                line(0x4A, "", b"x-dimension"),
                line(0x21, "", b"\0\0\0\x01"),
                line(0x37, "", b""),
                line(0x37, "", b""),
                line(0x41, "printer-info", b"here"),
            )
        )
        self.assertEqual(found.printer, {"printer-info": ["here"]})

    def test_of_several_jobs_the_first(self) -> None:
        first = line(0x23, "job-state", b"\0\0\0\x09")
        second = line(0x23, "job-state", b"\0\0\0\x03")
        found = decode_response(answer(b"\x02", first, b"\x02", second))
        self.assertEqual(found.job, {"job-state": [9]})

    def test_refusals(self) -> None:
        self.assertFalse(decode_response(answer(status=0x0507)).is_successful)

    def test_bad(self) -> None:
        whole = answer(b"\x02", line(0x23, "job-state", b"\0\0\0\x09"))
        for length in range(len(whole)):
            self.assertRaises(BadIpp, decode_response, whole[:length])
        self.assertRaises(BadIpp, decode_response, b"\x09" + whole[1:])
        for bad in (
            line(0x21, "n", b"\0"),
            line(0x22, "b", b"\0\0"),
            line(0x41, "", b"no name"),
            line(0x35, "t", b"\0\x09en"),
        ):
            self.assertRaises(BadIpp, decode_response, answer(b"\x02", bad))

    @settings(max_examples=500, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes_are_an_answer_or_bad(self, data: bytes) -> None:
        for whole in (data, struct.pack(">BBHI", 1, 1, 0, 1) + data):
            try:
                decode_response(whole)
            except BadIpp:
                pass

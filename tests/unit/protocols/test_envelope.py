"""Tests of protocols.envelope."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from protocols import envelope
from protocols.codes import WORDS, Code
from protocols.envelope import BadLine, Kind, Line
from protocols.errors import LocalProtocolError, Refusal, RemoteProtocolError
from protocols.limits import LINE_LENGTH_MAX
from protocols.provider.messages import Bye, Ping, Pong
from protocols.spec import decoder_of


class ParseTests(SynchronousTestCase):
    def test_every_kind(self) -> None:
        for line, expected in {
            b"7 PING {}": Line(Kind.REQUEST, "7", "PING", b"{}"),
            b"a.b_c:d-e PING {}": Line(Kind.REQUEST, "a.b_c:d-e", "PING", b"{}"),
            b"7 OK {}": Line(Kind.OK, "7", "OK", b"{}"),
            b"7 NO busy {}": Line(Kind.NO, "7", "busy", b"{}"),
            b"* BYE {}": Line(Kind.EVENT, "", "BYE", b"{}"),
            b"? NO bad-line {}": Line(Kind.NOTICE, "", "bad-line", b"{}"),
        }.items():
            self.assertEqual(envelope.parse(line), expected)

    def test_bad_lines_keep_the_tag_of_a_request(self) -> None:
        for line, code, tag in (
            (b"", Code.BAD_LINE, "?"),
            (b" ", Code.BAD_LINE, "?"),
            (b"\xff\xfe", Code.BAD_LINE, "?"),
            (b"GET / HTTP/1.1", Code.BAD_LINE, "GET"),
            (b"7", Code.BAD_LINE, "7"),
            (b"7 ping {}", Code.BAD_LINE, "7"),
            (b"7 PING", Code.BAD_LINE, "7"),
            (b"7  PING {}", Code.BAD_LINE, "7"),
            (b"7\tPING {}", Code.BAD_LINE, "?"),
            (b"t" * 32 + b" PING {}x", None, ""),
            (b"t" * 33 + b" PING {}", Code.BAD_LINE, "?"),
            (b"7 " + b"V" * 33 + b" {}", Code.BAD_LINE, "7"),
            (b"7 PING []", Code.BAD_JSON, "7"),
            (b"7 PING  {}", Code.BAD_JSON, "7"),
            (b"* OK {}", Code.BAD_LINE, "?"),
            (b"* NO busy {}", Code.BAD_LINE, "?"),
            (b"* BYE", Code.BAD_LINE, "?"),
            (b"* BYE x", Code.BAD_JSON, "?"),
            (b"? PING {}", Code.BAD_LINE, "?"),
            (b"? OK {}", Code.BAD_LINE, "?"),
        ):
            if code is None:
                envelope.parse(line)
                continue
            bad = self.assertRaises(BadLine, envelope.parse, line)
            self.assertEqual((bad.code, bad.tag), (code, tag), line)

    def test_a_broken_answer_is_never_answered_under_its_tag(self) -> None:
        # Its tag may be that of a request of its sender, who would take it for the answer.
        for line in (b"7 OK", b"7 OK x", b"7 NO", b"7 NO {}", b"7 NO BUSY {}", b"7 NO busy x"):
            bad = self.assertRaises(BadLine, envelope.parse, line)
            self.assertEqual(bad.tag, "?", line)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60))
    def test_anything_is_parsed_or_bad(self, line: bytes) -> None:
        try:
            envelope.parse(line)
        except BadLine as bad:
            self.assertIn(bad.code, (Code.BAD_LINE, Code.BAD_JSON))


class BodyTests(SynchronousTestCase):
    def refused(self, body: bytes) -> Code:
        error = self.assertRaises(RemoteProtocolError, envelope.decode, decoder_of(Ping), body)
        code = error.code
        assert isinstance(code, Code)
        return code

    def test_bad_json(self) -> None:
        for body in (
            b"{",
            b"{}x",
            b'{"clock":NaN}',
            b'{"clock":Infinity}',
            b"{'clock':1}",
            b'{"x":"\xff"',
            b'{"x":' + b"[" * 60_000,
            b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        ):
            self.assertEqual(self.refused(body), Code.BAD_JSON, body[:40])

    def test_bad_fields(self) -> None:
        for body in (
            b'{"clock":"1"}',
            b'{"clock":true}',
            b'{"clock":1e999}',
            b'{"clock":2e12}',
            b'{"position":{}}',
            b'{"position":{"timeline":-1,"number":0,"chain":""}}',
            b'{"position":{"timeline":9007199254740992,"number":0,"chain":""}}',
        ):
            self.assertEqual(self.refused(body), Code.BAD_FIELDS, body)

    def test_unknown_fields_are_ignored_and_the_last_of_two_counts(self) -> None:
        body = b'{"clock":1,"later":{"deep":[1,2]},"clock":2}'
        self.assertEqual(envelope.decode(decoder_of(Ping), body), Ping(clock=2.0))

    def test_what_the_peer_could_not_read_is_not_sent(self) -> None:
        pong, bye = decoder_of(Pong), decoder_of(Bye)
        for message, decoder in (
            (Pong(position="here"), pong),  # type: ignore[arg-type]
            (Bye(code="\ud800"), bye),
            (Bye(code=object()), bye),  # type: ignore[arg-type]
        ):
            self.assertRaises(LocalProtocolError, envelope.encode_body, message, decoder)

    def test_a_line_over_the_limit_is_not_sent(self) -> None:
        room = LINE_LENGTH_MAX - len(b"1 PING ")
        self.assertEqual(len(envelope.request("1", "PING", b"x" * room)), LINE_LENGTH_MAX + 1)
        self.assertRaises(LocalProtocolError, envelope.request, "1", "PING", b"x" * (room + 1))


class RefusalTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        for code in Code:
            line = envelope.no("7", Refusal(code, {"retry_after_s": 3}))
            self.assertIn(WORDS[code].encode(), line)
            parsed = envelope.parse(line[:-1])
            back = envelope.decode_refusal(parsed)
            self.assertEqual((back.code, back.fields), (code, {"retry_after_s": 3}))

    def test_a_code_of_a_newer_release_is_internal(self) -> None:
        back = envelope.decode_refusal(envelope.parse(b"7 NO on-strike {}"))
        self.assertIs(back.code, Code.INTERNAL)

    def test_fields_that_are_not_json(self) -> None:
        self.assertRaises(LocalProtocolError, envelope.no, "7", Refusal(Code.BUSY, {"x": object()}))

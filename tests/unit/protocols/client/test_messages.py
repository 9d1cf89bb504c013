"""The client protocol's machines: the transcript byte by byte, and every bound of its fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from protocols.client import messages
from protocols.client.spec import CLIENT
from protocols.codes import Code
from protocols.machine import Bad, Connection, Occurred, Requested, Side
from protocols.spec import decoder_of
from tests.unit.protocols.builders import hello, welcome

PAGE = Path(__file__).parents[4] / "docs" / "protocols" / "client.md"
ID = "01960a2e-9900-7000-8000-0000000000dd"


def transcripts() -> list[list[str]]:
    """Each conversation of the page, its lines with who says them."""
    found = re.findall(r"```transcript\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [[line for line in text.splitlines() if line[:1] in "CS"] for text in found]


class TranscriptTests(SynchronousTestCase):
    def test_byte_by_byte(self) -> None:
        """What a server makes of a client's lines does not depend on how they arrive."""
        for lines in transcripts():
            said = b"".join(line[3:].encode() + b"\n" for line in lines if line[0] == "C")
            whole = list(self.received([said]))
            pieces = list(self.received(said[i : i + 1] for i in range(len(said))))
            self.assertEqual(pieces, whole)
            self.assertEqual(len(whole), said.count(b"\n"))

    def received(self, pieces: Any) -> Iterator[str]:
        server = Connection(CLIENT, Side.SERVER)
        for piece in pieces:
            for one in server.receive_data(piece):
                yield repr(one)
                if "HelloReceived" in repr(one):
                    server.send_welcome(welcome(version=2))


class BoundTests(SynchronousTestCase):
    def ends(self) -> dict[Side, Connection]:
        ends = {side: Connection(CLIENT, side) for side in Side}
        line = ends[Side.CLIENT].send_hello(hello(role="client", versions=[2]))
        list(ends[Side.SERVER].receive_data(line))
        list(ends[Side.CLIENT].receive_data(ends[Side.SERVER].send_welcome(welcome(version=2))))
        return ends

    def code(self, line: str, side: Side = Side.SERVER) -> Code | None:
        (found,) = self.ends()[side].receive_data(line.encode() + b"\n")
        if isinstance(found, Requested | Occurred):
            return None
        assert isinstance(found, Bad), found
        return found.code

    def test_requests(self) -> None:
        bad, good = Code.BAD_FIELDS, None
        for line, code in (
            ("1 LOGIN {}", good),
            (f'1 LOGIN {{"user":"{"x" * 255}","password":"{"x" * 256}"}}', good),
            (f'1 LOGIN {{"user":"{"x" * 256}"}}', bad),
            (f'1 LOGIN {{"password":"{"x" * 257}"}}', bad),
            (f'1 LOGIN {{"token":"{"x" * 4096}"}}', good),
            (f'1 LOGIN {{"token":"{"x" * 4097}"}}', bad),
            ('1 LOGIN {"token":"a b"}', bad),
            ('1 LOGIN {"token":"a\\n"}', bad),
            ('1 LOGIN {"user":7}', bad),
            ('1 LOGIN {"user":"a\\u0007"}', bad),
            (f'1 ANSWER {{"job":"{ID}","choice":"personal","id":"{ID}"}}', good),
            (f'1 ANSWER {{"job":"{ID}","choice":"both","id":"{ID}"}}', bad),
            (f'1 ANSWER {{"job":"{ID}","choice":"personal"}}', bad),
            (f'1 ANSWER {{"job":"x","choice":"personal","id":"{ID}"}}', bad),
            (f'1 ANSWER {{"job":"{ID}","choice":"shared","id":"{ID}","account":-1}}', bad),
            (f'1 ANSWER {{"job":"{ID}","choice":"shared","id":"{ID}","account":1.5}}', bad),
            (f'1 ANSWER {{"job":"{ID}","choice":"cancel","id":"{ID}","comment":"\\n"}}', bad),
            ('1 ACKNOWLEDGE {"message":"x"}', bad),
            (f'1 ACCOUNTS {{"find":"{"x" * 256}"}}', bad),
            (f'1 JOBS {{"after":"{"x" * 65}"}}', bad),
            ("1 BALANCE {}", good),
            ("1 RELEASE {}", Code.UNKNOWN_VERB),
            ("1 AUTHORIZE {}", Code.UNKNOWN_VERB),
        ):
            self.assertEqual(self.code(line), code, line)

    def test_events_of_a_server(self) -> None:
        """A client believes nothing that is out of bounds, and no event of its own kind."""
        for line, code in (
            ('* STATE {"state":"cut"}', None),
            ('* STATE {"state":"gone"}', Code.BAD_FIELDS),
            ('* BALANCE {"balance_e4":1e99}', Code.BAD_FIELDS),
            ('* QUESTION {"job":"x"}', Code.BAD_FIELDS),
            ('* CONFIG {"printer":1}', Code.UNKNOWN_VERB),
        ):
            self.assertEqual(self.code(line, Side.CLIENT), code, line)
        self.assertEqual(self.code('* STATE {"state":"cut"}'), Code.UNKNOWN_VERB)

    def test_nothing_secret_is_shown(self) -> None:
        login = messages.Login("anna", "correct horse", "abc.def")
        person = messages.Person(7, "anna", "Anna", 0, token="abc.def")
        for message in (login, person):
            self.assertNotIn("horse", repr(message))
            self.assertNotIn("abc.def", repr(message))
        self.assertEqual(decoder_of(messages.Login).decode(msgspec.json.encode(login)), login)

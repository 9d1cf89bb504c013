"""Tests of protocols.site.messages."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from protocols.common import Position
from protocols.machine import Answered, Connection, Occurred, Requested, Side
from protocols.site.messages import (
    Changes,
    Chunk,
    ChunkRows,
    Credit,
    Journal,
    JournalAck,
    Snapshot,
    SnapshotOffer,
    Subscribe,
    Subscribed,
)
from protocols.site.spec import SITE
from protocols.spec import decoder_of
from tests.unit.protocols.builders import JOURNAL, hello, welcome

POSITION = Position(1, 5, "ab" * 32)
ROW = ["user", 7, {"name": "anna", "floor_e4": -(2**60), "full_name": None}]


def pair() -> tuple[Connection, Connection]:
    client, server = Connection(SITE, Side.CLIENT), Connection(SITE, Side.SERVER)
    list(server.receive_data(client.send_hello(hello(role="site", name="north"))))
    list(client.receive_data(server.send_welcome(welcome(replica="resume"))))
    return client, server


class SiteTests(SynchronousTestCase):
    def test_requests_and_answers(self) -> None:
        client, server = pair()
        exchanges: list[tuple[Any, Any]] = [
            (
                Journal(JOURNAL, 4, "00", ['{"kind":"completed"}', "ü"]),
                JournalAck(6, "ff"),
            ),
            (Subscribe(POSITION, 262_144), Subscribed(POSITION)),
            (Snapshot("x"), SnapshotOffer("x", POSITION, 3)),
            (Chunk("x", 2), ChunkRows([ROW, ["user", "k", None]])),
        ]
        for request, answer in exchanges:
            tag, line = client.send_request(request)
            self.assertEqual(list(server.receive_data(line)), [Requested(tag, request)])
            line = server.send_answer(tag, answer)
            self.assertEqual(list(client.receive_data(line)), [Answered(tag, answer)])

    def test_events(self) -> None:
        client, server = pair()
        changes = Changes(4, POSITION, 0, True, [ROW], 1e9)
        self.assertEqual(list(client.receive_data(server.send_event(changes))), [Occurred(changes)])
        self.assertEqual(
            list(server.receive_data(client.send_event(Credit(9)))), [Occurred(Credit(9))]
        )

    def test_a_record_travels_as_the_bytes_it_was_written_as(self) -> None:
        client, server = pair()
        records = ['{"a": 1,  "b":"\\u00fc\\n"}', '{"z":"ü😀","k":1.50}']
        _, line = client.send_request(Journal(JOURNAL, 0, "00", records))
        (asked,) = server.receive_data(line)
        assert isinstance(asked, Requested) and isinstance(asked.message, Journal)
        self.assertEqual(asked.message.records, records)

    def test_bad_values(self) -> None:
        for cls, body in (
            (Journal, {"stream": "x", "after": 0, "chain": "", "records": []}),
            (Journal, {"stream": JOURNAL, "after": -1, "chain": "", "records": []}),
            (Journal, {"stream": JOURNAL, "after": 0, "chain": "", "records": [{}]}),
            (Journal, {"stream": JOURNAL, "after": 0, "chain": "", "records": [""] * 501}),
            (JournalAck, {"number": -1, "chain": ""}),
            (Subscribe, {"position": None, "credit_bytes": 1}),
            (Credit, {"bytes": -1}),
            (Credit, {"bytes": 2**40}),
            (Chunk, {"snapshot": "x", "index": -1}),
        ):
            self.assertRaises(
                msgspec.ValidationError, decoder_of(cls).decode, msgspec.json.encode(body)
            )

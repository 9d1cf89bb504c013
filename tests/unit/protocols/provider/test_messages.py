"""Tests of protocols.provider.messages and of the values it shares."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from protocols.common import (
    AMOUNT_MAX_E4,
    Decision,
    Document,
    Key,
    PageGroup,
    Position,
    PriceLine,
)
from protocols.errors import LocalProtocolError
from protocols.handshake import Hello, Mark, choose_version
from protocols.machine import Requested, Side
from protocols.provider.messages import (
    Adopt,
    AdoptKey,
    Authorize,
    Bye,
    Cancel,
    Complete,
    Config,
    Open,
    Ping,
    PrinterSetting,
    Receipt,
    Relay,
    ServerAddress,
)
from protocols.provider.spec import PROVIDER
from protocols.spec import decoder_of, tables_of
from tests.unit.protocols.builders import JOB, authorize, decision, hello, ready_pair, welcome

POSITION = Position(1, 5, "ab" * 32)
COMPLETE = Complete(JOB, "submit-1", 4, "anna", Document(groups=[]), decision(), 3)
MESSAGES: list[Any] = [
    hello(position=POSITION, capabilities=["x"]),
    welcome(seen=Mark(4, "00"), replica="resume"),
    authorize(account=9, hedged=True, title="Grüße 😀", host="ws-1"),
    COMPLETE,
    attrs.evolve(COMPLETE, decision=None, pages=None, outcome="aborted", assumed=True),
    decision(lines=[PriceLine("A4", 10**11, AMOUNT_MAX_E4)], user=None, account=None),
    Cancel(JOB, "run-999999", "superseded"),
    Open(0, True, [Key(JOB, "release-2")] * 500),
    Ping(1.5, POSITION),
    Relay(COMPLETE, "print1"),
    Receipt("journalled", -5, 0),
    Config([PrinterSetting(1, "a", "b")], [ServerAddress("site", "n", "h", 9195)], 4),
    Adopt("x", [AdoptKey("a", "b")], False),
    Bye("busy", 3600.0),
]


class RoundTripTests(SynchronousTestCase):
    def test_every_message(self) -> None:
        for message in MESSAGES:
            body = msgspec.json.encode(message)
            self.assertEqual(msgspec.json.decode(body, type=type(message)), message)
            self.assertNotIn(b"\n", body)

    @settings(max_examples=60, deadline=None)
    @given(
        st.text(max_size=255, alphabet=st.characters(exclude_categories=("Cc", "Cs"))),
        st.lists(
            st.builds(PageGroup, st.sampled_from(["A4", "A3"]), st.integers(5, 1000)), max_size=5
        ),
        st.booleans(),
    )
    def test_any_job(self, user_name: str, groups: list[PageGroup], duplex: bool) -> None:
        client, server = ready_pair()
        asked = authorize(user_name=user_name, document=Document(groups=groups, duplex=duplex))
        tag, line = client.send_request(asked)
        self.assertEqual(list(server.receive_data(line)), [Requested(tag, asked)])

    def test_the_largest_page_of_keys_fits_a_line(self) -> None:
        client, _ = ready_pair()
        client.send_request(Open(0, False, [Key(JOB, "release-999999")] * 500))


class BoundsTests(SynchronousTestCase):
    def refused(self, cls: type, message: Any, **fields: Any) -> None:
        body = msgspec.to_builtins(message) | fields
        self.assertRaises(
            msgspec.ValidationError, decoder_of(cls).decode, msgspec.json.encode(body)
        )

    def test_bad_values(self) -> None:
        asked = authorize()
        fields: dict[str, Any]
        for fields in (
            {"job": "x"},
            {"job": JOB.upper()},
            {"job": JOB + "\n"},
            {"step": "submit-0"},
            {"step": "submit-01"},
            {"step": "print-1"},
            {"printer": -1},
            {"printer": 2**53},
            {"printer": 1.5},
            {"user_name": "x" * 256},
            {"user_name": "a\nb"},
            {"title": "\x7f"},
            {"account": -1},
            {"submitted_at": 1e13},
            {"document": None},
            {"document": {"groups": [{"paper": "A4", "pages": 1, "colour": 2}]}},
            {"document": {"groups": [{"paper": "A4", "pages": -1}]}},
            {"document": {"groups": [], "copies": 0}},
            {"document": {"groups": [{"paper": "A4", "pages": 1}] * 65}},
        ):
            self.refused(Authorize, asked, **fields)
        for fields in (
            {"verdict": "Perhaps!"},
            {"user": -1},
            {"account": 2**60},
            {"lines": [{"what": "x", "quantity": 1, "unit_e4": -1}]},
            {"lines": [{"what": "x", "quantity": 1, "unit_e4": 10**15}]},
            {"price_version": -1},
        ):
            self.refused(Decision, decision(), **fields)
        self.refused(Open, Open(0, True, []), keys=[{"job": JOB, "step": "run-1"}] * 501)
        self.refused(Bye, Bye("busy"), retry_after_s=-1)
        self.refused(Hello, hello(), role="printer")
        self.refused(Hello, hello(), versions=list(range(17)))
        self.refused(Complete, COMPLETE, pages=-1)
        self.refused(Cancel, Cancel(JOB, "run-1"), reason="bored")

    def test_they_hold_for_what_is_sent_too(self) -> None:
        client, _ = ready_pair()
        self.assertRaises(LocalProtocolError, client.send_request, authorize(printer=-1))
        self.assertRaises(LocalProtocolError, client.send_request, authorize(hedged=5))


class VersionTests(SynchronousTestCase):
    def test_the_highest_of_both(self) -> None:
        self.assertEqual(choose_version([1, 2, 3], (2, 3, 4)), 3)
        self.assertEqual(choose_version([1]), 1)
        self.assertEqual(choose_version([2, 3]), 2)
        self.assertIsNone(choose_version([3, 4]))
        self.assertIsNone(choose_version([]))


class SpecTests(SynchronousTestCase):
    def test_the_two_sides_agree(self) -> None:
        client, server = tables_of(PROVIDER, Side.CLIENT), tables_of(PROVIDER, Side.SERVER)
        self.assertEqual(
            {out.word for out in client.requests_out.values()}, set(server.requests_in)
        )
        self.assertEqual({out.word for out in client.events_out.values()}, set(server.events_in))
        self.assertEqual({out.word for out in server.events_out.values()}, set(client.events_in))
        self.assertEqual((client.requests_in, server.requests_out), ({}, {}))
        self.assertIs(tables_of(PROVIDER, Side.CLIENT), client)

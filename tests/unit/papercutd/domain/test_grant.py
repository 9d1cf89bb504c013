"""Grants: sealed by servers, kept by devices, and nothing else is believed."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.document import RUN_FORMATS, Document, PageGroup
from papercutd.domain.grant import SEALED_MAX, Grant, decode_grant, encode_grant, seal, unseal
from papercutd.domain.job import Request
from papercutd.domain.pricing import PriceLine
from papercutd.errors import Rejected
from tests.support.stores import job_id

KEY = "5" * 64


def make(name: str = "anna", pages: int = 10, owner: str = "device:desk") -> Grant:
    document = Document((PageGroup("A4", pages),), format=RUN_FORMATS["copy"])
    request = Request(job_id(1), "run-1", owner, 4, name, document, title="Copy", host="desk")
    lines = (PriceLine("A4 grey", pages, 500),)
    decision = Decision(Verdict.ALLOW, Reason.NONE, "application", 7, 9, 4, 1, lines, "1.12")
    return Grant(request, decision)


class GrantTests(SynchronousTestCase):
    def refused(self, sealed: str, key: str = KEY) -> None:
        caught = self.assertRaises(Rejected, unseal, sealed, key)
        self.assertEqual(caught.code, "bad-grant")

    @given(st.text(max_size=255), st.integers(1, 100_000))
    def test_round_trip(self, name: str, pages: int) -> None:
        grant = make(name, pages)
        sealed = seal(grant, KEY)
        self.assertEqual(unseal(sealed, KEY), grant)
        self.assertLessEqual(len(sealed), SEALED_MAX)
        self.assertEqual(decode_grant(encode_grant(grant)), grant)

    def test_the_longest_fits(self) -> None:
        sealed = seal(make("\N{GRINNING FACE}" * 255), KEY)
        self.assertLessEqual(len(sealed), SEALED_MAX)

    @given(st.data())
    def test_no_character_can_be_changed(self, data: st.DataObject) -> None:
        sealed = seal(make(), KEY)
        at = data.draw(st.integers(0, len(sealed) - 1))
        other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != sealed[at]))
        self.refused(sealed[:at] + other + sealed[at + 1 :])

    @given(st.text(max_size=200))
    def test_anything_else_is_refused(self, text: str) -> None:
        self.refused(text)

    def test_another_installation(self) -> None:
        self.refused(seal(make(), "6" * 64))

    def test_cut_off_or_with_more(self) -> None:
        sealed = seal(make(), KEY)
        for changed in (sealed[:-4], sealed + "AAAA", sealed[:64], "", sealed[64:]):
            self.refused(changed)

    def test_what_is_no_grant_of_a_device(self) -> None:
        self.refused(seal(make(owner="print1"), KEY))
        body = base64.urlsafe_b64encode(b'{"request":1}').decode()
        self.refused("0" * 64 + body)

    def test_its_completion(self) -> None:
        done = make().complete(12, "completed", 5.0)
        self.assertEqual(
            (done.pages, done.outcome, done.provider), (12, "completed", "device:desk")
        )
        self.assertEqual(
            (done.key, done.host, done.completed_at), (f"{job_id(1)}/run-1", "desk", 5.0)
        )
        nothing = make().complete(0, "completed", 5.0)
        self.assertEqual((nothing.pages, nothing.outcome), (0, "canceled"))

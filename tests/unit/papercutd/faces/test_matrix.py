"""Role by verb by object: what each role may do to whose objects, enumerated in full."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import Rejected
from papercutd.faces.links import LINKS, VERBS
from tests.support.stores import Branch, Centre, Turner, completion, request

PROVIDER_VERBS = {"AUTHORIZE", "COMPLETE", "CANCEL", "OPEN", "PING", "RELAY"} | {"HELD", "RELEASED"}
SITE_VERBS = {"AUTHORIZE", "OPEN", "JOURNAL", "SUBSCRIBE", "SNAPSHOT", "CHUNK", "RELAY", "PING"}


class VerbTests(SynchronousTestCase):
    def test_role_by_verb(self) -> None:
        words = {cls: cls.VERB for cls in LINKS.client_requests}  # type: ignore[attr-defined]
        allowed = {(role, words[cls]) for role in VERBS for cls in words if cls in VERBS[role]}
        expected = {("provider", verb) for verb in PROVIDER_VERBS}
        expected |= {("site", verb) for verb in SITE_VERBS}
        self.assertEqual(allowed, expected)


class ObjectTests(SynchronousTestCase):
    """Every role by every verb that names an object, by whose object it is."""

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        self.centre.user()
        self.branch = Branch(self.turner)
        self.askers = {
            "provider": self.centre.provider("p1"),
            "site": self.centre.site(self.branch.stream),
        }
        self.other = self.centre.provider("p2")

    def outcome(self, deferred: Any) -> str:
        try:
            self.turner.result(deferred)
        except Rejected as error:
            return error.code
        return "ok"

    def owned(self, number: int, whose: str) -> Any:
        name, printer = {"own": ("p1", 1), "foreign": ("p2", 2)}[whose]
        return request(number, provider=name, printer=printer)

    def test_authorize(self) -> None:
        expected = {"own": "ok", "foreign": "not-yours"}
        for number, role in enumerate(self.askers):
            for whose, code in expected.items():
                asked = self.owned(10 * number + len(whose), whose)
                # A provider's own name is put in by the face: it cannot even say another's.
                if role == "provider" and whose == "foreign":
                    asked = request(10 * number + 5, provider="p1", printer=2)
                found = self.outcome(self.centre.store.authorize(self.askers[role], asked))
                self.assertEqual(found, code, (role, whose))

    def test_complete(self) -> None:
        for number, role in enumerate(self.askers):
            for whose, code in {"own": "ok", "foreign": "not-yours"}.items():
                asked = self.owned(100 + 10 * number + len(whose), whose)
                if role == "provider" and whose == "foreign":
                    asked = request(100 + 10 * number + 5, provider="p1", printer=2)
                done = completion(asked, None)
                found = self.outcome(self.centre.store.complete(self.askers[role], done))
                self.assertEqual(found, code, (role, whose))

    def test_cancel(self) -> None:
        asked = request(200, provider="p2", printer=2)
        self.turner.result(self.centre.store.authorize(self.other, asked))
        cancel = self.centre.store.cancel(self.askers["provider"], asked.key, "canceled")
        self.assertEqual(self.outcome(cancel), "not-yours")
        # A site's word ends its own hold only, and it has none.
        self.outcome(self.centre.store.cancel(self.askers["site"], asked.key, "canceled"))
        self.assertEqual(self.centre.account()["pending_e4"], 500)

    def test_open_ends_own_holds_only(self) -> None:
        asked = request(300, provider="p2", printer=2)
        self.turner.result(self.centre.store.authorize(self.other, asked))
        for role, name in (("provider", "p1"), ("site", "north")):
            asker = (
                self.centre.provider(name)
                if role == "provider"
                else self.centre.site(self.branch.stream)
            )
            self.turner.result(self.centre.store.open_keys(asker, []))
        self.assertEqual(self.centre.account()["pending_e4"], 500)

    def test_journal_of_anothers_stream(self) -> None:
        south = Branch(self.turner, "south")
        self.centre.site(south.stream, "south")
        north = self.askers["site"]
        apply = self.centre.store.apply_journal(north, south.stream, 0, "00" * 32, ["{}"])
        self.assertEqual(self.outcome(apply), "new-stream")

    def test_journal_of_anothers_provider_is_parked(self) -> None:
        from papercutd.domain.chain import CHAIN_START
        from papercutd.storage.records import Record, encode_record

        done = completion(request(400, provider="p2", printer=2), None)
        body = encode_record(Record("completed", done.key, "", 0.0, done))
        self.turner.result(
            self.centre.store.apply_journal(
                self.askers["site"], self.branch.stream, 0, CHAIN_START, [body]
            )
        )
        self.assertEqual(self.centre.account()["debits_e4"], 0)
        self.assertEqual(self.centre.listed(), ["parked"])

    def test_sites_never_credit(self) -> None:
        from attrs import evolve

        from papercutd.domain.chain import CHAIN_START
        from papercutd.domain.pricing import PriceLine
        from papercutd.storage.records import Record, encode_record

        asked = request(500, 10)
        decision = self.turner.result(self.centre.store.authorize(self.askers["site"], asked))
        for unit in (-500, 10**9):
            bad = evolve(
                decision, decider=self.branch.stream, lines=(PriceLine("A4 grey", 10, unit),)
            )
            done = completion(evolve(asked, step=f"submit-{abs(unit)}"), bad)
            body = encode_record(Record("completed", done.key, "", 0.0, done))
            before = self.centre.account()["debits_e4"]
            (stream,) = self.centre.query("SELECT number, chain FROM stream")
            self.turner.result(
                self.centre.store.apply_journal(
                    self.askers["site"], self.branch.stream, *(stream or (0, CHAIN_START)), [body]
                )
            )
            self.assertEqual(self.centre.account()["debits_e4"], before)
        self.assertEqual(self.centre.listed(), ["parked", "parked"])

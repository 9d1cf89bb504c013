"""Role by verb by object: what each role may do to whose objects, enumerated in full."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import CHAIN_START, MARK_START
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion, Request, SessionRef
from papercutd.domain.pricing import PriceLine
from papercutd.errors import InvalidValue, Rejected
from papercutd.faces.links import LINKS, VERBS
from papercutd.storage.replication.records import Record, encode_record
from protocols.device import messages as device
from protocols.device.spec import DEVICE
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request

PROVIDER_VERBS = {"AUTHORIZE", "COMPLETE", "CANCEL", "OPEN", "PING", "RELAY"} | {"HELD", "RELEASED"}
DEVICE_VERBS = {"LOGIN", "LINK", "LOGOUT", "ACCOUNTS", "JOBS", "RELEASE", "DISCARD"}
DEVICE_VERBS |= {"REDEEM", "RUN", "PAGES", "FINISH", "OPEN", "PING"}
SITE_VERBS = {"AUTHORIZE", "OPEN", "JOURNAL", "SUBSCRIBE", "SNAPSHOT", "CHUNK", "RELAY", "PING"} | {
    *("DIGESTS", "RESEND", "RETURN", "PARKED", "SHARED")
}


class VerbTests(SynchronousTestCase):
    def test_role_by_verb(self) -> None:
        words = {cls: cls.VERB for cls in LINKS.client_requests}  # type: ignore[attr-defined]
        allowed = {(role, words[cls]) for role in VERBS for cls in words if cls in VERBS[role]}
        expected = {("provider", verb) for verb in PROVIDER_VERBS}
        expected |= {("site", verb) for verb in SITE_VERBS}
        self.assertEqual(allowed, expected)

    def test_a_device_has_its_own_port_and_verbs(self) -> None:
        words = {cls.VERB for cls in DEVICE.client_requests}  # type: ignore[attr-defined]
        self.assertEqual(words, DEVICE_VERBS)
        self.assertEqual(set(device.REQUESTS), set(DEVICE.client_requests))
        # Nor does its certificate open the port of providers and sites.
        self.assertNotIn("device", VERBS)


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
        asked = request(500, 10)
        decision = self.turner.result(self.centre.store.authorize(self.askers["site"], asked))
        for unit in (-500, 10**9):
            bad = attrs.evolve(
                decision, decider=self.branch.stream, lines=(PriceLine("A4 grey", 10, unit),)
            )
            done = completion(attrs.evolve(asked, step=f"submit-{abs(unit)}"), bad)
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


class DeviceObjectTests(SynchronousTestCase):
    """Who may do what to whose run: ``desk`` stands at north beside p1, ``lobby`` at south."""

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        self.centre.user()
        result = self.turner.result
        result(self.centre.store.add_device("desk", "lp1", "north"))
        result(self.centre.store.add_device("lobby", "lp2", "south"))
        result(self.centre.store.add_device("hall", "lp1", "north"))
        self.branch = Branch(self.turner)
        self.branch.load_snapshot(self.centre)
        self.north = self.centre.site(self.branch.stream)
        self.numbers = iter(range(1, 1_000))

    def store(self, where: str) -> Any:
        return self.centre.store if where == "application" else self.branch.store

    def asker(self, role: str, where: str) -> SessionRef:
        """A session of desk, hall, p1 or, at the application server, north."""
        if role == "site":
            return self.north
        if role == "provider":
            return (self.centre if where == "application" else self.branch).provider("p1")
        begin = self.store(where).begin_device(role, job_id(0xD0), MARK_START, "")
        seen = self.turner.result(begin)
        return SessionRef("device", role, job_id(0xD0), seen.session)

    def outcome(self, asked: Any) -> str:
        try:
            if isinstance(asked, Deferred):
                self.turner.result(asked)
            else:
                self.turner.run(asked)
        except Rejected as error:
            return error.code
        return "ok"

    def run_of(self, owner: str, printer: int, step: str = "run-1") -> Request:
        document = Document((PageGroup("A4", 2, 0),), format="copy")
        number = next(self.numbers)
        return attrs.evolve(
            request(number, provider=owner, printer=printer, step=step), document=document
        )

    def ask(self, where: str, role: str, asked: Request) -> str:
        store, asker = self.store(where), self.asker(role, where)
        if where == "application":
            return self.outcome(store.authorize(asker, asked))
        return self.outcome(store.decide(asker, asked))

    def test_authorize(self) -> None:
        """Owner of what is asked, its printer, its step; and who may ask it where."""
        for role, owner, printer, step, at_application, at_site in (
            ("desk", "device:desk", 1, "run-1", "ok", "ok"),
            # Its printer is the one that it stands at.
            ("desk", "device:desk", 2, "run-1", "not-yours", "not-yours"),
            ("desk", "device:desk", 99, "run-1", "unknown-printer", "unknown-printer"),
            # Devices run, print providers submit and release.
            ("desk", "device:desk", 1, "submit-1", "bad-fields", "bad-fields"),
            ("desk", "device:desk", 1, "release-1", "bad-fields", "bad-fields"),
            ("provider", "p1", 1, "run-1", "bad-fields", "bad-fields"),
            # A site speaks for what stands there.
            ("site", "device:desk", 1, "run-1", "ok", None),
            ("site", "device:lobby", 2, "run-1", "not-yours", None),
            ("site", "device:nobody", 1, "run-1", "not-yours", None),
            ("site", "device:desk", 1, "submit-1", "bad-fields", None),
            ("site", "p1", 1, "run-1", "bad-fields", None),
        ):
            for where, code in (("application", at_application), ("site", at_site)):
                if code is not None:
                    found = self.ask(where, role, self.run_of(owner, printer, step))
                    self.assertEqual(found, code, (where, role, owner, printer, step))

    def test_of_another(self) -> None:
        """A run that is open: asked for, completed or canceled by somebody else."""
        for where in ("application", "site"):
            asked = self.run_of("device:desk", 1)
            self.assertEqual(self.ask(where, "desk", asked), "ok")
            store = self.store(where)
            for role, name, step in (
                ("hall", "device:hall", "run-1"),
                ("hall", "device:hall", "run-2"),
                ("provider", "p1", "submit-1"),
            ):
                theirs = attrs.evolve(asked, provider=name, step=step)
                told = completion(theirs, None, 2)
                context = (where, role, step)
                self.assertEqual(self.ask(where, role, theirs), "not-yours", context)
                asker = self.asker(role, where)
                code = self.outcome(store.complete(asker, told))
                self.assertIn(code, ("not-yours", "not-allowed"), context)
                self.outcome(store.open_keys(asker, []))
                if role == "provider":
                    canceling = store.cancel(asker, asked.key, "canceled")
                    self.assertEqual(self.outcome(canceling), "not-yours", context)
            # It is as it was.
            self.assertEqual(self.ask(where, "desk", asked), "ok")
        self.assertEqual(self.centre.account()["pending_e4"], 1_000)
        self.assertEqual(self.centre.account()["debits_e4"], 0)

    def test_a_provider_that_names_a_run(self) -> None:
        """Of its own job too: a run's pages are the device's word, and are not bounded."""
        for where in ("application", "site"):
            asker = self.asker("provider", where)
            asked = request(next(self.numbers), provider="p1", printer=1)
            if where == "application":
                authorize = self.centre.store.authorize(asker, asked)
            else:
                authorize = self.branch.store.decide(asker, asked)
            decision = self.turner.result(authorize)
            run = attrs.evolve(asked, step="run-1")
            for decided in (decision, None):
                told = completion(run, decided, 500)
                found = self.outcome(self.store(where).complete(asker, told))
                self.assertEqual(found, "bad-fields", (where, decided))
        self.assertEqual(self.centre.account()["debits_e4"], 0)

    def test_a_site_that_relays(self) -> None:
        for owner, printer, step, code in (
            ("device:desk", 1, "run-1", "ok"),
            ("device:lobby", 2, "run-1", "not-yours"),
            ("device:nobody", 1, "run-1", "not-yours"),
            ("device:desk", 1, "submit-1", "bad-fields"),
            ("p1", 1, "run-1", "bad-fields"),
        ):
            told = self._told(owner, printer, step)
            found = self.outcome(self.centre.store.complete(self.north, told))
            self.assertEqual(found, code, (owner, step))
        self.assertEqual(self.centre.account()["debits_e4"], 1_000)

    def test_a_site_that_journals(self) -> None:
        """What it may not say is parked, and what comes behind it goes on."""
        bodies = [
            encode_record(Record("completed", told.key, "", 0.0, told))
            for told in (
                self._told("device:lobby", 2, "run-1"),
                self._told("device:nobody", 1, "run-1"),
                self._told("p1", 1, "run-1"),
                self._told("device:desk", 1, "submit-1"),
                self._told("device:desk", 1, "run-1"),
            )
        ]
        store = self.centre.store
        self.turner.result(
            store.apply_journal(self.north, self.branch.stream, 0, CHAIN_START, bodies)
        )
        self.assertEqual(self.centre.query("SELECT COUNT(*) FROM parked"), [(4,)])
        self.assertEqual(self.centre.account()["debits_e4"], 1_000)
        self.assertEqual(self.turner.result(store.verify()), [])

    def _told(self, owner: str, printer: int, step: str) -> Completion:
        """A run or job that nobody asked here for, with the site's own decision."""
        asked = self.run_of(owner, printer, step)
        decision = self.turner.result(
            self.centre.store.authorize(self.asker("desk", "application"), self._like(asked))
        )
        return completion(asked, attrs.evolve(decision, decider=self.branch.stream), 2)

    def _like(self, asked: Request) -> Request:
        like = self.run_of("device:desk", 1)
        return attrs.evolve(like, document=asked.document)

    def test_a_provider_called_like_a_device(self) -> None:
        for name in ("device:desk", "site:north"):
            adding = self.centre.store.add_provider(name, None)
            self.turner.settle()
            self.failureResultOf(adding, InvalidValue)

    def test_a_device_at_servers_that_are_not_its_own(self) -> None:
        for name in ("lobby", "nobody", "p1"):
            begin = self.branch.store.begin_device(name, job_id(0xD0), MARK_START, "")
            self.assertEqual(self.outcome(begin), "not-yours", name)
        for name in ("nobody", "p1"):
            begin = self.centre.store.begin_device(name, job_id(0xD0), MARK_START, "")
            self.assertEqual(self.outcome(begin), "not-yours", name)

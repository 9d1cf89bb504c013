"""What a site may not forward: forged, edited, replayed, reordered and foreign records.

Each is refused by a code, or parked: kept as it came, counted and shown in the statement.
The honest records before and behind it land, and nobody is ever credited.
"""

from __future__ import annotations

import json
from typing import Any

import attrs

from papercutd.domain.chain import CHAIN_START, Mark, next_chain
from papercutd.domain.decision import APPLICATION, Decision, Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import SessionRef
from papercutd.domain.pricing import PriceLine
from papercutd.errors import InvalidValue, Rejected
from papercutd.storage.replication.records import (
    ALLOWANCE,
    CANCELED,
    COMPLETED,
    REFUSED,
    SUPERSEDED,
    Record,
    Total,
    encode_record,
)
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import PRICES, Centre, Turner, completion, job_id, request

STREAM = job_id(0x51)
OTHER_STREAM = job_id(0x52)


class _Forwarded:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.anna = self.centre.user()
        (found,) = self.centre.query("SELECT id FROM account WHERE name = 'anna'")
        self.account = found[0]
        self.site = self.centre.site(STREAM)
        self.mark = Mark(0, CHAIN_START)
        self.numbers = iter(range(1_000, 2_000))
        self.honest = 0

    def tearDown(self) -> None:
        """The books add up, honest records are charged once each, and nobody got anything."""
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])
        count = "SELECT COUNT(*) FROM charge WHERE key >= ? AND key < ?"
        between = (f"{job_id(1_000)}/", f"{job_id(2_000)}/")
        self.assertEqual(self.centre.query(count, *between), [(self.honest,)])
        credited = self.centre.query(
            "SELECT COALESCE(SUM(amount_e4), 0) FROM transfer WHERE who LIKE 'site:%'"
            " AND kind IN ('direct', 'post') AND credit <> 1"
        )
        self.assertEqual(credited, [(0,)])

    def decision(self, count: int = 1, **fields: Any) -> Decision:
        """The site's own answer, as an honest one would give it."""
        made = Decision(
            verdict=Verdict.ALLOW,
            reason=Reason.NONE,
            decider=STREAM,
            user=self.anna,
            account=self.account,
            printer=1,
            price_version=1,
            lines=(PriceLine("A4 grey", count, 500),),
        )
        return attrs.evolve(made, **fields)

    def record(self, number: int, count: int = 1, decision: Any = True, **fields: Any) -> str:
        """A completed job of p1, by the site's own decision."""
        done = completion(
            request(number, count), self.decision(count) if decision is True else decision
        )
        done = attrs.evolve(done, **fields)
        return encode_record(Record(COMPLETED, done.key, "1.1", 0.0, done))

    def honest_record(self) -> str:
        self.honest += 1
        return self.record(next(self.numbers))

    def apply(
        self,
        bodies: list[str],
        after: Mark | None = None,
        stream: str = STREAM,
        asker: SessionRef | None = None,
    ) -> Mark:
        at = after or self.mark
        asked = self.centre.store.apply_journal(
            asker or self.site, stream, at.number, at.chain, bodies
        )
        return self.turner.result(asked)

    def forward(self, *bodies: str) -> None:
        """Between two honest records."""
        before, behind = self.honest_record(), self.honest_record()
        self.mark = self.apply([before, *bodies, behind])

    def refused(self, code: str, *args: Any, **fields: Any) -> None:
        before = self.centre.query("SELECT id, number, chain, state FROM stream ORDER BY id")
        with self.assertRaises(Rejected) as caught:
            self.apply(*args, **fields)
        self.assertEqual(caught.exception.code, code)
        found = self.centre.query("SELECT id, number, chain, state FROM stream ORDER BY id")
        self.assertEqual(found, before)

    def parked(self, *bodies: str) -> list[str]:
        """Why each of them was parked: as it came, and shown."""
        known = {row[0] for row in self.centre.query("SELECT number FROM parked")}
        shown = self.centre.listed().count("parked")
        debits_e4 = self.centre.account()["debits_e4"]
        honest = self.honest
        self.forward(*bodies)
        rows = self.centre.query("SELECT number, body, reason FROM parked ORDER BY number")
        new = [row for row in rows if row[0] not in known]
        self.assertEqual([row[1] for row in new], list(bodies))
        self.assertEqual(self.centre.listed().count("parked"), shown + len(bodies))
        charged_e4 = self.centre.account()["debits_e4"] - debits_e4
        self.assertEqual(charged_e4, 500 * (self.honest - honest))
        return [row[2] for row in new]

    def edited(self, body: str, *path: str | int, value: Any) -> str:
        """``body`` with another value at ``path``."""
        record = json.loads(body)
        inner = record
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        return json.dumps(record)


class ChainContract(_Forwarded):
    """Records that are not the next ones of this stream."""

    def test_edited_after_it_was_acknowledged(self) -> None:
        """A fork: an old record again, changed, with new ones behind it."""
        first = self.honest_record()
        self.mark = self.apply([first])
        forged = self.record(1, 3)
        self.refused("chain", [forged, self.record(2)], Mark(0, CHAIN_START))
        chain = next_chain(CHAIN_START, forged.encode())
        self.refused("chain", [self.record(2)], Mark(1, chain))
        self.forward()

    def test_replayed(self) -> None:
        """The same records again: the mark as it stands, nothing twice."""
        bodies = [self.honest_record() for _ in range(3)]
        self.mark = self.apply(bodies)
        debits_e4 = self.centre.account()["debits_e4"]
        self.assertEqual(self.apply(bodies, Mark(0, CHAIN_START)), self.mark)
        self.assertEqual(self.apply(bodies[:2], Mark(0, CHAIN_START)), self.mark)
        # And as new ones behind: the key was charged, whatever the record's number.
        self.mark = self.apply(bodies)
        self.assertEqual(self.centre.account()["debits_e4"], debits_e4)

    def test_reordered_and_missing(self) -> None:
        first, second = self.honest_record(), self.honest_record()
        chain = next_chain(CHAIN_START, first.encode())
        self.refused("gap", [second], Mark(1, chain))
        self.mark = self.apply([first])
        self.refused("chain", [first], Mark(1, CHAIN_START))
        self.refused("gap", [second], Mark(7, chain))
        self.mark = self.apply([second])

    def test_a_chain_that_is_none(self) -> None:
        self.mark = self.apply([self.honest_record(), self.honest_record()])
        for chain in ("", "zz" * 32, "00", "é" * 64, "0" * 63 + "G", "00" * 33):
            for after in (0, 1, 2):
                self.refused("chain", [self.record(1)] * 3, Mark(after, chain))
        self.forward()

    def test_anothers_stream(self) -> None:
        south = self.centre.site(OTHER_STREAM, "south")
        self.refused("new-stream", [self.record(1)], Mark(0, CHAIN_START), OTHER_STREAM)
        self.refused("new-stream", [self.record(1)], Mark(0, CHAIN_START), STREAM, south)
        self.refused("new-stream", [self.record(1)], Mark(0, CHAIN_START), job_id(0x99))
        self.forward()

    def test_two_with_one_identity(self) -> None:
        """A copied site: its stream is frozen, the old session sends in vain."""
        self.mark = self.apply([self.honest_record()])
        self.centre.site(job_id(0x53))
        self.refused("stale-session", [self.record(1)])
        self.assertIn("stream-replaced", self.centre.listed())
        for mark in (self.mark, Mark(9, "11" * 32)):
            with self.assertRaises(Rejected) as caught:
                self.turner.result(self.centre.store.begin_site("north", STREAM, mark, None, ""))
            # It was replaced: neither the stream nor its journal counts any more.
            self.assertIn(caught.exception.code, ("new-stream", "journal-behind"))

    def test_a_fork_at_the_handshake(self) -> None:
        self.mark = self.apply([self.honest_record(), self.honest_record()])
        for mark in (Mark(1, "11" * 32), Mark(2, "11" * 32), Mark(0, CHAIN_START)):
            with self.assertRaises(Rejected) as caught:
                self.turner.result(self.centre.store.begin_site("north", STREAM, mark, None, ""))
            self.assertIn(caught.exception.code, ("new-stream", "journal-behind"))


class ForeignContract(_Forwarded):
    """Records about what is not the site's."""

    def test_anothers_provider(self) -> None:
        whys = self.parked(
            *(self.record(n, provider=name, printer=2) for n, name in enumerate(("p2", "p9", ""))),
            self.record(7, provider="device:lobby"),
        )
        self.assertEqual({why.partition(": ")[2] for why in whys}, {"not-yours"})

    def test_anothers_printer(self) -> None:
        (why,) = self.parked(self.record(1, printer=2))
        self.assertIn("not-yours", why)

    def test_anothers_job(self) -> None:
        """A job that the other site's provider asked for: neither its price nor its end."""
        asker = self.centre.provider("p2")
        asked = request(1, provider="p2", printer=2)
        self.turner.result(self.centre.store.authorize(asker, asked))
        (why,) = self.parked(self.record(1, 50))
        self.assertIn("not-yours", why)
        self.assertEqual(self.centre.account()["pending_e4"], 500)
        for kind in (CANCELED, SUPERSEDED):
            theirs = Record(kind, asked.key, "", 0.0, None, asked, self.decision())
            self.parked(encode_record(theirs))
            # Without its request it says nothing of another's hold.
            self.forward(encode_record(attrs.evolve(theirs, request=None, decision=None)))
        refused = Record(REFUSED, asked.key, "", 0.0, None, asked, self.decision())
        self.parked(encode_record(refused))
        self.assertEqual(self.centre.account()["pending_e4"], 500)

    def test_accounts_that_there_are_not(self) -> None:
        """Nor those of the installation itself."""
        for account in (1, 2, 3, 2**64):
            (why,) = self.parked(self.record(1, decision=self.decision(account=account)))
            self.assertTrue(why)
        for number, account in enumerate((10**6, -1, 2**62), 1):
            # It may have been lost in a restore: the paper is charged to nobody, and listed.
            self.forward(self.record(number, decision=self.decision(account=account)))
            self.assertEqual(self.centre.listed().count("uncollected"), number)

    def test_users_that_there_are_not(self) -> None:
        """Their paper is charged to nobody, and listed: it came out all the same."""
        self.forward(self.record(1, decision=None, user_name="nobody"))
        self.assertEqual(self.centre.listed().count("uncollected"), 1)

    def test_links_of_others(self) -> None:
        for key in ("provider:p2", "device:lobby", "site:south", "site:north", "x"):
            self.parked(encode_record(Record("link-down", key, "", 0.0)))

    def test_kinds_that_there_are_not(self) -> None:
        for kind in ("credit", "refund", "top-up", "transfer", "", "COMPLETED"):
            self.parked(self.edited(self.record(1), "kind", value=kind))

    def test_records_without_what_their_kind_needs(self) -> None:
        for kind in (COMPLETED, REFUSED):
            self.parked(encode_record(Record(kind, f"{job_id(1)}/submit-1", "", 0.0)))


class AmountContract(_Forwarded):
    """Prices and amounts that a site cannot give."""

    def test_negative(self) -> None:
        for lines in (
            (PriceLine("A4 grey", 1, -500),),
            (PriceLine("A4 grey", -1, 500),),
            (PriceLine("A4 grey", -3, -500),),
            (PriceLine("A4 grey", 1, 500), PriceLine("A4 colour", -1, 2000)),
        ):
            (why,) = self.parked(self.record(1, decision=self.decision(lines=lines)))
            self.assertIn("bad-fields", why)

    def test_negative_counts(self) -> None:
        """Of a document that nobody analysed the printer's count is what is charged."""
        blind = Document((), analysed=False)
        for fields in (
            {"document": blind, "pages": -100},
            {"document": Document((PageGroup("A4", -100),)), "decision": None},
            {"document": Document((PageGroup("A4", 1, 3),)), "decision": None},
            {"document": Document((PageGroup("A4", 1),), copies=-5), "decision": None},
        ):
            (why,) = self.parked(self.record(1, **fields))
            self.assertIn("bad-fields", why, fields)

    def test_beyond_every_bound(self) -> None:
        for fields in (
            {"document": Document((PageGroup("A4", 10**9),)), "decision": None},
            {"document": Document((PageGroup("A4", 1),), copies=10**9), "decision": None},
            {"document": Document((PageGroup("A4", 1),) * 65), "decision": None},
            {"document": Document((), analysed=False), "pages": 10**12},
            {"decision": self.decision(lines=(PriceLine("A4 grey", 10**12, 1),))},
            {"decision": self.decision(lines=(PriceLine("A4 grey", 2**70, 1),))},
        ):
            (why,) = self.parked(self.record(1, **fields))
            self.assertIn("bad-fields", why, fields)

    def test_dearer_than_any_price(self) -> None:
        """Also when it says that we decided it."""
        dear = (PriceLine("A4 grey", 1, 8_001),)
        for fields in (
            {},
            {"decider": APPLICATION},
            {"decider": "tracker"},
            {"decider": OTHER_STREAM},
        ):
            (why,) = self.parked(self.record(1, decision=self.decision(lines=dear, **fields)))
            self.assertIn("bad-fields", why, fields)

    def test_dear_by_a_version_that_never_existed(self) -> None:
        """Or was lost in a restore: by the prices in force, and listed."""
        dear = (PriceLine("A4 grey", 1, 10**9),)
        for number, fields in enumerate(
            (
                {"price_version": 99},
                {"price_version": 0},
                {"price_version": -1},
                {"decider": APPLICATION, "price_version": 99},
            ),
            1,
        ):
            self.forward(self.record(number, decision=self.decision(lines=dear, **fields)))
            self.assertEqual(self.centre.listed().count("price-difference"), number, fields)
        found = self.centre.query("SELECT amount_e4, price_version FROM charge GROUP BY 1, 2")
        self.assertEqual(found, [(500, 1)])

    def test_other_prices_are_listed(self) -> None:
        """Nothing, less or more than the version stated: posted as decided, and shown."""
        for number, fields in enumerate(
            (
                {"lines": (PriceLine("A4 grey", 1, 0),)},
                {"lines": (PriceLine("A4 grey", 1, 499),)},
                {"lines": ()},
                {"decider": APPLICATION, "lines": (PriceLine("A4 grey", 1, 499),)},
                # A version that never existed is no price at all.
                {"price_version": 99},
            ),
            1,
        ):
            self.forward(self.record(number, decision=self.decision(**fields)))
            self.assertEqual(self.centre.listed().count("price-difference"), number, fields)

    def test_another_currency(self) -> None:
        """An installation has one; whatever else a record says of one is not read."""
        with self.assertRaises(InvalidValue):
            self.turner.result(self.centre.store.add_prices(attrs.evolve(PRICES, currency="USD")))
        self.turner.result(self.centre.store.add_prices(attrs.evolve(PRICES, effective_from=9e9)))
        body = self.edited(self.record(1), "completion", "decision", "currency", value="USD")
        self.forward(self.edited(body, "currency", value="USD"))
        (charged,) = self.centre.query(
            "SELECT amount_e4 FROM charge WHERE key = ?", f"{job_id(1)}/submit-1"
        )
        self.assertEqual(charged, (500,))

    def test_positions_that_are_none(self) -> None:
        """Of a tracker's record: the person as of now, then."""
        for number, position in enumerate(("1.²", "1." + "9" * 60, "x", "1.-4", ".", "1.1.1"), 1):
            self.forward(self.record(number, decision=None, position=position))
        self.assertEqual(self.centre.listed().count("parked"), 0)


class AllowanceContract(_Forwarded):
    """Totals of allowances that this site was never given."""

    def totals(self, *totals: Total, stream: str = STREAM, timeline: int = 0) -> str:
        return encode_record(
            Record(ALLOWANCE, stream, "1.1", 0.0, totals=totals, timeline=timeline)
        )

    def granted(self) -> list[Any]:
        return self.centre.query("SELECT * FROM allowance")

    def test_more_than_was_granted(self) -> None:
        for timeline in (0, 1):
            self.parked(self.totals(Total(self.anna, 5_000, 0), timeline=timeline))
        self.parked(self.totals(Total(self.anna, 5_000, 5_000)))
        self.assertEqual(self.granted(), [])

    def test_what_cannot_be(self) -> None:
        for total in (
            *(Total(self.anna, 0, 1), Total(self.anna, -5, -5), Total(self.anna, 0, -1)),
            Total(4_711, 10, 0),
        ):
            self.parked(self.totals(total))
        self.parked(self.totals(timeline=-1))
        self.assertEqual(self.granted(), [])

    def test_another_sites_stream(self) -> None:
        self.centre.site(OTHER_STREAM, "south")
        self.parked(self.totals(stream=OTHER_STREAM, timeline=1), self.totals(stream="none"))

    def test_paid_by_what_was_never_granted(self) -> None:
        """It happened, so it posts; on the person, forced and listed."""
        before = self.centre.account()["debits_e4"]
        self.forward(self.record(1, decision=self.decision(allowance=True)))
        charged_e4 = self.centre.account()["debits_e4"] - before
        self.assertEqual(charged_e4, 500 * 3)
        self.assertEqual(self.centre.listed().count("forced"), 1)

    def test_paid_by_anothers_stream(self) -> None:
        """What south holds of anna's money is not north's to spend."""
        south = self.centre.site(OTHER_STREAM, "south")
        self.turner.result(self.centre.store.set_site("south", {"policy": "strict"}))
        self.apply(
            [self.totals(stream=OTHER_STREAM, timeline=1)],
            Mark(0, CHAIN_START),
            OTHER_STREAM,
            south,
        )
        asked = request(1, provider="p2", printer=2)
        online = self.centre.provider("p2")
        decision = self.turner.result(self.centre.store.authorize(online, asked))
        self.turner.result(self.centre.store.complete(online, completion(asked, decision)))
        (held,) = self.centre.query("SELECT granted_e4 - settled_e4 FROM allowance")
        self.assertGreater(held[0], 0)
        forged = self.decision(allowance=True, decider=OTHER_STREAM)
        self.forward(self.record(2, decision=forged))
        self.assertEqual(self.centre.query("SELECT granted_e4 - settled_e4 FROM allowance"), [held])
        self.assertEqual(self.centre.listed().count("forced"), 1)


on_every_engine(globals())

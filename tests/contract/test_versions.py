"""Rows and records of a release one apart: nothing is lost, and what is newer waits."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from papercutd.domain.chain import CHAIN_START, Mark
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.policy import Rule
from papercutd.domain.pricing import PagePrice
from papercutd.errors import BadRows, NotFound
from papercutd.storage.replication.records import COMPLETED, Record, encode_record
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import PRICES, Branch, Centre, Turner, completion, job_id, request


class _Between:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.centre.user()
        self.branch = Branch(self.turner, engine=self.engine)
        self.site = self.centre.site(self.branch.stream)
        self.branch.load_snapshot(self.centre)
        self.asker = self.branch.provider()


class RecordContract(_Between):
    """What a newer site forwards to an older application server."""

    def record(self, number: int, **changes: Any) -> str:
        asked = request(number)
        decision = self.turner.result(self.branch.store.decide(self.asker, asked))
        record = Record(COMPLETED, asked.key, "1.1", 0.0, completion(asked, decision, 1))
        fields = msgspec.json.decode(encode_record(record))
        return msgspec.json.encode({**fields, **changes}).decode()

    def apply(self, *bodies: str) -> Mark:
        return self.turner.result(
            self.centre.store.apply_journal(
                self.site, self.branch.stream, 0, CHAIN_START, list(bodies)
            )
        )

    def retry(self) -> tuple[int, int]:
        done = self.turner.result(self.centre.store.retry_parked(("", 0)))
        return done.applied, done.refused

    def parked(self) -> list[tuple[int, str, str]]:
        rows = self.turner.result(self.centre.store.parked())
        return [(row["number"], row["kind"], row["code"]) for row in rows]

    def test_kinds_and_needs_that_are_not_known_wait(self) -> None:
        """In order, and those behind them land."""
        bodies = [
            self.record(1, kind="printed-in-gold"),
            self.record(2, needs=["gold-prices", "duplex-prices"]),
            self.record(3),
            "not json",
        ]
        mark = self.apply(*bodies)
        self.assertEqual(mark.number, 4)
        shown = [
            (1, "printed-in-gold", "unknown-kind"),
            (2, "completed", "capability"),
            (4, "", "bad-fields"),
        ]
        self.assertEqual(self.parked(), shown)
        self.assertEqual(self.centre.account()["debits_e4"], 500)
        of_site = self.turner.result(self.centre.store.parked_of(self.branch.stream, 1))
        self.assertEqual([row["number"] for row in of_site], [2, 4])
        self.assertEqual(of_site[0]["site"], "north")
        # They are no nearer without an upgrade, and as they came.
        self.assertEqual(self.retry(), (0, 3))
        self.assertEqual(self.parked(), shown)
        kept = self.centre.query("SELECT body FROM parked ORDER BY number")
        self.assertEqual([row[0] for row in kept], [bodies[0], bodies[1], bodies[3]])
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])

    def test_after_the_upgrade_each_is_applied_once(self) -> None:
        self.apply(self.record(1, needs=["gold-prices"]), self.record(2, needs=["other"]))
        with_gold = frozenset({"gold-prices"})
        self.patch_capabilities(with_gold)
        self.assertEqual(self.retry(), (1, 1))
        self.assertEqual(self.parked(), [(2, "completed", "capability")])
        self.assertEqual(self.retry(), (0, 1))
        self.assertEqual(self.centre.account()["debits_e4"], 500)
        charged = self.centre.query("SELECT key FROM charge")
        self.assertEqual(charged, [(f"{job_id(1)}/submit-1",)])
        self.assertEqual(self.centre.listed().count("parked"), 2)
        self.assertEqual(self.centre.listed().count("applied-later"), 1)
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])

    def patch_capabilities(self, known: frozenset[str]) -> None:
        from papercutd.domain import capabilities
        from papercutd.storage.replication import intake

        self.patch(  # type: ignore[attr-defined]
            intake, "lacking", lambda needs: capabilities.lacking(needs, known)
        )

    def test_what_stood_for_a_key_meanwhile_stands(self) -> None:
        """A record that comes late charges nothing that was charged by another."""
        self.apply(self.record(1, needs=["gold-prices"]), self.record(1))
        self.patch_capabilities(frozenset({"gold-prices"}))
        self.assertEqual(self.retry(), (1, 0))
        self.assertEqual(self.centre.account()["debits_e4"], 500)

    def test_a_link_of_then_says_nothing_of_now(self) -> None:
        down = encode_record(Record("link-down", "provider:p1", "", 0.0))
        fields = {**msgspec.json.decode(down), "needs": ["gold-prices"]}
        self.apply(msgspec.json.encode(fields).decode())
        before = self.centre.query("SELECT COUNT(*) FROM link_event")
        self.patch_capabilities(frozenset({"gold-prices"}))
        self.assertEqual(self.retry(), (1, 0))
        self.assertEqual(self.centre.query("SELECT COUNT(*) FROM link_event"), before)

    def test_many(self) -> None:
        """Retried in transactions of bounded size, from where the last one ended."""
        self.apply(*(self.record(n, needs=["x"]) for n in range(1, 251)))
        last: tuple[str, int] | None = ("", 0)
        seen = []
        while last is not None:
            done = self.turner.result(self.centre.store.retry_parked(last))
            seen.append(done.applied + done.refused)
            last = done.last
        self.assertEqual(seen, [100, 100, 50, 0])


class RowContract(_Between):
    """What an older application server sends to a newer site, and the reverse."""

    def apply(self, *rows: tuple[str, Any, Any]) -> None:
        position = self.turner.result(self.branch.store.identity()).position
        assert position is not None
        number = position.number + 1
        self.turner.result(
            self.branch.store.apply_changes(
                position.number, rows, attrs.evolve(position, number=number), 0.0
            )
        )

    def test_columns_that_are_not_sent_have_their_default(self) -> None:
        old = {"serial": "5", "role": "site", "name": "south"}
        self.apply(("revocation", "5", old))
        self.assertEqual(
            self.branch.query("SELECT name, revoked_at FROM replica.revocation"), [("south", 0.0)]
        )
        self.apply(("revocation", "5", {**old, "revoked_at": 7.0, "why": "of a newer release"}))
        (found,) = self.turner.result(self.branch.store.revocations())
        self.assertEqual(found, {"role": "site", "name": "south", "at": 7.0})
        self.assertEqual(self.turner.result(self.branch.store.verify()), [])

    def test_columns_that_there_always_were_are_needed(self) -> None:
        with self.assertRaises(BadRows):
            self.apply(("revocation", "5", {"serial": "5", "role": "site", "revoked_at": 1.0}))

    def test_tables_that_are_not_known_are_passed_over(self) -> None:
        self.apply(("satellite", 1, {"id": 1}), ("satellite", 2, None))
        self.assertEqual(self.turner.result(self.branch.store.verify()), [])

    def test_many_rows_of_one_change(self) -> None:
        """Written together where they are alike, and in the order in which they came."""
        odd = ('a"b', "c\\d", "{e,f}", "NULL", "g'h", "%s ?", "é")

        def card(key: str, user: int) -> tuple[str, str, Any]:
            return "card", key, {"hash": key, "user": user}

        role = {"role": "site", "name": "south"}
        self.apply(
            *(card(key, number) for number, key in enumerate(odd)),
            *(card("twice", 1), card("twice", 2), card("gone", 1), ("card", "gone", None)),
            *(("revocation", key, {"serial": key, **role}) for key in ("5", "6")),
            *(("card", "back", None), card("back", 3)),
        )
        found = dict(self.branch.query("SELECT hash, user FROM replica.card"))
        wanted = {key: number for number, key in enumerate(odd)}
        self.assertEqual(found, wanted | {"twice": 2, "back": 3})
        self.assertEqual(self.branch.query("SELECT COUNT(*) FROM replica.revocation"), [(2,)])
        self.assertEqual(self.turner.result(self.branch.store.verify()), [])

    def test_values_that_no_column_holds(self) -> None:
        for bad in ([5], {"a": 5}, "\ud800", 2**70):
            with self.assertRaises(BadRows):
                self.apply(("revocation", "5", {"serial": "5", "role": "site", "name": bad}))
        self.assertEqual(self.branch.query("SELECT * FROM replica.revocation"), [])

    def test_digests_are_of_what_both_have(self) -> None:
        digests, held = self.centre.store.digests, self.branch.store.replica_range
        self.turner.result(self.centre.store.record_certificate("5", "site", "south", "f", 1e10))
        self.turner.result(self.centre.store.revoke("site", "south"))
        self.branch.follow(self.centre)
        self.branch.query("UPDATE replica.revocation SET revoked_at = 0")
        for version, alike in ((1, True), (2, False)):
            _, said = self.turner.result(digests("revocation", None, None, version))
            own = self.turner.result(held("revocation", None, None, None, version))
            self.assertEqual((said.count, own.count), (1, 1))
            self.assertEqual(said.digest == own.digest, alike)
        with self.assertRaises(NotFound):
            self.turner.result(digests("satellite", None, None, 1))

    def test_the_version_of_the_replica_is_kept(self) -> None:
        self.assertEqual(self.turner.result(self.branch.store.identity()).replica_version, 1)
        position = self.turner.result(self.branch.store.identity()).position
        self.turner.result(self.branch.store.begin_snapshot())
        self.turner.run(self.branch.store.finish_snapshot(position, 2))
        self.assertEqual(self.turner.result(self.branch.store.identity()).replica_version, 2)


class RuleContract(_Between):
    """A rule that needs a capability."""

    def set_duplex_prices(self) -> int:
        a4 = PagePrice("A4", 500, 2000, 300, 1500)
        prices = attrs.evolve(PRICES, papers=(a4,))
        return self.turner.result(self.centre.store.add_prices(prices))

    def decide(self, number: int, duplex: bool) -> Any:
        document = Document((PageGroup("A4", 4, 1),), duplex=duplex)
        asked = attrs.evolve(request(number), document=document)
        return self.turner.result(self.branch.store.decide(self.asker, asked))

    def test_duplex_prices(self) -> None:
        version = self.set_duplex_prices()
        self.branch.follow(self.centre)
        self.assertEqual(self.turner.result(self.branch.store.lacking()), [])
        both, one = self.decide(1, True), self.decide(2, False)
        self.assertEqual((both.amount_e4, one.amount_e4), (3 * 300 + 1500, 3 * 500 + 2000))
        self.assertEqual(both.price_version, version)
        # The application server comes to the same.
        done = completion(request(1), both, 4)
        done = attrs.evolve(done, document=Document((PageGroup("A4", 4, 1),), duplex=True))
        self.turner.result(self.branch.store.complete(self.asker, done))
        self.branch.forward(self.centre, self.site)
        self.assertEqual(self.centre.account()["debits_e4"], 2400)
        self.assertEqual(self.centre.listed(), [])

    def test_who_cannot_evaluate_it_holds_and_says_so(self) -> None:
        version = self.set_duplex_prices()
        # Of a release that is one ahead: not even its prices can be read.
        self.centre.query(
            "UPDATE price SET needs = needs || ' by-weight', body = '{}' WHERE version = ?", version
        )
        other = Branch(self.turner, "south", engine=self.engine)
        other.load_snapshot(self.centre)
        self.branch, self.asker = other, other.provider("p2")
        asked = attrs.evolve(request(1), provider="p2", printer=2)
        decision = self.turner.result(other.store.decide(self.asker, asked))
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.CAPABILITY))
        said = [{"table": "price", "key": version, "needs": "by-weight"}]
        self.assertEqual(self.turner.result(other.store.lacking()), said)
        told = self.turner.result(self.centre.store.lacking(["by-weight"], 2))
        self.assertEqual(told, [{"table": "price", "key": version, "needs": "duplex-prices"}])
        # Of rules in tables that it has never heard of a site of version 1 knows none.
        self.turner.result(self.centre.store.rules.change_rules([Rule("policy", "closed")]))
        old = self.turner.result(self.centre.store.lacking(["duplex-prices", "by-weight"], 1))
        said = [(row["table"], row["needs"]) for row in old]
        self.assertEqual(said, [("site_policy", "version 2")])
        # Prices that are in force no more are no rule.
        self.centre.query(
            "UPDATE price SET body = (SELECT body FROM price WHERE version = 1) WHERE version = ?",
            version,
        )
        self.turner.result(self.centre.store.add_prices(PRICES))
        self.assertEqual(self.turner.result(self.centre.store.lacking([], 2)), [])
        # What a person holds can still be shown.
        (account,) = self.centre.query("SELECT id FROM account WHERE name = 'anna'")
        purse = self.turner.result(other.store.purse(account[0]))
        self.assertEqual(purse.balance_e4, 100_000)


on_every_engine(globals())

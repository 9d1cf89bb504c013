"""Questions and settlements on PostgreSQL: few statements, however many, and the same books."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.job import SessionRef
from papercutd.domain.policy import Rule
from papercutd.errors import Rejected
from papercutd.storage.engine import RowRefused
from papercutd.storage.money.shared_accounts import Access
from tests.support.engines import ENGINES
from tests.support.stores import Centre, Turner, completion, job_id, request

SQLITE, POSTGRES = ENGINES
#: What is written by questions and settlements, each in the order of its keys.
TABLES = (
    *("head", "change_log", "account", "transfer", "decision", "hold", "charge", "job_log"),
    *("listed", "last_use", "allowance"),
)


#: Shared accounts: one adds to the price, some people may charge another and what is below it.
SHARED: dict[str, dict[str, Any]] = {
    "dear": {"markup_e4": 1_250},
    "some": {},
    "some\\sub": {"markup_e4": 300, "restricted": False},
}


def all_of(turner: Turner, answers: list[Deferred[Any]]) -> list[Any]:
    """What they came to; a refusal as its code."""
    results: list[Any] = []
    for answer in answers:
        result: list[Any] = []
        answer.addBoth(result.append)
        results.append(result)
    turner.settle()
    return [_told(*result) for result in results]


def _told(result: Any) -> Any:
    if not isinstance(result, Failure):
        return result
    assert result.check(Rejected, RowRefused), result
    return result.value.code if result.check(Rejected) else "refused"


class Case(SynchronousTestCase):
    balance_e4 = 1_000_000

    def setUp(self) -> None:
        self.addCleanup(POSTGRES.release)
        self.ids: dict[str, int] = {}
        self.turner = Turner()
        self.centre = self.make(POSTGRES)
        self.asker = self.centre.provider()
        self.sent: list[str] = []
        link = self.centre.store._writer.connection._link
        send = link.send

        def heard(sql: str, values: Any) -> Any:
            self.sent.append(sql)
            return send(sql, values)

        self.patch(link, "send", heard)

    def make(self, engine: Any) -> Centre:
        centre = Centre(self.turner, engine)
        for number in range(8):
            centre.user(f"u{number}", self.balance_e4)
        for place, purse in enumerate(("quota", "cash", "gift"), 1):
            if purse != "cash":
                self.turner.result(centre.store.purses.add(purse, place, True, True))
                for number in range(0, 8, place):
                    found = centre.store.adjust(f"u{number}", 1_200, "", purse)
                    self.turner.result(found)
        shared = centre.store.shared
        for name, settings in SHARED.items():
            self.ids[name] = self.turner.result(shared.add(name, self.balance_e4, settings))
        self.turner.result(shared.change_access("some", add=Access(("u0", "u3"))))
        return centre

    def authorize(self, asked: list[Any]) -> list[Any]:
        store = self.centre.store
        return all_of(self.turner, [store.authorize(self.asker, one) for one in asked])

    def complete(self, done: list[Any]) -> list[Any]:
        store = self.centre.store
        return all_of(self.turner, [store.complete(self.asker, one) for one in done])

    def verified(self) -> None:
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])


class StatementTests(Case):
    def test_the_same_few_for_one_and_for_many(self) -> None:
        first = 1
        for count in (1, 64, 256):
            asked = [request(first + n, 1, f"u{n % 8}") for n in range(count)]
            self.sent.clear()
            decisions = self.authorize(asked)
            read, written = self.sent
            self.assertIn("SELECT read_set", read)
            self.assertTrue(written.startswith("SELECT write_set("))
            self.assertTrue(written.endswith("; COMMIT"))
            self.sent.clear()
            done = zip(asked, decisions, strict=True)
            receipts = self.complete([completion(one, answer, 1) for one, answer in done])
            self.assertEqual(len(self.sent), 2, self.sent)
            self.assertEqual({receipt.state for receipt in receipts}, {"posted"})
            first += count
        self.verified()

    def test_shared_accounts(self) -> None:
        """A mark-up costs no statement; who may charge an account is asked beside the batch."""
        for name, few in (("dear", True), ("some", False)):
            asked = [
                request(900 + self.ids[name] * 10 + n, 1, f"u{n}", account=self.ids[name])
                for n in range(4)
            ]
            self.sent.clear()
            decisions = self.authorize(asked)
            self.assertEqual(len(self.sent) == 2, few, self.sent)
            taken = [(a, d) for a, d in zip(asked, decisions, strict=True) if d.allowed]
            self.assertEqual([d.amount_e4 for _, d in taken], [562] * 4 if few else [500] * 2)
            self.sent.clear()
            self.complete([completion(a, d, 1) for a, d in taken])
            self.assertEqual(len(self.sent), 2, self.sent)
        self.verified()

    def test_what_is_asked_again(self) -> None:
        asked = [request(n, 1, f"u{n % 8}") for n in range(8)]
        first = self.authorize(asked)
        self.sent.clear()
        self.assertEqual(self.authorize(asked), first)
        self.assertEqual(len(self.sent), 2)
        self.complete(
            [completion(one, answer, 1) for one, answer in zip(asked, first, strict=True)]
        )
        self.sent.clear()
        again = self.complete(
            [completion(one, answer, 1) for one, answer in zip(asked, first, strict=True)]
        )
        self.assertEqual({receipt.state for receipt in again}, {"already"})
        # Nothing was written.
        self.assertIn("SELECT read_set", self.sent[0])
        self.assertEqual(self.sent[1:], ["COMMIT"])

    def test_rules_of_who_pays_cost_none(self) -> None:
        """A default for everybody, one of a group, and somebody who has not answered."""
        store = self.centre.store
        self.turner.result(store.shared.add("Physics", 10**6, {"restricted": False}))
        group = self.turner.result(store.rules.add_group("students"))
        self.turner.result(store.rules.change_group("students", add=["u1"]))
        rules = [
            Rule("account-mode", "popup"),
            Rule("account-mode", "personal", group=group),
            Rule("account", "hold"),
        ]
        self.turner.result(store.rules.change_rules(set=rules))
        self.sent.clear()
        asked = [request(1, 1, "u0"), request(2, 1, "u1"), request(3, 1, "u0", unanswered=True)]
        answers = self.authorize(asked)
        self.assertEqual(len(self.sent), 2, self.sent)
        self.assertEqual(
            [(one.verdict.value, one.ask) for one in answers],
            [("hold", False), ("allow", None), ("hold", None)],
        )
        self.verified()


class PlanTests(Case):
    """What was planned for small tables is run on big ones, until somebody analyses them."""

    #: Those that have rows of everybody, or of every job.
    big = ("account", "charge", "decision", "former_name", "group_member", "hold", "job_log")
    big += ("printer", "transfer", "user", "user_name")

    def setUp(self) -> None:
        super().setUp()
        link = self.centre.store._writer.connection._link
        send = link.send
        # Foreign keys are looked up by plans of the session, which other tests may have made.
        send("DISCARD PLANS", None)
        self.scans: dict[str, int] = {}
        looked = "SELECT relname, seq_scan FROM pg_stat_xact_user_tables"

        def counted(sql: str, values: Any) -> Any:
            if "_set(" not in sql:
                return send(sql, values)
            # Journeys in parts: what is counted is of this transaction and of those before that
            # are not yet told to others, and which are told when one ends.
            begin, _, rest = sql.partition("SELECT read_set(")
            if rest:
                send(begin.rstrip("; "), None)
            before = dict(send(looked, None).rows)
            written = sql.removesuffix("; COMMIT")
            answer = send(f"SELECT read_set({rest}" if rest else written, values)
            for name, count in send(looked, None).rows:
                self.scans[name] = self.scans.get(name, 0) + count - before.get(name, 0)
            return send("COMMIT", None) if written != sql else answer

        self.patch(link, "send", counted)

    def test_no_big_table_is_gone_through(self) -> None:
        asked = [request(n, 1, f"u{n % 8}") for n in range(40)]
        decisions = self.authorize(asked)
        self.complete([completion(one, d, 1) for one, d in zip(asked, decisions, strict=True)])
        self.assertGreater(self.scans["head"], 0)
        self.assertEqual({name: self.scans[name] for name in self.big if self.scans[name]}, {})


class OtherwiseTests(Case):
    """What cannot be worked on in memory is done all the same."""

    def test_a_text_that_cannot_be_kept_fails_alone(self) -> None:
        # A refusal is kept with its title.
        illegible = request(2, 10_000, "u1", title="a\x00b")
        answers = self.authorize([request(1, 1, "u0"), illegible, request(3, 1, "u2")])
        self.assertEqual([getattr(one, "allowed", one) for one in answers], [True, "refused", True])
        self.verified()

    def test_one_that_reads_more_than_was_read(self) -> None:
        """A completion that a site relays: whom it may speak for is not read beforehand."""
        asked = [request(n, 1, f"u{n}") for n in range(3)]
        decisions = self.authorize(asked)
        site = self.centre.site(job_id(0xABC))
        store = self.centre.store
        done = [completion(one, d, 1) for one, d in zip(asked, decisions, strict=True)]
        tellers = (self.asker, site, self.asker)
        told = [store.complete(by, one) for by, one in zip(tellers, done, strict=True)]
        receipts = all_of(self.turner, told)
        self.assertEqual([receipt.state for receipt in receipts], ["posted"] * 3)
        self.verified()

    def test_who_asks_is_not_whose_it_is(self) -> None:
        other = self.centre.provider("p2", job_id(0xFFFE))
        self.authorize([request(1, 1, "u1")])
        store = self.centre.store
        theirs = request(1, 1, "u1", step="submit-2", provider="p2", printer=2)
        mine = request(2, 1, "u1")
        answers = all_of(
            self.turner, [store.authorize(other, theirs), store.authorize(self.asker, mine)]
        )
        self.assertEqual(answers[0], "not-yours")
        self.assertTrue(answers[1].allowed)

    def test_a_site_that_spends_only_what_it_holds(self) -> None:
        self.turner.result(self.centre.store.set_site("north", {"policy": "strict"}))
        asked = [request(n, 1, f"u{n}") for n in range(3)]
        decisions = self.authorize(asked)
        self.complete([completion(one, d, 1) for one, d in zip(asked, decisions, strict=True)])
        self.assertEqual(len(self.centre.query("SELECT * FROM last_use")), 3)
        self.verified()


class SameBooksTests(Case):
    """Any batches leave byte for byte what they leave on SQLite."""

    balance_e4 = 4_000

    def books(self, centre: Centre) -> dict[str, list[Any]]:
        found = {}
        for table in TABLES:
            rows = centre.query(f"SELECT * FROM {table}")
            found[table] = sorted((tuple(row) for row in rows), key=repr)
        return found

    def drive(self, centre: Centre, seed: int) -> tuple[list[Any], dict[str, list[Any]]]:
        rng = random.Random(seed)
        store = centre.store
        askers = {"p1": centre.provider(), "p2": centre.provider("p2", job_id(0xFFFE))}
        known: list[tuple[Any, Any]] = []
        told: list[Any] = []
        for _ in range(6):
            batch: list[tuple[Any, Deferred[Any]]] = []
            for _ in range(rng.randrange(1, 24)):
                owner = rng.choice(("p1", "p1", "p2"))
                if known and rng.random() < 0.5:
                    asked, answer = rng.choice(known)
                    asker = askers[asked.provider]
                    carried = rng.choice((answer, answer, None))
                    done = completion(
                        asked,
                        carried,
                        rng.choice((None, 0, 1, 2, 9)),
                        outcome=rng.choice(("completed", "completed", "canceled")),
                    )
                    batch.append((None, store.complete(asker, done)))
                else:
                    asked = request(
                        rng.randrange(12),
                        rng.choice((1, 2, 9)),
                        rng.choice(("u0", "u1", "U2", "nobody")),
                        step=f"submit-{rng.randrange(1, 3)}",
                        provider=owner,
                        printer=rng.choice((1, 2)),
                        account=rng.choice((None, None, 999, self.ids["dear"])),
                    )
                    asker = askers[owner]
                    if rng.random() < 0.1:
                        asker = SessionRef(asker.role, asker.name, asker.journal, 99)
                    batch.append((asked, store.authorize(asker, asked)))
            answers = all_of(self.turner, [answer for _, answer in batch])
            for (asked, _), answer in zip(batch, answers, strict=True):
                if asked is not None and not isinstance(answer, str):
                    known.append((asked, answer))
            told += answers
            if known and rng.random() < 0.5:
                asked, _ = rng.choice(known)
                told += all_of(
                    self.turner, [store.cancel(askers[asked.provider], asked.key, "canceled")]
                )
        self.assertEqual(self.turner.result(store.verify()), [])
        return told, self.books(centre)

    def test_any_batches(self) -> None:
        for seed in range(5):
            one = self.drive(self.make(SQLITE), seed)
            other = self.drive(self.make(POSTGRES), seed)
            self.assertEqual(one[0], other[0], seed)
            for table in TABLES:
                self.assertEqual(one[1][table], other[1][table], (seed, table))

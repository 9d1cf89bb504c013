"""Whether jobs of shared accounts are invoiced, and accounts that are only named: decided at the
centre and at a cut site alike, kept with each charge, and summed up."""

from __future__ import annotations

import attrs

from papercutd.domain.account_mode import NAMED
from papercutd.domain.capabilities import ACCOUNT_MODES, NAMED_ACCOUNTS
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.policy import Knob, Rule
from papercutd.errors import NotFound
from papercutd.storage.history.job_log import Filter
from tests.contract.test_people import PeopleBase
from tests.support.engines import on_every_engine
from tests.support.stores import completion, request

OPTIONS = {"always": (True, True, True), "never": (False, False, False)}
#: Nothing said, yes, no.
OPTIONS |= {"user-chooses": (True, True, False), "user-chooses-no": (False, True, False)}


class InvoicingContract(PeopleBase):
    def setUp(self) -> None:
        super().setUp()
        self.shared = self.centre.store.shared
        self.physics = self.result(self.shared.add("Physics", 5_000))
        self.law = self.result(self.shared.add("Law", 0, {"restricted": False}))
        ((self.personal,),) = self.centre.query("SELECT account FROM user WHERE name = 'anna'")
        self.number = 0

    def result(self, made):
        return self.turner.result(made)

    def set(self, name: str, **settings) -> None:
        self.result(self.shared.set(name, settings))

    def mode(self, text: str) -> None:
        self.result(self.centre.store.people.set_user("anna", {"account_mode": text}))

    def both(self, **fields):
        """The same question at the centre and at the cut site: (request, answer) of each."""
        self.branch.follow(self.centre)
        self.number += 2
        here, there = (request(self.number + more, **fields) for more in (0, 1))
        return [(here, self.authorize(here)), (there, self.decide(there))]

    def charged(self, pages: int = 1, **fields):
        """The same job printed at both, as the centre explains it in the end."""
        (here, first), (there, second) = self.both(**fields)
        self.assertEqual((first.verdict, second.verdict), (Verdict.ALLOW,) * 2)
        for decision in (first, second):
            self.assertEqual(decision.invoice, first.invoice)
            self.assertEqual((decision.account, decision.named), (first.account, first.named))
        record = completion(here, first, pages)
        for _ in range(2):
            self.call("complete", self.centre.provider(), record)
        self.result(self.branch.store.complete(self.asker, completion(there, second, pages)))
        self.branch.forward(self.centre, self.site)
        explained = [self.call("explain", one.key)[0] for one in (here, there)]
        shown = [[one[word] for word in ("account", "named", "invoice")] for one in explained]
        self.assertEqual(*shown)
        (known,) = self.branch_explains(there.key)
        self.assertEqual([known[word] for word in ("account", "named", "invoice")], shown[0])
        return shown[0]

    def branch_explains(self, key: str):
        return self.result(self.branch.store.explain(key))

    # Few tests, for each makes two databases on each engine.

    def test_who_decides_it(self) -> None:
        for option, (usual, yes, no) in OPTIONS.items():
            self.set("Physics", invoice=option)
            for said, found in ((None, usual), (True, yes), (False, no)):
                for _, decision in self.both(account=self.physics, invoice=said):
                    self.assertIs(decision.invoice, found, (option, said))
                    self.assertIsNone(decision.named)
        # Of no shared account nothing is said, whatever was asked for.
        for _, decision in self.both(invoice=True):
            self.assertEqual((decision.account, decision.invoice), (self.personal, None))
        self.check_older()
        self.check_tracked()

    def check_older(self) -> None:
        """A site of the release before says nothing: it is as is usual."""
        self.set("Law", invoice="user-chooses-no")
        self.branch.follow(self.centre)
        asked = request(901, account=self.law, step="release-1")
        decision = attrs.evolve(self.decide(asked), invoice=None)
        self.call("complete", self.centre.provider(), completion(asked, decision, 1))
        # One that lies of an account that is none names nobody.
        asked = request(903, step="release-1")
        decision = attrs.evolve(self.decide(asked), named=999, invoice=True)
        self.call("complete", self.centre.provider(), completion(asked, decision, 1))
        found = self.centre.query("SELECT account, named, invoice FROM charge ORDER BY key")
        self.assertEqual(found, [(self.law, None, 0), (self.personal, None, None)])

    def check_tracked(self) -> None:
        self.mode("shared:Law")
        self.tracked(905, "anna", "")
        self.mode(f"shared:Law{NAMED}")
        self.tracked(907, "anna", "")
        found = self.centre.query("SELECT account, named, invoice FROM charge ORDER BY key")[2:]
        self.assertEqual(found, [(self.law, None, 0), (self.personal, self.law, 0)])

    def test_paid_or_named(self) -> None:
        self.set("Physics", markup_e4=5_000, invoice="user-chooses-no")
        paid = self.charged(2, account=self.physics, step="release-1", invoice=True)
        self.assertEqual(paid, ["Physics", None, True])
        # The person pays, and no mark-up: money moves on their account only.
        self.mode(f"shared:Physics{NAMED}")
        before = self.balance(self.physics)
        named = self.charged(3)
        self.assertEqual(named[1:], ["Physics", False])
        self.assertEqual(self.balance(self.physics), before)
        self.check_reports()
        self.assertEqual(self.result(self.centre.store.verify()), [])
        self.check_default_and_access()

    def balance(self, account: int) -> int:
        ((left_e4,),) = self.centre.query(
            f"SELECT credits_e4 - debits_e4 FROM account WHERE id = {account}"
        )
        return int(left_e4)

    def check_reports(self) -> None:
        store = self.centre.store
        (row,) = self.result(store.invoicing.invoices(None, None, "Physics"))
        price_e4 = self.centre.query("SELECT SUM(amount_e4) FROM charge WHERE named IS NULL")[0][0]
        alone_e4 = self.centre.query("SELECT SUM(amount_e4) FROM charge WHERE invoice = 0")[0][0]
        # Two pages twice with half as much again, three pages twice without.
        self.assertEqual(price_e4, alone_e4)
        self.assertEqual(
            list(row.values()),
            ["Physics", 2, 4, price_e4, 2, price_e4, 2, 6, alone_e4, 0, 0],
        )
        self.assertEqual(self.result(store.invoicing.invoices(None, 1.0, "")), [])
        self.assertEqual(self.result(store.invoicing.invoices(None, None, "Law")), [])
        with self.assertRaises(NotFound):
            self.result(store.invoicing.invoices(None, None, "Nobody"))
        # The account that paid, and apart from it the one that was named.
        by = {
            by: {
                row[by]: row["amount_e4"]
                for row in self.result(store.monthly.report(by, "0001-01", "9999-12", "pages", 9))
            }
            for by in ("account", "named")
        }
        self.assertEqual(by["named"], {"Physics": alone_e4})
        self.assertEqual(by["account"]["Physics"], price_e4)
        self.assertEqual(sum(by["account"].values()), price_e4 + alone_e4)
        for filters, count in (({"account": "Physics"}, 4), ({"invoice": "yes"}, 2)):
            page = self.result(store.job_log.page(Filter(**filters), None, False))
            self.assertEqual(len(page.rows), count)
        self.assertEqual({row["named_account"] for row in page.rows}, {""})
        page = self.result(store.transactions.of_user("anna", None))
        said = {(row["named"], row["invoice"]) for row in page.rows if row["amount_e4"] < 0}
        self.assertEqual(said, {("Physics", False)})
        page = self.result(store.transactions.of_account("Physics", None))
        said = {(row["named"], row["invoice"]) for row in page.rows if row["amount_e4"] < 0}
        self.assertEqual(said, {("", True)})

    def check_default_and_access(self) -> None:
        """The default of the installation; and who may not charge an account does not name it."""
        rule = Rule(
            Knob.ACCOUNT_MODE.value, f"popup{NAMED}", needs=f"{ACCOUNT_MODES} {NAMED_ACCOUNTS}"
        )
        self.result(self.centre.store.rules.change_rules(set=[rule]))
        self.mode("default")
        for _, decision in self.both(account=self.law, chosen=True):
            self.assertEqual((decision.account, decision.named), (self.personal, self.law))
        self.set("Law", access="listed")
        for _, decision in self.both(account=self.law, chosen=True):
            self.assertEqual((decision.reason, decision.named), (Reason.ACCOUNT, None))


on_every_engine(globals())

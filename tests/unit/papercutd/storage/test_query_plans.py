"""No query that people or printers wait for goes through a whole big table.

Every statement of each use is explained as the database itself would run it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from papercutd.domain.chain import MARK_START
from papercutd.domain.job import SessionRef
from papercutd.storage.administration.acts import Act
from papercutd.storage.history.job_log import Filter
from papercutd.storage.money.shared_accounts import Access
from papercutd.storage.money.transactions import Place
from papercutd.storage.people.people import find_by_card, find_by_name
from tests.support.stores import WALL_S, completion, request
from tests.unit.papercutd.storage.test_sample_data import Loaded

BIG = (
    *("user", "account", "card", "charge", "transfer", "decision", "job_log", "change_log"),
    *("group_member", "user_name", "former_name", "hold", "assigned", "notice", "monthly", "audit"),
)
#: Adds up every account: once for an outage that is closed, a tenth of a second at a million.
ADDED_UP = "SELECT SUM(credits_e4) - SUM(debits_e4) FROM account"
_SCAN = re.compile(rf"^SCAN ({'|'.join(BIG)})\b(?! USING INDEX account_shared)")


class QueryPlanTests(Loaded):
    def scans(self, use: Callable[[], Any]) -> list[str]:
        """Statements of ``use`` that go through a big table, with how they do."""
        said: list[str] = []
        self.connection.set_trace_callback(said.append)
        try:
            use()
        finally:
            self.connection.set_trace_callback(None)
        asked = {one for one in said if one.split(" ", 1)[0] in ("SELECT", "UPDATE", "WITH")}
        self.assertTrue(asked)
        return [
            f"{step}: {one}"
            for one in sorted(asked)
            for _, _, _, step in self.connection.execute(f"EXPLAIN QUERY PLAN {one}")
            if _SCAN.match(step) and one != ADDED_UP
        ]

    def check(self, use: Callable[[], Any]) -> None:
        self.assertEqual(self.scans(use), [])

    def test_log_in(self) -> None:
        self.check(lambda: find_by_card(self.connection, "", "C000000007"))
        self.check(lambda: find_by_name(self.connection, "", "sample00000007"))
        self.check(lambda: self.result(self.store.notices(7)))
        self.check(lambda: self.result(self.store.purse(10)))

    def test_job(self) -> None:
        name = "print-server-001"
        seen = self.result(self.store.begin_provider(name, "j", MARK_START, ""))
        asker = SessionRef("provider", name, "j", seen.session)
        asked = request(1, 3, "sample00000007", provider=name, printer=1)
        decided = []

        def authorize() -> None:
            decided.append(self.result(self.store.authorize(asker, asked)))

        self.check(authorize)
        (decision,) = decided
        self.check(lambda: self.result(self.store.complete(asker, completion(asked, decision))))
        self.check(lambda: self.result(self.store.complete(asker, completion(asked, decision))))
        self.check(lambda: self.result(self.store.open_keys(asker, [])))
        other = request(2, 3, "sample00000008", provider=name, printer=1)
        self.result(self.store.authorize(asker, other))
        self.check(lambda: self.result(self.store.cancel(asker, other.key, "canceled")))
        nobody = request(3, 1, "nobody", provider=name, printer=1)
        self.check(lambda: self.result(self.store.complete(asker, completion(nobody, None))))

    def test_people(self) -> None:
        self.check(lambda: self.result(self.store.users_after("sample0000001")))
        self.check(lambda: self.result(self.store.user("sample00000007")))
        self.check(lambda: self.result(self.store.adjust("sample00000007", 100, "")))
        self.check(lambda: self.result(self.store.add_card("sample00000007", "ABC")))
        self.check(lambda: self.result(self.store.add_user("new", balance_e4=1)))
        self.check(lambda: self.result(self.store.rename_user("new", "newer")))
        self.check(lambda: self.result(self.store.merge_users("newer", "sample00000008")))
        self.check(lambda: self.result(self.store.uncollected()))
        shared = self.store.shared
        self.check(lambda: self.result(shared.add("Institute", 0)))
        self.check(lambda: self.result(shared.add("Institute\\Laser", 0, {"markup_e4": 5})))
        self.check(lambda: self.result(shared.set("Institute", {"notes": "x"})))
        self.check(lambda: self.result(self.store.account_by_pin(7, "4711")))
        self.check(lambda: self.result(shared.page()))
        self.check(lambda: self.result(shared.show("Institute\\Laser")))
        named = Access(("sample00000007",))
        self.check(lambda: self.result(shared.change_access("Institute", named)))
        self.check(lambda: self.result(shared.rename("Institute", "Law")))
        self.check(lambda: self.result(self.store.shared_accounts(7, "inst", "", 20)))
        self.check(lambda: self.result(shared.close("Law")))

    def test_outage(self) -> None:
        """Its statement reads what came in from one change to another."""
        name = "print-server-001"
        seen = self.result(self.store.begin_provider(name, "j", MARK_START, ""))
        asker = SessionRef("provider", name, "j", seen.session)
        self.result(self.store.end_session(asker))
        seen = self.result(self.store.begin_provider(name, "j", MARK_START, ""))
        again = SessionRef("provider", name, "j", seen.session)
        self.check(lambda: self.result(self.store.report(again)))
        self.check(lambda: self.turner.run(self.store.outages(20)))
        self.check(lambda: self.turner.run(self.store.statement(None, None)))
        # And one of a span of time.
        self.check(lambda: self.turner.run(self.store.statement(WALL_S - 100.0, WALL_S)))

    def test_reports_and_sums(self) -> None:
        month = self.connection.execute("SELECT MAX(month) FROM monthly").fetchone()[0]
        report = self.store.monthly.report
        for by in ("user", "printer", "account", "site", "month"):
            self.check(lambda by=by: self.result(report(by, month, month, "pages", 50)))
        self.check(lambda: self.result(self.store.monthly.roll()))

    def test_job_log(self) -> None:
        for asked in (Filter(), Filter(user="sample00000007", forced=True, since=WALL_S)):
            for after, is_oldest_first in ((None, False), ((9, "x"), False), ((9, "x"), True)):
                page = self.store.job_log.page
                self.check(lambda a=(asked, after, is_oldest_first), p=page: self.result(p(*a)))

    def test_transactions(self) -> None:
        find = self.store.transactions
        for place in (None, Place(1_000, 5)):
            self.check(lambda p=place: self.result(find.of_user("sample00000007", p)))
        self.result(self.store.shared.add("Institute", 7))
        self.check(lambda: self.result(find.of_account("Institute", None)))

    def test_audit(self) -> None:
        act = Act("an-act", WALL_S, "carl", "", "user.adjust", "{}", (("user", "sample00000007"),))
        audit = self.store.audit
        self.check(lambda: self.result(audit.write(act, lambda c: None)))
        for asked in (("", ""), ("carl", ""), ("", "user.adjust"), ("carl", "user.adjust")):
            for before in (None, (WALL_S, 7)):
                self.check(lambda a=asked, b=before: self.result(audit.entries(1.0, *a, b)))

    def test_counts_and_changes(self) -> None:
        self.check(lambda: self.result(self.store.head()))
        self.check(lambda: self.result(self.store.changes_after(3, 100, 100_000)))
        self.check(lambda: self.result(self.store.digests("user", 10, 20)))
        self.check(lambda: self.result(self.store.site_states()))
        self.check(lambda: self.result(self.store.lockouts()))

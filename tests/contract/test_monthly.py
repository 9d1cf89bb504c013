"""Monthly sums: equal to the charges after anything that may happen to them."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papercutd.errors import InvalidValue, NotFound, Rejected
from papercutd.services.reports import roll_all
from papercutd.storage.history import monthly
from papercutd.storage.history.monthly import month_of
from papercutd.storage.history.monthly_report import ALL_ONCE
from papercutd.storage.proof.monthly_check import are_right
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import WALL_S, Centre, Turner, completion, request

_DAY_S = 86_400
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("print"), st.integers(0, 5), st.integers(1, 9)),
        st.tuples(st.just("again"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("empty"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("tracker"), st.integers(0, 5), st.integers(1, 9)),
        st.tuples(st.just("assign"), st.integers(0, 9), st.integers(0, 2)),
        st.tuples(st.just("merge"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("member"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("nest"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("ungroup"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("adjust"), st.integers(0, 2), st.just(1)),
        st.tuples(st.just("roll"), st.just(0), st.just(0)),
        st.tuples(st.just("rebuild"), st.just(0), st.just(0)),
        st.tuples(st.just("days"), st.integers(1, 70), st.just(0)),
    ),
    max_size=25,
)


class MonthlyContract:
    engine: Engine

    def setUp(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        for name in ("u0", "u1", "u2"):
            self.centre.user(name, 10**9)
        self.askers = {name: self.centre.provider(name) for name in ("p1", "p2")}
        for name in ("g0", "g1", "g2"):
            self.result(self.centre.store.rules.add_group(name))
        #: (change, groups of each user from then on).
        self.grouped: list[tuple[int, dict[int, set[str]]]] = [(0, {})]
        self.jobs = 0
        self.printed: list = []

    def result(self, work):
        return self.turner.result(work)

    def do(self, step: str, a: int, b: int) -> None:
        store = self.centre.store
        if step in ("print", "empty", "tracker"):
            self.jobs += 1
            provider = 1 + a % 2
            user = f"u{a % 3}" if step != "tracker" or a % 2 else "nobody"
            more = {"provider": f"p{provider}", "printer": provider}
            asked = request(self.jobs, b or 1, user, **more)
            asker = self.askers[f"p{provider}"]
            decision = None
            if step != "tracker":
                decision = self.result(store.authorize(asker, asked))
            outcome = {"outcome": "canceled"} if step == "empty" else {}
            count = 0 if step == "empty" else b
            done = completion(asked, decision, count, **outcome)
            self.result(store.complete(asker, done))
            self.printed.append((asker, done))
        elif step == "again" and self.printed:
            asker, done = self.printed[a % len(self.printed)]
            self.result(store.complete(asker, done))
        elif step == "assign":
            waiting = self.result(store.uncollected())
            if waiting:
                user = self.centre.query("SELECT name FROM user WHERE merged_into IS NULL")
                key = waiting[a % len(waiting)]["key"]
                self.result(store.assign(key, user[b % len(user)][0]))
        elif step == "merge":
            left = self.centre.query("SELECT name FROM user WHERE merged_into IS NULL ORDER BY id")
            if len(left) > 1 and a % len(left) != b % len(left):
                self.result(store.merge_users(left[a % len(left)][0], left[b % len(left)][0]))
        elif step in ("member", "nest", "ungroup"):
            self.regroup(step, a, b)
        elif step == "adjust":
            self.result(store.adjust(f"u{a}", 100, "a credit is no charge"))
        elif step == "roll":
            self.result(store.monthly.roll())
        elif step == "rebuild":
            self.result(store.monthly.begin_again())
        elif step == "days":
            self.turner.clock.advance(a * _DAY_S)

    def regroup(self, step: str, a: int, b: int) -> None:
        rules = self.centre.store.rules
        try:
            if step == "ungroup":
                self.result(rules.remove_group(f"g{a}"))
                return
            member = f"u{a}" if step == "member" else f"g{a}"
            change = rules.change_group if step == "member" else rules.change_nested
            if not self.result(change(f"g{b}", add=[member])):
                self.result(change(f"g{b}", remove=[member]))
        except (InvalidValue, NotFound):
            return
        finally:
            self.note_groups()

    def note_groups(self) -> None:
        """As it stands now, found another way than by what the server keeps of it."""
        ((head,),) = self.centre.query("SELECT number FROM head")
        names = dict(self.centre.query("SELECT id, name FROM user_group"))
        outer: dict[int, set[int]] = {}
        for parent, child in self.centre.query("SELECT parent, child FROM group_nested"):
            outer.setdefault(child, set()).add(parent)
        found: dict[int, set[str]] = {}
        for user, group in self.centre.query("SELECT user, user_group FROM group_member"):
            todo = [group]
            while todo:
                one = todo.pop()
                found.setdefault(user, set()).add(names[one])
                todo += outer.get(one, ())
        self.grouped.append((head, found))

    def expected_by_group(self, since: str, until: str) -> dict:
        found: dict = {}
        for at, number, user, *figures in self.centre.query(
            "SELECT c.received_at, COALESCE(a.number, c.number), COALESCE(a.user, c.user),"
            " c.pages, c.sheets, c.amount_e4 FROM charge AS c"
            " LEFT JOIN assigned AS a ON a.charge_id = c.charge_id"
        ):
            groups = [state for head, state in self.grouped if head <= number][-1].get(user, ())
            if since <= month_of(at) <= until:
                for key in (*groups, ALL_ONCE):
                    sums = found.setdefault(key, [0, 0, 0, 0])
                    for place, figure in enumerate((1, *figures)):
                        sums[place] += figure
        found = {key: sums for key, sums in found.items() if any(sums)}
        return {ALL_ONCE: [0, 0, 0, 0], **found}

    def expected(self, by: str, since: str, until: str) -> dict:
        if by == "group":
            return self.expected_by_group(since, until)
        found: dict = {}
        sites = {"p1": "north", "p2": "south"}
        for at, user, printer, account, provider, pages, sheets, amount_e4 in self.centre.query(
            "SELECT received_at, COALESCE((SELECT name FROM user WHERE id ="
            " COALESCE((SELECT a.user FROM assigned AS a WHERE a.charge_id = c.charge_id), c.user)"
            "), '(nobody)'), (SELECT name FROM printer WHERE id = printer),"
            " (SELECT CASE WHEN id = 3 THEN '(uncollected)' ELSE name END FROM account"
            " WHERE id = c.account), provider, pages, sheets, amount_e4 FROM charge AS c"
        ):
            month = month_of(at)
            if since <= month <= until:
                key = {
                    **{"user": user, "printer": printer, "account": account, "month": month},
                    "site": sites[provider],
                }[by]
                sums = found.setdefault(key, [0, 0, 0, 0])
                for place, figure in enumerate((1, pages, sheets, amount_e4)):
                    sums[place] += figure
        return {key: sums for key, sums in found.items() if any(sums)}

    def check(self) -> None:
        months = [row[0] for row in self.centre.query("SELECT DISTINCT month FROM monthly")]
        spans = [("0001-01", "9999-12"), *((month, month) for month in sorted(months)[-1:])]
        for by in ("user", "printer", "account", "site", "month", "group"):
            for since, until in spans:
                for order in ("pages", "amount_e4"):
                    rows = self.result(
                        self.centre.store.monthly.report(by, since, until, order, 100)
                    )
                    names = ("jobs", "pages", "sheets", "amount_e4")
                    found = {row[by]: [row[name] for name in names] for row in rows}
                    self.assertEqual(found, self.expected(by, since, until), (by, since))
                    if by != "month":
                        most = [row[order] for row in rows if row[by] != ALL_ONCE]
                        self.assertEqual(most, sorted(most, reverse=True))

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(_STEPS)
    def test_sums_are_those_of_the_charges(self, steps: list) -> None:
        if not self.engine.another():
            return
        self.begin()
        self.patch(monthly, "PIECE_CHARGES", 2)
        self.patch(monthly, "SUMS_MAX", 3)
        for step in steps:
            try:
                self.do(*step)
            except Rejected as refused:
                self.assertIn(refused.code, ("settled", "voided"))
        self.check()
        self.turner.run(roll_all(self.centre.store))
        self.check()
        self.assertEqual(self.result(self.centre.store.verify()), [])
        # The database finds so by itself, without naming sums.
        rolled = self.result(self.centre.store.monthly.rolled())
        self.assertTrue(self.result(self.centre.store.read(lambda c: are_right(c, rolled.number))))

    def test_verify_finds_a_wrong_sum(self) -> None:
        self.do("print", 1, 3)
        self.turner.run(roll_all(self.centre.store))
        self.centre.query("UPDATE monthly SET pages = pages + 1 WHERE of = 'user'")
        (problem,) = self.result(self.centre.store.verify())
        user = self.centre.query("SELECT id FROM user WHERE name = 'u1'")[0][0]
        month = month_of(WALL_S)
        self.assertEqual(
            problem, f"monthly sums: user {user} of {month} is not the sum of its charges"
        )
        self.result(self.centre.store.monthly.begin_again())
        self.turner.run(roll_all(self.centre.store))
        self.assertEqual(self.result(self.centre.store.verify()), [])

    def test_a_group_of_then_is_not_one_of_now(self) -> None:
        rules = self.centre.store.rules
        self.result(rules.change_group("g0", add=["u0"]))
        self.do("print", 0, 3)
        self.result(rules.change_group("g0", remove=["u0"]))
        self.result(rules.change_group("g1", add=["u0"]))
        self.result(rules.change_nested("g2", add=["g1"]))
        self.do("print", 0, 5)
        self.do("print", 1, 1)
        month = month_of(WALL_S)
        expected = [("g1", 5), ("g2", 5), ("g0", 3), (ALL_ONCE, 9)]
        for is_gone in (False, True):
            if is_gone:
                # What was printed by then stays that of the group.
                self.result(rules.remove_group("g2"))
            for again in (False, True):
                if again:
                    self.result(self.centre.store.monthly.begin_again())
                    self.turner.run(roll_all(self.centre.store))
                rows = self.result(
                    self.centre.store.monthly.report("group", month, month, "pages", 9)
                )
                self.assertEqual([(row["group"], row["pages"]) for row in rows], expected)
        self.assertEqual(self.result(self.centre.store.verify()), [])

    def test_verify_finds_a_membership_without_history(self) -> None:
        self.centre.query("INSERT INTO group_member VALUES ('1.1', 1, 1)")
        self.assertIn("history of user 1 in group 1", self.result(self.centre.store.verify())[0])
        self.centre.query("DELETE FROM group_member")

    def test_somebody_further_down_comes_up_by_what_is_not_rolled_forward(self) -> None:
        for user, count in ((0, 9), (1, 8), (2, 1)):
            self.do("print", user, count)
        self.turner.run(roll_all(self.centre.store))
        self.do("print", 2, 9)
        month = month_of(WALL_S)
        for since in ("0001-01", month):
            rows = self.result(self.centre.store.monthly.report("user", since, month, "pages", 1))
            self.assertEqual([(row["user"], row["pages"]) for row in rows], [("u2", 10)])

    def test_a_time_that_is_none_is_in_a_month(self) -> None:
        for at in (float("inf"), float("nan"), None, "x", -1e300):
            self.assertEqual(month_of(at), "1970-01")


on_every_engine(globals())

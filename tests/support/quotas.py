"""A centre and a site with quotas, whose clocks a test may step; and what purses should hold."""

from __future__ import annotations

import attrs

from papercutd.domain.decision import Decision
from papercutd.domain.job import Request
from papercutd.domain.schedule import NO_DUE, Due, Rule, credit_of, parse_due
from papercutd.environment import Environment
from papercutd.storage.money.schedules import Schedule
from tests.support.engines import ENGINES, Engine
from tests.support.stores import WALL_S, Branch, Centre, Turner, completion, request

DAY_S = 86_400
DAILY = Schedule("daily", 5_000, Rule("daily"), 12_000)
WEEKLY = Schedule("weekly", 9_000, Rule("weekly", 3, 600), 15_000)
PLAIN = Schedule("plain", 2_000, Rule("daily", 0, 720))
OPENING_E4 = 10_000


@attrs.define
class SteppedTurner(Turner):
    """Its wall clock may be stepped: ``offset_s``."""

    offset_s: float = 0.0

    def environment(self, seed: int = 1) -> Environment:
        env = super().environment(seed)
        return attrs.evolve(env, wall_s=lambda: self.now_s + self.offset_s)

    @property
    def now_s(self) -> float:
        """What the time really is."""
        return WALL_S + self.clock.seconds()


@attrs.frozen
class Charge:
    """A decision that is to be posted."""

    asked: Request
    decision: Decision
    user: str
    is_ours: bool


class QuotaWorld:
    """Three restricted people who may overdraw, one who is not restricted, and quotas."""

    def __init__(self, *schedules: Schedule, engine: Engine = ENGINES[0]) -> None:
        self.turner = SteppedTurner()
        self.centre = Centre(self.turner, engine)
        for name in ("anna", "ben", "cleo"):
            self.centre.user(name, OPENING_E4, overdraft_e4=10**9)
        self.centre.user("staff", OPENING_E4, restricted=False)
        self.schedules = schedules
        result = self.turner.result
        for purse in {schedule.purse for schedule in schedules} - {""}:
            result(self.centre.store.purses.add(purse, None, True, True))
        for schedule in schedules:
            result(self.centre.store.add_quota(schedule))
        result(self.centre.store.set_site("north", {"cap_user_e4": -2}))
        self.branch = Branch(self.turner, engine=engine)
        self.branch.load_snapshot(self.centre)
        self.branch.store.go_by(lambda: self.turner.now_s)
        self.asker = self.centre.provider()
        self.site_asker = self.branch.provider()
        self.site = self.centre.site(self.branch.stream)
        self.began_s = self.turner.now_s
        self.open: list[Charge] = []
        self.all: list[Charge] = []

    def advance(self, days: float) -> None:
        self.turner.clock.advance(days * DAY_S)

    def run(self, pieces: int = 10_000, **more: object) -> int:
        """How many pieces there were to run, ``pieces`` at the most."""
        for done in range(pieces):
            if self.turner.result(self.centre.store.run_quota(**more)) is None:
                return done
        return pieces

    def ask(self, user: str, pages: int, at_site: bool) -> Decision:
        asked = request(len(self.all) + 1, pages, user)
        store = self.branch.store if at_site else self.centre.store
        if at_site:
            decision = self.turner.result(store.decide(self.site_asker, asked))
            due = [due for due, _ in self.due()]
            assert decision.promise == (due[-1] if due else NO_DUE).text
        else:
            decision = self.turner.result(store.authorize(self.asker, asked))
        if decision.allowed:
            charge = Charge(asked, decision, user, at_site)
            self.open.append(charge)
            self.all.append(charge)
        return decision

    def complete(self, index: int = 0) -> None:
        charge = self.open.pop(index % len(self.open))
        done = completion(charge.asked, charge.decision)
        if charge.is_ours:
            self.turner.result(self.branch.store.complete(self.site_asker, done))
        else:
            self.turner.result(self.centre.store.complete(self.asker, done))

    def heal(self) -> None:
        """Everything is printed, forwarded, run and replicated; the clock is right again."""
        self.turner.offset_s = 0.0
        while self.open:
            self.complete()
        while self.branch.forward(self.centre, self.site):
            pass
        self.run()
        self.branch.follow(self.centre)

    def balance(self, name: str) -> int:
        found = self.centre.account(name)
        return found["credits_e4"] - found["debits_e4"]

    def account(self, name: str = "anna") -> int:
        ((account,),) = self.centre.query("SELECT id FROM account WHERE name = ?", name)
        return int(account)

    def due(self) -> list[tuple[Due, Schedule]]:
        """Every run from the beginning until now, in order."""
        found = []
        for number, schedule in enumerate(self.schedules, 1):
            at_s = schedule.rule.next_due(self.began_s)
            while at_s <= self.turner.now_s:
                found.append((Due(at_s, number), schedule))
                at_s = schedule.rule.next_due(at_s)
        return sorted(found, key=lambda one: one[0])

    def expected(self, name: str, topped_e4: int = 0) -> int:
        """What a purse holds when runs and charges come in the order of their decisions."""
        mine = [c for c in self.all if c.user == name]
        left = [(parse_due(c.decision.promise), c.decision.amount_e4) for c in mine]
        assert all(due is not None for due, _ in left)
        balance_e4 = OPENING_E4 + topped_e4
        for due, schedule in self.due():
            balance_e4 -= sum(amount_e4 for named, amount_e4 in left if named < due)
            left = [one for one in left if not one[0] < due]
            balance_e4 += credit_of(schedule.amount_e4, schedule.cap_e4, balance_e4).credit_e4
        return balance_e4 - sum(amount_e4 for _, amount_e4 in left)


def total_e4(centre: Centre) -> int:
    """All accounts together."""
    ((total,),) = centre.query("SELECT SUM(credits_e4 - debits_e4) FROM account")
    return int(total)


__all__ = ["DAILY", "PLAIN", "WEEKLY", "Charge", "QuotaWorld", "total_e4"]

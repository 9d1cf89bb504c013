"""People whom no server knows print everywhere, and a shared account has a quota.

What becomes of them is drawn: at the application server they are denied, held or made users, at
cut sites held, booked to nobody or made users.
"""

from __future__ import annotations

import random
from typing import Any

from papercutd.domain.job import fold_user_name
from papercutd.domain.policy import Rule as PolicyRule
from papercutd.domain.policy import UnknownUsers
from papercutd.domain.schedule import Rule
from papercutd.domain.unknown_users import needs_of
from papercutd.storage.money.schedules import Schedule, of_account
from papercutd.storage.people.people import heir_of_user
from tests.simulation.world import World

#: As their jobs name them: three people.
NAMES = ("nia", "Nia", "CORP\\nia", "noa", "NOA", "zoe")
CREDIT_E4 = 20_000
SCHOOL, SCHOOL_E4, SCHOOL_QUOTA_E4 = "School", 10_000, 3_000


class Newcomers:
    """What is set, and what must hold of it at the end."""

    def __init__(self, world: World) -> None:
        self._world = world
        rng = world.random("newcomers")
        self._rng: random.Random = rng
        centre = [UnknownUsers.CREATE, UnknownUsers.CREATE, UnknownUsers.HOLD, UnknownUsers.DENY]
        site = [UnknownUsers.CREATE, UnknownUsers.CREATE, UnknownUsers.HOLD]
        self._at_centre, self._at_sites = rng.choice(centre), rng.choice(site)
        #: Who pays for new users: they themselves, or the school.
        modes = (None, f"shared:{SCHOOL}")
        self._mode = world.random("newcomers-mode").choice(modes)

    def prepare(self, store: Any, epoch_s: float) -> None:
        """In the database as an administrator left it."""
        new, knob = store.new_users, "unknown-users"
        what = self._at_sites.value
        new.set_unknown(None, self._at_centre, None)
        rule = PolicyRule(knob, what, needs=needs_of(knob, what))
        store.rules.change_rules(set=(rule,))
        store.shared.add(SCHOOL, SCHOOL_E4, {"restricted": True})
        new.set_rule(None, {"credit_e4": CREDIT_E4, "account_selection": self._mode})
        # Of the second whole minute of the run, and never again within it.
        minute = (int(epoch_s // 60) + 2) % 1_440

        def add(account: int) -> Any:
            whom = of_account(account)
            quota = Schedule("school", SCHOOL_QUOTA_E4, Rule("daily", 0, minute), None, whom)
            return store.add_quota(quota)

        store.shared_account(SCHOOL).addCallback(add)

    def name(self) -> str:
        return self._rng.choice(NAMES)

    def check_end(self, connection: Any) -> None:
        """One user of a name, begun once; their jobs are theirs; the account has its run."""
        self._world.findings.checked["I3"] += 1
        made: dict[str, list[int]] = {}
        for user, folded in connection.execute(
            "SELECT id, folded FROM user WHERE source = 'print' ORDER BY id"
        ).fetchall():
            made.setdefault(folded, []).append(user)
        creates = UnknownUsers.CREATE in (self._at_centre, self._at_sites)
        if made and not creates:
            self._find(f"nobody is to be made a user, and {sorted(made)} are")
        for folded, users in made.items():
            self._world.sometimes("an unknown person is made a user")
            self._check_one(connection, folded, users)
        self._check_jobs(connection, made)
        (ran,) = connection.execute(
            "SELECT COUNT(*) FROM quota_run JOIN schedule ON schedule.id = quota_run.schedule"
            " WHERE name = 'school' AND finished_at IS NOT NULL"
        ).fetchone()
        balance_e4, paid_e4 = connection.execute(
            "SELECT credits_e4 - debits_e4, (SELECT COALESCE(SUM(amount_e4), 0) FROM transfer"
            " WHERE debit = account.id AND credit = 1 AND kind IN ('post', 'direct'))"
            " FROM account WHERE kind = 'shared' AND name = ?",
            (SCHOOL,),
        ).fetchone()
        self._world.sometimes("a shared account has its quota", ran)
        self._world.sometimes("a shared account pays for an unknown person", int(paid_e4 > 0))
        if balance_e4 != SCHOOL_E4 + ran * SCHOOL_QUOTA_E4 - paid_e4:
            self._find(f"{SCHOOL} had {ran} runs, paid {paid_e4} and holds {balance_e4}")
        if paid_e4 and self._mode is None:
            self._find(f"{SCHOOL} paid {paid_e4} for somebody")

    def _check_one(self, connection: Any, folded: str, users: list[int]) -> None:
        if len(users) > 1:
            self._find(f"{folded} is {len(users)} users")
        for user in users:
            credits = connection.execute(
                "SELECT amount_e4 FROM transfer JOIN account ON account.id = credit"
                " WHERE account.user = ? AND reason = 'initial credit'",
                (user,),
            ).fetchall()
            if credits != [(CREDIT_E4,)]:
                self._find(f"{folded} began with {credits}")

    def _check_jobs(self, connection: Any, made: dict[str, list[int]]) -> None:
        """What was printed in their names is theirs, and nobody's only where nobody is made."""
        known = {fold_user_name(name) for name in NAMES}
        accounts = dict(connection.execute("SELECT id, kind FROM account").fetchall())
        for key, name, user, account in connection.execute(
            "SELECT key, user_name, user, account FROM charge"
        ).fetchall():
            folded = fold_user_name(name)
            if folded not in known:
                continue
            self._world.sometimes("an unknown person pays")
            owners = {heir_of_user(connection, "", one) for one in made.get(folded, [])}
            if user is not None and user not in owners:
                self._find(f"{key} of {folded} is charged to user {user}, not {owners}")
            if user is None and owners and self._at_sites is UnknownUsers.CREATE:
                self._world.sometimes("an unknown person's job is nobody's")
            is_schools = accounts.get(account) == "shared"
            if user is not None and self._mode and not is_schools:
                self._find(f"{key} of {folded} is on account {account}, not the school's")
            if user is None and account != 3 and not is_schools:
                self._find(f"{key} of {folded} is of no user and on account {account}")

    def _find(self, text: str) -> None:
        self._world.find("I3", text, "application")

"""Shared accounts in the population: some may be charged by some people alone, some add to the
price. Everything stays as it was made, so site and centre have no reason to differ."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import msgspec

from papercutd.domain.pricing import PriceLine, markup_rate
from papercutd.storage.money.shared_accounts import Access
from tests.simulation.world import World

#: Name to (mark-up, groups that may charge it); the sub-account inherits its parent's access.
ACCOUNTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "open": (0, ()),
    "dear": (2_500, ()),
    "staff": (0, ("outer",)),
    "staff\\lab": (10_000, ()),
}
#: Who is in the group ``inner``, which is within ``outer``.
MEMBERS = ("anna", "ben")
BALANCE_E4 = 200_000
_LINES = msgspec.json.Decoder(tuple[PriceLine, ...])


class SharedAccounts:
    """Made once; ``ids``: by name."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.ids: dict[str, int] = {}

    def prepare(self, store: Any) -> None:
        """As an administrator left it; the users are there."""
        for group in ("inner", "outer"):
            store.rules.add_group(group)
        store.rules.change_nested("outer", ["inner"])
        store.rules.change_group("inner", MEMBERS)
        for name, (rate_e4, groups) in ACCOUNTS.items():
            made = store.shared.add(name, BALANCE_E4, {"markup_e4": rate_e4})
            made.addCallback(lambda id, name=name: self.ids.setdefault(name, id))
            if groups:
                store.shared.change_access(name, add=Access((), groups))

    def choose(self, rng: random.Random) -> int | None:
        """An account that somebody chooses, or none; whether they may charge it or not."""
        if not self.ids or rng.random() < 0.3:
            return None
        return self.ids[rng.choice(sorted(self.ids))]

    def check_end(self, application: sqlite3.Connection) -> None:
        """I3: charged by who may, with the mark-up that it has; site and centre agree."""
        names = {id: name for name, id in self.ids.items()}
        for key, account, user, lines in application.execute(
            "SELECT key, account, user_name, lines FROM charge WHERE account IN"
            " (SELECT id FROM account WHERE kind = 'shared')"
        ):
            self._world.count("charged to shared accounts")
            name = names[account]
            if name.startswith("staff") and user not in MEMBERS:
                self._world.find("I3", f"{key}: {user} has charged {name}", "application")
            rate_e4 = markup_rate(_LINES.decode(lines))
            if rate_e4 != ACCOUNTS[name][0]:
                text = f"{key}: {name} adds {ACCOUNTS[name][0]}, charged with {rate_e4}"
                self._world.find("I3", text, "application")
        for key, detail in application.execute(
            "SELECT key, detail FROM listed WHERE kind = 'price-difference'"
        ):
            self._world.find("I3", f"{key}: a site's price differs: {detail}", "application")
        (refused,) = application.execute(
            "SELECT COUNT(*) FROM job_log WHERE reason = 'account'"
        ).fetchone()
        self._world.count("refused for the account", refused)

"""People who are merged, renamed and deleted, and providers that are revoked: F43, F49, F55."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Callable
from typing import Any

from tests.simulation.core_nodes import APPLICATION, PROVIDERS, CoreInstallation
from tests.simulation.disk import Commit
from tests.simulation.stage import End, Fault, Stage

#: Who comes and goes, and what they have.
PEOPLE = {"emil": 30_000, "eva": 50_000, "fritz": 10_000, "gerda": 80_000}
#: What was asked before a revocation arrived may be on its way to a slow disk for so long.
REVOKED_WITHIN_S = 5.0


class People:
    """Makes these faults. ``People(stage, installation, rng).register()``."""

    def __init__(self, stage: Stage, installation: CoreInstallation, rng: random.Random) -> None:
        self._stage = stage
        self._world = stage.world
        self._in = installation
        self._rng = rng
        self._born = 0
        self._gone = 0

    def register(self) -> None:
        logic = self._stage.logic
        logic["F43"] = self._delete
        logic["F49"] = self._revoke
        logic["F55"] = self._change

    def _at_centre(self, act: Callable[[Any], Any], done: list[object]) -> None:
        node, server = self._world.nodes[APPLICATION], self._in.application
        if node.clock is not None and server is not None:
            store = server.store

            def begin() -> None:
                act(store).addCallbacks(done.append, lambda failure: None)

            node.clock.callLater(0, begin)

    def _living(self) -> list[str]:
        centre = self._world.nodes[APPLICATION].disk.connection("application.db")
        if centre is None:
            return []
        return [
            row[0]
            for row in centre.execute(
                "SELECT name FROM user WHERE merged_into IS NULL AND deleted_at IS NULL"
                " AND source <> 'print'"
                " AND id > (SELECT MAX(id) FROM user WHERE name = 'staff') ORDER BY id"
            )
        ]

    def _delete(self, fault: Fault) -> End:
        """F43: somebody is deleted, or has an end, while they print, and comes back later."""
        done: list[object] = []
        living = self._living()
        if not living:
            return lambda: False
        name = self._rng.choice(living)
        self._gone += 1
        if self._gone % 2 == 0:
            return self._end(name, fault.duration_s / 3)
        self._at_centre(lambda store: store.delete_user(name), done)

        def end() -> bool:
            self._at_centre(lambda store: store.undelete_user(name), [])
            return bool(done)

        return end

    def _end(self, name: str, after_s: float) -> End:
        """A temporary user, whose end the sites know ahead."""
        done: list[object] = []

        def begin(store: Any) -> Any:
            at = self._in.application.env.wall_s() + after_s
            return store.people.set_user(name, {"expires_at": at})

        self._at_centre(begin, done)

        def end() -> bool:
            self._at_centre(lambda store: store.people.set_user(name, {"expires_at": None}), [])
            return bool(done)

        return end

    def _change(self, fault: Fault) -> End:
        """F55: one is merged into another, a third is renamed, and a name is given again."""
        done: list[object] = []
        living = self._living()
        if len(living) < 2:
            return lambda: False
        old, heir = self._rng.sample(living, 2)
        self._at_centre(lambda store: store.merge_users(old, heir), done)
        third = self._rng.choice([one for one in living if one != old])
        self._born += 1
        new = f"{third.partition('-')[0]}-{self._born}"
        self._world.later(
            fault.duration_s / 3,
            self._at_centre,
            lambda store: store.rename_user(third, new, now=True),
            [],
        )
        self._world.later(
            fault.duration_s / 2,
            self._at_centre,
            lambda store: store.add_user(third, balance_e4=10_000, now=True),
            [],
        )
        return lambda: bool(done)

    def _revoke(self, fault: Fault) -> End:
        """F49: a provider is revoked, tries on, and joins again at the end."""
        (name,) = fault.targets
        certificates = self._in.certificates
        serial = certificates.serial("provider", name)
        done: list[object] = []

        def revoke(store: Any) -> Any:
            return store.record_certificate(serial, "provider", name, serial, 4e9).addCallback(
                lambda recorded: store.revoke("provider", name)
            )

        self._at_centre(revoke, done)

        def end() -> bool:
            certificates.join_again(name)
            return bool(done)

        return end


class RevokedChecks:
    """I17: a revoked identity moves no money after the revocation arrived."""

    def __init__(self, installation: CoreInstallation) -> None:
        self._in = installation
        self._world = installation.world
        #: (server, serial) to when it arrived there.
        self._arrived: dict[tuple[str, str], float] = {}
        #: Keys that each server had heard of before.
        self._seen: dict[tuple[str, str], int] = {}

    def committed(self, commit: Commit) -> None:
        if commit.database == "application.db":
            serials = "SELECT serial FROM certificate WHERE revoked_at IS NOT NULL"
            moved = (
                "SELECT COUNT(*) FROM charge WHERE provider = ?1 AND stream = ''",
                "SELECT COUNT(*) FROM hold WHERE asker = 'provider:' || ?1",
            )
        elif commit.database == "journal.db":
            serials = "SELECT serial FROM replica.revocation"
            moved = (
                "SELECT COUNT(*) FROM decision WHERE provider = ?1",
                "SELECT COUNT(*) FROM hold WHERE asker = 'provider:' || ?1",
            )
        else:
            return
        try:
            revoked = [row[0] for row in commit.connection.execute(serials)]
        except sqlite3.OperationalError:
            return
        for serial in revoked:
            self._check(commit, serial, moved)

    def _check(self, commit: Commit, serial: str, moved: tuple[str, str]) -> None:
        _, name = serial.rsplit("-", 1)[0].split("-", 1)
        if name not in PROVIDERS:
            return
        since = self._arrived.setdefault((commit.node, serial), self._world.now)
        if commit.node == APPLICATION:
            # A site that has not heard of it yet relays what was printed.
            since = max(since, self._arrived.get((PROVIDERS[name], serial), math.inf))
        is_current = self._in.certificates.serial("provider", name) == serial
        for query in moved:
            (count,) = commit.connection.execute(query, (name,)).fetchone()
            slot = (f"{commit.node} {serial}", query)
            before = self._seen.get(slot, count)
            self._seen[slot] = count
            if not is_current or self._world.now - since < REVOKED_WITHIN_S:
                continue
            self._world.findings.checked["I17"] += 1
            if count > before:
                text = f"{name} is revoked since {since:.1f} s and moves money"
                self._world.find("I17", text, commit.node)

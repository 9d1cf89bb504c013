"""STRICT money at sites: its invariants (I6, I6b, I8, I19), its faults (F47, F60), its end.

What a stream was granted is held in escrow and spent nowhere else, so nobody is ever below the
floor by what anybody decided. Whoever copies or restores a site can spend its allowances twice:
by so much more, and no more.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from papercutd.errors import PapercutError
from papercutd.services.allowance_operations import AllowanceOperations
from protocols.codes import Code
from tests.simulation.core_nodes import APPLICATION, SITES, CoreInstallation
from tests.simulation.disk import Commit
from tests.simulation.stage import End, Fault, Stage

#: RECALL waits 300 ms: looked at often enough to cut the link in the midst of it.
LOOK_S = 0.02
RETIRE_WAIT_S = 20


class StrictFaults:
    """``StrictFaults(stage, installation, rng).register()``."""

    def __init__(self, stage: Stage, installation: CoreInstallation, rng: random.Random) -> None:
        self._stage = stage
        self._world = stage.world
        self._in = installation
        self._rng = rng

    def register(self) -> None:
        logic = self._stage.logic
        logic["F47"] = self._change_policy
        logic["F60"] = self._cut_recall

    def _change_policy(self, fault: Fault) -> End:
        """F47: the site is CAPPED for a while, or STRICT; it hears of it when it can."""
        (site,) = fault.targets
        done: list[object] = []
        now = self._in.policy

        def change(policy: str, heard: list[object]) -> None:
            node, server = self._world.nodes[APPLICATION], self._in.application
            if node.clock is not None and server is not None:
                store = server.store

                def begin() -> None:
                    store.set_site(site, {"policy": policy}).addCallbacks(
                        heard.append, lambda failure: None
                    )

                node.clock.callLater(0, begin)

        change("capped" if now == "strict" else "strict", done)
        heal = None
        if fault.values["cut"] < 0.5:
            # It does not hear of it before it has spent by the old one.
            heal = self._stage.network.links.cut_both(APPLICATION, site)

        def end() -> bool:
            if heal is not None:
                heal()
            change(now, [])
            return bool(done)

        return end

    def _cut_recall(self, fault: Fault) -> End:
        """F60: the link of a site is cut in the midst of a recall."""
        application, site = fault.targets
        sent = self._sent()
        cut: list[Callable[[], None]] = []
        state = {"over": False}

        def look() -> None:
            nonlocal sent
            if state["over"] or cut:
                return
            now = self._sent()
            if now > sent:
                cut.append(self._stage.network.links.cut_both(application, site))
                self._world.later(fault.duration_s / 3, heal)
                return
            sent = now
            self._world.later(LOOK_S, look)

        def heal() -> None:
            if not state["over"]:
                state["over"] = True
                cut[0]()

        look()

        def end() -> bool:
            if cut:
                heal()
            state["over"] = True
            return bool(cut)

        return end

    def _sent(self) -> int:
        server = self._in.application
        return 0 if server is None else server.recalls.sent

    # The end.

    def retire(self) -> None:
        """An administrator retires what sites left behind: its money goes back."""
        node, server = self._world.nodes[APPLICATION], self._in.application
        if node.clock is None or server is None:
            return
        clock = node.clock

        async def pause(seconds: float) -> None:
            await deferLater(clock, seconds, lambda: None)

        def call_back(identity: str) -> None:
            for sessions in (server.providers, server.sites, server.device_sessions):
                session = sessions.get(identity)
                if session is not None:
                    session.end(Code.UNAVAILABLE)

        operations = AllowanceOperations(server.store, call_back, pause)

        async def run() -> None:
            for site in SITES:
                try:
                    done = await operations.retire(
                        {"name": site, "wait_s": RETIRE_WAIT_S, "now": True},
                        lambda told: None,
                    )
                except PapercutError:
                    continue
                self._world.count("streams retired", len(done["retired"]))
                self._world.count("retired with somebody missing", bool(done["not_reported"]))

        def begin() -> None:
            Deferred.fromCoroutine(run())

        clock.callLater(0, begin)


class StrictChecks:
    """Fed with every commit by the oracle."""

    def __init__(self, installation: CoreInstallation, struck: set[str]) -> None:
        self._in = installation
        self._world = installation.world
        #: Nodes that were restored or copied.
        self._struck = struck
        self._totals: dict[str, tuple[int, ...]] = {}
        self._spent: dict[tuple[str, str, int], int] = {}

    def _checked(self, *invariants: str) -> None:
        for invariant in invariants:
            self._world.findings.checked[invariant] += 1

    def restored(self, node: str) -> None:
        """What it said before may be unsaid."""
        if node == APPLICATION:
            self._totals.clear()
        else:
            self._spent = {key: n for key, n in self._spent.items() if key[0] != node}

    def committed(self, commit: Commit) -> None:
        if commit.database == "application.db":
            self._check_balance(commit.connection)
            self._check_totals(commit.connection)
            if self._in.policy == "strict":
                self._check_floor(commit.connection)
        elif commit.database == "journal.db":
            self._check_site(commit)

    def _check_balance(self, centre: sqlite3.Connection) -> None:
        """I19: granted = escrow + settled + returned."""
        self._checked("I19")
        for row in centre.execute(
            "SELECT allowance.id FROM allowance JOIN account ON account.id = allowance.account"
            " WHERE granted_e4 <> (credits_e4 - debits_e4) + settled_e4 + returned_e4"
            " OR credits_e4 < debits_e4"
        ):
            self._world.find("I19", f"{row[0]} is not granted = escrow + the rest", APPLICATION)
        for row in centre.execute(
            "SELECT stream.id FROM stream JOIN allowance ON allowance.stream = stream.id"
            " GROUP BY stream.id HAVING stream.granted_e4 <> SUM(allowance.granted_e4)"
            " OR stream.returned_e4 <> SUM(allowance.returned_e4)"
            " OR stream.settled_e4 <> SUM(allowance.settled_e4)"
        ):
            self._world.find("I19", f"the totals of {row[0]} are not its users'", APPLICATION)

    def _check_totals(self, centre: sqlite3.Connection) -> None:
        """I8: what was granted, returned and settled only grows."""
        for id, *totals in centre.execute(
            "SELECT id, granted_e4, returned_e4, settled_e4 FROM allowance"
        ):
            found = tuple(totals)
            before = self._totals.get(id, (0, 0, 0))
            if any(now < was for now, was in zip(found, before, strict=True)):
                self._world.find("I8", f"allowance {id}: {found} after {before}", APPLICATION)
            self._totals[id] = found

    def _check_floor(self, centre: sqlite3.Connection) -> None:
        """I6: nobody is below the floor by a decision; I6b: by what was spent twice at most."""
        self._checked("I6", "I6b")
        for name, account, user, below_e4 in centre.execute(
            "SELECT name, id, user, floor_e4 - (credits_e4 - debits_e4 + purses_e4) FROM account"
            " WHERE restricted = 1 AND kind = 'personal'"
            " AND credits_e4 - debits_e4 + purses_e4 < floor_e4"
        ).fetchall():
            # An administrator may take more than there is, out of a purse beside it too.
            (apart_e4,) = centre.execute(
                "SELECT (SELECT COALESCE(SUM(amount_e4), 0) FROM charge WHERE account = ?1"
                " AND (decider = 'tracker' OR assumed = 1))"
                " + (SELECT COALESCE(SUM(amount_e4), 0) FROM transfer WHERE debit IN"
                " (SELECT id FROM account WHERE id = ?1 OR (kind = 'purse' AND parent = ?1))"
                " AND who = 'administrator' AND kind = 'direct')",
                (account,),
            ).fetchone()
            if APPLICATION in self._struck:
                continue
            twice_e4 = 0
            for site in SITES:
                if site in self._struck:
                    (granted_e4,) = centre.execute(
                        "SELECT COALESCE(SUM(allowance.granted_e4), 0) FROM allowance"
                        " JOIN stream ON stream.id = allowance.stream"
                        " JOIN site ON site.id = stream.site WHERE user = ? AND site.name = ?",
                        (user, site),
                    ).fetchone()
                    twice_e4 += granted_e4
            if below_e4 - apart_e4 > twice_e4:
                invariant = "I6b" if twice_e4 else "I6"
                text = f"{name} is {below_e4} below, {apart_e4} apart, {twice_e4} spent twice"
                self._world.find(invariant, text, APPLICATION)

    def _check_site(self, commit: Commit) -> None:
        """I6: a site never reserves or spends more than its stream holds; I8: spent only grows."""
        (stream,) = commit.connection.execute("SELECT stream FROM identity").fetchone()
        for user, granted_e4, returned_e4, spent_e4, pending_e4 in commit.connection.execute(
            "SELECT user, granted_e4, returned_e4, spent_e4, pending_e4 FROM allowance"
        ):
            self._checked("I6")
            left_e4 = granted_e4 - returned_e4 - spent_e4 - pending_e4
            is_merged = bool(self._in.people)
            if (left_e4 < 0 or pending_e4 < 0) and not is_merged:
                if self._world.nodes[commit.node].identity in self._struck:
                    self._world.sometimes("spent what a lost journal had reserved")
                    continue
                text = f"user {user}: {granted_e4} granted, {left_e4} left, {pending_e4} pending"
                self._world.find("I6", text, commit.node)
            slot = (commit.node, stream, user)
            if spent_e4 < self._spent.get(slot, 0):
                self._world.find("I8", f"user {user} had spent {self._spent[slot]}", commit.node)
            self._spent[slot] = spent_e4

    def check_end(self, centre: sqlite3.Connection) -> None:
        """No stream that was retired holds anybody's money."""
        for row in centre.execute(
            "SELECT id FROM stream WHERE state = 'retired'"
            " AND granted_e4 <> returned_e4 + settled_e4"
        ):
            self._world.find("I19", f"{row[0]} is retired and holds money", APPLICATION)

"""The oracle: which invariants there are, when each is looked at, and who looks.

A scenario makes one ``Oracle``, registers a check for each invariant it can judge, lets
the oracle ``watch`` its nodes' disks, and tells it of what only a workload sees (a reply,
a read, a handshake). A check is a function of the moment that yields one text for each
thing wrong; it reads databases through ``moment.database`` and changes nothing. Checks
that compare with what was before are methods of an object that remembers.

``unchecked`` names the invariants without a check; the report of every run names those
of which no check ran.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from tests.simulation.disk import Commit
from tests.simulation.node import Node
from tests.simulation.world import World


class When(enum.Enum):
    """Moments at which checks run, and what ``Moment.subject`` is then."""

    #: A transaction is on a disk and nobody was answered: the Commit.
    COMMIT = "commit"
    #: A replica took a batch or a snapshot into force: the Commit of the replica's node.
    APPLY = "apply"
    #: A server's answer is in the hands of its asker: a Reply.
    REPLY = "reply"
    #: A balance or another fact was shown to somebody: whatever the scenario shows.
    READ = "read"
    #: A session was opened: the Session, at the server.
    HELLO = "hello"
    #: An acknowledgement was taken: (acknowledger, position).
    ACKNOWLEDGEMENT = "acknowledgement"
    #: A node has crashed and its disk is as it will find it: the Node.
    CRASH = "crash"
    #: Every fault is over, the quiet period begins: None.
    HEAL = "heal"
    #: Every so often, whatever happens: None.
    STEP = "step"
    #: The quiet period is over: None.
    END = "end"


@attrs.frozen
class Invariant:
    """One line of the table of invariants."""

    code: str
    statement: str
    #: When it has to be looked at, at the least.
    when: frozenset[When]


def _invariant(code: str, statement: str, *when: When) -> Invariant:
    return Invariant(code, statement, frozenset(when))


#: What the base profile judges. I18 (same seed, same trace) is the runner's.
INVARIANTS: dict[str, Invariant] = {
    one.code: one
    for one in (
        _invariant(
            "I1", "the sum of all accounts is constant, each transfer balanced", When.COMMIT
        ),
        _invariant("I2", "account columns are the fold of the transfers", When.COMMIT),
        _invariant(
            "I3",
            "each job with a surviving record of paper has exactly one charge, as decided",
            When.HEAL,
            When.END,
        ),
        _invariant("I4", "no charge without paper or a record of it", When.END),
        _invariant("I5", "a decision made durable by its asker never changes", When.REPLY),
        _invariant("I7", "CAPPED: overspend of a user at most the sum of the caps", When.COMMIT),
        _invariant("I8", "marks, totals and timeline of a stream only grow", When.COMMIT),
        _invariant(
            "I9", "a replica is its application server's state there, never partial", When.APPLY
        ),
        _invariant(
            "I10", "what is shown is replica and overlay: nothing twice, nothing missing", When.READ
        ),
        _invariant("I11", "the change log is contiguous, its chain valid", When.COMMIT),
        _invariant("I12", "at most one live session and one live writer of a stream", When.HELLO),
        _invariant(
            "I13",
            "no reservation that its asker does not hold open, 60 s after it connected",
            When.STEP,
        ),
        _invariant(
            "I14", "after heal and quiet everything is drained, settled and closed", When.END
        ),
        _invariant("I15", "what was acknowledged survives any single crash", When.CRASH),
        _invariant(
            "I20", "an acknowledgement counts only in its own history", When.ACKNOWLEDGEMENT
        ),
        _invariant("I24", "purses are spent in their order, and never below zero", When.COMMIT),
    )
}


@attrs.frozen
class Reply:
    """A decision as it reached its asker. ``decision`` is comparable: a value, not an object."""

    server: str
    asker: str
    key: str
    decision: Any
    #: The asker has made it durable, and acts on it.
    is_taken: bool


@attrs.frozen
class Moment:
    """What a check is given."""

    when: When
    world: World
    #: Where it happened; empty for the whole world.
    node: str = ""
    subject: Any = None

    def database(self, node: str, name: str) -> sqlite3.Connection | None:
        """That node's database, running or not; None: it never had it."""
        return self.world.nodes[node].disk.connection(name)


Check = Callable[[Moment], Iterable[str]]


@attrs.define(eq=False)
class _Registered:
    invariant: str
    check: Check
    #: Look at every so many moments only: for what is dear to compute.
    every: int
    seen: int = 0


class Oracle:
    """The checks of one run."""

    def __init__(self, world: World, step_s: float = 1.0) -> None:
        self._world = world
        self._step_s = step_s
        self._checks: dict[When, list[_Registered]] = {when: [] for when in When}
        world.on_crash.append(self._crashed)

    def register(self, invariant: str, check: Check, *when: When, every: int = 1) -> None:
        """Have ``check`` judge ``invariant``, by default whenever its line says.

        With ``every`` it is run at one moment in so many, and at HEAL and END always.
        """
        assert invariant in INVARIANTS, invariant
        for one in when or INVARIANTS[invariant].when:
            self._checks[one].append(_Registered(invariant, check, every))

    def watch(self, node: Node) -> None:
        """Judge at every commit on that node's disk."""
        node.disk.on_commit.append(self._committed)

    def start_steps(self) -> None:
        """Run the checks of STEP from now on."""
        self._world.later(self._step_s, self._step)

    def at(self, when: When, node: str = "", subject: Any = None) -> None:
        """It is that moment: run what is registered for it."""
        checks = self._checks[when]
        if not checks:
            return
        moment = Moment(when, self._world, node, subject)
        for one in checks:
            one.seen += 1
            if one.every > 1 and one.seen % one.every and when not in (When.HEAL, When.END):
                continue
            self._world.findings.checked[one.invariant] += 1
            for text in one.check(moment):
                self._world.find(one.invariant, text, node)

    def unchecked(self) -> list[str]:
        """Invariants that nothing judges, or not at every moment their line names."""
        missing = []
        for code, invariant in INVARIANTS.items():
            for when in sorted(invariant.when, key=lambda one: one.value):
                if not any(one.invariant == code for one in self._checks[when]):
                    missing.append(f"{code} at {when.value}")
        return missing

    def _committed(self, commit: Commit) -> None:
        self.at(When.COMMIT, commit.node, commit)

    def _crashed(self, node: Node) -> None:
        self.at(When.CRASH, node.name, node)

    def _step(self) -> None:
        self.at(When.STEP)
        self._world.later(self._step_s, self._step)

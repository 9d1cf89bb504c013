"""Who has a record of paper while disks are put back and lost.

I3 speaks of jobs with a *surviving* record of paper. A key that some disk holds a record of
after every restore must be charged exactly once; one whose last record went with a disk may
be lost, and is counted.
"""

from __future__ import annotations

import sqlite3

import attrs
import msgspec

from tests.simulation.node import Node
from tests.simulation.world import World

DATABASES = {
    "application": "application.db",
    "site": "journal.db",
    "device": "device.db",
    "provider": "provider.db",
}
#: A record that paper came out, or may have, by what holds it.
_RECORDS = {
    "application": "SELECT key FROM charge",
    "site": "SELECT key FROM decision WHERE state = 'settled'",
    "device": "SELECT key FROM run",
    "provider": "SELECT key FROM taken WHERE completion IS NOT NULL"
    " UNION SELECT job || '/' || phase || '-' || step FROM job WHERE state = 'printing'",
}


@attrs.frozen
class ProviderJob:
    """A job as its provider had it on its disk."""

    provider: str
    path: str
    key: str
    assumed: bool
    decision: bytes | None
    outcome: str = ""


def jobs_of(provider: str, connection: sqlite3.Connection) -> dict[str, ProviderJob]:
    """All jobs in the journal of ``provider``."""
    return {
        row[0]: ProviderJob(provider, row[1], f"{row[0]}/{row[2]}-{row[3]}", bool(row[4]), *row[5:])
        for row in connection.execute(
            "SELECT job, CASE job_uuid WHEN '' THEN path ELSE 'cups/' || job END,"
            " phase, step, assumed, decision, outcome FROM job"
        )
    }


def price_e4(decision: bytes) -> int:
    """What a decision says its job costs."""
    lines = msgspec.json.decode(decision)["lines"]
    return sum(line["quantity"] * line["unit_e4"] for line in lines)


def account_of(decision: bytes) -> int | None:
    """Who pays, as it was decided."""
    account = msgspec.json.decode(decision)["account"]
    return None if account is None else int(account)


class Records:
    """Follows every restore; says at the end what may be missing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._before: set[str] = set()
        #: Keys whose last record of paper went with a disk.
        self.lost: set[str] = set()
        #: Keys of which a disk that was put back or lost had a record.
        self.touched: set[str] = set()
        #: Jobs that a provider's disk forgot.
        self.forgotten: dict[str, ProviderJob] = {}
        #: Keys of jobs that a provider's disk has at an earlier step again.
        self.former: dict[str, set[str]] = {}
        #: Amounts decided for a key that its asker forgot.
        self.decided_e4: dict[str, set[int]] = {}
        #: Restores of each node.
        self.restores: dict[str, int] = {}
        self._jobs: dict[str, ProviderJob] = {}

    def connection(self, node: Node) -> sqlite3.Connection | None:
        return node.disk.connection(DATABASES[node.role])

    def held(self) -> set[str]:
        """Keys that any disk of a node, no copy's, has a record of."""
        keys: set[str] = set()
        for node in self._world.nodes.values():
            if node.identity == node.name:
                keys |= self._of(node)
        return keys

    def _of(self, node: Node) -> set[str]:
        connection = self.connection(node)
        if connection is None:
            return set()
        return {row[0] for row in connection.execute(_RECORDS[node.role])}

    def before_restore(self, node: Node) -> None:
        self._before = self.held()
        self.touched |= self._of(node)
        self.restores[node.name] = self.restores.get(node.name, 0) + 1
        connection = self.connection(node)
        is_provider = node.role == "provider" and connection is not None
        self._jobs = jobs_of(node.name, connection) if is_provider and connection else {}

    def after_restore(self, node: Node) -> None:
        gone = self._before - self.held()
        self.lost |= gone
        self._world.count("records lost with a disk", len(gone))
        connection = self.connection(node)
        is_provider = node.role == "provider" and connection is not None
        kept = jobs_of(node.name, connection) if is_provider and connection else {}
        for job, had in self._jobs.items():
            if had.decision is not None:
                self.decided_e4.setdefault(had.key, set()).add(price_e4(had.decision))
            if job not in kept:
                self.forgotten[job] = had
            elif kept[job].key != had.key:
                # A release that it forgot: held again.
                self.former.setdefault(job, set()).add(had.key)
        self._world.count("jobs forgotten by a provider", len(self._jobs.keys() - kept.keys()))

    def is_required(self, key: str, held: set[str]) -> bool:
        """Whether ``key`` had a record all along, or has one in ``held``."""
        return key not in self.lost or key in held

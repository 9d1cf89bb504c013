"""What must hold of the core while it runs: replicas at each apply, what is shown at each read,
acknowledgements as they are taken, reservations as time goes by, what was promised at each
crash."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from papercutd.domain.decision import APPLICATION as CENTRE
from papercutd.domain.job import device_owner
from papercutd.domain.lost_edit import ADJUSTED
from papercutd.storage.replication.records import COMPLETED
from papercutd.storage.replication.replicated import CHARGE, TABLES
from papercutd.storage.site.overlay import merged_accounts, read_overlay
from tests.simulation.core_devices import DeviceChecks
from tests.simulation.core_logic import POISON
from tests.simulation.core_nodes import APPLICATION, SITES, CoreInstallation
from tests.simulation.disk import Commit
from tests.simulation.world import World

#: Seconds after an asker connected by which nothing it dropped may be reserved for it.
DROPPED_WITHIN_S = 60.0
STEP_S = 5.0


class Fold:
    """What a replica at a number of the change log has to hold."""

    def __init__(self) -> None:
        self.number = 0
        self.rows: dict[str, dict[Any, tuple[Any, ...]]] = {table: {} for table in TABLES}

    def apply(self, number: int, rows: list[Any]) -> set[tuple[str, Any]]:
        """Follow one entry; which rows it touched."""
        touched = set()
        for table, key, columns, *_ in rows:
            if table in (CHARGE, ADJUSTED):
                continue
            if columns is None:
                self.rows[table].pop(key, None)
            else:
                self.rows[table][key] = tuple(columns[name] for name in TABLES[table].columns)
            touched.add((table, key))
        self.number = number
        return touched


class RunningChecks:
    """Fed by the oracle with every commit."""

    def __init__(
        self, installation: CoreInstallation, accepted: dict[str, str], devices: DeviceChecks
    ) -> None:
        self._in = installation
        self._devices = devices
        self._world: World = installation.world
        #: Job ids that a provider accepted, and which.
        self._accepted = accepted
        #: Every entry of the change log, by number.
        self._log: dict[int, tuple[str, list[Any]]] = {}
        #: Nodes that were restored or copied: what is reserved with them is judged at the end.
        self._struck: set[str] = set()
        #: Keys of which a restored disk had a record: what it acknowledged of them it did.
        self.touched: set[str] = set()
        self._folds: dict[tuple[str, int], Fold] = {}
        self._sessions: dict[tuple[str, str], tuple[int, float]] = {}
        self._acked: set[str] = set()
        #: Of each provider, by which it is seen that there are others.
        self._acked_sums: dict[str, tuple[int, float]] = {}
        self._voided: set[str] = set()
        #: Of each site, the database when what it shows was looked at: nothing else decides that.
        self._shown: dict[str, tuple[sqlite3.Connection, int]] = {}
        self._starts: dict[str, int] = {}
        #: Seconds between two looks, and whether the askers are away for more than seven days.
        self.step_s = STEP_S
        self.is_long_away = False
        self._world.later(STEP_S, self._step)

    def _find(self, invariant: str, text: str, node: str = "") -> None:
        self._world.find(invariant, text, node)

    def _checked(self, invariant: str) -> None:
        self._world.findings.checked[invariant] += 1

    def _open(self, node: str) -> sqlite3.Connection | None:
        name = {
            "application": "application.db",
            "site": "journal.db",
            "device": "device.db",
        }.get(self._world.nodes[node].role, "provider.db")
        return self._world.nodes[node].disk.connection(name)

    # At commits.

    def logged(self, number: int, body: bytes, chain: str) -> None:
        """An entry of the change log is on the disk."""
        self._log[number] = (chain, msgspec.json.decode(body))

    # Restores.

    def struck(self, node: str) -> None:
        """``node`` has a memory now that is not what its peers know of it."""
        self._struck.add(node)
        for server, identity in list(self._sessions):
            if server == node:
                del self._sessions[(server, identity)]
        self._folds = {key: fold for key, fold in self._folds.items() if key[0] != node}
        # What was accepted there is checked anew at its next commit.
        self._starts.pop(node, None)
        self._acked_sums.pop(node, None)

    def log_ends(self, number: int) -> None:
        """The application server has forgotten its change log beyond ``number``."""
        for later in [one for one in self._log if one > number]:
            del self._log[later]
        self._folds.clear()

    def committed(self, commit: Commit) -> None:
        if commit.database == "application.db":
            self._check_sessions(commit)
            self._check_not_voided(commit.connection)
        elif commit.database == "journal.db":
            self._check_sessions(commit)
            self._check_replica(commit)
        elif commit.database == "provider.db":
            self._check_acknowledged(commit)
            self._check_promises(commit)

    def _check_sessions(self, commit: Commit) -> None:
        """I12: sessions of an identity only go up; the newest is the only one that writes."""
        self._checked("I12")
        for identity, session, connected in commit.connection.execute(
            "SELECT identity, session, connected FROM asker"
        ):
            before, since = self._sessions.get((commit.node, identity), (0, 0.0))
            if session < before:
                self._find("I12", f"session {session} of {identity} after {before}", commit.node)
            if session != before or not connected:
                since = self._world.now
            self._sessions[(commit.node, identity)] = (session, since)

    def _check_replica(self, commit: Commit) -> None:
        """I9: after each apply the replica is what the log says of that position."""
        try:
            number, complete, chain, replica = commit.connection.execute(
                "SELECT number, complete, chain, (SELECT replica FROM identity)"
                " FROM replica.position"
            ).fetchone()
        except sqlite3.OperationalError:
            # None is attached yet.
            return
        if not complete:
            return
        fold = self._folds.get((commit.node, replica))
        if fold is not None and fold.number == number:
            return
        if number and self._log.get(number, ("", []))[0] != chain:
            # Of a history that the application server has not any more: a restore's doing only.
            if APPLICATION not in self._struck:
                self._find("I9", f"{number} is not in the change log", commit.node)
            self._world.sometimes("replica of a lost history")
            return
        self._checked("I9")
        if fold is None or fold.number > number:
            fold = self._folds[(commit.node, replica)] = Fold()
            for past in range(1, number + 1):
                fold.apply(past, self._log[past][1])
            touched = {(table, key) for table, keys in fold.rows.items() for key in keys}
        else:
            touched = set()
            for past in range(fold.number + 1, number + 1):
                touched |= fold.apply(past, self._log[past][1])
        for table, key in touched:
            spec = TABLES[table]
            found = commit.connection.execute(
                f"SELECT {', '.join(spec.columns)} FROM replica.{table} WHERE {spec.key} = ?",
                (key,),
            ).fetchone()
            if found != fold.rows[table].get(key):
                self._find("I9", f"{table} {key} at {number} is {found}", commit.node)
        for table in {table for table, _ in touched}:
            (count,) = commit.connection.execute(f"SELECT COUNT(*) FROM replica.{table}").fetchone()
            if count != len(fold.rows[table]):
                self._find("I9", f"{table} at {number} has {count} rows", commit.node)

    def _check_acknowledged(self, commit: Commit) -> None:
        """I20: what is taken as acknowledged is on the disk of who acknowledged it."""
        query = "FROM taken WHERE acked > 0 AND completion IS NOT NULL AND parked = ''"
        sums = commit.connection.execute(f"SELECT COUNT(*), TOTAL(number) {query}").fetchone()
        if self._acked_sums.get(commit.node) == sums:
            return
        self._acked_sums[commit.node] = sums
        for key, target in commit.connection.execute(f"SELECT key, target {query}").fetchall():
            if f"{key} {target}" in self._acked:
                continue
            self._acked.add(f"{key} {target}")
            self._checked("I20")
            if key in self.touched:
                self._world.sometimes("acknowledged and restored")
            elif not self._is_kept(key, target):
                self._find("I20", f"{target} acknowledged {key} and has it not", commit.node)

    def _is_kept(self, key: str, target: str) -> bool:
        if target == CENTRE:
            connection = self._open(APPLICATION)
            query = "SELECT 1 FROM charge WHERE key = ?1 UNION SELECT 1 FROM job_log WHERE key = ?1"
            return connection is None or connection.execute(query, (key,)).fetchone() is not None
        for node in self._world.nodes.values():
            if node.role != "site":
                continue
            # Its copies as well, which are off perhaps and were not.
            connection = self._open(node.name)
            if connection is None:
                continue
            query = "SELECT 1 FROM decision WHERE key = ? AND state = 'settled'"
            if connection.execute(query, (key,)).fetchone() is not None:
                return True
        return False

    def _check_promises(self, commit: Commit) -> None:
        """I15: what a provider accepted is there, after each start and now and then."""
        starts = self._world.nodes[commit.node].starts
        if self._starts.get(commit.node) == starts and commit.number % 10:
            return
        self._starts[commit.node] = starts
        self._checked("I15")
        jobs = {row[0] for row in commit.connection.execute("SELECT job FROM job")}
        for job, provider in self._accepted.items():
            if provider == commit.node and job not in jobs:
                self._find("I15", f"accepted job {job} is gone", commit.node)

    # As time goes by.

    def _step(self) -> None:
        for server in (APPLICATION, *SITES):
            connection = self._open(server)
            if connection is not None and self._world.nodes[server].is_up:
                self._check_holds(server, connection)
                if server in SITES:
                    self._check_shown(server, connection)
        self._world.later(self.step_s, self._step)

    def _check_not_voided(self, centre: sqlite3.Connection) -> None:
        """I13: what its asker has open is not void: its money may not be promised again."""
        for key, provider in centre.execute(
            "SELECT key, provider FROM decision WHERE state = 'voided'"
        ).fetchall():
            if key in self._voided:
                continue
            self._voided.add(key)
            if self.is_long_away:
                self._world.sometimes("given up after seven days")
                continue
            if APPLICATION in self._struck or provider in self._struck:
                continue
            device = device_owner(provider)
            if device is not None:
                self._checked("I13")
                if self._devices.has_open(device, key, CENTRE):
                    self._find("I13", f"{key} is open at {provider} and void", APPLICATION)
                continue
            asker = self._open(provider)
            if asker is None:
                continue
            self._checked("I13")
            is_open = asker.execute(
                "SELECT 1 FROM taken JOIN job ON key = job || '/' || phase || '-' || step"
                " WHERE key = ?2 AND acked = 0 AND taken.target = ?1 AND decider = ?1"
                # What it gave up is void, and it has yet to hear that this is known.
                " AND (key, taken.target) NOT IN (SELECT key, target FROM cancel)",
                (CENTRE, key),
            ).fetchone()
            if is_open is not None:
                self._find("I13", f"{key} is open at {provider} and void", APPLICATION)

    def _check_holds(self, server: str, connection: sqlite3.Connection) -> None:
        """I13: a minute after an asker connected nothing is reserved that it has not open."""
        for key, identity, session in connection.execute(
            "SELECT hold.key, hold.asker, hold.session FROM hold JOIN asker"
            " ON asker.identity = hold.asker AND asker.journal = hold.journal"
            " JOIN decision ON decision.key = hold.key AND decision.state = 'open'"
            " WHERE asker.connected = 1 AND hold.session < asker.session"
        ).fetchall():
            _, since = self._sessions.get((server, identity), (session, self._world.now))
            if self._world.now - since < DROPPED_WITHIN_S:
                continue
            if server in self._struck or identity.partition(":")[2] in self._struck:
                continue
            if server in SITES and _is_charged(connection, key):
                continue
            self._checked("I13")
            asker = self._open(identity.partition(":")[2])
            if asker is not None and not self._has_open(asker, identity, key):
                self._find("I13", f"{key} is held for {identity}, which has it not open", server)

    def _has_open(self, asker: sqlite3.Connection, identity: str, key: str) -> bool:
        if identity.startswith("device:"):
            return self._devices.has_open(identity.partition(":")[2], key)
        if identity.startswith("site:"):
            query = (
                "SELECT 1 FROM decision WHERE key = ? AND origin = 'application'"
                " AND (number = 0 OR number > (SELECT acked FROM identity))"
            )
            return asker.execute(query, (key,)).fetchone() is not None
        provider = self._in.providers.get(identity.partition(":")[2])
        taking = {} if provider is None else provider._known.taking
        query = "SELECT 1 FROM taken WHERE key = ? AND acked = 0"
        return key in taking or asker.execute(query, (key,)).fetchone() is not None

    def _check_shown(self, site: str, connection: sqlite3.Connection) -> None:
        """I10: what a site shows is its replica and the journal beyond the mark in it."""
        # All that writes to it, its replica too, does so by this connection; a start has another.
        state = (connection, connection.total_changes)
        if self._shown.get(site) == state:
            return
        self._shown[site] = state
        try:
            (mark,) = connection.execute(
                "SELECT COALESCE(MAX(number), 0) FROM replica.stream"
                " WHERE id = (SELECT stream FROM identity)"
            ).fetchone()
        except sqlite3.OperationalError:
            return
        settled = {row[0] for row in connection.execute("SELECT key FROM replica.charged")}
        settled.add(POISON)
        beyond: dict[int, int] = {}
        of_escrow: dict[int, int] = {}
        for (body,) in connection.execute("SELECT body FROM journal WHERE number > ?", (mark,)):
            record = msgspec.json.decode(body)
            if record["kind"] != COMPLETED or record["key"] in settled:
                continue
            decision = record["completion"]["decision"]
            amount_e4 = sum(line["quantity"] * line["unit_e4"] for line in decision["lines"])
            if record["completion"]["step"].startswith("run-"):
                amount_e4 = record["completion"]["pages"] * decision["lines"][0]["unit_e4"]
            elif record["completion"]["outcome"] != "completed":
                # No simulated printer counts what came out of a job that was cut short.
                amount_e4 = 0
            account = decision["account"]
            paid = of_escrow if decision["allowance"] else beyond
            paid[account] = paid.get(account, 0) + amount_e4
        rows = connection.execute(
            "SELECT id, debits_e4, COALESCE((SELECT SUM(granted_e4 - returned_e4 - settled_e4)"
            " FROM replica.allowance WHERE allowance.user = account.user), 0)"
            " FROM replica.account WHERE kind = 'personal'"
        ).fetchall()
        held = {account: held_e4 for account, _, held_e4 in rows}
        for account, debits_e4, _ in rows:
            self._checked("I10")
            shown = read_overlay(connection, account)
            # What was decided for those who were merged into it is its own.
            mine = merged_accounts(connection, account)
            expected = (
                debits_e4 + sum(beyond.get(one, 0) for one in mine),
                sum(held[one] - of_escrow.get(one, 0) for one in mine),
            )
            if shown is None or (shown.funds.debits_e4, shown.escrow_e4) != expected:
                self._find("I10", f"account {account}: {shown} is shown, not {expected}", site)


def _is_charged(site: sqlite3.Connection, key: str) -> bool:
    """The change stream brought what became of it: the site's reservation counts no more."""
    try:
        found = site.execute("SELECT 1 FROM replica.charged WHERE key = ?", (key,)).fetchone()
    except sqlite3.OperationalError:
        return False
    return found is not None

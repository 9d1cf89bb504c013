"""What must hold of the core, looked up in the stores and in the paper.

The numbers are those of docs/testing.md. Each check runs where its docstring says.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

from papercutd.domain.chain import next_chain
from papercutd.storage.money.accounts import verify_accounts
from papercutd.storage.replication.change_log import verify_chain
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.site.overlay import read_overlay
from papercutd.storage.site.site_journal import verify_journal
from tests.simulation.core_devices import DeviceChecks
from tests.simulation.core_logic import POISON
from tests.simulation.core_lost_edits import LostEditChecks
from tests.simulation.core_nodes import (
    APPLICATION,
    CAP_E4,
    PROVIDERS,
    SITES,
    CoreInstallation,
)
from tests.simulation.core_people import RevokedChecks
from tests.simulation.core_purses import PurseChecks
from tests.simulation.core_records import ProviderJob, Records, account_of, jobs_of, price_e4
from tests.simulation.core_refusals import Refusals
from tests.simulation.core_running import RunningChecks
from tests.simulation.core_statements import open_statements, wrong_statements
from tests.simulation.core_strict import StrictChecks
from tests.simulation.disk import Commit
from tests.simulation.node import Node


class CoreOracle:
    """Listens to every commit; looks at everything at the end."""

    def __init__(self, installation: CoreInstallation) -> None:
        self._in = installation
        self._world = installation.world
        self._marks: dict[str, int] = {}
        self._head = (0, "")
        self._decided: dict[str, tuple[Any, ...]] = {}
        #: Answers that each provider's disk had at its last commit.
        self._answers: dict[str, set[tuple[Any, ...]]] = {}
        #: Job ids that a provider accepted.
        self.accepted: dict[str, str] = {}
        self._devices = DeviceChecks(
            installation, lambda node, name: self._world.nodes[node].disk.connection(name)
        )
        self._running = RunningChecks(installation, self.accepted, self._devices)
        self._revoked = RevokedChecks(installation)
        self._records = Records(self._world)
        #: Nodes that were restored or copied: what is true of the others need not be of them.
        self._struck: set[str] = set()
        #: Each restore or copy of a site is one site more that can spend up to its cap.
        self._sites_more = 0
        self._strict = StrictChecks(installation, self._struck)
        self._purses = PurseChecks(installation)
        self.refusals = Refusals(installation, self._struck)
        self._lost_edits = LostEditChecks(installation, self._struck)
        for node in self._world.nodes.values():
            node.disk.on_commit.append(self._committed)

    @property
    def running(self) -> RunningChecks:
        return self._running

    def _find(self, invariant: str, text: str, node: str = "") -> None:
        self._world.find(invariant, text, node)

    def _checked(self, *invariants: str) -> None:
        for invariant in invariants:
            self._world.findings.checked[invariant] += 1

    def _committed(self, commit: Commit) -> None:
        if commit.database == "application.db":
            self._at_application(commit.connection, commit.number)
        elif commit.database == "provider.db":
            self._at_provider(commit.connection, commit.node)
        elif commit.database == "journal.db" and commit.number % 25 == 0:
            for problem in verify_journal(commit.connection):
                self._find("I11", problem, commit.node)
        self._running.committed(commit)
        self._revoked.committed(commit)
        self._strict.committed(commit)
        self._purses.committed(commit)
        self.refusals.committed(commit)

    # Restores and copies.

    def before_restore(self, node: Node) -> None:
        """See restores.Judge."""
        self._records.before_restore(node)
        self._running.touched |= self._records.touched
        self._lost_edits.before_restore(node)

    def after_restore(self, node: Node) -> None:
        """What is not on the disk any more was never promised, as far as it alone is concerned."""
        self._records.after_restore(node)
        self._lost_edits.after_restore(node)
        self.copied(node)
        connection = self._records.connection(node)
        if node.role == "application" and connection is not None:
            self._marks = dict(connection.execute("SELECT id, number FROM stream"))
            # What is on it now is its history, with what the verb may have added.
            self._head = (0, "")
            self._running.log_ends(0)
            self._check_log(connection)
        elif node.role == "provider":
            for job in [one for one, at in self.accepted.items() if at == node.name]:
                if job in self._records.forgotten or connection is None:
                    del self.accepted[job]
            # What it decided since may be decided otherwise.
            names = set() if connection is None else set(jobs_of(node.name, connection))
            forgotten = names | self._records.forgotten.keys()
            for key in [one for one in self._decided if one.partition("/")[0] in forgotten]:
                del self._decided[key]
            self._answers.pop(node.name, None)

    @property
    def struck(self) -> frozenset[str]:
        """Nodes that were restored or copied."""
        return frozenset(self._struck)

    def copied(self, node: Node) -> None:
        """See restores.Judge."""
        self._struck.add(node.name)
        self._running.struck(node.name)
        self._strict.restored(node.name)
        self._purses.restored(node.name)
        if node.role == "site":
            self._sites_more += 1

    # Every commit of the application server.

    def _at_application(self, connection: sqlite3.Connection, number: int) -> None:
        """I1, I7, I8, I11 at each commit; I2 at some."""
        self._checked("I1", "I7", "I8", "I11")
        (total,) = connection.execute("SELECT SUM(credits_e4 - debits_e4) FROM account").fetchone()
        if total:
            self._find("I1", f"all accounts together hold {total}", APPLICATION)
        self._check_caps(connection)
        for stream, mark in connection.execute("SELECT id, number FROM stream"):
            if stream not in self._marks:
                self._world.count("streams")
            if mark < self._marks.get(stream, 0):
                self._find("I8", f"the mark of {stream} went back to {mark}", APPLICATION)
            self._marks[stream] = mark
        self._check_log(connection)
        if number % 40 == 0:
            self._checked("I2")
            for problem in verify_accounts(connection):
                self._find("I2", problem, APPLICATION)

    def _check_caps(self, connection: sqlite3.Connection) -> None:
        """Overspend of a user: at most the sum of the caps, what nobody decided apart."""
        for name, account, beyond_e4 in connection.execute(
            "SELECT name, id, floor_e4 - (credits_e4 - debits_e4 + purses_e4) FROM account"
            " WHERE restricted = 1 AND kind = 'personal'"
            " AND credits_e4 - debits_e4 + purses_e4 < floor_e4"
        ).fetchall():
            # What was merged into it could be spent at each site by each of them.
            merged = (
                "WITH RECURSIVE mine (id) AS (VALUES (?) UNION SELECT a.id FROM account AS a"
                " JOIN mine ON a.merged_into = mine.id)"
            )
            apart_e4, bearers = connection.execute(
                f"{merged} SELECT (SELECT COALESCE(SUM(amount_e4), 0) FROM charge"
                " WHERE account IN mine AND (decider = 'tracker' OR assumed = 1))"
                # An administrator may take more than there is.
                " + (SELECT COALESCE(SUM(amount_e4), 0) FROM transfer WHERE debit IN mine"
                " AND who = 'administrator' AND kind = 'direct'),"
                " (SELECT COUNT(*) FROM mine)",
                (account,),
            ).fetchone()
            if APPLICATION in self._struck:
                # What it forgot to have charged could be spent again, and is charged after all.
                self._world.count("overspent after a restore", beyond_e4 > 0)
                continue
            if beyond_e4 - apart_e4 > CAP_E4 * (len(SITES) + self._sites_more) * bearers:
                self._find("I7", f"{name} overspent by {beyond_e4}, {apart_e4} apart", APPLICATION)

    def _check_log(self, connection: sqlite3.Connection) -> None:
        for number, body, seal, chain in connection.execute(
            "SELECT number, body, seal, chain FROM change_log WHERE number > ? ORDER BY number",
            (self._head[0],),
        ).fetchall():
            if self._head[1]:
                follows = number == self._head[0] + 1
                if not follows or next_chain(self._head[1], body + seal) != chain:
                    self._find("I11", f"entry {number} does not follow", APPLICATION)
            self._head = (number, chain)
            self._running.logged(number, body, chain)

    # Every commit of a provider.

    def _at_provider(self, connection: sqlite3.Connection, node: str) -> None:
        """I5: an answer once made durable never changes."""
        self._checked("I5")
        answers = set(
            connection.execute(
                "SELECT job, step, decider, decision FROM job"
                " WHERE state IN ('decided', 'printing', 'ended') AND decider <> ''"
            )
        )
        # What is as it was at the last commit was looked at then.
        for job, step, decider, decision in answers - self._answers.get(node, set()):
            key, found = f"{job}/{step}", (decider, decision)
            if self._decided.setdefault(key, found) != found:
                self._find("I5", f"the answer to {key} changed", node)
        self._answers[node] = answers

    # The end.

    def is_settled(self) -> bool:
        """Whether nothing is under way any more: what I13 and I14 demand by the quiet time's end.

        An asker that a dead clone served notices by its pings only: what that acknowledged is not
        known to anybody before.
        """
        if self._unsettled() or self._reserved() or self._world.network.is_half_open():
            return False
        return not open_statements(self._database(APPLICATION))

    def _database(self, node: str) -> sqlite3.Connection:
        name = {"application": "application.db", "site": "journal.db"}.get(
            self._world.nodes[node].role, "provider.db"
        )
        connection = self._world.nodes[node].disk.connection(name)
        assert connection is not None
        return connection

    def _unsettled(self) -> list[str]:
        waiting: list[str] = []
        head = (
            self._database(APPLICATION)
            .execute("SELECT timeline, number, chain FROM head")
            .fetchone()
        )
        for site in SITES:
            connection = self._database(site)
            number, acked = connection.execute("SELECT number, acked FROM identity").fetchone()
            if number != acked:
                waiting.append(f"{site}: {number - acked} records are not acknowledged")
            try:
                found = connection.execute(
                    "SELECT timeline, number, chain FROM replica.position"
                ).fetchone()
            except sqlite3.OperationalError:
                found = None
            if found != head:
                waiting.append(f"{site}: its replica is at {found}, the head is {head}")
        for provider in PROVIDERS:
            connection = self._database(provider)
            seen = connection.execute("SELECT body FROM setting WHERE name = 'timeline'").fetchone()
            if seen is None or int(seen[0]) != head[0]:
                waiting.append(f"{provider}: it has not heard of timeline {head[0]}")
            for key, target, parked in connection.execute(
                "SELECT key, target, parked FROM taken WHERE acked = 0 OR parked <> ''"
            ):
                waiting.append(f"{provider}: {key} is not settled with {target} {parked}")
            for key, target in connection.execute("SELECT key, target FROM cancel WHERE acked = 0"):
                waiting.append(f"{provider}: the cancel of {key} is not known at {target}")
            for job, state, reason in connection.execute(
                "SELECT job, state, reason FROM job WHERE state NOT IN ('ended', 'held')"
            ):
                waiting.append(f"{provider}: {job} is {state} {reason}")
        if self._in.cups is not None:
            waiting += self._in.cups.unsettled()
        return waiting + self._devices.unsettled()

    def check_end(self) -> None:
        """I2, I3, I4, I9, I10, I11, I13, I14, I15 once everything is quiet."""
        self._checked("I2", "I3", "I4", "I9", "I10", "I11", "I13", "I14", "I15")
        application = self._database(APPLICATION)
        for text in self._unsettled():
            self._find("I14", text)
        for text in open_statements(application):
            self._find("I14", text, APPLICATION)
        for text in wrong_statements(application):
            self._find("I3", text, APPLICATION)
        for problem in (*verify_chain(application), *verify_accounts(application)):
            self._find("I2", problem, APPLICATION)
        self._check_paper(application)
        self._check_streams(application)
        self._check_reservations(application)
        self._strict.check_end(application)
        self._lost_edits.check_end(application)
        for site in SITES:
            self._check_site(site, application)
        for key, reason in application.execute(
            "SELECT number, reason FROM parked WHERE instr(body, ?) = 0", (POISON,)
        ):
            self._find("I3", f"record {key} was parked: {reason}", APPLICATION)

    def _check_paper(self, application: sqlite3.Connection) -> None:
        """I3: one charge for each paper, of its decision; I4: none without; I15: none forgotten."""
        papers = Counter((paper.provider, paper.path) for paper in self._in.paper)
        records = self._records
        held = records.held()
        jobs: dict[str, list[ProviderJob]] = {}
        for node in self._world.nodes.values():
            # Its copies too, which are off by now: what they printed is paper.
            if node.role == "provider" and (connection := records.connection(node)) is not None:
                for job, one in jobs_of(node.identity, connection).items():
                    jobs.setdefault(job, []).append(one)
        for job, one in records.forgotten.items():
            jobs.setdefault(job, []).append(one)
        for job, provider in self.accepted.items():
            if job not in jobs:
                self._find("I15", f"accepted job {job} is gone", provider)
        charges: dict[str, list[tuple[int, str, int]]] = {}
        for key, amount_e4, decider, assumed in application.execute(
            "SELECT key, amount_e4, decider, assumed FROM charge"
        ):
            charges.setdefault(key, []).append((amount_e4, decider, assumed))
        known = self._devices.check_end(charges)
        for told in jobs.values():
            known |= {one.key for one in told}
            count = papers[(told[0].provider, told[0].path)]
            if told[0].provider in self._struck:
                self._check_struck(told, count, charges, held)
            else:
                (one,) = told
                self._check_job(one, count, charges.get(one.key, []), held)
        self._check_accounts(application, jobs)
        for key in set(charges) - known:
            if not self._is_forgotten_step(key, jobs):
                self._find("I4", f"{key} is charged and no provider knows it", APPLICATION)

    def _check_job(
        self, one: ProviderJob, count: int, found: list[tuple[int, str, int]], held: set[str]
    ) -> None:
        """Of a provider whose memory was left alone."""
        key, records = one.key, self._records
        if self._is_nothing(one, count, found):
            return
        is_required = records.is_required(key, held)
        if count and len(found) != 1 and (found or is_required):
            self._find("I3", f"{key}: {count} papers, {len(found)} charges", one.provider)
        if count and not found and not is_required:
            self._world.count("papers of which no record survived")
        if found and not count and not one.assumed:
            self._find("I4", f"{key} is charged without paper", one.provider)
        if count > 1 + one.assumed + self._in.reruns[(one.provider, one.path)]:
            self._find("I3", f"{key} came out {count} times", one.provider)
        self._check_amounts([one], {key: found} if found else {})

    def _check_struck(
        self,
        told: list[ProviderJob],
        count: int,
        charges: dict[str, list[tuple[int, str, int]]],
        held: set[str],
    ) -> None:
        """Of one that went back or was copied: it prints again what it does not know it printed,
        and each step of the job that it or its copy knows may have been charged."""
        keys = {one.key for one in told}
        found = {key: charges[key] for key in sorted(keys) if key in charges}
        if any(self._is_nothing(one, count, found.get(one.key, [])) for one in told):
            return
        # It may have printed by a step that its disk forgot.
        forgotten = self._records.former.get(told[0].key.partition("/")[0], set()) & charges.keys()
        for key, of_key in found.items():
            if len(of_key) > 1:
                self._find("I3", f"{key}: {len(of_key)} charges", told[0].provider)
        if count and not found and not forgotten:
            for key in sorted(keys & held):
                self._find("I3", f"{key}: {count} papers, 0 charges", told[0].provider)
            self._world.count("papers of which no record survived", not keys & held)
        self._check_amounts(told, found)

    def _is_nothing(self, one: ProviderJob, count: int, found: list[tuple[int, str, int]]) -> bool:
        """What was canceled at CUPS before any paper is told so, and costs nothing."""
        is_ended = one.outcome in ("canceled", "aborted") and not sum(f[0] for f in found)
        return is_ended and (not count or self._in.is_unsaid(one.provider, one.path))

    def _check_amounts(
        self, told: list[ProviderJob], found: dict[str, list[tuple[int, str, int]]]
    ) -> None:
        """I3: as decided, by whichever of those that know the key."""
        for key, of_key in found.items():
            decided = {price_e4(one.decision) for one in told if one.key == key and one.decision}
            allowed_e4 = decided | self._records.decided_e4.get(key, set())
            if decided and of_key[0][0] not in allowed_e4:
                self._find("I3", f"{key}: decided {decided}, charged {of_key[0][0]}")

    def _check_accounts(
        self, application: sqlite3.Connection, jobs: dict[str, list[ProviderJob]]
    ) -> None:
        """I3: the account that was decided, or whoever inherited it."""
        if APPLICATION in self._struck:
            # An account that was made in the lost window is nobody's.
            return
        heirs = dict(application.execute("SELECT id, COALESCE(merged_into, id) FROM account"))

        def heir(account: int) -> int:
            while heirs[account] != account:
                account = heirs[account]
            return account

        charged = dict(application.execute("SELECT key, account FROM charge"))
        for told in jobs.values():
            for one in told:
                decided = None if one.decision is None else account_of(one.decision)
                if decided is not None and one.key in charged:
                    self._world.count("accounts compared")
                    if heir(decided) != heir(charged[one.key]):
                        text = f"{one.key}: decided for account {decided}, {charged[one.key]} pays"
                        self._find("I3", text, one.provider)

    def _is_forgotten_step(self, key: str, jobs: dict[str, list[ProviderJob]]) -> bool:
        """Whether ``key`` is an earlier step of a job whose provider's memory was changed."""
        told = jobs.get(key.partition("/")[0], [])
        return bool(told) and told[0].provider in self._struck

    def _check_streams(self, application: sqlite3.Connection) -> None:
        """I16: no site whose memory was left alone was ever judged restored or cloned."""
        if APPLICATION in self._struck:
            return
        self._checked("I16")
        for site in SITES:
            (count,) = application.execute(
                "SELECT COUNT(*) FROM stream JOIN site ON site.id = site WHERE site.name = ?",
                (site,),
            ).fetchone()
            if count > 1 and site not in self._struck:
                self._find("I16", f"{site} took {count} streams", site)

    def _check_reservations(self, application: sqlite3.Connection) -> None:
        """I13: nothing is reserved when nobody has anything open."""
        left: dict[int, int] = {}
        for key, account, reserved_e4 in application.execute(
            "SELECT key, account, reserved_e4 FROM decision WHERE state = 'open'"
        ):
            if self._is_of_lost_journals(application, key):
                self._world.count("reserved for a lost journal")
                left[account] = left.get(account, 0) + reserved_e4
        for server, text in self._reserved():
            self._find("I13", text, server)
        for account, name, pending_e4 in application.execute(
            "SELECT id, name, pending_e4 FROM account WHERE pending_e4 <> 0"
        ):
            if pending_e4 != left.get(account):
                self._find("I13", f"{name} still has {pending_e4} reserved", APPLICATION)

    def _reserved(self) -> list[tuple[str, str]]:
        """What is reserved at each server for askers that know of it, or ought to."""
        found = []
        for server in (APPLICATION, *SITES):
            connection = self._database(server)
            query = "SELECT key FROM decision WHERE state = 'open'"
            if server in SITES:
                query += " AND key NOT IN (SELECT key FROM replica.charged)"
            try:
                keys = [row[0] for row in connection.execute(query)]
            except sqlite3.OperationalError:
                # No replica is attached yet.
                continue
            for key in keys:
                if not self._is_of_lost_journals(connection, key):
                    found.append((server, f"{key} is still reserved"))
        return found

    def _is_of_lost_journals(self, server: sqlite3.Connection, key: str) -> bool:
        """Whether only journals that were lost hold ``key``.

        A new journal id or stream voids nothing: it waits seven days, or for the administrator.
        """
        holders = server.execute(
            "SELECT identity, hold.journal <> asker.journal FROM hold"
            " JOIN asker ON identity = hold.asker WHERE key = ?",
            (key,),
        ).fetchall()
        return bool(holders) and all(self._is_lost(*one, key) for one in holders)

    def _is_lost(self, identity: str, is_old: int, key: str) -> bool:
        role, _, name = identity.partition(":")
        if is_old and name in self._struck:
            return True
        # A site holds there what a lost journal holds at the site.
        return role == "site" and self._is_of_lost_journals(self._database(name), key)

    def _check_site(self, site: str, application: sqlite3.Connection) -> None:
        """I9: the replica is the centre's state; I10: what is shown is too."""
        connection = self._database(site)
        for problem in verify_journal(connection):
            self._find("I11", problem, site)
        for spec in TABLES.values():
            columns = ", ".join(spec.columns)
            theirs = application.execute(
                f"SELECT {columns} FROM {spec.source} WHERE {spec.condition} ORDER BY {spec.key}"
            ).fetchall()
            ours = connection.execute(
                f"SELECT {columns} FROM replica.{spec.table} ORDER BY {spec.key}"
            ).fetchall()
            if ours != theirs:
                self._find("I9", f"table {spec.table} differs", site)
        for account, debits, pending in application.execute(
            "SELECT id, debits_e4, pending_e4 FROM account WHERE kind = 'personal'"
        ):
            shown = read_overlay(connection, account)
            own = connection.execute(
                "SELECT key FROM decision WHERE state = 'open' AND account = ?", (account,)
            ).fetchone()
            if own is not None and self._is_of_lost_journals(connection, own[0]):
                continue
            if shown is None or (shown.funds.debits_e4, shown.funds.pending_e4) != (
                debits,
                pending,
            ):
                self._find("I10", f"account {account} is shown as {shown}", site)

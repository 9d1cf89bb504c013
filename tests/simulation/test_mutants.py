"""The tester is tested: each deliberate bug must be found within fifty seeds."""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.job import Completion, Receipt
from papercutd.provider.journal import ProviderJournal
from papercutd.provider.servers import ServerSession
from papercutd.storage import askers, deciding, replica
from papercutd.storage.accounts import Accounts
from papercutd.storage.charging import Charging, Source
from papercutd.storage.intake import Intake
from papercutd.storage.overlay import Overlay, read_overlay
from tests.simulation.core import run_core

SEEDS_MAX = 50


class MutantTests(SynchronousTestCase):
    """Each test breaks one rule and names the invariants that may tell."""

    timeout = 240

    def assertFound(self, *invariants: str) -> None:
        for seed in range(1, SEEDS_MAX + 1):
            found = {finding.invariant for finding in run_core(seed).found}
            if found & set(invariants):
                return
        self.fail(f"not found by {invariants} within {SEEDS_MAX} seeds")

    def test_overlay_forgets_the_journal(self) -> None:
        """The cap counts nothing that was printed here."""

        def forgetful(connection: sqlite3.Connection, account: int) -> Overlay | None:
            shown = read_overlay(connection, account)
            return None if shown is None else attrs.evolve(shown, unsettled_e4=0)

        self.patch(deciding, "read_overlay", forgetful)
        original = deciding.Deciding.decide

        def decide(self: Any, connection: sqlite3.Connection, request: Any) -> Any:
            connection.execute("UPDATE replica.account SET credits_e4 = 900000000")
            return original(self, connection, request)

        self.patch(deciding.Deciding, "decide", decide)
        self.assertFound("I7", "I9")

    def test_open_drops_nothing(self) -> None:
        self.patch(askers, "release_unlisted", lambda *arguments: 0)
        self.assertFound("I13")

    def test_other_answers_are_not_cancelled(self) -> None:
        def forget(self: Any, *arguments: Any) -> Deferred[None]:
            return succeed(None)

        self.patch(ProviderJournal, "cancel", forget)
        self.patch(askers, "release_unlisted", lambda *arguments: 0)
        self.assertFound("I13")

    def test_records_are_dropped_and_acknowledged(self) -> None:
        self.patch(Intake, "_apply_one", lambda *arguments: None)
        self.assertFound("I3")

    def test_a_settled_key_is_charged_again(self) -> None:
        original = Charging.complete

        def complete(
            self: Charging, connection: sqlite3.Connection, done: Completion, source: Source
        ) -> Receipt:
            self.ignore_unique_key = True
            return original(self, connection, done, source)

        self.patch(Charging, "complete", complete)
        self.assertFound("I3")

    def test_a_transfer_with_one_side(self) -> None:
        original = Accounts._move

        def move(
            self: Any, connection: Any, debit: int, credit: int, *rest: Any, **more: Any
        ) -> None:
            original(self, connection, debit, credit, *rest, **more)
            connection.execute(
                "UPDATE account SET credits_e4 = credits_e4 + 1 WHERE id = ?", (credit,)
            )

        self.patch(Accounts, "_move", move)
        self.assertFound("I1")

    def test_a_batch_of_changes_in_part(self) -> None:
        original = replica.apply_batch

        def apply(connection: Any, rows: Any, *rest: Any) -> None:
            original(connection, list(rows)[:-1] if len(list(rows)) > 2 else rows, *rest)

        self.patch(replica, "apply_batch", apply)
        self.assertFound("I9", "I10")

    def test_printed_before_it_is_written_down(self) -> None:
        """The journal learns of the paper when it is out, and a crash forgets it."""

        def forget(self: Any, *arguments: Any) -> Deferred[None]:
            return succeed(None)

        self.patch(ProviderJournal, "printing", forget)
        self.assertFound("I3", "I4")

    def test_completions_are_not_sent(self) -> None:
        self.patch(ServerSession, "settle", lambda self: None)
        self.assertFound("I3", "I14")

"""The tester is tested: each deliberate bug must be found within fifty seeds."""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.job import Completion, Receipt
from papercutd.faces.provider import OpenList
from papercutd.provider import servers
from papercutd.provider.journal import ProviderJournal
from papercutd.provider.servers import ServerSession
from papercutd.storage.jobs import askers
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.jobs.posted_rows import Source
from papercutd.storage.money.accounts import Accounts
from papercutd.storage.replication.intake import Intake
from papercutd.storage.site import deciding, replica, site_store
from papercutd.storage.site.overlay import Overlay, read_overlay
from protocols.provider import messages
from tests.simulation import core_running
from tests.simulation.core import run_core

SEEDS_MAX = 50


def seeds_from(likely: int) -> list[int]:
    """Every seed there is to try, ``likely`` before the others."""
    return sorted(range(1, SEEDS_MAX + 1), key=lambda seed: (seed != likely, seed))


class _Any:
    """Equal to every chain."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class MutantCase(SynchronousTestCase):
    """Each test breaks one rule and names the invariants that may tell."""

    timeout = 240

    def tearDown(self) -> None:
        # What was broken on purpose may be logged as a failure outside of the world.
        self.flushLoggedErrors()

    def assertFound(self, *invariants: str, profile: str = "base", likely: int = 1) -> None:
        """``likely``: the first seed that found it when this was written; it is tried first."""
        for seed in seeds_from(likely):
            found = {finding.invariant for finding in run_core(seed, profile).found}
            if found & set(invariants):
                return
        self.fail(f"not found by {invariants} within {SEEDS_MAX} seeds")


class MutantTests(MutantCase):
    """The core's."""

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

    def test_nothing_is_offered_again_after_a_restore(self) -> None:
        self.patch(ProviderJournal, "offer_again", lambda self, timeline: succeed(0))
        self.assertFound("I3", profile="app-restore")

    def test_a_site_that_went_back_goes_on(self) -> None:
        self.patch(site_store, "was_restored", lambda *arguments: False)
        self.patch(site_store, "read_chain", lambda *arguments: _Any())
        self.assertFound("I3", "I11", "I8", "I14", profile="site-restore", likely=24)

    def test_open_drops_nothing(self) -> None:
        self.patch(askers, "release_unlisted", lambda *arguments: 0)
        self.assertFound("I13", likely=7)

    def test_other_answers_are_not_cancelled(self) -> None:
        def forget(self: Any, *arguments: Any) -> Deferred[None]:
            return succeed(None)

        self.patch(ProviderJournal, "cancel", forget)
        self.patch(askers, "release_unlisted", lambda *arguments: 0)
        self.assertFound("I13", likely=6)

    def test_records_are_dropped_and_acknowledged(self) -> None:
        self.patch(Intake, "_apply_all", lambda *arguments: None)
        self.assertFound("I3")

    def test_a_settled_key_is_charged_again(self) -> None:
        original = Charging.complete

        def complete(
            self: Charging, connection: sqlite3.Connection, done: Completion, source: Source
        ) -> Receipt:
            self.ignore_unique_key = True
            return original(self, connection, done, source)

        self.patch(Charging, "complete", complete)
        self.assertFound("I3", likely=3)

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
        self.assertFound("I3", "I4", likely=12)

    def test_completions_are_not_sent(self) -> None:
        self.patch(ServerSession, "settle", lambda self: None)
        self.assertFound("I3", "I14")

    def test_denials_are_not_stored(self) -> None:
        original = Charging._store

        def store(self: Any, connection: Any, key: str, *rest: Any) -> None:
            if rest[3] != "refused":
                original(self, connection, key, *rest)

        self.patch(Charging, "_store", store)
        self.assertFound("I5", profile="again")

    def test_open_counts_page_by_page(self) -> None:
        """Each page ends what it does not list, as if it were the whole list."""
        self.patch(servers, "PAGE_ENTRIES_MAX", 1)

        def add(self: OpenList, message: messages.Open) -> list[str]:
            return [f"{key.job}/{key.step}" for key in message.keys]

        self.patch(OpenList, "add", add)
        self.assertFound("I13", "I7", "I3", likely=10)

    def test_a_waiting_completion_is_not_open(self) -> None:
        def open_keys(self: ProviderJournal, target: str) -> Deferred[list[str]]:
            return self.read(
                lambda c: [
                    row[0]
                    for row in c.execute(
                        "SELECT key FROM taken WHERE target = ? AND acked = 0"
                        " AND completion IS NULL",
                        (target,),
                    )
                ]
            )

        self.patch(ProviderJournal, "open_keys", open_keys)
        self.assertFound("I7", "I13")

    def test_anothers_hold_is_dropped(self) -> None:
        """One asker lets go, and the reservation ends for all."""

        def release(connection: Any, key: str, identity: str, void: Any) -> None:
            askers.release_all(connection, key)
            void(connection, key)

        self.patch(askers, "release", release)
        self.assertFound("I7", "I13", "I3", profile="again")

    def test_an_acknowledgement_without_the_record(self) -> None:
        """A site says journalled and has not."""
        original = deciding.Deciding.complete

        def complete(self: Any, connection: Any, asker: Any, done: Completion) -> Receipt:
            if done.document.pages % 3 == 0:
                return Receipt("journalled", 0, 0)
            return original(self, connection, asker, done)

        self.patch(deciding.Deciding, "complete", complete)
        self.assertFound("I20")

    def test_an_accepted_job_is_not_on_the_disk(self) -> None:
        def received(self: ProviderJournal, job: Any) -> Deferred[None]:
            return succeed(None)

        self.patch(ProviderJournal, "received", received)
        self.assertFound("I15")

    def test_the_overlay_counts_a_record_twice(self) -> None:
        def twice(connection: sqlite3.Connection, account: int) -> Overlay | None:
            shown = read_overlay(connection, account)
            if shown is None:
                return None
            funds = attrs.evolve(shown.funds, debits_e4=shown.funds.debits_e4 + shown.unsettled_e4)
            return attrs.evolve(shown, funds=funds)

        self.patch(core_running, "read_overlay", twice)
        self.assertFound("I10")

    def test_a_session_that_goes_back(self) -> None:
        original = askers.begin_session

        def begin(connection: Any, identity: str, *rest: Any) -> Any:
            seen = original(connection, identity, *rest)
            if seen.session > 2:
                connection.execute("UPDATE asker SET session = 1 WHERE identity = ?", (identity,))
                return attrs.evolve(seen, session=1)
            return seen

        self.patch(askers, "begin_session", begin)
        self.assertFound("I12")

"""More deliberate bugs, each to be found within fifty seeds: see test_mutants.py."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion
from papercutd.errors import Rejected
from papercutd.identity.tls import Revocations
from papercutd.provider import journal as provider_journal
from papercutd.services import uplink
from papercutd.services.recalls import Recalls
from papercutd.storage.jobs import charging
from papercutd.storage.jobs.charging import Charging, read_decision
from papercutd.storage.jobs.posted_rows import Source
from papercutd.storage.money.accounts import Accounts
from papercutd.storage.money.allowances import Allowances
from papercutd.storage.replication import change_log
from papercutd.storage.replication.intake import Intake
from papercutd.storage.site import allowances_here
from tests.simulation import core_certificates
from tests.simulation.test_mutants import MutantCase


class LedgerMutants(MutantCase):
    def test_columns_that_are_not_the_fold(self) -> None:
        """Both sides of the ledger grow alike, and no transfer says so."""
        original = Accounts._move

        def move(self: Any, connection: Any, *rest: Any, **more: Any) -> None:
            original(self, connection, *rest, **more)
            connection.execute(
                "UPDATE account SET credits_e4 = credits_e4 + 1, debits_e4 = debits_e4 + 1"
                " WHERE id = 1"
            )

        self.patch(Accounts, "_move", move)
        self.assertFound("I2")

    def test_a_void_is_charged(self) -> None:
        """What nobody printed costs its person the reservation."""
        original = Charging.void

        def void(self: Charging, connection: Any, key: str) -> None:
            stored = read_decision(connection, key)
            is_open = stored is not None and stored.state == "open"
            original(self, connection, key)
            if stored is not None and is_open and stored.account is not None:
                job, step = key.split("/")
                done = Completion(
                    *(job, step, stored.provider, stored.decision.printer, "anna"),
                    *(Document((PageGroup("A4", 1),)), stored.decision, 1),
                )
                lines = stored.decision.lines
                source = Source("provider", "", 0)
                self._write_charge(
                    connection, done, stored.decision, lines, stored.account, False, source
                )

        self.patch(Charging, "void", void)
        self.assertFound("I4", "I2", likely=4)

    def test_a_mark_that_goes_back(self) -> None:
        original = Intake.apply

        def apply(self: Any, connection: Any, asker: Any, stream: str, *rest: Any) -> Any:
            mark = original(self, connection, asker, stream, *rest)
            if mark.number % 3 == 0:
                connection.execute(
                    "UPDATE stream SET number = number - 2 WHERE id = ? AND number > 2", (stream,)
                )
            return mark

        self.patch(Intake, "apply", apply)
        self.assertFound("I8")

    def test_a_chain_over_half_of_the_bytes(self) -> None:
        original = change_log.next_chain
        self.patch(change_log, "next_chain", lambda chain, body: original(chain, body[:20]))
        self.assertFound("I11")

    def test_a_voided_key_is_allowed_again(self) -> None:
        """The stored ALLOW comes back, and its money was given away."""
        original = Charging.authorize

        def authorize(
            self: Any, connection: Any, asker: Any, request: Any, *rest: Any, **more: Any
        ) -> Any:
            try:
                return original(self, connection, asker, request, *rest, **more)
            except Rejected as rejected:
                stored = read_decision(connection, request.key)
                if rejected.code == "voided" and stored is not None:
                    return stored.decision
                raise

        self.patch(charging.Charging, "authorize", authorize)
        self.assertFound("I5", profile="again", likely=27)


class StreamMutants(MutantCase):
    def test_a_healthy_site_takes_a_new_stream(self) -> None:
        original = uplink.Uplink.link_down

        def link_down(self: Any, reason: str) -> None:
            original(self, reason)
            self._tasks.spawn(self.take_new_stream(), "taking a new stream")

        self.patch(uplink.Uplink, "link_down", link_down)
        self.assertFound("I16")

    def test_what_a_gone_stream_decided_is_not_offered_again(self) -> None:
        """Its provider goes on waiting for a stream that is no more."""
        self.patch(provider_journal, "_turn_to_application", lambda connection, stream: 0)
        self.assertFound("I3", "I14", profile="gone", likely=12)

    def test_a_revoked_provider_goes_on(self) -> None:
        self.patch(Revocations, "is_revoked", lambda self, serial: False)
        self.patch(core_certificates, "end_revoked", lambda sessions, serial: None)
        self.assertFound("I17", profile="people", likely=5)


class StrictMutants(MutantCase):
    def test_what_was_spent_can_be_spent_again(self) -> None:
        """A site counts what it was granted, not what is left of it."""

        def available(connection: Any, users: Any) -> int:
            figures = [allowances_here._figures(connection, user) for user in users]
            return sum(granted_e4 for granted_e4, *_ in figures)

        self.patch(allowances_here, "_available", available)
        self.assertFound("I6", profile="strict")

    def test_a_site_that_was_put_back_spends_without_end(self) -> None:
        self.patch(allowances_here, "_available", lambda connection, users: 1_000_000)
        self.assertFound("I6b", profile="strict-restore", likely=6)

    def test_what_is_returned_is_not_counted(self) -> None:
        original = Allowances._count

        def count(self: Any, connection: Any, row: Any, column: str, amount_e4: int) -> None:
            if column == "returned_e4":
                amount_e4 -= 1
            original(self, connection, row, column, amount_e4)

        self.patch(Allowances, "_count", count)
        self.assertFound("I19", profile="strict")

    def test_nobody_is_asked_before_a_refusal(self) -> None:
        """Somebody is refused whose money is parked at a branch."""

        def recall(self: Recalls, shortage: Any) -> Deferred[None]:
            return succeed(None)

        self.patch(Recalls, "recall", recall)
        self.assertFound("I22", profile="calm-strict")

"""Forwarded completions that are like all others: a batch of them in a few statements.

Most of what a healed site forwards is one and the same: a job that nobody here knows, decided
there, at a price that we would have asked, paid by a person who was merged into nobody and has
one purse. What ``Charging.complete`` reads for each is read for all of them at once, and what it
writes is written at once. Whatever is not as plain is left to it, and it alone says what the
rules are: here stands only where each of its questions has the answer that needs nothing more. A
rule that is added there has to make a record less plain here;
tests/contract/test_plain_records.py compares both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from papercutd.domain.decision import APPLICATION, Decision, Funds
from papercutd.domain.document import SIDES_MAX, correct_pages, is_believed
from papercutd.domain.job import Completion, device_owner, is_run
from papercutd.domain.pricing import (
    Dearest,
    PriceLine,
    PriceList,
    are_possible,
    exceed,
    markup_rate,
    price_document,
    reprice_pages,
    total_e4,
    total_pages,
)
from papercutd.domain.schedule import parse_due
from papercutd.storage.engine import Connection, insert_rows
from papercutd.storage.jobs.late_charges import last_run
from papercutd.storage.jobs.posted_rows import (
    CHARGE,
    DECISION,
    Source,
    charge_row,
    decision_row,
)
from papercutd.storage.money.accounts import REVENUE, TRANSFER, Accounts, Entry
from papercutd.storage.money.credits import add_to_all
from papercutd.storage.replication.change_log import ChangeLog


@attrs.frozen
class Settings:
    """What plain records ask of the settings, which stand for the whole batch."""

    prices: Callable[[int], PriceList | None]
    dearest: Callable[[], Dearest]
    provider_of: Callable[[int], str | None]
    #: Whether the site of an owner is STRICT for a user.
    holds_strictly: Callable[[str, int], bool]


@attrs.define
class _Account:
    """A row as it stands with what is still to be written."""

    funds: Funds
    #: What the batch has to write; None: nothing.
    paid_e4: int | None = None

    def is_forced(self, amount_e4: int) -> bool:
        """Whether paying that leaves less than the floor."""
        left_e4 = self.funds.balance_e4 - (self.paid_e4 or 0) - amount_e4
        return self.funds.restricted and left_e4 < self.funds.floor_e4 and amount_e4 > 0


class PlainRecords:
    """Of one batch, within one transaction."""

    def __init__(
        self,
        connection: Connection,
        log: ChangeLog,
        accounts: Accounts,
        settings: Settings,
        received_at: float,
        completions: Iterable[Completion],
    ) -> None:
        self._connection = connection
        self._log = log
        self._ledger = accounts
        self._settings = settings
        self._received_at = received_at
        self._of_batch = list(completions)
        #: Jobs of which there is no step here; read when first asked.
        self._fresh: set[str] | None = None
        self._accounts: dict[int, _Account] = {}
        self._users: set[int] = set()
        self._knows_rows = False
        self._lines: dict[tuple[Any, ...], tuple[PriceLine, ...] | None] = {}
        self._gives_back: dict[tuple[int, str], bool] = {}
        self._transfers: list[tuple[Any, ...]] = []
        self._charges: list[tuple[Any, ...]] = []
        self._decisions: list[tuple[Any, ...]] = []

    def post(self, completion: Completion, source: Source) -> bool:
        """Post it, by ``flush``, if it is plain; False: nothing was done."""
        decision = completion.decision
        if decision is None or not self._is_plain(completion, decision):
            return False
        lines = self._lines_of(completion, decision)
        if not lines or decision.account is None or decision.user is None:
            return False
        self._read_rows()
        account = self._accounts.get(decision.account)
        amount_e4 = total_e4(lines)
        if account is None or account.is_forced(amount_e4):
            return False
        if decision.user not in self._users or self._may_give_back(decision):
            return False
        if self._settings.holds_strictly(completion.provider, decision.user):
            return False
        self._post(completion, decision, lines, amount_e4, source)
        account.paid_e4 = (account.paid_e4 or 0) + amount_e4
        return True

    def passed(self, *jobs: str) -> None:
        """Something else came of these: nothing is known of them any more."""
        self.flush()
        self._read_fresh().difference_update(jobs)
        self._knows_rows = False

    def flush(self) -> None:
        """Write what was posted."""
        if not self._charges:
            return
        insert_rows(self._connection, TRANSFER, self._transfers)
        insert_rows(self._connection, CHARGE, self._charges)
        insert_rows(self._connection, DECISION, self._decisions)
        self._write_accounts()
        for rows in (self._transfers, self._charges, self._decisions):
            rows.clear()

    def _is_plain(self, completion: Completion, decision: Decision) -> bool:
        """As far as it can be seen without the rows of who pays."""
        owner, job = completion.provider, completion.job
        return (
            decision.allowed
            and decision.decider != APPLICATION
            and not decision.allowance
            and decision.named is None
            and decision.invoice is None
            and not (completion.comment or completion.assumed)
            and completion.document.analysed
            and not is_run(completion.step)
            and device_owner(owner) is None
            and is_believed(completion.document, completion.pages)
            and self._settings.provider_of(completion.printer) in (None, owner)
            and "/" not in job
            and job in self._read_fresh()
        )

    def _lines_of(self, completion: Completion, decision: Decision) -> tuple[PriceLine, ...] | None:
        """What is charged; None: not what we would have decided, or to be listed."""
        document, pages = completion.document, completion.pages
        key = (document, pages, decision.lines, decision.price_version, decision.printer)
        if key not in self._lines:
            self._lines[key] = self._find_lines(completion, decision)
        return self._lines[key]

    def _find_lines(
        self, completion: Completion, decision: Decision
    ) -> tuple[PriceLine, ...] | None:
        prices = self._settings.prices(decision.price_version)
        if prices is None or prices.by_group or not are_possible(decision.lines, SIDES_MAX):
            return None
        if markup_rate(decision.lines) or exceed(decision.lines, self._settings.dearest()):
            return None
        if price_document(completion.document, prices, decision.printer) != decision.lines:
            return None
        pages, set_aside = correct_pages(total_pages(decision.lines), completion.pages)
        lines = reprice_pages(decision.lines, pages)
        return None if set_aside or not total_pages(lines) else lines

    def _may_give_back(self, decision: Decision) -> bool:
        """Whether a run of a quota and this charge came in another order than they were decided."""
        assert decision.account is not None
        key = (decision.account, decision.promise)
        if key not in self._gives_back:
            before = parse_due(decision.promise)
            self._gives_back[key] = before is not None and (
                last_run(self._connection, decision.account) < before
                or self._connection.execute(
                    "SELECT 1 FROM withheld WHERE account = ? AND left_e4 > 0 LIMIT 1",
                    (decision.account,),
                ).fetchone()
                is not None
            )
        return self._gives_back[key]

    def _post(
        self,
        completion: Completion,
        decision: Decision,
        lines: tuple[PriceLine, ...],
        amount_e4: int,
        source: Source,
    ) -> None:
        assert decision.account is not None
        key, number = completion.key, self._log.number
        entry = Entry(
            key=key,
            price_version=decision.price_version,
            who=source.who,
            place=f"printer:{completion.printer}",
            claimed_at=completion.completed_at,
            received_at=self._received_at,
        )
        moved = ("direct", None, decision.account, REVENUE, amount_e4, entry)
        self._transfers.append(self._ledger.transfer_row(*moved))
        self._log.touch("account", decision.account)
        whose = (decision.user, decision.account, False, source, self._received_at, number)
        self._charges.append(charge_row(key, completion, decision, lines, *whose))
        answer = (decision, "settled", None, 0, number)
        self._decisions.append(decision_row(key, completion.provider, completion.job_uuid, *answer))
        self._log.charged(key, completion.provider)
        self._read_fresh().discard(completion.job)

    def _read_fresh(self) -> set[str]:
        if self._fresh is None:
            jobs = list(dict.fromkeys(one.job for one in self._of_batch))
            self._fresh = set(jobs)
            if jobs:
                steps = " OR ".join(["(key >= ? AND key < ?)"] * len(jobs))
                bounds = [bound for job in jobs for bound in (f"{job}/", f"{job}0")]
                found = self._connection.execute(f"SELECT key FROM decision WHERE {steps}", bounds)
                self._fresh.difference_update([key.partition("/")[0] for (key,) in found])
        return self._fresh

    def _read_rows(self) -> None:
        """Accounts and users of the batch, as they stand now; those alone that may be plain."""
        if self._knows_rows:
            return
        self._knows_rows = True
        answers = [one.decision for one in self._of_batch if one.decision is not None]
        self._accounts = {
            id: _Account(Funds(bool(restricted), *figures))
            for id, restricted, *figures in self._read(
                "SELECT id, restricted, credits_e4, debits_e4, pending_e4, floor_e4 FROM account"
                " WHERE kind = 'personal' AND merged_into IS NULL AND purses_e4 = 0"
                " AND markup_e4 = 0",
                {one.account for one in answers},
            )
        }
        self._users = {
            id
            for (id,) in self._read(
                "SELECT id FROM user WHERE merged_into IS NULL", {one.user for one in answers}
            )
        }

    def _read(self, select: str, ids: set[int | None]) -> Sequence[Any]:
        known = sorted(id for id in ids if id is not None)
        if not known:
            return []
        places = ", ".join("?" * len(known))
        return self._connection.execute(f"{select} AND id IN ({places})", known).fetchall()

    def _write_accounts(self) -> None:
        paid: dict[int, int] = {}
        for id, one in self._accounts.items():
            if one.paid_e4 is not None:
                paid[id] = one.paid_e4
                debits_e4 = one.funds.debits_e4 + one.paid_e4
                one.funds, one.paid_e4 = attrs.evolve(one.funds, debits_e4=debits_e4), None
        add_to_all(self._connection, "debits_e4", paid)
        add_to_all(self._connection, "credits_e4", {REVENUE: sum(paid.values())})

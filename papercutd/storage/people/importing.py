"""Lines of an import applied: new users many at once, others one by one.

To PostgreSQL a statement is a journey, so what makes new users is one statement a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from papercutd.domain.job import fold_user_name
from papercutd.domain.purses import MAIN
from papercutd.domain.user_fields import DETAILS
from papercutd.storage.administration.directory import Directory, take_user_name
from papercutd.storage.engine import Connection, execute_all, insert_rows, insertion
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.credits import Credit, give_all, hold_all, open_purses, write_credits
from papercutd.storage.money.purses import purse_in_words
from papercutd.storage.people import new_users
from papercutd.storage.people.imports import (
    Adjust,
    ImportSettings,
    Plan,
    forget_first,
    forget_import,
    next_waiting,
    plan_lines,
    read_settings,
)
from papercutd.storage.people.user_settings import change_settings
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.timeline import next_ids

_CARD = "card (hash, user, added_at)"


@attrs.frozen
class ImportPiece:
    """What one transaction did of an import."""

    added: int = 0
    changed: int = 0
    same: int = 0
    #: (line, why) of what could be taken when it was checked, and cannot any more.
    rejected: list[tuple[int, str]] = attrs.field(factory=list)
    is_done: bool = False
    #: Of its change.
    number: int = 0


class Importing:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog, directory: Directory, adjust: Adjust) -> None:
        self._log = log
        self._directory = directory
        self._adjust = adjust

    def apply_piece(
        self, connection: Connection, id: str, count_max: int, entry: Entry
    ) -> ImportPiece:
        """The next lines of an import; ``entry``: what its transfers say of themselves."""
        settings = read_settings(connection, id)
        waiting = next_waiting(connection, id) if settings is not None else None
        if settings is None or waiting is None:
            forget_import(connection, id)
            return ImportPiece(is_done=True)
        lines = waiting.lines[:count_max]
        plans = plan_lines(connection, lines, settings, entry.received_at)
        good = [plan for plan in plans if not plan.problem]
        self._add(connection, [plan for plan in good if plan.known is None], settings, entry)
        changes = [plan for plan in good if plan.known is not None and plan.is_change]
        for plan in changes:
            self._change(connection, plan, settings.purse)
        self._link_cards(connection, [plan for plan in good if plan.known], entry.received_at)
        forget_first(connection, waiting, len(lines))
        added = sum(plan.known is None for plan in good)
        rejected = [(plan.line.user.line, plan.problem) for plan in plans if plan.problem]
        return ImportPiece(added, len(changes), len(good) - added - len(changes), rejected)

    def _add(
        self, connection: Connection, plans: Sequence[Plan], settings: ImportSettings, entry: Entry
    ) -> None:
        if not plans:
            return
        joined = new_users.ids_of_groups(connection, settings.groups)
        start = new_users.read_start(connection, joined)
        user, account = next_ids(connection, "user", "account")
        users, accounts, names, details, cards, moved = [], [], [], [], [], []
        filled: dict[int, int] = {}
        for number, plan in enumerate(plans):
            line, at = plan.line, number
            one = line.user
            folded = fold_user_name(one.name)
            if plan.is_former:
                take_user_name(connection, self._log, one.name, None, entry.received_at, now=True)
            balance_e4 = one.balance_e4
            if settings.purse > MAIN:
                # The file says nothing of the main one.
                filled.update({account + at: balance_e4} if balance_e4 else {})
                balance_e4 = None
            amount_e4 = start.credit_e4 if balance_e4 is None else balance_e4
            restricted = start.restricted if one.restricted is None else one.restricted
            accounts.append(
                (
                    *(account + at, "personal", one.name, user + at, int(restricted)),
                    *(-start.overdraft_e4, max(amount_e4, 0), max(-amount_e4, 0)),
                )
            )
            users.append(
                (
                    *(user + at, one.name, folded, one.full_name, account + at, "import"),
                    *(line.verifier, line.pin_verifier, *start.mode),
                )
            )
            names.append((folded, user + at, self._log.number))
            if one.details:
                found = (one.details.get(detail, "") for detail in DETAILS)
                alias = fold_user_name(one.details.get("alias", ""))
                details.append((user + at, *found, alias))
            cards += [(hashed, user + at, entry.received_at) for hashed in plan.cards]
            if amount_e4:
                reason = new_users.REASON if balance_e4 is None else entry.reason
                moved.append((account + at, amount_e4, reason))
        details_of = f"user_detail (user, {', '.join(DETAILS)}, alias_folded)"
        tables: list[tuple[str, list[tuple[Any, ...]]]] = [
            (
                "account (id, kind, name, user, restricted, floor_e4, credits_e4, debits_e4)",
                accounts,
            ),
            (
                "user (id, name, folded, full_name, account, source, verifier, pin_verifier,"
                " account_mode, needs)",
                users,
            ),
            ("user_name (folded, user, since)", names),
            (details_of, details),
            (_CARD, cards),
        ]
        execute_all(connection, [insertion(connection, *one) for one in tables if one[1]])
        # Those of a table behind each other: so sites can write them together.
        for table, made in (("user", users), ("account", accounts), ("card", cards)):
            for row in made:
                self._log.touch(table, row[0])
        new_users.join_groups(connection, self._log, (one[0] for one in users), joined)
        self._open(connection, moved, entry)
        self._fill(connection, filled, settings.purse, entry)

    def _open(
        self, connection: Connection, moved: Sequence[tuple[int, int, str]], entry: Entry
    ) -> None:
        """The opening balances of new accounts, which hold them already, as transfers."""
        if not moved:
            return
        credits = [Credit(account, e4, entry.key, reason) for account, e4, reason in moved]
        transfers = write_credits(connection, self._log, credits, entry)
        for account, amount_e4, reason in moved:
            self._log.adjusted(transfers[account], account, amount_e4, reason, entry.received_at)

    def _fill(
        self, connection: Connection, amounts: Mapping[int, int], kind: int, entry: Entry
    ) -> None:
        """That purse of new personal accounts."""
        if not amounts:
            return
        purses = open_purses(connection, amounts, kind)
        credits = [Credit(purses[a], e4, entry.key, entry.reason) for a, e4 in amounts.items()]
        transfers = give_all(connection, self._log, credits, entry)
        hold_all(connection, self._log, amounts, purses)
        reason = entry.reason + purse_in_words(connection, kind)
        for account, amount_e4 in amounts.items():
            transfer = transfers[purses[account]]
            self._log.adjusted(transfer, account, amount_e4, reason, entry.received_at)

    def _change(self, connection: Connection, plan: Plan, purse: int) -> None:
        known, line = plan.known, plan.line
        assert known is not None
        if plan.settings:
            change_settings(connection, self._log, known.id, known.account, plan.settings)
        for column, verifier in (("verifier", line.verifier), ("pin_verifier", line.pin_verifier)):
            if verifier:
                connection.execute(
                    f"UPDATE user SET {column} = ? WHERE id = ?", (verifier, known.id)
                )
                self._log.touch("user", known.id)
        if plan.amount_e4:
            self._adjust(connection, known.id, known.account, plan.amount_e4, purse or MAIN)

    def _link_cards(self, connection: Connection, plans: Sequence[Plan], at: float) -> None:
        cards = [
            (hashed, plan.known.id, at)
            for plan in plans
            if plan.known is not None
            for hashed in plan.cards
        ]
        insert_rows(connection, _CARD, cards)
        for hashed, *_ in cards:
            self._log.touch("card", hashed)

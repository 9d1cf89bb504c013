"""Users as administrators set them, at the application server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.import_formats import FORMATS, ImportedUser
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.purse_balances import TOGETHER
from papercutd.storage.money.shared_accounts import SharedAccounts
from papercutd.storage.money.shared_imports import apply_accounts, is_of_accounts
from papercutd.storage.people import imports
from papercutd.storage.people.client_epochs import begin_epoch
from papercutd.storage.people.exporting import read_export
from papercutd.storage.people.group_modes import set_of_group
from papercutd.storage.people.importing import Importing, ImportPiece
from papercutd.storage.people.imports import PIECE_LINES, ImportSettings, Plan, WaitingLine
from papercutd.storage.people.user_settings import change_settings, living_user
from papercutd.storage.replication.change_log import ChangeLog


class PeopleStore:
    """Each method is one transaction, or one read beside the writer."""

    def __init__(
        self,
        store: Transactions,
        log: ChangeLog,
        directory: Directory,
        charging: Charging,
        wall_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._log = log
        self._directory = directory
        self._charging = charging
        self._wall_s = wall_s
        self._importing = Importing(log, directory, self._adjust)
        self._shared = SharedAccounts(log, directory)

    def set_user(self, name: str, settings: Mapping[str, Any]) -> Deferred[None]:
        """All of ``settings`` or none (storage/people/user_settings.py); raises NotFound,
        InvalidValue, AlreadyExists."""

        def change(connection: Connection) -> None:
            user, account = living_user(connection, self._directory, name)
            change_settings(connection, self._log, user, account, settings)

        return self._store.write(change)

    def log_out(self, name: str, epoch: str) -> Deferred[None]:
        """What this person's clients were logged in with counts no more; raises NotFound."""

        def begin(connection: Connection) -> None:
            user, _ = living_user(connection, self._directory, name)
            begin_epoch(connection, self._log, user, epoch)

        return self._store.write(begin)

    def set_account_modes(
        self, group: str, mode: str, after: int = 0
    ) -> Deferred[tuple[int, int | None]]:
        """Of the next users of a group (account_modes.py); raises as set_of_group does."""
        return self._store.write(lambda c: set_of_group(c, self._log, group, mode, after))

    # Users from a file: storage/people/imports.py.

    def plan_import(
        self, users: Sequence[ImportedUser], settings: ImportSettings
    ) -> Deferred[list[Plan]]:
        """What would become of each; nothing is written."""
        at = self._wall_s()
        return self._store.read(
            lambda c: imports.plan_lines(c, imports.hash_cards(c, users), settings, at)
        )

    def begin_import(self, id: str, format: str, settings: ImportSettings) -> Deferred[None]:
        at = self._wall_s()
        return self._store.write(lambda c: imports.begin_import(c, id, format, settings, at))

    def put_aside(self, id: str, lines: Sequence[WaitingLine]) -> Deferred[None]:
        """Checked lines wait; at most AT_ONCE_MAX."""
        return self._store.write(lambda c: imports.put_aside(c, id, lines))

    def begin_applying(self, id: str) -> Deferred[None]:
        """From here on the import is finished, whatever happens."""
        return self._store.write(lambda c: imports.begin_applying(c, id))

    def apply_import(self, id: str, count_max: int = PIECE_LINES) -> Deferred[ImportPiece]:
        """The next piece of one that is being applied."""
        entry = self._entry()

        def apply(connection: Connection) -> ImportPiece:
            if is_of_accounts(connection, id):
                piece = apply_accounts(connection, self._shared, id, count_max, entry)
            else:
                piece = self._importing.apply_piece(connection, id, count_max, entry)
            return attrs.evolve(piece, number=self._log.number)

        return self._store.write(apply)

    def skip_line(self, id: str) -> Deferred[int]:
        """The next line cannot be applied, and waits no more; its number."""
        return self._store.write(lambda c: imports.skip_line(c, id))

    def forget_import(self, id: str) -> Deferred[bool]:
        """One part of an import that is not to be; True: all of it is gone."""
        return self._store.write(lambda c: imports.forget_import(c, id))

    def waiting_imports(self) -> Deferred[list[tuple[str, str]]]:
        """(id, state) of each that was begun and is not at its end."""
        return self._store.read(imports.waiting_imports)

    def export(
        self, format: str, after: str, purse: int = TOGETHER
    ) -> Deferred[tuple[list[list[str]], str | None]]:
        """Columns of at most 500 users beyond the folded name ``after``, and where to go on."""
        return self._store.read(lambda c: read_export(c, FORMATS[format], after, purse))

    def _entry(self) -> Entry:
        now = self._wall_s()
        return Entry("", 0, "administrator", "", now, now, reason="import")

    def _adjust(
        self, connection: Connection, user: int, account: int, amount_e4: int, kind: int
    ) -> None:
        self._directory.adjust(connection, account, amount_e4, self._entry(), kind)
        self._charging.refill(connection, user)

"""Deliberate bugs of what is told of a restore, each to be found within fifty seeds."""

from __future__ import annotations

from typing import Any

from papercutd.domain.lost_edit import Watched
from papercutd.services import uplink
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.lost_edits import LostEdits
from papercutd.storage.site import site_store
from tests.simulation.test_mutants import MutantCase


class LostEditMutants(MutantCase):
    def test_what_a_restore_lost_is_not_told(self) -> None:
        self.patch(site_store, "journal_lost_edits", lambda *arguments: 0)
        self.assertFound("I23", profile="app-restore")

    def test_all_is_taken_for_shared(self) -> None:
        """As if a restore had lost nothing that a replica knows row by row."""

        async def find_shared(session: Any, store: Any) -> int:
            return int((await store.identity()).position.number)

        self.patch(uplink, "find_shared", find_shared)
        self.assertFound("I23", profile="app-restore")

    def test_money_is_no_event(self) -> None:
        self.patch(ChangeLog, "adjusted", lambda *arguments: None)
        self.assertFound("I23", profile="app-restore")

    def test_a_secret_that_differs_is_no_edit(self) -> None:
        """Of people whose PIN alone was changed nothing is told."""
        self.patch(Watched, "hidden", lambda *arguments: ())
        self.assertFound("I23", profile="app-restore")

    def test_what_is_told_is_not_kept(self) -> None:
        self.patch(LostEdits, "take", lambda *arguments: None)
        self.assertFound("I23", profile="app-restore")

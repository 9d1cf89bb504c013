"""What administrators' acts on money are made of, after the fact: one set for all of them."""

from __future__ import annotations

import attrs

from papercutd.storage.administration.directory import Directory
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.money.accounts import Accounts
from papercutd.storage.money.allowances import Allowances
from papercutd.storage.replication.change_log import ChangeLog


@attrs.frozen
class Books:
    """Of the application server."""

    log: ChangeLog
    accounts: Accounts
    directory: Directory
    charging: Charging
    allowances: Allowances


class ActsOnMoney:
    """Each method is one step of the writer's transaction."""

    def __init__(self, books: Books) -> None:
        self._log = books.log
        self._accounts = books.accounts
        self._directory = books.directory
        self._charging = books.charging
        self._allowances = books.allowances

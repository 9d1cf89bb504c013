"""Money after the fact, at the application server: acts of administrators on accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.charging import Charging
from papercutd.storage.money import money_acts, refunds, vouchers
from papercutd.storage.money.accounts import Accounts, Entry
from papercutd.storage.money.allowances import Allowances, Shortage
from papercutd.storage.money.books import Books
from papercutd.storage.money.money_acts import Act, ActState, MoneyActs
from papercutd.storage.money.refunds import Refunds
from papercutd.storage.money.vouchers import Redeemed, Vouchers
from papercutd.storage.replication.change_log import ChangeLog


class Parts(Transactions, Protocol):
    """The store that this is a part of."""

    accounts: Accounts
    directory: Directory
    charging: Charging
    allowances: Allowances


class MoneyStore:
    """Each method is one transaction, or one read beside the writer."""

    def __init__(self, store: Parts, log: ChangeLog, wall_s: Callable[[], float]) -> None:
        self._store = store
        self._directory = store.directory
        books = Books(log, store.accounts, store.directory, store.charging, store.allowances)
        self._acts = MoneyActs(books)
        self._refunds = Refunds(books)
        self._vouchers = Vouchers(books)
        self._wall_s = wall_s

    # Adjustments of many, and transfers: storage/money/money_acts.py.

    def find_act(self, id: str) -> Deferred[tuple[Act, ActState] | None]:
        return self._store.read(lambda c: money_acts.find_act(c, id))

    def find_users(self, names: Sequence[str]) -> Deferred[list[int | None]]:
        """The id of each, None where there is nobody."""

        def find(connection: Connection) -> list[int | None]:
            found = [self._directory.find_person(connection, name) for name in names]
            return [None if person is None else person.id for person in found]

        return self._store.read(find)

    def members_after(self, group: str, nested: bool, after: int) -> Deferred[list[int]]:
        """At most 500 users of a group beyond the id ``after``; raises NotFound."""
        return self._store.read(lambda c: money_acts.members_after(c, group, nested, after))

    def begin_act(self, act: Act, purse: str = "") -> Deferred[None]:
        """Of that purse of whom it is about; raises NotFound."""
        at = self._wall_s()
        return self._store.write(lambda c: self._acts.begin(c, act, at, purse))

    def put_act(self, id: str, rows: Sequence[tuple[int, int]]) -> Deferred[None]:
        """(user, amount) of at most 500 of those whom it is about."""
        return self._store.write(lambda c: self._acts.put(c, id, rows))

    def begin_applying_act(self, id: str, users: int) -> Deferred[None]:
        """Raises InvalidValue unless it is about so many users."""
        return self._store.write(lambda c: self._acts.begin_applying(c, id, users))

    def apply_act(self, id: str) -> Deferred[ActState]:
        """The next piece of one that is being applied."""
        entry = self._entry()
        return self._store.write(lambda c: self._acts.apply_piece(c, id, entry))

    def forget_act(self, id: str) -> Deferred[bool]:
        """One part of an act that is not to be; True: all of it is gone."""
        return self._store.write(lambda c: self._acts.forget(c, id))

    def waiting_acts(self) -> Deferred[list[tuple[str, str]]]:
        """(id, state) of each that was begun and is not at its end."""
        return self._store.read(money_acts.waiting_acts)

    def transfer(
        self,
        act: Act,
        giver: str,
        receiver: str,
        amount_e4: int,
        purse: str = "",
        may_recall: bool = False,
    ) -> Deferred[bool | Shortage]:
        """False: it was done before; a Shortage with ``may_recall`` alone.

        Raises NotFound, InvalidValue.
        """
        asked = (act, giver, receiver, amount_e4, self._entry(), purse, may_recall)
        return self._store.write(lambda c: self._acts.transfer(c, *asked))

    # Refunds, and what nobody is to pay: storage/money/refunds.py.

    def ask_refund(
        self, key: str, amount_e4: int | None, words: str, by: str | None = None
    ) -> Deferred[int]:
        """Its number; raises NotFound, InvalidValue, AlreadyExists."""
        at = self._wall_s()
        return self._store.write(lambda c: self._refunds.ask(c, key, amount_e4, words, by, at))

    def approve_refund(self, id: int, amount_e4: int | None, answer: str) -> Deferred[None]:
        """Raises NotFound, InvalidValue."""
        entry = self._entry()
        return self._store.write(lambda c: self._refunds.approve(c, id, amount_e4, answer, entry))

    def reject_refund(self, id: int, answer: str) -> Deferred[None]:
        """Raises NotFound, InvalidValue."""
        at = self._wall_s()
        return self._store.write(lambda c: self._refunds.reject(c, id, answer, at))

    def give_refund(self, key: str, amount_e4: int | None, words: str) -> Deferred[int]:
        """Asked for and approved in one transaction; its number."""
        entry = self._entry()

        def give(connection: Connection) -> int:
            at = entry.received_at
            id = self._refunds.ask(connection, key, amount_e4, words, None, at)
            self._refunds.approve(connection, id, None, words, entry)
            return id

        return self._store.write(give)

    def refunds(self, state: str, after: int) -> Deferred[list[Row]]:
        return self._store.read(lambda c: refunds.read_refunds(c, state, after))

    def refund(self, id: int) -> Deferred[Row]:
        """Raises NotFound."""
        return self._store.read(lambda c: refunds.read_refund(c, id))

    def write_off(self, keys: Sequence[str], reason: str) -> Deferred[int]:
        """How much; raises NotFound, InvalidValue, AlreadyExists."""
        entry = self._entry()
        return self._store.write(lambda c: self._refunds.write_off(c, keys, reason, entry))

    # Vouchers: storage/money/vouchers.py.

    def add_vouchers(
        self,
        name: str,
        amount_e4: int,
        serials: Sequence[str],
        expires_at: float | None,
        purse: str = "",
    ) -> Deferred[tuple[str, str]]:
        """The currency, and the purse that they fill; raises as Vouchers.add does."""
        at = self._wall_s()
        return self._store.write(
            lambda c: self._vouchers.add(c, name, amount_e4, serials, expires_at, at, purse)
        )

    def add_more_vouchers(self, name: str, serials: Sequence[str]) -> Deferred[None]:
        """To the batch called so; raises NotFound."""
        return self._store.write(lambda c: self._vouchers.add_more(c, name, serials))

    def tell_more_vouchers(self) -> Deferred[bool]:
        return self._store.write(self._vouchers.tell_more)

    def redeem_voucher(self, serial: str, user: str) -> Deferred[Redeemed]:
        """Raises UnknownSerial, NotFound, InvalidValue."""
        entry = self._entry()
        return self._store.write(lambda c: self._vouchers.redeem(c, serial, user, entry))

    def cancel_vouchers(self, name: str, place: int | None) -> Deferred[int]:
        """How many; raises NotFound, InvalidValue."""
        at = self._wall_s()
        return self._store.write(lambda c: self._vouchers.cancel(c, name, place, at))

    def voucher_batches(self, after: int) -> Deferred[list[Row]]:
        return self._store.read_long(lambda c: vouchers.read_batches(c, after))

    def vouchers(self, name: str, after: int) -> Deferred[list[Row]]:
        """Raises NotFound."""
        return self._store.read(lambda c: vouchers.read_vouchers(c, name, after))

    def _entry(self, reason: str = "") -> Entry:
        now = self._wall_s()
        return Entry("", 0, "administrator", "", now, now, reason=reason)

"""Money given back for a charge, and charges that nobody is to pay: transfers of their own.

What may be given back of a charge is what was really paid for it, less what was given back
before: of one that was booked to nobody, or beyond an allowance, that part was never paid. It goes
where it came from: to the purses what they gave, last spent first, the rest to the account.
Each method is one step of the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.domain.money import show_amount
from papercutd.domain.purses import MAIN, REASON, give_back
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.engine import Connection, insert_row
from papercutd.storage.money.accounts import ADJUSTMENT, REVENUE, UNCOLLECTED, Entry
from papercutd.storage.money.books import ActsOnMoney
from papercutd.storage.money.purses import by_kind, gave_for, parts_of, read_kinds
from papercutd.storage.people.people import heir_of_user
from papercutd.storage.replication.timeline import next_id

ADMINISTRATOR = "administrator"
_SHOWN = (
    "SELECT r.id, r.charge_id AS key, c.user_name, c.title, c.amount_e4 AS charged_e4,"
    " r.amount_e4, r.words, r.asked_by, r.asked_at, r.state, r.granted_e4, r.answer,"
    " r.answered_at FROM refund AS r JOIN charge AS c ON c.charge_id = r.charge_id"
)


@attrs.frozen
class _Charge:
    id: str
    #: Who printed it, or was made to pay it.
    user: int | None
    account: int
    price_version: int


class Refunds(ActsOnMoney):
    """At the application server."""

    def ask(
        self,
        connection: Connection,
        key: str,
        amount_e4: int | None,
        words: str,
        by: str | None,
        at: float,
    ) -> int:
        """A question for an administrator; None: all that is left. Its number.

        ``by``: the user who asks, for charges of their own. Raises NotFound, InvalidValue,
        and AlreadyExists while another question about it is open.
        """
        charge = self._find(connection, key)
        asked_by = ADMINISTRATOR
        if by is not None:
            user = self._directory.id_of_user(connection, by)
            owner = None if charge.user is None else heir_of_user(connection, "", charge.user)
            if user != owner:
                raise NotFound("charge of that user", key)
            asked_by = by
        open_one = connection.execute(
            "SELECT id FROM refund WHERE charge_id = ? AND state = 'asked'", (charge.id,)
        ).fetchone()
        if open_one is not None:
            raise AlreadyExists("request, not answered yet, for a refund of", key)
        left_e4 = self._left_e4(connection, charge, key)
        amount_e4 = left_e4 if amount_e4 is None else amount_e4
        _check(amount_e4, left_e4, "is left of it to give back")
        return insert_row(
            connection,
            "INSERT INTO refund (id, charge_id, amount_e4, words, asked_by, asked_at, state)"
            " VALUES (?, ?, ?, ?, ?, ?, 'asked')",
            (next_id(connection, "refund"), charge.id, amount_e4, words, asked_by, at),
        )

    def approve(
        self, connection: Connection, id: int, amount_e4: int | None, answer: str, entry: Entry
    ) -> None:
        """Give it back, whole or in part; raises NotFound, InvalidValue."""
        key, asked_e4, words = self._asked(connection, id)
        charge = self._find(connection, key)
        amount_e4 = asked_e4 if amount_e4 is None else amount_e4
        _check(amount_e4, asked_e4, "was asked for")
        left_e4 = self._left_e4(connection, charge, key)
        _check(amount_e4, left_e4, "is left of it to give back")
        account = self._accounts.heir(connection, charge.account)
        entry = attrs.evolve(
            entry,
            key=f"{charge.id}:refund:{id}",
            price_version=charge.price_version,
            reason=f"refund {id}: {answer or words}",
        )
        self._move(connection, charge, account, amount_e4, left_e4, entry)
        self._log.adjusted(self._accounts.last, account, amount_e4, entry.reason, entry.received_at)
        self._answer(connection, id, "approved", amount_e4, answer, entry.received_at)
        if charge.user is not None:
            self._charging.refill(connection, heir_of_user(connection, "", charge.user))

    def reject(self, connection: Connection, id: int, answer: str, at: float) -> None:
        """Nothing is given back; raises NotFound, InvalidValue."""
        self._asked(connection, id)
        self._answer(connection, id, "rejected", 0, answer, at)

    def write_off(
        self, connection: Connection, keys: Sequence[str], reason: str, entry: Entry
    ) -> int:
        """Nobody is to pay what of these charges nobody paid: all of them or none; how much.

        Raises NotFound, InvalidValue, AlreadyExists.
        """
        total_e4 = 0
        for key in keys:
            charge = self._find(connection, key)
            done = connection.execute(
                "SELECT 1 FROM written_off WHERE charge_id = ?", (charge.id,)
            ).fetchone()
            if done is not None:
                raise AlreadyExists("write-off of", key)
            amount_e4 = self._uncollected_e4(connection, charge.id)
            if amount_e4 <= 0:
                raise InvalidValue("key", f"nothing of {key} is uncollected: somebody paid it")
            said = attrs.evolve(
                entry,
                key=f"{charge.id}:written-off",
                price_version=charge.price_version,
                reason=reason,
            )
            self._accounts.transfer(connection, ADJUSTMENT, UNCOLLECTED, amount_e4, said)
            connection.execute(
                "INSERT INTO written_off VALUES (?, ?, ?, ?)",
                (charge.id, amount_e4, reason, entry.received_at),
            )
            total_e4 += amount_e4
        # No row of a site's changed: an entry all the same marks the place of the transfers.
        self._log.place()
        return total_e4

    def _find(self, connection: Connection, key: str) -> _Charge:
        found = connection.execute(
            "SELECT c.charge_id, COALESCE(a.user, c.user), c.account, c.price_version"
            " FROM charge AS c LEFT JOIN assigned AS a ON a.charge_id = c.charge_id"
            " WHERE c.charge_id = ?",
            (key,),
        ).fetchone()
        if found is None:
            raise NotFound("charge", key)
        charge = _Charge(*found)
        if charge.account != UNCOLLECTED or charge.user is None:
            return charge
        (account,) = connection.execute(
            "SELECT account FROM user WHERE id = ?", (charge.user,)
        ).fetchone()
        return attrs.evolve(charge, account=account)

    def _move(
        self,
        connection: Connection,
        charge: _Charge,
        account: int,
        amount_e4: int,
        left_e4: int,
        entry: Entry,
    ) -> None:
        """``left_e4``: what may come back in all, of which the purses gave a part."""
        kinds = {kind.id: kind for kind in read_kinds(connection)}
        order = [(kind.id, kind.rank) for kind in kinds.values() if kind.id != MAIN]
        gave = {
            kind: part_e4
            for kind, part_e4 in gave_for(connection, charge.id).items()
            if kinds[kind].refundable
        }
        held_e4 = self._accounts.funds(connection, account).own_e4
        back = give_back(amount_e4, parts_of(gave, order, left_e4 - sum(gave.values())), held_e4)
        for kind, part_e4 in by_kind(back, order).items():
            said = attrs.evolve(entry, reason=f"{REASON}{kinds[kind].name}")
            self._accounts.into_purse(connection, REVENUE, account, kind, part_e4, said)
        if back.main_e4:
            self._accounts.transfer(connection, REVENUE, account, back.main_e4, entry)

    def _left_e4(self, connection: Connection, charge: _Charge, key: str) -> int:
        """What was paid for it and not given back; raises InvalidValue where there is nothing.

        What a purse gave that may not be refunded is left out.
        """
        (paid_e4,) = connection.execute(
            "SELECT COALESCE(SUM(amount_e4), 0) FROM transfer"
            " WHERE key IN (?, ?) AND kind IN ('post', 'direct') AND debit <> ?"
            " AND credit IN (?, ?)",
            (charge.id, f"{charge.id}:assigned", UNCOLLECTED, REVENUE, UNCOLLECTED),
        ).fetchone()
        (given_e4,) = connection.execute(
            "SELECT COALESCE(SUM(granted_e4), 0) FROM refund WHERE charge_id = ?", (charge.id,)
        ).fetchone()
        for kind in read_kinds(connection):
            if not kind.refundable:
                paid_e4 -= gave_for(connection, charge.id).get(kind.id, 0)
        left_e4 = int(paid_e4 - given_e4)
        if left_e4 > 0:
            return left_e4
        if given_e4:
            words = f"was given back before: {show_amount(given_e4)}, all that was paid"
        else:
            words = "was paid by nobody: there is nothing to give back"
        raise InvalidValue("key", f"{key} {words}")

    def _uncollected_e4(self, connection: Connection, charge: str) -> int:
        booked, assigned = (
            int(
                connection.execute(
                    "SELECT COALESCE(SUM(amount_e4), 0) FROM transfer"
                    f" WHERE key = ? AND kind IN ('post', 'direct') AND {side} = ?",
                    (key, UNCOLLECTED),
                ).fetchone()[0]
            )
            for key, side in ((charge, "debit"), (f"{charge}:assigned", "credit"))
        )
        return booked - assigned

    @staticmethod
    def _asked(connection: Connection, id: int) -> tuple[str, int, str]:
        """(key, amount, words) of one that is not answered; raises NotFound, InvalidValue."""
        found = connection.execute(
            "SELECT state, charge_id, amount_e4, words FROM refund WHERE id = ?", (id,)
        ).fetchone()
        if found is None:
            raise NotFound("request for a refund", str(id))
        if found[0] != "asked":
            raise InvalidValue("id", f"request {id} was {found[0]} before: it is not open any more")
        return found[1], found[2], found[3]

    def _answer(
        self, connection: Connection, id: int, state: str, granted_e4: int, answer: str, at: float
    ) -> None:
        connection.execute(
            "UPDATE refund SET state = ?, granted_e4 = ?, answer = ?, answered_at = ? WHERE id = ?",
            (state, granted_e4, answer, at, id),
        )


def _check(amount_e4: int, most_e4: int, what: str) -> None:
    if amount_e4 <= 0:
        raise InvalidValue("amount", "is above zero")
    if amount_e4 > most_e4:
        raise InvalidValue("amount", f"is more than {what}: {show_amount(most_e4)}")


def read_refunds(connection: Connection, state: str, after: int) -> list[Row]:
    """Requests beyond the number ``after``, at most 500; ``state`` empty: of any."""
    return rows(
        connection,
        f"{_SHOWN} WHERE r.id > ? AND (? = '' OR r.state = ?) ORDER BY r.id LIMIT {PAGE_ROWS}",
        *(after, state, state),
    )


def read_refund(connection: Connection, id: int) -> Row:
    """Raises NotFound."""
    found = rows(connection, f"{_SHOWN} WHERE r.id = ?", id)
    if not found:
        raise NotFound("request for a refund", str(id))
    return found[0]

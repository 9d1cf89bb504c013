"""Top-up vouchers: batches made and cancelled, vouchers redeemed.

Serials are told once, when they are made; what is kept proves them only (docs/decisions/0018).
"""

from __future__ import annotations

from typing import Any

from papercutd.domain.money import parse_amount_e4, show_amount
from papercutd.domain.user_fields import (
    check_text,
    parse_until,
    show_end,
    show_until,
)
from papercutd.domain.voucher import make_serial, show_serial
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, StorageClosed, StorageFull
from papercutd.services.money_operations import MoneyOperations
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.serial_attempts import SerialAttempts
from papercutd.storage.interfaces import IApplicationStore

#: Of one batch: its serials are one answer.
COUNT_MAX = 5_000
#: Of one transaction.
AT_ONCE = 500
NAME_MAX = 63


class VoucherOperations(MoneyOperations):
    """At the running application server; at a site services/site_voucher_operations.py."""

    def __init__(self, store: IApplicationStore, env: Environment) -> None:
        super().__init__(store)
        self._env = env
        self._attempts = SerialAttempts(env, store.login_by_name)

    def all(self) -> dict[str, Operation]:
        return {
            "voucher.add": self.add,
            "voucher.redeem": self.redeem,
            "voucher.list": self.list,
            "voucher.show": self.show,
            "voucher.cancel": self.cancel,
            "voucher.unlock": self._attempts.unlock,
        }

    async def add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A batch of vouchers; their serials, which are told this once."""
        given = take(arguments, "name", "amount", count=0, until="never", purse="")
        name = check_text("name", given["name"], NAME_MAX)
        if not name.strip():
            raise InvalidValue("name", "is needed")
        amount_e4 = parse_amount_e4(given["amount"])
        if amount_e4 <= 0:
            raise InvalidValue("amount", "is above zero")
        if not 0 < given["count"] <= COUNT_MAX:
            raise InvalidValue("count", f"is 1 to {COUNT_MAX}: make several batches of more")
        expires_at = parse_until(given["until"])
        if expires_at is not None and expires_at <= self._env.wall_s():
            raise InvalidValue("until", "is over already")
        serials = [make_serial(self._env.rng.randrange) for _ in range(given["count"])]
        # In pieces: a batch whose making was cut short is known by no serial, and is cancelled.
        first, rest = serials[:AT_ONCE], serials[AT_ONCE:]
        currency, purse = await self._money.add_vouchers(
            *(name, amount_e4, first, expires_at, given["purse"])
        )
        while rest:
            progress({"doing": "making vouchers", "left": len(rest)})
            await self._money.add_more_vouchers(name, rest[:AT_ONCE])
            rest = rest[AT_ONCE:]
        return {
            "name": name,
            "amount": show_amount(amount_e4),
            "currency": currency,
            "until": show_end(expires_at),
            "purse": purse,
            "serials": [show_serial(serial) for serial in serials],
        }

    async def resume(self) -> None:
        """After a start: sites are told of vouchers that an earlier release made."""
        try:
            while await self._money.tell_more_vouchers():
                pass
        except (StorageFull, StorageClosed):
            # The next start goes on.
            return

    async def redeem(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Credit a user with a voucher, once."""
        given = take(arguments, "voucher", "name")
        name = given["name"]
        found = await self._attempts.redeem(
            *(given["voucher"], name),
            lambda serial: self._money.redeem_voucher(serial, name),
            "is that of no voucher",
        )
        user = await self._store.user(name)
        credited = {
            "name": user["name"],
            "amount_e4": found.amount_e4,
            "balance_e4": user["balance_e4"],
        }
        told = {"batch": found.batch, "number": found.place, "purse": found.purse}
        return {**credited, **told}

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """At most 500 batches beyond the number ``after``."""
        given = take(arguments, after=0)
        return [_shown(row) for row in await self._money.voucher_batches(given["after"])]

    async def show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """At most 500 vouchers of a batch beyond the number ``after``, and who redeemed them."""
        given = take(arguments, "name", after=0)
        found = await self._money.vouchers(given["name"], given["after"])
        for row in found:
            for name in ("redeemed_at", "cancelled_at"):
                row[name] = "" if row[name] is None else show_until(row[name])
        return found

    async def cancel(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Vouchers of a batch that were not redeemed, or one of them, are worth nothing."""
        given = take(arguments, "name", number=0)
        if given["number"] < 0:
            raise InvalidValue("number", "is that of a voucher: 1 for the first")
        count = await self._money.cancel_vouchers(given["name"], given["number"] or None)
        return {"name": given["name"], "cancelled": count}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    until, made = show_end(row.pop("expires_at")), show_until(row.pop("made_at"))
    return {**row, "until": until, "made": made}

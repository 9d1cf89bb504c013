"""Vouchers redeemed at a site, cut or not: credit there until the application server decides."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.task import deferLater

from papercutd.environment import Environment
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.serial_attempts import SerialAttempts
from papercutd.services.uplink import Uplink
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.site.vouchers_here import PROVISIONAL, RedeemedHere

#: A site that is not cut hears what was decided in less than these looks.
LOOKS, LOOK_S = 15, 0.1


class VoucherSite(Protocol):
    """What is needed of the site server."""

    env: Environment
    store: ISiteStore
    uplink: Uplink

    @property
    def is_cut(self) -> bool: ...


class SiteVoucherOperations:
    """``voucher.redeem`` and ``voucher.unlock``."""

    def __init__(self, server: VoucherSite) -> None:
        self._server = server
        self._attempts = SerialAttempts(server.env, server.store.login_by_name)

    def all(self) -> dict[str, Operation]:
        return {"voucher.redeem": self.redeem, "voucher.unlock": self._attempts.unlock}

    async def redeem(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Credit a user with a voucher: journalled here, decided at the application server."""
        given = take(arguments, "voucher", "name")
        name = given["name"]
        id, found = await self._attempts.redeem(
            *(given["voucher"], name),
            lambda serial: self._redeem(serial, name),
            "is that of no voucher that this site knows: one made while the site is cut is"
            " redeemed when it is online again",
        )
        state = await self._decided(id)
        purse = await self._server.store.purse(found.account)
        return {
            "name": name,
            "amount_e4": found.amount_e4,
            "balance_e4": purse.balance_e4,
            "available_here_e4": purse.cut_e4,
            "batch": found.batch,
            "number": found.place,
            "purse": found.purse,
            "state": state,
        }

    async def _redeem(self, serial: str, name: str) -> tuple[str, RedeemedHere]:
        id = self._server.env.new_id()
        found = await self._server.store.redeem_voucher(id, serial, name)
        self._server.uplink.journal_grew()
        return id, found

    async def _decided(self, id: str) -> str:
        """``credited``, ``taken-back``, or ``provisional`` where the server does not answer."""
        state = PROVISIONAL
        for _ in range(LOOKS):
            state = await self._server.store.voucher_state(id)
            if state != PROVISIONAL or self._server.is_cut:
                break
            await deferLater(self._server.env.clock, LOOK_S, lambda: None)
        return state

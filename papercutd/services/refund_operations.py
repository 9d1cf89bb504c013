"""Refunds asked for, approved and rejected, and charges written off."""

from __future__ import annotations

from typing import Any

from papercutd.domain.money import parse_amount_e4
from papercutd.domain.user_fields import check_text
from papercutd.errors import InvalidValue
from papercutd.services.adjust_operations import REASON_MAX, check_reason
from papercutd.services.money_operations import MoneyOperations
from papercutd.services.operation import Operation, Progress, take

STATES = ("asked", "approved", "rejected")
#: Charges written off in one transaction.
KEYS_MAX = 500


class RefundOperations(MoneyOperations):
    """At the application server."""

    def all(self) -> dict[str, Operation]:
        return {
            "refund.ask": self.ask,
            "refund.approve": self.approve,
            "refund.reject": self.reject,
            "refund.give": self.give,
            "refund.list": self.list,
            "uncollected.write-off": self.write_off,
        }

    async def ask(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Ask for money back, of a charge by its key: all that is left, or ``amount``."""
        given = take(arguments, "key", "words", amount=None, by=None)
        id = await self._money.ask_refund(
            given["key"], _amount_e4(given["amount"]), check_reason(given["words"]), given["by"]
        )
        return await self._money.refund(id)

    async def approve(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Give back what was asked for, or ``amount`` of it."""
        given = take(arguments, "id", amount=None, words="")
        id, amount_e4 = _id(given["id"]), _amount_e4(given["amount"])
        words = check_text("words", given["words"], REASON_MAX)
        await self._money.approve_refund(id, amount_e4, words)
        return await self._money.refund(id)

    async def reject(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Give nothing back, and say why."""
        given = take(arguments, "id", "words")
        id = _id(given["id"])
        await self._money.reject_refund(id, check_reason(given["words"]))
        return await self._money.refund(id)

    async def give(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Give back at once, without anybody having asked."""
        given = take(arguments, "key", "words", amount=None)
        amount_e4, words = _amount_e4(given["amount"]), check_reason(given["words"])
        return await self._money.refund(
            await self._money.give_refund(given["key"], amount_e4, words)
        )

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """At most 500 requests beyond the number ``after``; ``state``: only those."""
        given = take(arguments, state="asked", after=0)
        if given["state"] not in (*STATES, "all"):
            raise InvalidValue("state", f"is one of {', '.join(STATES)}, all")
        state = "" if given["state"] == "all" else given["state"]
        return await self._money.refunds(state, given["after"])

    async def write_off(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Nobody is to pay these charges, or what of them nobody paid: all of them or none."""
        given = take(arguments, "reason", keys=[])
        keys = given["keys"]
        if not keys or len(keys) > KEYS_MAX or not all(isinstance(key, str) for key in keys):
            raise InvalidValue("keys", f"are 1 to {KEYS_MAX} keys of charges")
        total_e4 = await self._money.write_off(keys, check_reason(given["reason"]))
        return {"written_off": len(keys), "total_e4": total_e4}


def _id(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 15:
        raise InvalidValue("id", "is the number of a request: see `papercutd refund list`")
    return int(text)


def _amount_e4(text: str | None) -> int | None:
    return None if text is None else parse_amount_e4(text)

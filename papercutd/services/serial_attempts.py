"""Serials of vouchers that were wrong: too many lock a person out, or a whole server, for a while.

Each server counts in its own memory: with 74 random bits a restart gives nobody a chance. Nobody
is kept from printing by it: log-ins are locked out by services/lockouts.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from papercutd.domain.job import fold_user_name
from papercutd.domain.voucher import NoVoucher, UnknownSerial, parse_serial
from papercutd.environment import Environment
from papercutd.errors import NotFound, Rejected
from papercutd.services.attempts import Attempts, LockedOut
from papercutd.services.operation import Progress, take
from protocols.codes import Code

#: Serials that are none, typed for one user: so many within a quarter of an hour, or within a
#: day whatever succeeds in between, lock out. And those of all users at one server.
MISTYPED_MAX, MISTYPED_DAY_MAX = 5, 50
SERVER_MAX, SERVER_DAY_MAX = 100, 500
#: Under this name those of all users are counted; no user's begins so.
_SERVER = "\x00"

T = TypeVar("T")


class SerialAttempts:
    """Of one server."""

    def __init__(self, env: Environment, find: Callable[[str], Awaitable[object]]) -> None:
        """``find``: a user by name; None: nobody."""
        self._find = find
        self._by_user = Attempts(env, MISTYPED_MAX, day_max=MISTYPED_DAY_MAX)
        self._here = Attempts(env, SERVER_MAX, day_max=SERVER_DAY_MAX)

    async def redeem(
        self, text: str, name: str, redeem: Callable[[str], Awaitable[T]], unknown: str
    ) -> T:
        """What ``redeem`` says of the serial that was typed; ``unknown``: words for one of none.

        Raises Rejected ``locked-out``, NoVoucher and what ``redeem`` raises.
        """
        key = fold_user_name(name)
        # Nothing is read for who is locked out.
        try:
            self._here.check(_SERVER)
        except LockedOut as locked:
            raise _locked_out("typed here", locked, "papercutd voucher unlock") from None
        try:
            with self._by_user.trying(key):
                return await self._redeem(text, key, redeem, unknown)
        except LockedOut as locked:
            name = " ".join(name.split())
            hint = f"papercutd voucher unlock {name}"
            raise _locked_out(f"of {name}", locked, hint) from None

    async def unlock(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Let a user redeem vouchers at this server again; without a name, everybody.

        Raises NotFound: a name that is mistyped lets nobody in.
        """
        name = take(arguments, name="")["name"]
        if name:
            was_locked = self._by_user.unlock(fold_user_name(name))
            if not was_locked and await self._find(name) is None:
                raise NotFound("user", name)
            return {"name": name, "was_locked_out": was_locked}
        return {"was_locked_out": self._here.unlock(_SERVER)}

    async def _redeem(
        self, text: str, key: str, redeem: Callable[[str], Awaitable[T]], unknown: str
    ) -> T:
        try:
            serial = parse_serial(text)
        except NoVoucher:
            self._failed(key)
            raise
        try:
            found = await redeem(serial)
        except UnknownSerial:
            self._failed(key)
            raise NoVoucher("serial", unknown, "unknown") from None
        self._by_user.succeeded(key)
        self._here.succeeded(_SERVER)
        return found

    def _failed(self, key: str) -> None:
        self._by_user.failed(key)
        self._here.failed(_SERVER)


def _locked_out(whose: str, locked: LockedOut, command: str) -> Rejected:
    minutes = -(-round(locked.left_s) // 60)
    words = f"too many serials {whose} were wrong: again in {minutes} minutes, or `{command}`"
    return Rejected(Code.LOCKED_OUT, words)

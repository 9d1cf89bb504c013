"""Who is locked out of devices, and clones that fight: the same at either server."""

from __future__ import annotations

from typing import Any

from papercutd.services.devices import Devices
from papercutd.services.operation import Operation, Progress, take

#: Names of one list in status.
LISTED_MAX = 100


class LockoutOperations:
    """``user.unlock`` and ``device.unlock``: in the memory of the server that is asked."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def all(self) -> dict[str, Operation]:
        return {"user.unlock": self.user_unlock, "device.unlock": self.device_unlock}

    async def user_unlock(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Let a user try again at devices of this server."""
        name = take(arguments, "name")["name"]
        return {"name": name, "was_locked_out": await self._devices.unlock_user(name)}

    async def device_unlock(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Let people log in at a device of this server again."""
        name = take(arguments, "name")["name"]
        return {"name": name, "was_locked_out": await self._devices.unlock_device(name)}

    def status(self) -> dict[str, Any]:
        """For ``status``: who is locked out here, and for how long still."""
        return {
            "locked_out_users": _shown(self._devices.locked_users()),
            "locked_out_devices": _shown(self._devices.locked_devices()),
        }

    def checks(self, fighting: set[str]) -> list[dict[str, Any]]:
        """For health, which anybody may read: no user's name, and no alarm for a mistyped PIN."""
        users, devices = len(self._devices.locked_users()), self._devices.locked_devices()
        names = ", ".join(sorted(name for name, _ in devices)[:LISTED_MAX])
        clones = ", ".join(sorted(fighting)[:LISTED_MAX])
        return [
            {"name": "clones", "ok": not fighting, "detail": clones},
            {"name": "locked out users", "ok": True, "detail": str(users)},
            {"name": "locked out devices", "ok": True, "detail": names},
        ]


def _shown(locked: list[tuple[str, float]]) -> list[dict[str, Any]]:
    """Whoever waits longest first."""
    found = sorted(locked, key=lambda one: (-one[1], one[0]))[:LISTED_MAX]
    return [{"name": name, "seconds_left": round(left_s)} for name, left_s in found]

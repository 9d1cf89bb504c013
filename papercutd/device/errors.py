"""What a person at the device is told when something was not done."""

from __future__ import annotations

import attrs

from papercutd.errors import PapercutError
from protocols.errors import Refusal


class Local:
    """Codes of the device's own, beside those of the protocol."""

    NO_SERVER = "no-server"
    LOST = "session-lost"
    LOGGED_IN = "logged-in"
    BUSY = "machine-busy"
    IDLE = "nothing-runs"
    FULL = "device-full"
    KEPT = "too-many-unreported"
    NOT_HERE = "not-at-this-device"
    JAM = "jam"
    ACCOUNT_PIN = "account-pin"


@attrs.frozen(auto_exc=True, str=False)
class DeviceError(PapercutError):
    """It was not done; ``code`` is one of the protocol or of ``Local``."""

    code: str
    retry_after_s: float = 0.0

    def __str__(self) -> str:
        return self.code


def refused(refusal: Refusal) -> DeviceError:
    """A server's ``NO`` as a DeviceError."""
    after = refusal.fields.get("retry_after_s")
    if isinstance(after, int | float) and not isinstance(after, bool):
        return DeviceError(refusal.code.value, float(after))
    return DeviceError(refusal.code.value)

"""The identity of a running node, and its renewal from a third of its life left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from papercutd.environment import Environment
from papercutd.identity.authority import renewal_due
from papercutd.identity.names import peer_of
from papercutd.identity.tls import ClientTls, Credentials, ServerTls

_log = Logger()
#: Seconds between two looks at the dates, and after an attempt that failed.
LOOK_INTERVAL_S = 86_400.0
RETRY_S = 3_600.0
#: A herd that was installed on one day does not ask in one moment.
JITTER_S = 600.0
#: Days left at which status speaks of an alarm: renewal has failed for long.
ALARM_DAYS = 45.0
#: Given the present credentials, the new ones; raises when there are none to be had.
Ask = Callable[[Credentials], Awaitable[Credentials]]


class NodeIdentity:
    """Credentials in their directory, and every TLS context that shows them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.credentials = Credentials.load(directory)
        self._shown_by: list[ServerTls | ClientTls] = []

    @property
    def name(self) -> str:
        return peer_of(self.credentials.certificate).name

    def server_tls(self, **options: Any) -> ServerTls:
        """Contexts for those who connect here; ``options`` as ServerTls has them."""
        made = ServerTls(self.credentials, **options)
        self._shown_by.append(made)
        return made

    def client_tls(self, role: str, name: str, **options: Any) -> ClientTls:
        """Contexts for connecting to that server; ``options`` as ClientTls has them."""
        made = ClientTls(self.credentials, role, name, **options)
        self._shown_by.append(made)
        return made

    def replace(self, credentials: Credentials) -> None:
        """On the disk, then shown from the next connection on; sessions that live go on."""
        credentials.save(self._directory)
        self.credentials = credentials
        for tls in self._shown_by:
            tls.use(credentials)

    def days_left(self, wall_s: float) -> float:
        ends = self.credentials.certificate.not_valid_after_utc.timestamp()
        return (ends - wall_s) / 86_400


class Renewer:
    """Looks at the dates at the start and daily, and asks for a new certificate when due."""

    def __init__(self, env: Environment, identity: NodeIdentity, ask: Ask) -> None:
        self._env = env
        self._identity = identity
        self._ask = ask
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        #: Why the last attempt failed; empty: it did not, or there was none.
        self.problem = ""

    def start(self) -> None:
        self._later(self._env.rng.uniform(0, min(JITTER_S, 5.0)))

    def stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def status(self) -> dict[str, Any]:
        """What an administrator wants to see of it."""
        days = self._identity.days_left(self._env.wall_s())
        return {
            "days_left": round(days, 1),
            "alarm": days < ALARM_DAYS,
            "renewal_problem": self.problem,
        }

    def _later(self, seconds: float) -> None:
        self._timer = self._env.clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._asking = Deferred.fromCoroutine(self._renew_if_due())
        self._asking.addErrback(lambda failure: None)

    async def _renew_if_due(self) -> None:
        wait_s = LOOK_INTERVAL_S
        if renewal_due(self._identity.credentials.certificate, self._env.wall_s()):
            try:
                self._identity.replace(await self._ask(self._identity.credentials))
            except Exception as error:
                wait_s = RETRY_S
                self.problem = str(error)
                _log.error(
                    "the certificate has {days:.0f} days left and could not be renewed: {error}",
                    days=self._identity.days_left(self._env.wall_s()),
                    error=self.problem,
                )
            else:
                self.problem = ""
                _log.info("the certificate was renewed")
        self._later(wait_s + self._env.rng.uniform(0, JITTER_S))

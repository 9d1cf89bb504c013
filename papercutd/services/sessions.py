"""The live sessions of a server: one for each identity, the newest."""

from __future__ import annotations

from collections import deque

from twisted.logger import Logger

from papercutd.environment import Environment
from protocols.codes import Code
from protocols.endpoint import Session
from protocols.handshake import advise
from protocols.received import Unspoken

_log = Logger()
#: So many replacements of one identity within a minute mean two of them (design 4.12).
FIGHT_COUNT = 3
FIGHT_S = 60.0
#: Seconds after its last replacement for which a fight is shown: it is over then.
FIGHT_SHOWN_S = 3600.0


class Sessions:
    """Who is connected."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._live: dict[str, Session] = {}
        self._replaced: dict[str, deque[float]] = {}
        self._fought_at: dict[str, float] = {}
        #: Who was refused since it last had a session: no version in common.
        self.unspoken: dict[str, Unspoken] = {}

    @property
    def fighting(self) -> set[str]:
        """Identities that replace each other, or did within the last hour: shown by status."""
        now = self._env.now()
        return {one for one, at in self._fought_at.items() if now - at <= FIGHT_SHOWN_S}

    def enter(self, identity: str, session: Session) -> None:
        """``session`` is the newest of ``identity``: an older one is ended."""
        older = self._live.get(identity)
        self._live[identity] = session
        self.unspoken.pop(identity, None)
        if older is not None and older is not session:
            self._count(identity)
            older.end(Code.REPLACED)

    def passed_over(self, identity: str) -> None:
        """A session newer than the live one is over before it was one: whoever lives is not known
        in the books any more, and begins anew."""
        live = self._live.get(identity)
        if live is not None:
            live.end(Code.REPLACED)

    def leave(self, identity: str, session: Session) -> bool:
        """``session`` is over; False when a newer one had taken its place."""
        if self._live.get(identity) is session:
            del self._live[identity]
            return True
        return False

    def get(self, identity: str) -> Session | None:
        return self._live.get(identity)

    def identities(self) -> list[str]:
        return sorted(self._live)

    def all(self) -> list[tuple[str, Session]]:
        return list(self._live.items())

    def end(self, identity: str, code: Code) -> None:
        """End the session of ``identity``, if it has one."""
        session = self._live.get(identity)
        if session is not None:
            session.end(code)

    def end_all(self, code: Code, retry_after_s: float = 0.0) -> None:
        for session in list(self._live.values()):
            session.end(code, retry_after_s)

    def refuse(self, identity: str, unspoken: Unspoken) -> None:
        """``identity`` speaks no version of ours: said once, and shown until it does."""
        if self.unspoken.get(identity) != unspoken:
            _log.error("{advice}", advice=advise(identity, unspoken.offered, unspoken.spoken))
        self.unspoken[identity] = unspoken

    def _count(self, identity: str) -> None:
        times = self._replaced.setdefault(identity, deque(maxlen=FIGHT_COUNT))
        times.append(self._env.now())
        if len(times) == FIGHT_COUNT and times[-1] - times[0] <= FIGHT_S:
            if identity not in self.fighting:
                _log.error(
                    "{identity} connects from two places: one of them is a clone", identity=identity
                )
            self._fought_at[identity] = times[-1]

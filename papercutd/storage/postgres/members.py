"""The application servers on one database: signs of life, who writes, and its session.

One connection of its own, beside the writer's: a sign of life waits for no batch. Whoever
takes the lock, or lets it go, says so by NOTIFY; one that is lost is made good by the next look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.writers import Seen
from papercutd.storage.postgres.connection import PostgresConnection
from papercutd.storage.postgres.database import settings
from papercutd.storage.postgres.hub import spawn
from papercutd.storage.postgres.link import ReactorLink
from papercutd.storage.postgres.locks import CHANNEL, LOCKS, session_name

#: Longer than this a sign of life is none.
ANSWER_S = 4.0
#: Servers that are listed.
SERVERS_MAX = 16
_LOCKED = (
    "SELECT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
    f" WHERE locktype = 'advisory' AND classid = 0 AND objid = {LOCKS['application']}"
    " AND objsubid = 1 AND granted AND datname = current_database()"
)


@attrs.frozen
class Address:
    """Where a server's links and devices are."""

    host: str
    links: int
    devices: int


NOWHERE = Address("", 0, 0)


@attrs.frozen
class Look:
    """What one look showed."""

    seen: Seen
    #: Of who has the lock; None: nobody, or it has not said.
    writer: Address | None
    #: The server that took the lock last, whoever has it now.
    newest: str
    #: Every other server that ever was here.
    others: tuple[Address, ...]


class _Listening(ReactorLink):
    """A link that hears NOTIFY."""

    def listen(self, connection: PostgresConnection, heard: Callable[[], None]) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        self._held.addNotifyObserver(lambda notice: heard())


class Members:
    """This server among those on its database."""

    def __init__(self, reactor: Any, dsn: str, server: str, heard: Callable[[], None]) -> None:
        """``heard``: the writer has changed, or lets the lock go."""
        self._server = server
        self._address = NOWHERE
        told = settings("application", {"application_name": f"'papercutd beat {server}'"})
        self._link = _Listening(
            *(reactor, dsn, told), lambda c: self._link.listen(c, heard), answer_s=ANSWER_S
        )

    def set_address(self, address: Address) -> None:
        """Told from the next sign of life on."""
        self._address = address

    def look(self) -> Deferred[Look]:
        """Show a sign of life, and see who writes; fails with a StorageError."""
        return spawn(self._look)

    def end(self, holder: int, server: str) -> Deferred[None]:
        """End the session ``holder``, if it is still that of ``server``."""

        def end() -> None:
            self._connected().execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = ? AND application_name = ?",
                (holder, session_name(server)),
            )

        return spawn(end)

    def say(self) -> Deferred[None]:
        """Wake the others: the writer has changed, or is about to."""

        def say() -> None:
            self._connected().execute(f"NOTIFY {CHANNEL}")

        return spawn(say)

    def close(self) -> None:
        self._link.close()

    # In a greenlet.

    def _connected(self) -> PostgresConnection:
        if not self._link.is_connected:
            self._link.connect()
        return self._link.connection

    def _look(self) -> Look:
        connection = self._connected()
        address = self._address
        if address is not NOWHERE:
            # A former process at this place.
            connection.execute(
                "DELETE FROM server WHERE host = ? AND links = ? AND id <> ?",
                (address.host, address.links, self._server),
            )
        connection.execute(
            "INSERT INTO server (id, host, links, devices, beat) VALUES (?1, ?2, ?3, ?4, 1)"
            " ON CONFLICT (id) DO UPDATE SET host = ?2, links = ?3, devices = ?4,"
            " beat = server.beat + 1",
            (self._server, address.host, address.links, address.devices),
        )
        (newest,) = connection.execute("SELECT server FROM writer").fetchone()
        held = connection.execute(_LOCKED).fetchone()
        rows = connection.execute(
            "SELECT id, host, links, devices, beat FROM server WHERE links > 0 OR id = ?"
            f" ORDER BY beat DESC LIMIT {SERVERS_MAX}",
            (newest,),
        ).fetchall()
        places = {row[0]: Address(*row[1:4]) for row in rows}
        beats = {row[0]: row[4] for row in rows}
        seen, writer = Seen(), None
        if held is not None:
            pid, name = held
            # Between the lock and the name in the row somebody else may be named there.
            whose = newest if newest and name == session_name(newest) else ""
            seen = Seen(pid, whose, beats.get(whose))
            writer = places.get(whose)
            if writer is not None and not writer.links:
                writer = None
        others = tuple(
            place for one, place in places.items() if one != self._server and place.links
        )
        return Look(seen, writer, newest, others)

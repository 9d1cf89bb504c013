"""Join tokens and certificates, as the application server remembers them."""

from __future__ import annotations

from papercutd.errors import NotFound, Rejected
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import ChangeLog


class Certificates:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    def add_token(
        self,
        connection: Connection,
        token_hash: str,
        role: str,
        name: str,
        expires_at: float,
    ) -> None:
        """Remember a token by its hash."""
        connection.execute(
            "INSERT INTO token (hash, role, name, expires_at) VALUES (?, ?, ?, ?)",
            (token_hash, role, name, expires_at),
        )

    def use_token(
        self,
        connection: Connection,
        token_hash: str,
        role: str,
        name: str,
        serial: str,
        fingerprint: str,
        not_after: float,
        now: float,
    ) -> None:
        """Burn the token and record the certificate given for it.

        Raises Rejected ``unknown-token``, ``foreign-token``, ``used-token`` or
        ``stale-token``.
        """
        found = connection.execute(
            "SELECT role, name, expires_at, used_at FROM token WHERE hash = ?", (token_hash,)
        ).fetchone()
        if found is None:
            raise Rejected("unknown-token")
        if (found[0], found[1]) != (role, name):
            raise Rejected("foreign-token")
        if found[3] is not None:
            raise Rejected("used-token")
        if found[2] < now:
            raise Rejected("stale-token")
        connection.execute("UPDATE token SET used_at = ? WHERE hash = ?", (now, token_hash))
        self.record(connection, serial, role, name, fingerprint, not_after, now)

    def record(
        self,
        connection: Connection,
        serial: str,
        role: str,
        name: str,
        fingerprint: str,
        not_after: float,
        now: float,
    ) -> None:
        """Remember a certificate that was issued."""
        connection.execute(
            "INSERT INTO certificate VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (serial, role, name, fingerprint, not_after, now),
        )

    def revoke(self, connection: Connection, role: str, name: str, now: float) -> list[str]:
        """Revoke every certificate of an identity; their serials. Raises NotFound."""
        serials = [
            row[0]
            for row in connection.execute(
                "SELECT serial FROM certificate WHERE role = ? AND name = ? AND revoked_at IS NULL",
                (role, name),
            )
        ]
        if not serials:
            raise NotFound(f"certificate of {role}", name)
        for serial in serials:
            connection.execute(
                "UPDATE certificate SET revoked_at = ? WHERE serial = ?", (now, serial)
            )
            self._log.touch("revocation", serial)
        return serials

    def revoked_serials(self, connection: Connection) -> list[str]:
        """All serials that are revoked."""
        return [
            row[0]
            for row in connection.execute(
                "SELECT serial FROM certificate WHERE revoked_at IS NOT NULL"
            )
        ]

    def revoked_providers(self, connection: Connection) -> list[tuple[str, str]]:
        """(name, serial) of the revoked certificates of print providers."""
        return connection.execute(
            "SELECT name, serial FROM certificate"
            " WHERE revoked_at IS NOT NULL AND role = 'provider'"
        ).fetchall()

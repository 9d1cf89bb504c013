"""A PostgreSQL that follows another one without it waiting for that, and may be promoted."""

from __future__ import annotations

from tests.support.postgres import Cluster


class Replica(Cluster):
    """A physical standby of ``primary``, made by ``pg_basebackup``."""

    def __init__(self, directory: str, primary: Cluster, settings: dict[str, str]) -> None:
        super().__init__(directory, settings)
        self._primary = primary

    def create(self) -> None:
        primary = self._primary
        self.make_data(
            *("pg_basebackup", "-R", "-X", "stream", "-c", "fast"),
            *("-h", str(primary.directory), "-p", str(primary.port)),
        )

    def has_all(self) -> bool:
        """Whether everything that the primary has written is here."""
        ((there,),) = self._primary.run("SELECT pg_current_wal_lsn()::text")
        ((done,),) = self.run(f"SELECT pg_last_wal_replay_lsn() >= '{there}'::pg_lsn")
        return bool(done)

    def promote(self) -> None:
        self.run("SELECT pg_promote(true, 30)")

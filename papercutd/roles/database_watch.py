"""Status of a role on PostgreSQL says what its database suffers from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from papercutd.roles.common import Listeners, Operation
from papercutd.services.database_watch import DatabaseWatch


def with_database(
    operations: dict[str, Operation],
    database: Path | str,
    store: Any,
    listeners: Listeners,
    reactor: Any,
) -> dict[str, Operation]:
    """``operations``, and a watch while the ports are open; on SQLite as they are."""
    if isinstance(database, Path):
        return operations
    from papercutd.storage.postgres.bloat import look

    watch = DatabaseWatch(reactor, lambda: store.read(lambda connection: look(connection)))
    listeners.when_closed(watch.stop)
    watch.start()
    status = operations["status"]

    async def told(arguments: dict[str, Any], progress: Any) -> Any:
        return {**await status(arguments, progress), **watch.status()}

    return {**operations, "status": told}

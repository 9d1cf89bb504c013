"""Named points of the code, at which a test may have the process killed (roles/crash_points.py).

Passing one calls nothing else while nobody listens, which is always so outside tests.
"""

from __future__ import annotations

from collections.abc import Callable

#: Journals of print providers and devices: ``write.WHAT`` within the transaction of a record,
#: ``written.WHAT`` once it is on the disk and nothing has followed from it.
_RECORDS = (
    # Of a print provider: taken, let through, over, given up, collected, owed no more.
    *("received", "decided", "printing", "ended", "abandoned", "releasing", "cancel", "stream"),
    # Of a device.
    *("begun", "counted", "finished"),
    "acknowledged",
)
POINTS = frozenset(
    {
        *(f"write.{what}" for what in _RECORDS),
        *(f"written.{what}" for what in _RECORDS),
        # A site: its anchor has the commit, nobody has been told.
        "anchored",
        # The application server's acknowledgement of its journal is noted.
        "journal-acknowledged",
        # Another stream: within its transaction; on the disk, not shown to anybody.
        *("stream-begins", "stream-begun"),
        # A new replica: marked whole; named in the journal; the old one is gone.
        *("snapshot-whole", "snapshot-named", "snapshot-in-force"),
        # A completion for the application server: before it is passed on; answered there.
        *("relaying", "relayed"),
        # Any server: the list of open keys was compared, within the transaction.
        "open-compared",
        # The application server: a site's batch is applied, within the transaction; on the disk.
        *("batch-applied", "batch-committed"),
        # It found that it was put back, within the transaction that begins a timeline.
        "timeline-begins",
        # A batch on PostgreSQL worked on in memory: its rows are read; its operations are run, and
        # nothing is written back. Any batch there: COMMIT is sent, and no answer has come.
        *("set-read", "set-worked", "commit-sent"),
        # ``papercutd restore``: copied; of a new timeline; the former kept; put in place.
        *("restore-copied", "restore-begun", "restore-kept", "restore-placed"),
        # ``papercutd migrate-store``: rows are copied; the copy is whole and not in force; it is.
        *("store-filled", "store-written", "store-in-force"),
    }
)

#: Called with the name of each point that is passed; None: nobody listens.
listener: Callable[[str], None] | None = None


def passing(point: str) -> None:
    """The process has come to ``point``."""
    if listener is not None:
        listener(point)

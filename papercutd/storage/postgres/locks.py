"""Advisory locks of a database: one writes."""

from __future__ import annotations

#: Of the writers, by the schema they write.
LOCKS = {"application": 7_027_711, "journal": 7_027_712}
#: What is told by NOTIFY when the writer changes.
CHANNEL = "papercutd_writer"


def session_name(server: str) -> str:
    """What a writer's session is called: whose it is."""
    return f"papercutd {server}"[:63]

"""Rows that need a capability: which of them a release cannot evaluate."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from papercutd.domain.capabilities import CAPABILITIES, lacking
from papercutd.storage.replicated import TABLES

#: Rows named one by one.
LISTED_MAX = 100


def read_lacking(
    connection: sqlite3.Connection, database: str = "", known: Iterable[str] = CAPABILITIES
) -> list[dict[str, Any]]:
    """The rules that who has the capabilities ``known`` cannot evaluate: table, key, needs.

    ``database``: ``replica.`` at a site.
    """
    known = frozenset(known)
    found: list[dict[str, Any]] = []
    for spec in TABLES.values():
        if "needs" not in spec.columns:
            continue
        source = f"{database}{spec.table}" if database else spec.source
        for key, needs in connection.execute(
            f"SELECT {spec.key}, needs FROM {source} WHERE needs <> ''"
            f" ORDER BY {spec.key} DESC LIMIT 1000"
        ):
            missing = lacking(needs.split(), known)
            if missing and len(found) < LISTED_MAX:
                found.append({"table": spec.table, "key": key, "needs": " ".join(missing)})
    return found

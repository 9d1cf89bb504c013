"""Rows that need a capability: which of them a release cannot evaluate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from papercutd.domain.capabilities import CAPABILITIES, lacking
from papercutd.storage.engine import Connection
from papercutd.storage.replication.replicated import TABLES

#: Rows named one by one.
LISTED_MAX = 100
#: Of tables that keep what was in force: what is, or will be.
_IN_FORCE = {
    "price": "version >= (SELECT COALESCE(MAX(version), 0) FROM @ WHERE effective_from <= ?1)"
}


def read_lacking(
    connection: Connection,
    now: float,
    database: str = "",
    known: Iterable[str] = CAPABILITIES,
    version: int | None = None,
) -> list[dict[str, Any]]:
    """The rules that who has the capabilities ``known`` cannot evaluate: table, key, needs.

    ``database``: ``replica.`` at a site. What is in force no more by ``now`` is no rule. Of who
    speaks ``version`` no table is known that came later: all of its rules are beyond it.
    """
    known = frozenset(known)
    found: list[dict[str, Any]] = []
    for spec in TABLES.values():
        if "needs" not in spec.columns:
            continue
        source = f"{database}{spec.table}" if database else spec.source
        in_force = _IN_FORCE.get(spec.table, "?1 IS NOT NULL").replace("@", source)
        is_known = version is None or spec.since <= version
        wanted = "needs <> ''" if is_known else "1 = 1"
        for key, needs in connection.execute(
            f"SELECT {spec.key}, needs FROM {source} WHERE {wanted} AND {in_force}"
            f" ORDER BY {spec.key} DESC LIMIT 1000",
            (now,),
        ):
            missing = lacking(needs.split(), known)
            if not is_known:
                missing.insert(0, f"version {spec.since}")
            if missing and len(found) < LISTED_MAX:
                found.append({"table": spec.table, "key": key, "needs": " ".join(missing)})
    return found

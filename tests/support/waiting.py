"""How long tests wait for what must come: a wait that succeeds costs nothing.

A machine that others use stands still for twenty seconds now and then, and printers that could
not be reached are tried again after up to twenty.
"""

from __future__ import annotations

from typing import Any

from papercutd.demo import scenario

PATIENCE_S = 90.0


def wait_for(what: str, condition: Any, limit_s: float = PATIENCE_S) -> bool:
    """As that of the demonstration."""
    return scenario.wait_for(what, condition, limit_s)

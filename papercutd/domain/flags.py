"""What says yes or no: a database has it as 0 and 1, and whoever is shown it has not."""

from __future__ import annotations

from typing import Any

#: By these names in rows that are shown.
FLAGS = frozenset(
    (
        *("administrator", "assumed", "closed", "deleted", "deny_beyond_cap", "disabled", "drill"),
        *("fillable", "forced", "forgotten", "has_pin", "invoice", "is_running", "merged"),
        *("refundable", "removed", "restricted", "shut", "transferable"),
        # In the audit, of a user's own account.
        *("account.closed", "account.restricted"),
    )
)


def with_flags(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` itself, with true and false where it has 1 and 0 for them."""
    for name in FLAGS.intersection(row):
        if row[name] in (0, 1):
            row[name] = bool(row[name])
    return row

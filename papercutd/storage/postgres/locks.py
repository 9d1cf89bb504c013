"""Advisory locks of a database: one writes."""

from __future__ import annotations

#: Of the writers, by the schema they write.
LOCKS = {"application": 7_027_711, "journal": 7_027_712}

"""Outages of a simulated installation: each is told of, and none stays open (I14)."""

from __future__ import annotations

import sqlite3

from papercutd.storage.history.outages import read_closing, read_open, statement_of


def open_statements(application: sqlite3.Connection) -> list[str]:
    """Outages that somebody is missing from still."""
    found = []
    for outage in read_open(application):
        missing = read_closing(application, outage).missing
        if missing:
            found.append(f"outage {outage.id} is open: {', '.join(missing)} did not report")
    return found


def wrong_statements(application: sqlite3.Connection) -> list[str]:
    """Outages of which the statement does not add up."""
    found = []
    for (number,) in application.execute("SELECT id FROM outage ORDER BY id").fetchall():
        stated = statement_of(application, number)
        evidence = stated["evidence"]
        if evidence["charges"] != evidence["keys"] or stated["charged_twice"]:
            found.append(f"outage {number}: {evidence['charges']} charges, {evidence['keys']} keys")
        if sum(one["jobs"] for one in stated["by_decider"]) != stated["jobs"]:
            found.append(f"outage {number}: deciders and jobs differ")
    return found

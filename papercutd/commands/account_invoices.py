"""``papercutd account invoices``: a statement of what is to be invoiced to shared accounts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from papercutd.commands.report import with_csv


def add_account_invoices_command(
    add: Callable[..., argparse.ArgumentParser], account: Any, operation: Callable[[str], Any]
) -> None:
    """``account``: the parser of the group."""
    one = add(
        "invoices",
        "what accounts paid, what of it is to be invoiced, and what people paid who named them",
        with_csv(operation("account.invoices")),
        account,
    )
    one.add_argument("--since", metavar="2027-01-01", help="booked from then on (UTC)")
    one.add_argument("--until", metavar="2027-02-01", help="booked before that")
    one.add_argument("--below", metavar="NAME", help="of this account and those below it")
    one.add_argument("--csv", action="store_true", help="print CSV")

"""``papercutd quota``: what is credited to whom, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def add_quota_commands(
    add: Callable[..., Any], group: Callable[[str, str], Any], operation: Callable[[str], Any]
) -> None:
    """``add``, ``group`` and ``operation`` are those of commands/main.py."""
    quota = group("quota", "credits by the calendar: daily, weekly, monthly, custom")
    one = add(
        "add",
        "add a quota of all restricted users, or of a shared account",
        operation("quota.add"),
        quota,
    )
    one.add_argument("name")
    one.add_argument("amount", help="what each run credits, such as 5.00")
    one.add_argument(
        "--every", dest="period", required=True, choices=("daily", "weekly", "monthly", "custom")
    )
    one.add_argument("--account", help="of this shared account; without: every restricted user")
    one.add_argument("--days", type=int, help="of a custom quota: every so many days")
    one.add_argument(
        "--first",
        metavar="2027-01-31",
        help="of a custom quota: one of its days (default: 1970-01-01)",
    )
    one.add_argument("--day", help="monday to sunday of a week, 1 to 31 of a month (default: 1st)")
    one.add_argument("--time", help="of that day, UTC (default: 00:00)")
    one.add_argument("--cap", help="what a purse holds at the most after a run, such as 20.00")
    one.add_argument("--purse", default="", help="which it fills (default: the main one)")
    add("list", "list quotas", operation("quota.list"), quota)
    add("show", "show a quota and its runs", operation("quota.show"), quota).add_argument("name")
    one = add("set", "other figures, from the next run on", operation("quota.set"), quota)
    one.add_argument("name")
    one.add_argument("--amount", help="what each run credits")
    one.add_argument("--cap", help="an amount, or none")
    one = add("remove", "no more runs of a quota", operation("quota.remove"), quota)
    one.add_argument("name")
    one = add(
        "run", "run now what is due, instead of within a minute", operation("quota.run"), quota
    )
    one.add_argument("name", nargs="?")
    one.add_argument(
        "--missed",
        choices=("make-up", "skip"),
        help="what becomes of runs that are overdue for more than 35 days",
    )

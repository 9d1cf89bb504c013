"""``papercutd quota``: what is credited to whom, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def add_quota_commands(
    add: Callable[..., Any], group: Callable[[str, str], Any], operation: Callable[[str], Any]
) -> None:
    """``add``, ``group`` and ``operation`` are those of commands/main.py."""
    quota = group("quota", "credits by the calendar: daily, weekly, monthly")
    one = add("add", "add a quota for every restricted user", operation("quota.add"), quota)
    one.add_argument("name")
    one.add_argument("amount", help="what each run credits, such as 5.00")
    one.add_argument(
        "--every", dest="period", required=True, choices=("daily", "weekly", "monthly")
    )
    one.add_argument("--day", help="monday to sunday of a week, 1 to 31 of a month (default: 1st)")
    one.add_argument("--time", help="of that day, UTC (default: 00:00)")
    one.add_argument("--cap", help="what a purse holds at the most after a run, such as 20.00")
    one.add_argument("--purse", default="", help="which it fills (default: the main one, `cash`)")
    add("list", "list quotas", operation("quota.list"), quota)
    add("show", "show a quota and its runs", operation("quota.show"), quota).add_argument("name")
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

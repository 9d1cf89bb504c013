"""``papercutd new-user-rule`` and ``papercutd unknown-users``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from papercutd.domain.account_mode import WORDS


def add_new_user_commands(
    add: Callable[..., Any], group: Callable[[str, str], Any], operation: Callable[[str], Any]
) -> None:
    """``add``, ``group`` and ``operation`` are those of commands/main.py."""
    rules = group("new-user-rule", "how new users begin: credit, restricted, overdraft, by group")
    add("list", "list the rules", operation("new-user-rule.list"), rules)
    one = add(
        "set", "change a rule; what is not given stays", operation("new-user-rule.set"), rules
    )
    one.add_argument("--group", help="of its users; without: of everybody")
    one.add_argument("--credit", help="what they begin with, such as 5.00; none: not said")
    one.add_argument("--restricted", choices=("yes", "no", "none"), help="none: not said")
    one.add_argument("--overdraft", help="how far below zero they may go; none: not said")
    one.add_argument("--account-mode", metavar="MODE", help=f"{WORDS}; none: not said")
    one = add("remove", "take a rule away", operation("new-user-rule.remove"), rules)
    one.add_argument("--group", help="without: that of everybody")

    unknown = group("unknown-users", "what becomes of jobs of people who are nobody's user")
    add("show", "what is set", operation("unknown-users.show"), unknown)
    one = add("set", "set it, at this application server", operation("unknown-users.set"), unknown)
    one.add_argument(
        "what",
        nargs="?",
        metavar="create|hold|deny|default",
        help="default, with --site: as at all others",
    )
    one.add_argument("--site", help="for printers of this site; without: of all others")
    one.add_argument("--per-hour", type=int, help="users that are made so in an hour at the most")
    one = add("list", "users made so, the newest first", operation("unknown-users.list"), unknown)
    one.add_argument("--before", type=int, default=0, metavar="ID", help="for the next page")

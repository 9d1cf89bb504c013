"""``papercutd user set``, ``disable``, ``enable``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from papercutd.commands.words import yes_no
from papercutd.domain.account_mode import WORDS

UNTIL_HELP = "the last day (or day and time, UTC) on which a temporary user prints, or never"


def add_user_settings_commands(
    add: Callable[..., Any], user: Any, operation: Callable[[str], Any]
) -> None:
    """``add``, ``user`` and ``operation`` are those of commands/main.py."""
    one = add("set", "change what is known of a user", operation("user.set"), user)
    one.add_argument("name", nargs="?")
    one.add_argument("--group", help="in place of a name: --account-mode for everybody in it")
    one.add_argument("--account-mode", metavar="MODE", help=f"who pays: {WORDS}; or default")
    one.add_argument("--full-name")
    one.add_argument("--until", metavar="2027-01-31", help=UNTIL_HELP)
    words = "prints only what the money allows"
    one.add_argument("--restricted", type=yes_no, metavar="yes|no", help=words)
    one.add_argument("--overdraft", help="how far below zero the balance may go")
    for name, help in (
        ("email", None),
        ("department", None),
        ("office", None),
        ("notes", None),
        ("other-emails", None),
        ("alias", "another name, for look-ups by scripts; nobody logs in with it"),
        ("home", "home directory"),
    ):
        one.add_argument(f"--{name}", help=help)
    for word, what in (
        ("disable", "a user prints no more, and keeps name, money and history"),
        ("enable", "a disabled user prints again"),
    ):
        add(word, what, operation(f"user.{word}"), user).add_argument("name")

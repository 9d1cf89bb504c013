"""``papercutd site scope``: which people a site knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def add_site_scope_command(
    add: Callable[..., Any], site: Any, operation: Callable[[str], Any]
) -> None:
    """``add``, ``site`` and ``operation`` are those of commands/main.py."""
    help = "which people a site is sent: everybody, or the members of some groups"
    one = add("scope", help, operation("site.scope"), site)
    one.add_argument("name")
    whom = one.add_mutually_exclusive_group(required=True)
    whom.add_argument(
        "--groups", type=lambda text: text.split(","), metavar="GROUP[,GROUP]", default=[]
    )
    whom.add_argument(
        "--everybody", dest="groups", action="store_const", const=[], help="as in the beginning"
    )

"""``papercutd migrate-store``: a role's database moves to PostgreSQL, or back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from papercutd.errors import PapercutError


def add_migrate_store_command(add: Callable[..., Any]) -> None:
    """``add`` is that of commands/main.py."""
    one = add("migrate-store", "move this server's database to PostgreSQL, or back", _run)
    one.add_argument(
        "words", nargs="*", metavar="FROM TO", help="sqlite: and postgresql:..., or TO alone"
    )
    one.add_argument("--to", help="the same as TO")
    one.add_argument(
        "--rehearse", action="store_true", help="copy and check everything, and move nothing"
    )
    one.set_defaults(readable=_readable)


def _run(options: argparse.Namespace, config: Any) -> dict[str, Any]:
    from papercutd.commands.move_progress import Progress
    from papercutd.commands.store_move import STAGES, migrate_store, plan_of

    plan = plan_of(config, options.words, options.to)
    with Progress(STAGES, options.json) as progress:
        try:
            return migrate_store(config, plan, options.rehearse, progress)
        except KeyboardInterrupt:
            raise PapercutError(f"interrupted: {plan.source} is in force as before") from None


def _readable(result: dict[str, Any]) -> str:
    lines = [
        f"{'moved' if result['moved'] else 'rehearsed'}: {result['rows']} rows of"
        f" {len(result['tables'])} tables in {result['took_s']} s",
        *(f"    {took_s:>7} s {stage}" for stage, took_s in result["stages_s"].items()),
        f"from: {result['from']}",
        f"to: {result['to']}",
        "checked: books, chains and seals of both; rows and sums of every table are alike",
        *(f"kept: {one}" for one in result.get("kept", [])),
    ]
    if "write" in result:
        lines += ["configuration:", f"    {result['write']}"]
    return "\n".join([*lines, f"next: {result['next']}"])

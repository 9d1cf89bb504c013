"""``papercutd group`` and ``papercutd policy``: their words on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from papercutd.domain.policy import Knob
from papercutd.domain.policy_words import WORDS
from papercutd.errors import InvalidValue

#: ``add(name, help, run, under)`` and ``group(name, help)`` of the command line's parser.
Add = Callable[..., argparse.ArgumentParser]
#: Calls an operation: ``call(options, config, name, arguments)``.
Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]


def add_commands(add: Add, group: Callable[[str, str], Any], call: Call) -> None:
    """Both groups of commands."""
    groups = group("group", "groups of users")

    def operation(name: str, *given: str) -> Callable[[argparse.Namespace, Any], Any]:
        def run(options: argparse.Namespace, config: Any) -> Any:
            found = {key: getattr(options, key) for key in given}
            return call(options, config, name, {k: v for k, v in found.items() if v is not None})

        return run

    for word, what in (("add", "add a group"), ("remove", "take a group away, with its rules")):
        add(word, what, operation(f"group.{word}", "name"), groups).add_argument("name")
    add("list", "list groups", operation("group.list"), groups)
    given = ("name", "after", "nested")
    one = add("members", "list its users", operation("group.members", *given), groups)
    one.add_argument("name")
    one.add_argument("--nested", action="store_true", help="those of groups within it too")
    one.add_argument("--after", default="", metavar="USER")
    for word, what in (("add-users", "put users into it"), ("remove-users", "take users out")):
        one = add(word, what, operation(f"group.{word}", "name", "users"), groups)
        one.add_argument("name")
        one.add_argument("users", nargs="+", metavar="USER")
    for word, what in (
        ("add-groups", "put groups into it: their users are its own too"),
        ("remove-groups", "take groups out"),
    ):
        one = add(word, what, operation(f"group.{word}", "name", "groups"), groups)
        one.add_argument("name")
        one.add_argument("groups", nargs="+", metavar="GROUP")

    policies = group("policy", "what cut sites may do for whom")
    one = add(
        "show",
        "rules, what comes of them, and how much one person may overspend",
        operation("policy.show", "site", "group", "user"),
        policies,
    )
    one.add_argument("--user", help="what holds for this user")
    _add_place(one)
    one = add("set", "set rules", _set(call), policies)
    one.formatter_class = argparse.RawDescriptionHelpFormatter
    one.epilog = "\n".join(f"{knob.value}={WORDS[knob]}" for knob in Knob)
    one.add_argument("settings", nargs="+", metavar="KNOB=VALUE")
    _add_place(one)
    one = add(
        "clear",
        "take rules away: those named, else all for that site and group",
        operation("policy.clear", "knobs", "site", "group"),
        policies,
    )
    one.add_argument("knobs", nargs="*", metavar="KNOB")
    _add_place(one)


def _add_place(one: argparse.ArgumentParser) -> None:
    one.add_argument("--site", help="at this site; without: at any")
    one.add_argument("--group", help="for this group; without: for anybody")


def _set(call: Call) -> Callable[[argparse.Namespace, Any], Any]:
    def run(options: argparse.Namespace, config: Any) -> Any:
        settings = {}
        for setting in options.settings:
            knob, is_one, value = setting.partition("=")
            if not is_one:
                raise InvalidValue(setting, "is not KNOB=VALUE, such as cap=200pages")
            settings[knob] = value
        given = {"settings": settings, "site": options.site, "group": options.group}
        return call(
            options, config, "policy.set", {k: v for k, v in given.items() if v is not None}
        )

    return run

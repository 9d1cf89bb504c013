"""A command line that makes its own group only is the one that makes them all."""

from __future__ import annotations

import argparse
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.main import parser


def commands_of(one: argparse.ArgumentParser) -> dict[str, Any]:
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


class UnaskedTests(SynchronousTestCase):
    def same(self, whole: argparse.ArgumentParser, asked: argparse.ArgumentParser) -> None:
        self.assertEqual(whole.format_help(), asked.format_help())
        self.assertEqual(list(whole._defaults), list(asked._defaults))
        wholes, askeds = commands_of(whole), commands_of(asked)
        self.assertEqual(list(wholes), list(askeds))
        for name, one in wholes.items():
            self.same(one, askeds[name])

    def test_each_group(self) -> None:
        everything = parser()
        self.assertEqual(everything.format_help(), parser([]).format_help())
        groups = commands_of(everything)
        self.assertGreater(len(groups), 30)
        for name, whole in groups.items():
            self.same(whole, commands_of(parser([name]))[name])

    def test_others_are_names(self) -> None:
        asked = commands_of(parser(["printer", "list"]))
        self.assertEqual(commands_of(asked["user"]), {})
        self.assertIn("list", commands_of(asked["printer"]))

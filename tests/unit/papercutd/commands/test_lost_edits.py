"""What `papercutd lost-edits list` prints."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.lost_edits import show_lost_edits
from papercutd.commands.main import parser


def edit(table: str, key: int | str, name: str, **fields: Any) -> dict[str, Any]:
    told = {"id": "0123456789abcdef", "table": table, "key": key, "name": name}
    rest = {"was": {}, "now": {}, "hidden": [], "made_at": 0.0, "told_at": 0.0, "sites": "north"}
    return {**told, **rest, **fields}


class ShowTests(SynchronousTestCase):
    def shown(self, *edits: dict[str, Any], more: int = 0) -> list[str]:
        return show_lost_edits({"edits": list(edits), "more": more}).split("\n")

    def test_none(self) -> None:
        self.assertEqual(self.shown(), ["none"])
        self.assertEqual(self.shown(more=3), ["none", "and 3 more, not one by one"])

    def test_a_row_that_is_otherwise(self) -> None:
        was, now = {"full_name": "Anna", "cap_user_e4": 5_000}, {"full_name": "", "cap_user_e4": -1}
        lines = self.shown(edit("user", 7, "anna", was=was, now=now, hidden=["verifier"]))
        self.assertEqual(lines[0], "0123456789ab  user 7 anna")
        self.assertEqual(lines[1], "    full_name: was Anna, is none")
        self.assertIn("cap_user: was 0.50, is ", lines[2])
        self.assertEqual(lines[3], "    verifier: another, which nobody is shown")
        self.assertIn("told by north", lines[4])

    def test_rows_that_are_not_there_and_that_are_again(self) -> None:
        lines = self.shown(
            edit("printer", 9, "lp9", was={"name": "lp9"}, now=None),
            edit("card", "", "anna", was=None, now={"user": 7}, again=True, forgotten=True),
        )
        self.assertEqual(lines[1:3], ["    name: was lp9", "    is not there at all"])
        self.assertIn("card anna (forgotten) (is so again)", lines[4])
        self.assertEqual(lines[5], "    had been taken away, and is there again")

    def test_money(self) -> None:
        was = {"account": 5, "amount_e4": -30_000, "reason": "a fine", "at": 0.0}
        lines = self.shown(edit("adjusted", "7.9", "anna", was=was, now=None, made_at=1e11))
        self.assertTrue(lines[0].startswith("0123456789ab  adjusted 7.9 anna, made "))
        self.assertEqual(lines[1], "    -3.00 is in the books no more: a fine")

    def test_a_time_that_is_none(self) -> None:
        lines = self.shown(edit("user", 7, "anna", made_at=-1e12))
        self.assertIn("made ", lines[0])


class ParserTests(SynchronousTestCase):
    def test_arguments(self) -> None:
        given = parser().parse_args(["lost-edits", "list", "--site", "north", "--all"])
        self.assertEqual((given.site, given.every), ("north", True))
        given = parser().parse_args(["lost-edits", "forget", "01ab", "02"])
        self.assertEqual((given.ids, given.every), (["01ab", "02"], False))

"""What was changed by hand after the backup: told by the sites, listed, and made again by hand."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from papercutd.demo.processes import command, run
from tests.support.outage import OutageCase

#: Made after the backup, and followed by both sites.
EDITS = {
    ("adjusted", "anna"),
    ("price", "version 2"),
    *(("user", "carl"), ("account", "carl"), ("adjusted", "carl")),
    ("site", "south"),
    ("user", "anna"),
}


class LostEditTests(OutageCase):
    def setUp(self) -> None:
        super().setUp()
        self.backup = self.installation.directory / "backup.db"
        self.app = self.installation.app
        self.print_everywhere()
        command(self.app.config, "backup", str(self.backup))

    def print_everywhere(self) -> None:
        for branch in self.installation.branches:
            self.print_at(branch)
        self.wait("all is settled", lambda b: set(b.states().values()) <= {"ended"})

    def edit(self) -> None:
        """As an administrator would; then both sites have followed."""
        call = self.app.call
        call("user.adjust", name="anna", amount="5.00", reason="paid in")
        call("price.set", prices={"A4": ["0.07", "0.30"], "*": ["0.10", "0.40"]})
        call("user.add", name="carl", balance="2.00")
        call("user.secret", name="anna", kind="password", secret="the cat sat here")
        call("site.set", name="south", cap="1.00")
        position = call("status")["position"]
        self.wait(
            "both have followed",
            lambda b: (
                int(b.site.call("status")["position"].split(".")[1]) >= int(position.split(".")[1])
            ),
        )

    def told(self, **which: Any) -> set[tuple[str, str]]:
        found = self.app.call("lost-edits.list", **which)["edits"]
        return {(one["table"], one["name"]) for one in found}

    def check_listed(self) -> None:
        self.wait("it is listed", lambda b: self.told(site=b.name) == EDITS)
        found = self.app.call("lost-edits.list")["edits"]
        self.assertEqual({one["sites"] for one in found}, {"north, south"})
        self.assertEqual(len(found), len(EDITS))
        (anna,) = [one for one in found if (one["table"], one["name"]) == ("user", "anna")]
        self.assertEqual((anna["was"], anna["hidden"]), ({}, ["verifier"]))
        self.assertEqual(self.count("listed WHERE kind = 'lost-edit'"), len(EDITS))
        self.assertEqual(self.app.call("status")["lost_edits"], len(EDITS))
        # Listed, and nothing else.
        self.assertEqual(self.count("user WHERE name = 'carl'"), 0)
        self.assertEqual(self.count("price"), 1)
        self.check_offered_again()

    def shown(self, *words: str) -> str:
        done = run(
            *(sys.executable, "-m", "papercutd.commands.main"),
            *("-c", str(self.app.config), "lost-edits", *words),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_by_the_verb(self) -> None:
        self.edit()
        self.print_everywhere()
        self.app.stop()
        command(self.app.config, "restore", str(self.backup))
        self.app.start()
        self.check_listed()
        listed = self.shown("list")
        for text in ("5.00 is in the books no more: paid in", "user", "carl", "north, south"):
            self.assertIn(text, listed)
        self.assertNotIn("argon2", json.dumps(command(self.app.config, "lost-edits", "list")))
        # What is made again leaves the list by itself; money is for the administrator to say.
        self.app.call("site.set", name="south", cap="1.00")
        self.app.call("user.adjust", name="anna", amount="5.00", reason="paid in")
        self.assertEqual(self.told(), EDITS - {("site", "south")})
        (paid,) = [
            one["id"]
            for one in self.app.call("lost-edits.list")["edits"]
            if (one["table"], one["name"]) == ("adjusted", "anna")
        ]
        self.assertIn("forgotten: 1", self.shown("forget", paid[:12]))
        self.assertEqual(self.told(), EDITS - {("site", "south"), ("adjusted", "anna")})
        # It needs no running server.
        self.app.stop()
        self.assertIn("carl", self.shown("list"))
        self.shown("forget", "--all")
        self.assertIn("none", self.shown("list"))
        self.app.start()
        self.assertEqual(self.app.call("status")["lost_edits"], 0)

    def test_silently(self) -> None:
        self.edit()
        self.app.kill()
        for ending in ("", "-wal", "-shm"):
            Path(f"{self.app.data / 'application.db'}{ending}").unlink(missing_ok=True)
        shutil.copy(self.backup, self.app.data / "application.db")
        self.app.start()
        self.check_listed()
        self.assertEqual(self.count("listed WHERE kind = 'restored'"), 1)

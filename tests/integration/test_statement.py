"""An outage and a drill of real processes, and their statements in other hands."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from papercutd.commands.statement import verify_offline
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch
from papercutd.demo.processes import command, run
from papercutd.domain.signed import as_printed
from tests.support.installation import environment
from tests.support.outage import OutageCase


class StatementTests(OutageCase):
    @property
    def south(self) -> Branch:
        return self.installation.branches[1]

    def papercutd(self, config: Path, *words: str) -> str:
        done = run(
            *(sys.executable, "-m", "papercutd.commands.main", "-c", str(config), *words),
            environment=environment(),
        )
        self.assertEqual(done.stderr, "")
        return done.stdout

    def statement(self) -> Any:
        return self.installation.app.call("statement")

    def has_reported(self, branch: Branch) -> bool:
        stated = self.statement()
        return stated["outage"] == 1 and "signed" in stated and stated["jobs"] == 2

    def are_closed(self, branch: Branch) -> bool:
        return {one["state"] for one in self.installation.app.call("outages")} == {"closed"}

    def print_as(self, user: str) -> None:
        self.handed_in += 1
        data = make_pdf(f"document {self.handed_in}", 1, False)
        self.south.print_file(data, "a document", user)
        self.wait("printed", lambda b: set(b.states().values()) <= {"ended"})

    def test_an_outage(self) -> None:
        """Closed, signed, verified by a stranger; one changed byte is found, there and here."""
        app = self.installation.app
        self.south.cut()
        self.wait("cut", lambda b: b.name != "south" or b.site.call("status")["state"] == "cut")
        self.print_as("anna")
        self.print_as("anna")
        self.south.heal()
        self.wait("everybody has reported", self.has_reported)

        file = self.installation.directory / "s.json"
        text = self.papercutd(app.config, "--json", "statement", "--outage", "1")
        file.write_text(text)
        stated = json.loads(text)
        self.assertEqual((stated["kind"], stated["jobs"], stated["missing"]), ("outage", 2, []))
        self.assertEqual(stated["evidence"]["lost_records"], 0)
        here = command(app.config, "verify", "--statement", str(file))
        self.assertEqual((here["ok"], here["books_agree"], here["problems"]), (True, True, []))
        # What a site holds is the certificate that anybody may have.
        ca = self.south.site.data / "identity" / "ca.pem"
        config = self.south.site.config
        for words in (("--ca", str(ca)), ()):
            there = command(config, "verify", "--statement", str(file), *words)
            self.assertEqual(there, {"ok": True, "genuine": True, "problems": []})

        rng = random.Random(5)
        data = text.encode()
        for _ in range(400):
            changed = bytearray(data)
            changed[rng.randrange(len(data) - 1)] ^= 1 << rng.randrange(7)
            try:
                found = verify_offline(changed.decode(), ca.read_bytes())
            except ValueError:
                continue
            self.assertFalse(found["ok"], changed)
        file.write_text(text.replace('"jobs": 2', '"jobs": 1', 1))
        self.assertFalse(command(app.config, "verify", "--statement", str(file))["genuine"])

        head = command(app.config, "head")
        file.write_text(as_printed(head))
        self.assertTrue(command(app.config, "verify", "--head", str(file))["ok"])
        (daily,) = (app.data / "heads").iterdir()
        self.assertTrue(command(app.config, "verify", "--head", str(daily))["ok"])

        shown = self.papercutd(app.config, "outages")
        self.assertIn("closed, signed", shown)
        shown = self.papercutd(app.config, "statement")
        self.assertIn("0 lost, 0 charged twice.", shown)

        # A stopped server's books are changed: the statement is genuine, they are not.
        file.write_text(text)
        app.stop()
        with closing(sqlite3.connect(app.data / "application.db")) as database, database:
            database.execute("UPDATE charge SET pages = pages + 1")
        found = command(app.config, "verify", "--statement", str(file))
        self.assertEqual((found["genuine"], found["books_agree"]), (True, False))
        self.assertIn("the books say otherwise: pages", found["problems"])
        self.assertFalse(command(app.config, "verify")["ok"])

    def test_a_drill(self) -> None:
        """Decided at the site as if it were cut, and nobody is refused because of it."""
        app, site = self.installation.app, self.south.site
        app.call("site.set", name="south", cap="0.07")
        app.call("user.add", name="ben", balance="1.00")
        self.wait("the site has heard of it", self.follows)
        begun = command(site.config, "drill", "start", "--minutes", "5")
        self.assertTrue(begun["drill"])
        self.assertEqual(site.call("status")["state"], "drill")
        (south,) = [one for one in app.call("status")["sites"] if one["name"] == "south"]
        self.assertEqual((south["drill"], south["connected"]), (1, True))
        self.print_as("ben")
        self.assertEqual(site.call("drill.status")["asked_after_all"], 0)
        self.wait("its record waits", self.keeps_records_back)
        self.assertEqual(self.count("charge"), 0)
        # Beyond the cap: policy would hold it.
        self.print_as("ben")
        self.assertEqual(site.call("drill.status")["asked_after_all"], 1)
        self.assertEqual(self.statement()["state"], "open")
        site.kill()
        site.start()
        self.assertEqual(site.call("drill.status")["ended"], "restart")
        # That it died is an outage by itself.
        self.wait("the statements are closed", self.are_closed)
        stated = app.call("statement", outage=1)
        self.assertEqual((stated["kind"], stated["jobs"]), ("drill", 2))
        self.assertEqual([one["site"] for one in stated["sites"]], ["south"])
        listed = {one["kind"]: one["count"] for one in stated["listed"]}
        self.assertEqual(listed, {"drill-asked": 1, "drill-ended": 1})
        deciders = {one["site"]: one["jobs"] for one in stated["by_decider"]}
        self.assertEqual(deciders, {"": 1, "south": 1})
        self.assertEqual(app.call("verify")["problems"], [])
        self.assertEqual(site.call("verify")["problems"], [])

    def keeps_records_back(self, branch: Branch) -> bool:
        return branch.name != "south" or branch.site.call("status")["waiting_records"] > 0

    def follows(self, branch: Branch) -> bool:
        return bool(
            branch.site.call("status")["position"]
            == self.installation.app.call("status")["position"]
        )

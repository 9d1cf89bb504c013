"""A site phased in beside a running single server, and taken away again, with printing going on."""

from __future__ import annotations

import shutil
import threading
import time
import tomllib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.processes import command
from tests.support.installation import make_installation
from tests.support.outage import described
from tests.support.waiting import PATIENCE_S, wait_for


class PhasingTests(SynchronousTestCase):
    timeout = 180

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.branch = self.installation.branches[0]
        self.app, self.provider = self.installation.app, self.branch.provider
        # This provider is told of no site by its configuration.
        text = self.provider.config.read_text()
        self.provider.config.write_text(
            text[: text.index("[site]")] + text[text.index("[times]") :]
        )
        self.app.start()
        self.app.call("user.add", name="anna", restricted=False)
        self.server = f"127.0.0.1:{self.installation.https_port}"
        token = self.papercutd("provider", "add", "north-provider")["token"]
        command(self.provider.config, "join", "--token", token, "--server", self.server)
        uri = f"socket://127.0.0.1:{self.branch.printer.port}"
        self.papercutd("printer", "add", "north-1", "--provider", "north-provider", "--uri", uri)
        self.provider.start()
        command(self.app.config, "user", "card", "anna", "0815")
        self.mfd = self.installation.add_device("mfd", printer="north-1")
        self.mfd.start()
        self.addCleanup(self.mfd.kill)
        self.wait("the printer is known", lambda: self.provider.call("status")["printers"])

    def papercutd(self, *words: str) -> Any:
        return command(self.app.config, *words)

    def wait(self, what: str, condition: Any, limit_s: float = PATIENCE_S) -> None:
        came = wait_for(what, condition, limit_s)
        self.assertTrue(came, "" if came else f"{what}: {described(self.installation)}")

    def servers(self) -> dict[str, bool]:
        found = self.provider.call("status")["servers"]
        return {role: server["connected"] for role, server in found.items()}

    def print_on(self) -> None:
        """Three people, each of whom waits for their paper: a slow machine gets no queue."""
        while not self.enough.is_set():
            data = make_pdf(f"document {len(self.jobs)}", 1, False)
            self.jobs.append(self.branch.print_file(data, "a document", "anna"))
            while len(self.jobs) - self.ended() > 2 and not self.enough.is_set():
                time.sleep(0.1)
            time.sleep(0.1)

    def ended(self) -> int:
        return int(self.provider.call("status")["jobs"].get("ended", 0))

    def copy(self, pages: int) -> None:
        """Somebody comes, copies and goes; they find the device working."""
        for line in ("login card 0815", f"copy {pages}", "logout"):
            done = self.mfd.do(line)
            self.assertTrue(done.get("ok"), (line, done, self.mfd.stderr()))
        self.copied += pages

    def serves(self, name: str) -> bool:
        return bool(self.mfd.do("status")["serving"] == name)

    def is_even(self) -> bool:
        site = self.branch.site.call("status")
        return bool(site["state"] == "online" and site["waiting_records"] == 0)

    def deciders(self) -> list[str]:
        return [job["decided_by"] for job in self.provider.call("job.list")]

    def test_in_and_out(self) -> None:
        self.jobs: list[str] = []
        self.copied = 0
        self.enough = threading.Event()
        printing = threading.Thread(target=self.print_on)
        printing.start()
        self.addCleanup(self.enough.set)
        self.wait("jobs are printed", lambda: len(self.deciders()) > 3)
        self.assertEqual(self.servers(), {"application": True})
        self.copy(3)

        port = self.branch.site.config.read_text().split("links = ")[1].split("\n")[0]
        listen = tomllib.loads(self.branch.site.config.read_text())["listen"]
        devices = str(listen["devices"])
        added = self.papercutd(
            *("site", "add", "north", "--host", "127.0.0.1", "--port", port),
            *("--device-port", devices),
        )
        command(self.branch.site.config, "join", "--token", added["token"], "--server", self.server)
        self.branch.site.start()
        self.wait("it has a replica", lambda: self.branch.site.call("status")["position"])
        self.papercutd("provider", "set", "north-provider", "--site", "north")
        self.wait("the provider found it", lambda: self.servers().get("site"))

        self.papercutd("device", "set", "mfd", "--site", "north")
        self.wait("the device found it", lambda: self.serves("north"))
        self.copy(4)

        # It does what it is for.
        self.app.kill()
        self.wait("the site decides", lambda: self.deciders().count("the site") > 3)
        self.copy(5)
        self.app.start()
        self.wait("the application server is back", lambda: self.servers()["application"])
        # A site that is taken away has told what it decided, and is there to be told.
        self.wait("the site is back, and has told", self.is_even)

        removed = self.papercutd("site", "remove", "north")
        self.assertEqual((removed["providers"], removed["not_told"]), (["north-provider"], []))
        self.assertTrue(removed["site_told"])
        self.wait("the provider stands alone", lambda: self.servers() == {"application": True})
        self.wait("the site is out", lambda: not self.branch.site.call("status")["connected"])
        # It had found the application server away, and tries it again within a minute.
        self.wait("the device went back", lambda: self.serves("application"), 90.0)
        self.copy(6)
        servers = [one["name"] for one in self.mfd.do("status")["servers"]]
        self.assertEqual(servers, ["application"])
        before = len(self.jobs)
        self.wait("jobs go on", lambda: len(self.jobs) > before + 3)
        self.enough.set()
        printing.join()
        self.check()

    def check(self) -> None:
        """No job lost, none charged twice, nobody stopped."""
        settled = lambda: (  # noqa: E731
            set(self.provider.call("status")["jobs"]) == {"ended"}
            and not any(self.provider.call("status")["owed"].values())
        )
        self.wait("all is settled", settled)
        journal = str(self.provider.data / "provider.db")
        verified = self.app.call("verify", provider_journals=[journal])
        self.assertEqual(verified["problems"], [])
        connection = measure.open_read(self.app.data / "application.db")
        charges = connection.execute(
            "SELECT key, decider FROM charge WHERE provider NOT LIKE 'device:%'"
        ).fetchall()
        (copied,) = connection.execute(
            "SELECT SUM(pages) FROM charge WHERE provider = 'device:mfd'"
        ).fetchone()
        connection.close()
        self.assertEqual((copied, self.mfd.paper()), (self.copied, self.copied))
        self.assertEqual({key.split("/")[0] for key, _ in charges}, set(self.jobs))
        self.assertEqual(len(charges), len(self.jobs))
        self.assertEqual(len(list(self.branch.printer.directory.glob("*.prn"))), len(self.jobs))
        self.assertNotIn("nobody (alone)", self.deciders())

"""``papercut-device`` over real TLS: nothing printed uncharged, nothing charged twice."""

from __future__ import annotations

import json
import shutil
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo import measure
from papercutd.demo.devices import run_device
from papercutd.demo.documents import make_pdf
from papercutd.demo.scenario import is_ready
from tests.support.installation import joined_installation
from tests.support.waiting import wait_for

CARD = "04:A2:2B:91"
#: Ben's: nothing that a chain or an id could hold by chance.
BEN = "ZEBRA17"
PIN = "giraffe"
#: Grey A4.
PAGE_E4 = 500


class DeviceCase(SynchronousTestCase):
    """A site with its provider and a device; anna has a card, ben a password and little money."""

    timeout = 240

    def setUp(self) -> None:
        self.installation = joined_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        app = self.app = self.installation.app
        app.start()
        south = self.installation.branches.pop()
        south.printer.close()
        for relay in south.relays:
            relay.close()
        self.branch = self.installation.branches[0]
        self.site = self.branch.site
        app.call("user.add", name="anna", balance="100.00")
        app.call("user.card", name="anna", number=CARD)
        app.call("user.add", name="ben", balance="0.25")
        app.call("user.card", name="ben", number=BEN)
        app.call("user.secret", name="ben", kind="password", secret="correct horse")
        app.call("user.secret", name="ben", kind="pin", secret=PIN)
        app.call("printer.set", name="north-1", release="secure")
        self.site.start()
        self.branch.provider.start()
        self.mfd = self.installation.add_device(
            "mfd",
            "north",
            printer="north-1",
            functions="copy scan release",
            logins="card card-pin password",
        )
        self.addCleanup(self.mfd.kill)
        self.assertTrue(wait_for("all is there", lambda: is_ready(self.branch)))
        self.assertTrue(wait_for("the site knows ben", self.is_known))

    def is_known(self) -> bool:
        """The site has a copy of everything said so far."""
        status = self.site.call("status")
        return bool(status["state"] == "online" and status["position"] is not None)

    def do(self, line: str) -> dict[str, Any]:
        """What was typed is done."""
        result = self.mfd.do(line)
        self.assertTrue(result.get("ok"), (line, result, self.mfd.stderr()))
        return result

    def refused(self, line: str, code: str) -> dict[str, Any]:
        result = self.mfd.do(line)
        self.assertEqual((result["ok"], result["code"]), (False, code), result)
        self.assertTrue(result["text"])
        return result

    def charges(self) -> dict[str, tuple[int, int]]:
        """(pages, amount) by key, in the application server's books."""
        connection = measure.open_read(self.app.data / "application.db")
        try:
            rows = connection.execute("SELECT key, pages, amount_e4 FROM charge").fetchall()
        finally:
            connection.close()
        return {key: (pages, amount_e4) for key, pages, amount_e4 in rows}

    def runs(self) -> dict[str, tuple[int, int]]:
        return {k: c for k, c in self.charges().items() if "/run-" in k}

    def leave(self) -> None:
        """Switched off once everything is reported: what is not waits in it for its next start."""
        self.do("wait settled 90")
        self.do("quit")
        self.mfd.wait()

    def check(self, pages: int, free: int = 0) -> None:
        """So many pages are on paper, reported, forwarded and charged, each once.

        ``free``: pages among them that cost nothing.
        """
        self.assertEqual(self.mfd.paper(), pages)
        charged = lambda: sum(p for p, _ in self.runs().values()) == pages  # noqa: E731
        self.assertTrue(wait_for("all is charged", charged), self.runs())
        forwarded = lambda: self.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.assertTrue(wait_for("all is forwarded", forwarded), self.site.call("status"))
        self.assertEqual(sum(p for p, _ in self.runs().values()), pages)
        self.assertEqual(sum(e4 for _, e4 in self.runs().values()), (pages - free) * PAGE_E4)
        for role in (self.app, self.site):
            self.assertEqual(role.call("verify")["problems"], [])
        connection = measure.open_read(self.app.data / "application.db")
        (open_count,) = connection.execute(
            "SELECT COUNT(*) FROM decision WHERE state = 'open' AND key LIKE '%/run-%'"
        ).fetchone()
        connection.close()
        self.assertEqual(open_count, 0)


class OnlineTests(DeviceCase):
    def hold(self, pages: int = 2) -> str:
        job = self.branch.print_file(make_pdf(f"held {pages}", pages, False), "minutes", "anna")
        held = lambda: self.branch.job(job)["state"] == "held"  # noqa: E731
        self.assertTrue(wait_for("it is held", held))
        return job

    def test_a_visit(self) -> None:
        jobs = [self.hold(2), self.hold(3)]
        self.mfd.start()
        person = self.do(f"login card {CARD.lower()}")
        self.assertEqual((person["user_name"], person["balance_e4"]), ("anna", 1_000_000))
        self.assertEqual((person["server"], person["state"]), ("north", "online"))
        listed = lambda: [j["job"] for j in self.mfd.do("list")["jobs"]] == jobs  # noqa: E731
        self.assertTrue(wait_for("both are listed", listed))
        self.assertEqual(self.do("release 1")["answers"][0]["answer"], "released")
        self.assertEqual(self.do("delete 2")["answers"][0]["answer"], "discarded")
        self.refused("delete 2", "unknown-job")
        self.refused("release 7", "bad-number")
        copied = self.do("copy 10")
        self.assertEqual((copied["pages"], copied["amount_e4"]), (10, 10 * PAGE_E4))
        # Scans cost nothing unless there is a price for them.
        self.assertEqual(self.do("scan 4")["amount_e4"], 0)
        self.assertEqual(self.do("balance")["balance_e4"], 1_000_000 - 12 * PAGE_E4)
        self.do("wait settled")
        self.assertEqual(self.do("account list")["accounts"], [])
        counters = self.do("counters")
        self.assertEqual(counters["counters"], {"copy grey": 10, "scan grey": 4})
        self.assertEqual({run["state"] for run in self.do("runs")["runs"]}, {"acknowledged"})
        self.do("logout")
        self.refused("copy 1", "no-login")
        self.do("quit")
        # Something was refused, and nobody sat there to read it.
        self.assertEqual(self.mfd.wait(), 1)
        self.check(14, free=4)

    def test_who_it_is(self) -> None:
        """Cards, PINs and passwords; and none of them in what is written."""
        self.mfd.start()
        self.refused("login card 99", "bad-credentials")
        self.refused(f"login card {BEN} 0000", "bad-credentials")
        self.assertEqual(self.do(f"login card {BEN} {PIN}")["user_name"], "ben")
        self.refused(f"login card {BEN} {PIN}", "logged-in")
        self.do("logout")
        self.mfd.say("login ben")
        self.assertTrue(self.do("correct horse")["ok"])
        self.do("logout")
        self.mfd.say("login ben")
        self.refused("wrong horse", "bad-credentials")
        for line in ("", "login", "frobnicate", "copy", "copy x", "copy 0", "copy -1", "copy 3 x"):
            if line:
                self.assertIn(
                    self.mfd.do(line)["code"], ("usage", "bad-number", "unknown-command"), line
                )
        self.do("quit")
        self.mfd.wait()
        for path in self.mfd.home.rglob("*"):
            if path.is_file():
                body = path.read_bytes()
                for secret in (PIN, "correct horse", BEN):
                    self.assertNotIn(secret.encode(), body, path)

    def test_to_the_end_of_the_credit(self) -> None:
        """Five pages are paid for: five come out."""
        self.mfd.start()
        self.do(f"login card {BEN} {PIN}")
        short = self.refused("copy 12", "funds")
        self.assertEqual(short["pages"], 5)
        self.refused("copy 1", "funds")
        self.leave()
        self.check(5)

    def test_more_than_is_reserved_at_once(self) -> None:
        """Over the end of a reservation, without a stop."""
        self.mfd.start("--speed", "6000")
        self.do(f"login card {CARD}")
        copied = self.do("copy 150 uncounted")
        self.assertEqual((copied["pages"], len(copied["runs"])), (150, 2))
        self.leave()
        self.check(150)

    def test_commands_given_at_once(self) -> None:
        home = str(self.mfd.home)
        done = run_device(
            *("run", "--home", home, "--json", "--speed", "1200"),
            *(f"login card {CARD}", "copy 3", "logout"),
        )
        results = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([r["ok"] for r in results], [True] * 3, done.stdout + done.stderr)
        self.assertEqual(done.returncode, 0)
        # By hand, through a pipe: plain words, and what is wrong is said.
        done = run_device("run", "--home", home, stdin="login card 99\nstatus\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Nobody is known by that", done.stdout)
        self.assertIn("served by north", done.stdout)
        # Two at once would not know of each other's pages.
        self.mfd.start()
        self.do("status")
        done = run_device("run", "--home", home, "--json", "status")
        self.assertEqual(done.returncode, 1)
        self.assertIn("another process", done.stderr)
        self.assertFalse(json.loads(done.stdout)["ok"])
        self.check(3)


class OutageTests(DeviceCase):
    def start_copy(self, pages: int, after: int, *options: str) -> None:
        """A copy under way, at least ``after`` pages out."""
        self.mfd.start("--speed", "240", *options)
        self.do(f"login card {CARD}")
        self.do(f"copy {pages} background")
        self.assertTrue(wait_for("pages come", lambda: self.mfd.paper() >= after))

    def test_the_link_cut_in_mid_copy(self) -> None:
        """The device notices nothing; the next person is served by the site alone."""
        self.start_copy(20, 5)
        self.branch.cut()
        done = self.do("wait")
        self.assertEqual((done["pages"], done["outcome"]), (20, "completed"))
        self.do("logout")
        cut = lambda: self.site.call("status")["state"] == "cut"  # noqa: E731
        self.assertTrue(wait_for("it is cut", cut))
        person = self.do(f"login card {BEN} {PIN}")
        self.assertEqual((person["state"], person["available_e4"]), ("cut", 2_500))
        self.refused("copy 12", "funds")
        self.do("wait settled")
        self.assertEqual({run["answer"] for run in self.do("runs")["runs"]}, {"journalled"})
        self.branch.heal()
        self.do("quit")
        self.check(25)

    def test_the_site_killed_in_mid_copy(self) -> None:
        """The pages reserved come out, and are reported to the application server, once."""
        self.start_copy(20, 5)
        self.site.kill()
        done = self.do("wait")
        self.assertEqual((done["pages"], done["outcome"]), (20, "completed"))
        self.do("wait settled")
        self.assertEqual(self.do("runs")["runs"][-1]["answer"], "posted")
        # Served by the other meanwhile, without anybody doing anything.
        self.assertEqual(self.do(f"login card {CARD}")["server"], "application")
        self.do("copy 3")
        self.site.start()
        self.do("logout")
        served = lambda: self.mfd.do("status")["serving"] == "north"  # noqa: E731
        self.assertTrue(wait_for("it is back at its site", served))
        self.do("quit")
        self.check(23)

    def test_the_device_dies(self) -> None:
        """Every page that came out is charged, once, and none besides."""
        self.start_copy(40, 7)
        self.mfd.kill()
        killed = self.mfd.paper()
        self.assertIn(killed, range(7, 40))
        self.mfd.start()
        self.do("wait settled")
        (run,) = self.do("runs")["runs"]
        self.assertEqual((run["pages"], run["outcome"]), (killed, "aborted"))
        self.mfd.kill()
        # Between a page and its note.
        self.mfd.start("--power-off-at", "4")
        self.do(f"login card {CARD}")
        self.assertEqual(self.mfd.do("copy 9"), {})
        self.mfd.wait()
        self.assertEqual(self.mfd.paper(), killed + 4)
        # FINISH has left, and its answer finds nobody; of the copy before, then of the next.
        self.mfd.start(PAPERCUT_CRASH_AT="after-send.FINISH")
        self.mfd.wait()
        # Told again, for its answer came too late; on a quick machine it may have come in time.
        self.mfd.start()
        self.do("wait settled")
        self.mfd.stop()
        self.mfd.start(PAPERCUT_CRASH_AT="after-send.FINISH")
        self.do(f"login card {CARD}")
        self.mfd.say("copy 3")
        self.mfd.wait()
        self.mfd.start()
        self.do("wait settled")
        self.do("quit")
        self.check(killed + 7)

    def test_both_servers_gone_and_back(self) -> None:
        self.start_copy(20, 3)
        self.site.kill()
        self.app.kill()
        done = self.do("wait")
        self.assertEqual((done["pages"], done["outcome"]), (20, "completed"))
        self.refused(f"login card {CARD}", "no-server")
        status = self.do("status")
        self.assertEqual((status["serving"], status["unreported"]), (None, 1))
        # Switched off and on with nobody to tell.
        self.mfd.kill()
        self.mfd.start()
        self.assertEqual(self.do("status")["unreported"], 1)
        self.app.start()
        self.do("wait settled")
        self.site.start()
        self.do("quit")
        self.check(20)

    def test_a_restored_journal(self) -> None:
        """A new journal id; what it forgot of was reported before, and stands once."""
        self.mfd.start()
        self.do(f"login card {CARD}")
        self.do("copy 2")
        self.do("wait settled")
        self.do("quit")
        self.mfd.wait()
        kept = {p.name: p.read_bytes() for p in self.mfd.home.glob("device.db*")}
        self.mfd.start()
        self.do(f"login card {CARD}")
        self.do("copy 3")
        self.do("wait settled")
        self.mfd.kill()
        # What a server has seen of a journal is what the latest session began with.
        self.mfd.start()
        self.do("wait online")
        before = self.do("status")["journal"]
        self.mfd.kill()
        for path in self.mfd.home.glob("device.db*"):
            path.unlink()
        for name, body in kept.items():
            (self.mfd.home / name).write_bytes(body)
        self.mfd.start()
        self.do("wait online")
        self.assertNotEqual(self.do("status")["journal"], before)
        self.do(f"login card {CARD}")
        self.do("copy 1")
        self.do("wait settled")
        self.do("quit")
        self.check(6)


class JoinTests(DeviceCase):
    def test_bad_input(self) -> None:
        home = str(self.installation.directory / "other")
        server = f"127.0.0.1:{self.installation.https_port}"
        token = self.app.call("token", role="device", name="mfd")["token"]
        for words, text in (
            (("join", "x", "--home", home, "--server", server), "copy the whole line"),
            (("join", token, "--home", home, "--server", "nowhere"), "HOST:PORT"),
            (("join", token, "--home", home, "--server", server, "--site", "x"), "NAME=HOST"),
            (("run", "--home", home), "join"),
            (("join", token.replace("device", "site"), "--home", home, "--server", server), "site"),
        ):
            done = run_device(*words)
            self.assertNotEqual(done.returncode, 0, words)
            self.assertIn(text, done.stderr)
            self.assertNotIn("Traceback", done.stderr)
            self.assertNotIn(token.split(":")[2], done.stderr + done.stdout)

    def test_joining_again_keeps_what_is_not_reported(self) -> None:
        self.mfd.start("--power-off-at", "3")
        self.do(f"login card {CARD}")
        self.mfd.do("copy 9")
        self.mfd.wait()
        token = self.app.call("token", role="device", name="mfd")["token"]
        settings = json.loads((self.mfd.home / "servers.json").read_text())
        (site, application) = settings["servers"]
        done = run_device(
            *("join", token, "--home", str(self.mfd.home)),
            *("--server", f"127.0.0.1:{self.installation.https_port}"),
            *("--site", f"north=127.0.0.1:{site['port']}"),
            *("--application", f"127.0.0.1:{application['port']}"),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.mfd.start()
        self.do("wait settled")
        self.do("quit")
        self.check(3)

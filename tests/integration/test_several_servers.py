"""Real processes: several application servers on one PostgreSQL, and one that is promoted."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Installation
from papercutd.demo.network import Relay, free_port
from papercutd.demo.processes import ControlError, Role, command, start_together
from papercutd.demo.scenario import is_ready, is_settled
from tests.support.installation import ROOT
from tests.support.postgres import Cluster
from tests.support.replicated import Replica
from tests.support.waiting import wait_for

#: A process whose wall clock is wrong by so much.
_CLOCK = "import time\nreal = time.time\ntime.time = lambda: real() + {offset_s}\n"
_PORTS = ("http", "https", "links", "devices")


class SeveralTests(SynchronousTestCase):
    """Two application servers whose clocks are ten minutes apart."""

    timeout = 240

    def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": str(ROOT)})
        self.cluster = Cluster(self.directory(), {"listen_addresses": "'127.0.0.1'"})
        self.addCleanup(self.cluster.kill)
        self.cluster.port = free_port()
        self.cluster._settings["port"] = str(self.cluster.port)
        self.cluster.create()
        self.cluster.start()
        self.cluster.create_database("app")
        #: The way of each server to the database.
        self.ways = [Relay(self.cluster.port) for _ in range(2)]
        for way in self.ways:
            self.addCleanup(way.close)
        self.replica = Replica(self.directory(), self.cluster, {"listen_addresses": "''"})
        self.replica.port = self.cluster.port
        self.addCleanup(self.replica.kill)
        stores = [
            f"postgresql:///app?host=127.0.0.1,{self.replica.directory}"
            f"&port={way.port},{self.replica.port}&user=papercut&target_session_attrs=read-write"
            for way in self.ways
        ]
        self.install(stores[0])
        self.second = self.add_server(stores[1])
        self.app.stop()
        self.servers = [self.app, self.second]
        start_together(*self.servers)
        start_together(*self.installation.roles()[1:])
        self.wait("everybody is connected", lambda: is_ready(self.branch))

    def directory(self) -> str:
        made = tempfile.mkdtemp(prefix="pc-")
        self.addCleanup(shutil.rmtree, made, True)
        return made

    def install(self, store: str) -> None:
        """An application server and one site with its print provider; all are off."""
        made = self.installation = Installation.make(Path(self.directory()), stores={"app": store})
        self.addCleanup(made.close)
        for beside in made.branches[1:]:
            for part in (*beside.relays, beside.printer):
                part.close()
        del made.branches[1:]
        self.app, (self.branch,) = made.app, made.branches
        self.app.start()
        made.join_all()
        self.app.call("user.add", name="anna", restricted=True, balance="100")
        self.printed = 0

    def print_one(self) -> dict[str, Any]:
        """A job from its beginning to its end."""
        self.printed += 1
        data = make_pdf(f"document {self.printed}", 1, False)
        job = self.branch.print_file(data, "a document", "anna")
        self.wait("it is printed", lambda: self.branch.job(job)["state"] == "ended")
        return self.branch.job(job)

    def print_until_decided_at_centre(self) -> None:
        """Every job is printed, whoever decides; in the end the application server does again."""
        decided = lambda: self.print_one()["decided_by"] == "the application server"  # noqa: E731
        self.wait("the application server decides", decided)

    def wait(self, what: str, condition: Any) -> None:
        if not wait_for(what, condition):
            logs = [one.log.read_text()[-3_000:] for one in getattr(self, "servers", [])]
            self.fail("\n\n".join([what, *logs]))

    def check(self, server: Role) -> None:
        """Everything is charged once, and verified."""
        self.wait("everybody is connected", lambda: is_ready(self.branch))
        self.wait("all is settled", lambda: is_settled(self.branch))
        status = self.branch.site.call
        self.wait("all is forwarded", lambda: status("status")["waiting_records"] == 0)
        self.wait("all is charged", lambda: server.call("status")["charges"] == self.printed)
        journal = str(self.branch.provider.data / "provider.db")
        self.assertEqual(server.call("verify", provider_journals=[journal])["problems"], [])
        (anna,) = server.call("user.list")
        self.assertEqual(
            (anna["balance_e4"], anna["pending_e4"]), (1_000_000 - 500 * self.printed, 0)
        )

    def add_server(self, store: str) -> Role:
        """One more on the same database, which site and provider know by its address."""
        ports = {name: free_port() for name in _PORTS}
        listen = "".join(f"{name} = {port}\n" for name, port in ports.items())
        second = Role(
            *("app", "second application server", self.installation.directory / "second"),
            f'store = "{store}"\n[listen]\ninterface = "127.0.0.1"\n{listen}',
        )
        self.addCleanup(second.stop)
        command(second.config, "init", "--beside", str(self.app.data))
        clock = Path(self.directory())
        (clock / "sitecustomize.py").write_text(_CLOCK.format(offset_s=600))
        second.environment["PYTHONPATH"] = f"{clock}:{ROOT}"
        others = f'[application]\nothers = ["127.0.0.1:{ports["links"]}"]\n'
        for role in (self.branch.site, self.branch.provider):
            role.config.write_text(role.config.read_text().replace("[application]\n", others))
        return second

    def writers(self) -> list[Role]:
        return [one for one in self.servers if one.call("status")["writes"]]

    def both(self) -> tuple[Role, Role]:
        """The one that writes, and the other one."""
        (writer,) = self.writers()
        return writer, next(one for one in self.servers if one is not writer)

    def wait_until_it_writes(self, server: Role) -> None:
        self.wait(f"{server.name} writes", lambda: server.call("status")["writes"])

    def wait_until_ended(self, server: Role) -> None:
        self.wait(f"{server.name} ended", lambda: not server.is_running())
        self.assertIn("another application server writes now", server.log.read_text())

    def test_one_writes(self) -> None:
        writer, other = self.both()
        self.print_until_decided_at_centre()
        self.check_that_it_only_reads(other)
        # Killed.
        writer.kill()
        self.print_until_decided_at_centre()
        self.assertEqual(self.writers_but(writer), [other])
        # Frozen: its session with the database lives on, and with it the lock.
        writer.start()
        writer, other = self.both()
        os.kill(writer.pid, signal.SIGSTOP)
        self.wait_until_it_writes(other)
        self.print_until_decided_at_centre()
        os.kill(writer.pid, signal.SIGCONT)
        self.wait_until_ended(writer)
        # Cut off from the database, and from nothing else.
        writer.start()
        writer, other = self.both()
        way = self.ways[self.servers.index(writer)]
        way.cut()
        self.wait_until_it_writes(other)
        self.print_until_decided_at_centre()
        way.heal()
        self.wait_until_ended(writer)
        self.check(other)
        # PostgreSQL is killed, and a standby of it promoted that lacks the last commits.
        writer.start()
        self.fall_behind()
        self.cluster.kill()
        for way in self.ways:
            # libpq leaves a host at which nobody listens, not one that hangs up.
            way.close()
        self.replica.start()
        self.replica.promote()
        self.wait("who wrote what is lost has ended", lambda: not other.is_running())
        self.wait_until_it_writes(writer)
        self.wait(
            "a new timeline begins",
            lambda: writer.call("status")["position"].partition(".")[0] == "2",
        )
        self.print_one()
        self.check(writer)

    def fall_behind(self) -> None:
        """A job is printed and acknowledged that the standby of PostgreSQL never hears of."""
        replica = self.replica
        replica.create()
        replica.start()
        self.wait("it has all", replica.has_all)
        replica.stop()
        self.print_one()
        self.wait("it is settled", lambda: is_settled(self.branch))

    def writers_but(self, gone: Role) -> list[Role]:
        return [one for one in self.servers if one is not gone and one.call("status")["writes"]]

    def check_that_it_only_reads(self, other: Role) -> None:
        self.assertEqual(other.call("status")["state"], "standby")
        self.assertEqual([one["name"] for one in other.call("user.list")], ["anna"])
        self.assertEqual(other.call("verify")["problems"], [])
        with self.assertRaises(ControlError) as caught:
            other.call("user.add", name="bert")
        self.assertEqual(caught.exception.code, "not-writer")

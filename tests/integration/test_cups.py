"""Printing through a real CUPS: its jobs are decided, counted and charged as they come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.network import free_port
from papercutd.demo.processes import Role, command
from tests.support.cups import PrivateCups, wait_until
from tests.unit.papercutd.provider.documents import Page, make_pdf

TIMES = "[times]\nback_jitter_s = 0.1\nreconnect_min_s = 0.1\nreconnect_max_s = 0.5\n"


class CupsCase(SynchronousTestCase):
    """An application server, a print provider and a CUPS, each a process."""

    timeout = 180

    def setUp(self) -> None:
        self.cups = PrivateCups()
        self.addCleanup(self.cups.close)
        folder = self.cups.folder
        http, https, links = free_port(), free_port(), free_port()
        listen = (
            f'[listen]\ninterface = "127.0.0.1"\nhttp = {http}\nhttps = {https}\n'
            f"links = {links}\ndevices = 0\n"
        )
        self.app = Role("app", "application server", folder / "app", listen)
        command(self.app.config, "init")
        self.app.start()
        self.addCleanup(self.app.stop)
        self.provider = Role(
            *("provider", "print provider", folder / "provider"),
            f'[application]\nhost = "127.0.0.1"\nport = {links}\n'
            f'{TIMES}[cups]\nserver = "{self.cups.socket}"\n',
        )
        added = command(self.app.config, "provider", "add", "p1")
        command(
            *(self.provider.config, "join", "--token", added["token"]),
            *("--server", f"127.0.0.1:{https}"),
        )
        command(self.app.config, "user", "add", "anna", "--balance", "100.00")
        self.provider.start()
        self.addCleanup(self.provider.stop)
        self.cups.set_backend_socket(self.provider.data / "cups.sock")
        self.cups.start()

    def queue(self, name: str, uri: str, model: str, *words: str) -> None:
        """A queue that asks the provider, known to the application server."""
        self.cups.add_queue(name, uri, model, *words)
        self.cups.run("lpadmin", "-p", name, "-v", f"papercut:{uri}")
        command(
            *(self.app.config, "printer", "add", name, "--provider", "p1"),
            *("--uri", f"cups:{name}"),
        )

    def document(self, pages: int = 3, **fields: Any) -> Path:
        path = self.cups.folder / f"{pages}.pdf"
        path.write_bytes(make_pdf([Page(**fields)] * pages))
        return path

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.provider.call("job.list")
        return found

    def until(self, condition: Callable[[], Any], what: str) -> None:
        try:
            wait_until(condition, what)
        except AssertionError as error:
            log = self.provider.log.read_text()[-3000:]
            cups = self.cups.log()[-3000:]
            raise AssertionError(f"{error}\n{self.jobs()}\n{log}\n{cups}") from None

    def ended(self, count: int) -> list[dict[str, Any]]:
        """The provider's jobs, once ``count`` of them have ended."""
        self.until(
            lambda: sum(job["state"] == "ended" for job in self.jobs()) >= count,
            f"{count} ended jobs",
        )
        return self.jobs()

    def charged(self, count: int) -> list[tuple[str, int]]:
        """(title, pages) of the charges, in the order of their booking."""
        self.until(
            lambda: self.app.call("status")["charges"] >= count,
            f"{count} charges",
        )
        return []


class MainPathTests(CupsCase):
    def test_one_job(self) -> None:
        printer = self.cups.ipp_printer("one")
        self.queue("q1", printer.uri, "everywhere")
        self.cups.lp("q1", self.document(3))
        (job,) = self.ended(1)
        self.assertEqual(printer.paper, [3])
        self.assertEqual((job["outcome"], job["pages"], job["user"]), ("completed", 3, "anna"))

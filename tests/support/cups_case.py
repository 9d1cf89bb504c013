"""An application server, a print provider and a CUPS, each a real process, for tests."""

from __future__ import annotations

import atexit
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.network import free_port
from papercutd.demo.processes import Role, command, start_together
from tests.support.cups import TestedCups, wait_until
from tests.support.installation import copy_data
from tests.unit.papercutd.provider.documents import Page, make_pdf

TIMES = "[times]\nback_jitter_s = 0.1\nreconnect_min_s = 0.1\nreconnect_max_s = 0.5\n"


Ports = tuple[int, int, int, int]


def _ports() -> Ports:
    """For HTTP, HTTPS, links and devices."""
    return free_port(), free_port(), free_port(), free_port()


def _application(folder: Path, ports: Ports) -> Role:
    http, https, links, devices = ports
    return Role(
        *("app", "application server", folder / "app"),
        f'[listen]\ninterface = "127.0.0.1"\nhttp = {http}\nhttps = {https}\n'
        f"links = {links}\ndevices = {devices}\n",
    )


_models: tuple[Role, Role] | None = None


def _joined_roles() -> tuple[Role, Role]:
    """An application server with its user and a provider that has joined it, both off.

    Made once in a process of tests: it takes a process for each command.
    """
    global _models
    if _models is None:
        folder = Path(tempfile.mkdtemp(prefix="pc-"))
        atexit.register(shutil.rmtree, folder, True)
        ports = _ports()
        app = _application(folder, ports)
        command(app.config, "init")
        app.start()
        try:
            added = command(app.config, "provider", "add", "p1")
            provider = Role("provider", "print provider", folder / "provider", "")
            server = f"127.0.0.1:{ports[1]}"
            command(provider.config, "join", "--token", added["token"], "--server", server)
            command(app.config, "user", "add", "anna", "--balance", "100.00")
        finally:
            app.stop()
        _models = app, provider
    return _models


class CupsCase(SynchronousTestCase):
    """User ``anna`` has 100.00 and is not restricted below zero; each queue is a printer."""

    timeout = 240
    #: More of the provider's configuration.
    provider_config = ""

    def setUp(self) -> None:
        self.cups = TestedCups()
        self.addCleanup(self.cups.close)
        folder = self.cups.folder
        ports = _ports()
        _, self.https, self.links, self.devices_port = ports
        self.app = _application(folder, ports)
        self.provider = Role(
            *("provider", "print provider", folder / "provider"),
            f'[application]\nhost = "127.0.0.1"\nport = {self.links}\n{TIMES}'
            f'[cups]\nserver = "{self.cups.socket}"\nbackend = "{self.cups.backend}"\n'
            f'printers_conf = "{folder}/etc/printers.conf"\n{self.provider_config}',
        )
        for model, role in zip(_joined_roles(), (self.app, self.provider), strict=True):
            copy_data(model, role)
        self.addCleanup(self.app.stop)
        self.addCleanup(self.provider.stop)
        start_together(self.app, self.provider)
        self.cups.set_backend_socket(self.provider.data / "cups.sock")
        self.cups.start()

    def admin(self, *words: str) -> Any:
        """``papercutd`` at the application server."""
        return command(self.app.config, *words)

    def at_provider(self, *words: str) -> Any:
        """``papercutd`` at the provider."""
        return command(self.provider.config, *words)

    def queue(self, name: str, uri: str, model: str, *words: str, **printer: str) -> None:
        """A queue that asks the provider, known to the application server."""
        self.cups.add_queue(name, uri, model, *words)
        more = [word for key, value in printer.items() for word in (f"--{key}", value)]
        self.admin("printer", "add", name, "--provider", "p1", "--uri", f"cups:{name}", *more)
        shown = self.at_provider("provider", "cups", "enable", name)
        self.assertTrue(shown["enabled"])

    def pdf(self, pages: int | Sequence[Page] = 3, name: str = "") -> Path:
        made = [Page()] * pages if isinstance(pages, int) else pages
        path = self.cups.folder / (name or f"{len(made)} pages.pdf")
        path.write_bytes(make_pdf(made))
        return path

    # What came of it.

    def jobs(self) -> list[dict[str, Any]]:
        """The provider's jobs, oldest first."""
        found: list[dict[str, Any]] = self.provider.call("job.list")
        return found

    def charges(self) -> list[tuple[str, int, str]]:
        """(title, pages, outcome) of what the application server booked, in its order."""
        with sqlite3.connect(f"file:{self.app.data}/application.db?mode=ro", uri=True) as database:
            found = database.execute(
                "SELECT title, pages, outcome FROM charge ORDER BY number"
            ).fetchall()
        database.close()
        return found

    @contextmanager
    def journal(self) -> Iterator[sqlite3.Connection]:
        """The journal of the provider, which does not run; committed at the end."""
        with closing(sqlite3.connect(self.provider.data / "provider.db")) as database, database:
            yield database

    def lines(self) -> list[list[tuple[str, int]]]:
        """The lines of each charge: what was printed on which paper, and how much of it."""
        with sqlite3.connect(f"file:{self.app.data}/application.db?mode=ro", uri=True) as database:
            found = database.execute("SELECT lines FROM charge ORDER BY number").fetchall()
        database.close()
        return [[(line["what"], line["quantity"]) for line in json.loads(row[0])] for row in found]

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> None:
        try:
            wait_until(condition, what, timeout_s)
        except AssertionError as error:
            log = self.provider.log.read_text()[-4000:]
            cups = self.cups.log()[-4000:]
            jobs = self.jobs() if self.provider.is_running() else "the provider does not run"
            raise AssertionError(f"{error}\n{cups}\n{log}\n{jobs}") from None

    def until_state(self, state: str, count: int = 1) -> list[dict[str, Any]]:
        """The provider's jobs, once ``count`` of them are in ``state``."""
        self.until(
            lambda: sum(job["state"] == state for job in self.jobs()) >= count,
            f"{count} jobs {state}",
        )
        return self.jobs()

    def until_charged(self, count: int) -> list[tuple[str, int, str]]:
        self.until(lambda: len(self.charges()) >= count, f"{count} charges")
        return self.charges()

    def until_on_disk(self, number: int) -> tuple[Path, Path]:
        """The two files by which CUPS remembers a job, written one after the other."""
        cache = self.cups.folder / "cache" / "job.cache"
        control = self.cups.folder / "spool" / f"c{number:05}"
        self.until(
            lambda: control.exists() and cache.exists() and f"<Job {number}>" in cache.read_text(),
            "the job on the disk of CUPS",
        )
        return cache, control

    def cups_state(self, number: int) -> str:
        """How CUPS has its job: ``held``, ``completed``, ..."""
        return self.cups.job_states().get(number, "unknown")

    def assert_in_order(self) -> None:
        """Nothing is charged twice, lost, or paid wrongly."""
        verified = self.admin(
            *("verify", "--provider-journal", str(self.provider.data / "provider.db"))
        )
        self.assertTrue(verified["ok"], verified)

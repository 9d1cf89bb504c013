"""The IPP adapter against a real IPP Everywhere printer: ``ippeveprinter`` of CUPS.

Needs the Debian packages cups-ipp-utils and dbus.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from papercutd.demo.network import free_port
from papercutd.provider.adapters import Outcome, PrinterUnreachable, PrintOptions
from papercutd.provider.adapters.ipp_printer import IppPrinter
from tests.unit.papercutd.provider.documents import Page, make_pdf

reactor: Any = _reactor
PDF = make_pdf([Page(), Page(), Page()])
DBUS = """<busconfig><type>system</type><listen>unix:path={socket}</listen>
<auth>EXTERNAL</auth><policy context="default"><allow send_destination="*"/>
<allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>"""
#: Without a command it takes seven seconds a job and counts nothing.
SCRIPT = """#!/bin/sh
test -e "{folder}/fail" && exit 1
echo "ATTR: job-impressions={pages} job-impressions-completed={pages}" >&2
exit 0
"""


class IppEverywhereTests(TestCase):
    timeout = 90

    async def setUp(self) -> None:
        for program in ("ippeveprinter", "dbus-daemon"):
            path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin"
            self.assertTrue(shutil.which(program, path=path), f"{program} is not installed")
        self.programs: list[subprocess.Popen[bytes]] = []
        self.folder = Path(os.path.abspath(self.mktemp()))
        (self.folder / "jobs").mkdir(parents=True)
        # The name of a Unix socket is short, whatever folder the tests run in.
        short = tempfile.mkdtemp(prefix="pc-")
        self.addCleanup(shutil.rmtree, short, ignore_errors=True)
        bus = Path(short, "bus")
        (self.folder / "bus.conf").write_text(DBUS.format(socket=bus))
        script = self.folder / "print.sh"
        script.write_text(SCRIPT.format(folder=self.folder, pages=3))
        script.chmod(0o755)
        self.run_program(
            "dbus-daemon", "--nofork", "--nopidfile", f"--config-file={self.folder / 'bus.conf'}"
        )
        while not bus.exists():
            self.assertIsNone(self.programs[0].poll(), "dbus-daemon does not start")
            await deferLater(reactor, 0.02, lambda: None)
        self.port = free_port()
        self.uri = f"ipp://localhost:{self.port}/ipp/print"
        self.printer = IppPrinter(reactor, reactor, poll_s=0.1)
        self.run_program(
            *("ippeveprinter", "-r", "off", "-n", "localhost", "-p", str(self.port)),
            *("-d", str(self.folder / "jobs"), "-k", "-c", str(script), "-f", "application/pdf"),
            "Test",
            DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={bus}",
        )

    def run_program(self, *words: str, **environment: str) -> None:
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin"
        running = subprocess.Popen(
            words,
            env={**os.environ, "PATH": path, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        self.programs.append(running)

        def end() -> None:
            running.kill()
            running.wait()

        self.addCleanup(end)

    async def print_it(self, **options: Any) -> Outcome:
        path = self.folder / "document.pdf"
        path.write_bytes(PDF)
        options = {"job": "j", "title": "report", "user_name": "anna", **options}
        while True:
            # It takes a moment to open its port.
            try:
                return await self.printer.print_document(
                    str(path), self.uri, self.started, PrintOptions(**options)
                )
            except PrinterUnreachable:
                await deferLater(reactor, 0.1, lambda: None)

    async def started(self) -> None:
        self.begun = getattr(self, "begun", 0) + 1

    async def test_printed_and_counted(self) -> None:
        self.assertEqual(await self.print_it(copies=1), Outcome("completed", 3))
        self.assertEqual(await self.print_it(title="t\u00e4\u00f6" * 100), Outcome("completed", 3))
        (first, _) = sorted((self.folder / "jobs").glob("*.pdf"))
        self.assertEqual(first.read_bytes(), PDF)
        self.assertEqual(self.begun, 2)

    async def test_aborted_by_the_printer(self) -> None:
        (self.folder / "fail").touch()
        outcome = await self.print_it()
        self.assertEqual((outcome.state, outcome.assumed), ("aborted", False))

    async def test_nobody_there(self) -> None:
        path = self.folder / "document.pdf"
        path.write_bytes(PDF)
        uri = f"ipp://localhost:{free_port()}/ipp/print"
        printing = self.printer.print_document(str(path), uri, self.started, PrintOptions())
        await self.assertFailure(Deferred.fromCoroutine(printing), PrinterUnreachable)
        self.assertFalse(hasattr(self, "begun"))

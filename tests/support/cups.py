"""CUPS and printers for tests: real programs in a folder of their own, ended by their ids.

Needs the Debian packages that tests/support/install.sh installs.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from papercutd.demo.cups import PATH, PrivateCups
from papercutd.demo.network import free_port

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0

JOBS_TEST = """{
OPERATION Get-Jobs
GROUP operation-attributes-tag
ATTR charset attributes-charset utf-8
ATTR language attributes-natural-language en
ATTR uri printer-uri $uri
ATTR keyword which-jobs all
ATTR keyword requested-attributes job-id,job-state
STATUS successful-ok
}
"""
DBUS = """<busconfig><type>system</type><listen>unix:path={socket}</listen>
<auth>EXTERNAL</auth><policy context="default"><allow send_destination="*"/>
<allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>"""


def wait_until(condition: object, what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Until ``condition()`` holds; an AssertionError names ``what`` did not come."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError(f"it never came: {what}")


class TestedCups(PrivateCups):
    """A private CUPS that is looked into, and printers beside it."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="pc-")))
        self._running: list[subprocess.Popen[bytes]] = []
        self._bus: Path | None = None

    def close(self) -> None:
        self.stop()
        for program in self._running:
            program.kill()
            program.wait()
        super().close()

    def run_program(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        log = open(self.folder / "log" / Path(words[0]).name, "ab")
        with log:
            program = subprocess.Popen(
                words,
                env={**os.environ, "PATH": PATH, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(program)
        return program

    def job_states(self) -> dict[int, str]:
        """The state of each job that this CUPS remembers, by its number."""
        said = self.run(
            *("ipptool", "-t", "-v", f"ipp://127.0.0.1:{self.port}/", str(self._jobs_test())),
            fails=None,
        )
        found = re.findall(r"job-id \(integer\) = (\d+)\s+job-state \(enum\) = ([a-z-]+)", said)
        return {int(number): state.removeprefix("pending-") for number, state in found}

    def _jobs_test(self) -> Path:
        path = self.folder / "etc" / "jobs.test"
        path.write_text(JOBS_TEST)
        return path

    def bus(self) -> str:
        """The address of a system bus of our own."""
        if self._bus is None:
            self._bus = self.folder / "run" / "bus"
            config = self.folder / "etc" / "bus.conf"
            config.write_text(DBUS.format(socket=self._bus))
            self.run_program("dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}")
            wait_until(self._bus.exists, "the bus")
        return f"unix:path={self._bus}"

    def ipp_printer(
        self, name: str, formats: str = "application/pdf", *words: str
    ) -> IppPrinterProgram:
        """A printer of IPP Everywhere."""
        return IppPrinterProgram(self, name, formats, words)


class IppPrinterProgram:
    """ippeveprinter: keeps what it prints, and counts its sides.

    A file ``fail`` in its folder makes it abort jobs, ``wait`` keeps them printing while it is
    there, ``uncounted`` makes it count nothing, ``dies`` aborts them after so many sides.
    """

    def __init__(
        self, cups: TestedCups, name: str, formats: str, words: tuple[str, ...] = ()
    ) -> None:
        self.folder = cups.folder / f"printer-{name}"
        (self.folder / "jobs").mkdir(parents=True)
        self._cups = cups
        self._words = (
            *("ippeveprinter", "-r", "off", "-n", "localhost", "-d", str(self.folder / "jobs")),
            *("-k", "-2", "-s", "10,10", "-c", str(self._command()), "-f", formats, *words),
        )
        self._name = name
        self.port = free_port()
        self.uri = f"ipp://localhost:{self.port}/ipp/print"
        self.start()

    def _command(self) -> Path:
        command = self.folder / "command"
        command.write_text(
            f'#!/bin/sh\nPAPER="{self.folder}" exec "{sys.executable}"'
            f' "{ROOT / "tests" / "support" / "paper.py"}" "$1"\n'
        )
        command.chmod(0o755)
        return command

    def start(self) -> None:
        self._program = self._cups.run_program(
            *self._words, "-p", str(self.port), self._name, DBUS_SYSTEM_BUS_ADDRESS=self._cups.bus()
        )
        wait_until(self._answers, f"printer {self._name}")

    def _answers(self) -> bool:
        assert self._program.poll() is None, f"the printer {self._name} ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._program.kill()
        self._program.wait()

    @property
    def documents(self) -> int:
        """How many documents have reached it."""
        return len(list((self.folder / "jobs").glob("*.*")))

    @property
    def paper(self) -> list[int]:
        """Sides of each job that came out."""
        path = self.folder / "paper"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[0]) for line in lines]

    def behave(self, how: str, on: bool = True, value: str = "") -> None:
        if on:
            (self.folder / how).write_text(value)
        else:
            (self.folder / how).unlink(missing_ok=True)


class SilentPrinter:
    """A printer on a TCP port that accepts, and then neither reads nor answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._socket.getsockname()[1]
        self.uri = f"socket://127.0.0.1:{self.port}/?snmp=false"
        self._accepted: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self._accepted.append(self._socket.accept()[0])
            except OSError:
                return

    @property
    def connections(self) -> int:
        return len(self._accepted)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._accepted:
            connection.close()


class RawPrinter:
    """A printer on a TCP port: keeps the bytes of each connection.

    ``breaks_off``: so many of the next connections it resets in the midst of the document.
    """

    def __init__(self) -> None:
        self.documents: list[bytes] = []
        self.breaks_off = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        # Without SNMP: the backend would wait for an answer to it.
        self.uri = f"socket://127.0.0.1:{self._socket.getsockname()[1]}/?snmp=false"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            data = b""
            with connection:
                if self.breaks_off:
                    self.breaks_off -= 1
                    connection.recv(1)
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    continue
                while block := connection.recv(65_536):
                    data += block
            if data:
                self.documents.append(data)

    def close(self) -> None:
        # A plain close would leave the thread in accept() with the port open.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

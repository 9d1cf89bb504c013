"""A private CUPS, and printers: real programs in a folder of their own, ended by their ids.

Needs the Debian packages that tests/support/install.sh installs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from papercutd.demo.network import free_port

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "papercutd" / "provider" / "backend" / "papercut"
SERVER_BIN = Path("/usr/lib/cups")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin"
START_TIMEOUT_S = 30.0

CUPS_FILES = """\
ServerRoot {folder}/etc
ServerBin {folder}/bin
DataDir /usr/share/cups
DocumentRoot /usr/share/cups/doc-root
RequestRoot {folder}/spool
CacheDir {folder}/cache
StateDir {folder}/run
TempDir {folder}/spool/tmp
ServerKeychain {folder}/etc/ssl
Printcap
SystemGroup {group}
{user}
AccessLog {folder}/log/access_log
ErrorLog {folder}/log/error_log
PageLog {folder}/log/page_log
FatalErrors config listen permissions
Sandboxing relaxed
LogFilePerm 0644
PassEnv PYTHONDONTWRITEBYTECODE
SetEnv PAPERCUTD_SOCKET {backend_socket}
"""

CUPSD = """\
LogLevel debug
MaxLogSize 0
Listen 127.0.0.1:{port}
Listen {folder}/run/cups.sock
Browsing Off
WebInterface No
IdleExitTimeout 0
DirtyCleanInterval 1
PreserveJobFiles Yes
PreserveJobHistory Yes
ErrorPolicy retry-job
JobRetryInterval {retry_interval_s}
JobRetryLimit 100
DefaultAuthType Basic
<Location />
  Order allow,deny
</Location>
<Location /admin>
  Order allow,deny
</Location>
<Policy default>
  JobPrivateAccess default
  JobPrivateValues default
  SubscriptionPrivateAccess default
  SubscriptionPrivateValues default
  <Limit Create-Job Print-Job Print-URI Validate-Job>
    Order deny,allow
  </Limit>
  <Limit Send-Document Send-URI Hold-Job Release-Job Restart-Job Purge-Jobs Set-Job-Attributes \
Create-Job-Subscription Renew-Subscription Cancel-Subscription Get-Notifications Reprocess-Job \
Cancel-Current-Job Suspend-Current-Job Resume-Job Cancel-My-Jobs Close-Job CUPS-Move-Job>
    Require user @OWNER @SYSTEM
    Order deny,allow
  </Limit>
  <Limit CUPS-Get-Document>
    AuthType Default
    Require user @OWNER @SYSTEM
    Order deny,allow
  </Limit>
  <Limit CUPS-Add-Modify-Printer CUPS-Delete-Printer CUPS-Add-Modify-Class CUPS-Delete-Class \
CUPS-Set-Default CUPS-Get-Devices>
    AuthType Default
    Require user @SYSTEM
    Order deny,allow
  </Limit>
  <Limit Pause-Printer Resume-Printer Enable-Printer Disable-Printer \
Pause-Printer-After-Current-Job Hold-New-Jobs Release-Held-New-Jobs Deactivate-Printer \
Activate-Printer Restart-Printer \
Shutdown-Printer Startup-Printer Promote-Job Schedule-Job-After Cancel-Jobs CUPS-Accept-Jobs \
CUPS-Reject-Jobs>
    AuthType Default
    Require user @SYSTEM
    Order deny,allow
  </Limit>
  <Limit Cancel-Job CUPS-Authenticate-Job>
    Require user @OWNER @SYSTEM
    Order deny,allow
  </Limit>
  <Limit All>
    Order deny,allow
  </Limit>
</Policy>
"""

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


class PrivateCups:
    """One cupsd with its own folder, port, socket, spool and backends.

    ``set_backend_socket`` says where the backend ``papercut`` finds its provider.
    """

    def __init__(self, retry_interval_s: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pc-"))
        self.folder.chmod(0o711)
        self.socket = self.folder / "run" / "cups.sock"
        self.port = free_port()
        self._running: list[subprocess.Popen[bytes]] = []
        self._cupsd: subprocess.Popen[bytes] | None = None
        self._bus: Path | None = None
        self._is_root = os.geteuid() == 0
        self._retry_interval_s = retry_interval_s
        self._make()
        self.set_backend_socket(self.folder / "run" / "papercutd.sock")

    def _make(self) -> None:
        folder = self.folder
        for name in ("etc/ssl", "etc/ppd", "spool/tmp", "cache", "run/certs", "log", "bin"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if self._is_root:
            for name, mode in (("spool", 0o710), ("spool/tmp", 0o1770), ("cache", 0o1770)):
                shutil.chown(folder / name, "root", "lp")
                (folder / name).chmod(mode)
        for name in ("filter", "daemon", "driver", "monitor", "notifier", "command", "cgi-bin"):
            if (SERVER_BIN / name).exists():
                (folder / "bin" / name).symlink_to(SERVER_BIN / name)
        backends = folder / "bin" / "backend"
        backends.mkdir()
        for name in ("ipp", "ipps", "socket"):
            # Since cups 2.2 Debian keeps some of them where they are not used by default.
            found = [SERVER_BIN / d / name for d in ("backend", "backend-available")]
            backends.joinpath(name).symlink_to(next(p for p in found if p.exists()))
        if BACKEND.exists():
            shutil.copy(BACKEND, backends / "papercut")
            (backends / "papercut").chmod(0o755)

    def set_backend_socket(self, path: Path) -> None:
        """To be called before the start."""
        values = {
            "folder": self.folder,
            "port": self.port,
            "backend_socket": path,
            "retry_interval_s": self._retry_interval_s,
            "group": "lpadmin root" if self._is_root else "lpadmin",
            "user": "User lp\nGroup lp" if self._is_root else "",
        }
        etc = self.folder / "etc"
        (etc / "cups-files.conf").write_text(CUPS_FILES.format(**values))
        (etc / "cupsd.conf").write_text(CUPSD.format(**values))

    # cupsd.

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": PATH, "CUPS_SERVER": str(self.socket), "LC_ALL": "C.UTF-8"}

    def start(self) -> None:
        etc = self.folder / "etc"
        self._cupsd = subprocess.Popen(
            ["cupsd", "-f", "-s", str(etc / "cups-files.conf"), "-c", str(etc / "cupsd.conf")],
            env={**os.environ, "PATH": PATH},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._answers, f"cupsd: {self.log()[-1000:]}")

    def _answers(self) -> bool:
        assert self._cupsd is not None
        assert self._cupsd.poll() is None, f"cupsd ended: {self.log()[-2000:]}"
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def stop(self, sig: int = signal.SIGTERM) -> None:
        if self._cupsd is not None:
            # It ends its filters and backends itself; killed, it cannot.
            self._cupsd.send_signal(sig)
            self._cupsd.wait()
            self._cupsd = None

    def close(self) -> None:
        self.stop()
        for program in self._running:
            program.kill()
            program.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        path = self.folder / "log" / "error_log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def backend(self) -> Path:
        """Our backend, as this CUPS runs it."""
        return self.folder / "bin" / "backend" / "papercut"

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

    def run(self, *words: str, fails: bool | None = False) -> str:
        """What ``words`` print: lp, lpadmin, lpstat, cancel, ... at this CUPS.

        ``fails``: whether it has to fail; None: it may.
        """
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60
        )
        if fails is not None and (done.returncode != 0) is not fails:
            raise AssertionError(f"{' '.join(words)}: {done.returncode} {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def lp(self, queue: str, path: Path | str, *words: str, user: str = "anna") -> int:
        """Print a file; CUPS's number of the job."""
        # request id is QUEUE-7 (1 file(s))
        said = self.run("lp", "-d", queue, "-U", user, *words, str(path))
        return int(said.split("(")[0].strip().rpartition("-")[2])

    # Printers.

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

    def add_queue(self, name: str, uri: str, model: str, *words: str) -> None:
        """A queue, enabled and accepting."""
        self.run("lpadmin", "-p", name, "-v", uri, "-m", model, "-E", *words)


class IppPrinterProgram:
    """ippeveprinter: keeps what it prints, and counts its sides.

    A file ``fail`` in its folder makes it abort jobs, ``wait`` keeps them printing while it is
    there, ``uncounted`` makes it count nothing, ``dies`` aborts them after so many sides.
    """

    def __init__(
        self, cups: PrivateCups, name: str, formats: str, words: tuple[str, ...] = ()
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

"""A private CUPS: a cupsd in a folder of its own, ended by its id.

As root its filters and backends run as ``lp``; as a plain user as that user.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from papercutd.demo.network import free_port
from papercutd.demo.processes import NotReady, run

BACKEND = Path(__file__).resolve().parents[1] / "provider" / "backend" / "papercut"
SERVER_BIN = Path("/usr/lib/cups")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
#: What it takes to print on paper through CUPS.
_BACKENDS = ("ipp", "ipps", "socket")
_PROGRAMS = ("cupsd", "lp", "lpadmin")

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
JobRetryInterval 1
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


class PrivateCups:
    """One cupsd with its own folder, port, socket, spool and backends.

    ``set_backend_socket`` says where the backend ``papercut`` finds its provider.
    """

    def __init__(self, folder: Path) -> None:
        """``folder``: a new one in a short path, that of a Unix socket has 107 bytes."""
        self.folder = folder
        # Backends run as another user, and reach their provider in it.
        folder.mkdir(mode=0o711, exist_ok=True)
        folder.chmod(0o711)
        self.socket = self.folder / "run" / "cups.sock"
        self.port = free_port()
        self._cupsd: subprocess.Popen[bytes] | None = None
        self._is_root = os.geteuid() == 0
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
        for name in _BACKENDS:
            real = _real_backend(name)
            if real is not None:
                (backends / name).symlink_to(real)
        shutil.copy(BACKEND, self.backend)
        self.backend.chmod(0o755)

    def set_backend_socket(self, path: Path) -> None:
        """To be called before the start."""
        values = {
            "folder": self.folder,
            "port": self.port,
            "backend_socket": path,
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
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._cupsd.poll() is not None or time.monotonic() > deadline:
                raise NotReady(f"cupsd did not start:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
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
            try:
                self._cupsd.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._cupsd.kill()
                self._cupsd.wait()
            self._cupsd = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        path = self.folder / "log" / "error_log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def backend(self) -> Path:
        """Our backend, as this CUPS runs it."""
        return self.folder / "bin" / "backend" / "papercut"

    def run(self, *words: str, fails: bool | None = False) -> str:
        """What ``words`` print: lp, lpadmin, lpstat, cancel, ... at this CUPS.

        ``fails``: whether it has to fail; None: it may.
        """
        done = run(*words, environment=self.environment)
        if fails is not None and (done.returncode != 0) is not fails:
            raise NotReady(f"{' '.join(words)}: {done.returncode} {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def lp(self, queue: str, path: Path | str, *words: str, user: str = "anna") -> int:
        """Print a file; CUPS's number of the job."""
        # request id is QUEUE-7 (1 file(s))
        said = self.run("lp", "-d", queue, "-U", user, *words, str(path))
        return int(said.split("(")[0].strip().rpartition("-")[2])

    def add_queue(self, name: str, uri: str, model: str, *words: str) -> None:
        """A queue, enabled and accepting."""
        self.run("lpadmin", "-p", name, "-v", uri, "-m", model, "-E", *words)


def missing() -> str:
    """Why CUPS cannot be run here; empty: it can."""
    if os.geteuid() != 0:
        return "its backends run as root only"
    absent = [name for name in _PROGRAMS if shutil.which(name, path=PATH) is None]
    absent += [name for name in _BACKENDS if _real_backend(name) is None]
    if not Path("/usr/bin/python3").exists():
        absent.append("/usr/bin/python3")
    return f"not installed: {', '.join(absent)}" if absent else ""


def _real_backend(name: str) -> Path | None:
    # Since cups 2.2 Debian keeps some of them where they are not used by default.
    paths = (SERVER_BIN / folder / name for folder in ("backend", "backend-available"))
    return next((path for path in paths if path.exists()), None)

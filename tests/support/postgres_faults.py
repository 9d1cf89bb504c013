"""A PostgreSQL to which everything happens: killed, frozen, filled; on a port too, with TLS.

Its data are on a small disk of their own, which needs root.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psycopg2
from cryptography import x509

from papercutd.demo.network import Relay, free_port
from tests.support.certificates import make_authority, odd_credentials
from tests.support.postgres import Cluster
from tests.support.small_disk import SmallDisk

PASSWORD = "a p%ss/w@rd"
#: Few, so that a test can take all of them.
CONNECTIONS = 40
#: Who comes over the port with a password, and only under TLS.
SECURED = "secured"
_ADMITTED = f"""\
local all all trust
hostssl all {SECURED} 127.0.0.1/32 scram-sha-256
host all papercut 127.0.0.1/32 trust
"""


class FaultyCluster(Cluster):
    """On a disk of 200 MB."""

    def __init__(self, directory: str) -> None:
        self.tcp_port = free_port()
        self.disk = SmallDisk(Path(directory), "200m")
        super().__init__(
            directory,
            {
                "listen_addresses": "'127.0.0.1'",
                "port": str(self.tcp_port),
                "max_connections": str(CONNECTIONS),
                "max_wal_size": "32MB",
                "min_wal_size": "32MB",
                "ssl": "on",
                "max_prepared_transactions": "2",
            },
        )
        self.port = self.tcp_port

    def create(self) -> None:
        super().create()
        wall_s = time.time()
        authority, other = make_authority(wall_s), make_authority(wall_s)
        shown = odd_credentials(authority, [x509.DNSName("localhost")], wall_s)
        files = {
            self.data / "server.crt": shown.chain_pem,
            self.data / "server.key": shown.key_pem,
            self.data / "pg_hba.conf": _ADMITTED.encode(),
            self.authority: authority.pem,
            self.other_authority: other.pem,
        }
        for path, content in files.items():
            path.write_bytes(content)
            if self._owner is not None:
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        (self.data / "server.key").chmod(0o600)

    @property
    def authority(self) -> Path:
        """The CA of the certificate that the server shows; and another."""
        return self.directory / "ca.pem"

    @property
    def other_authority(self) -> Path:
        return self.directory / "other-ca.pem"

    def tcp(self, database: str, port: int = 0, more: str = "", user: str = "papercut") -> str:
        where = f"hostaddr=127.0.0.1&port={port or self.tcp_port}&user={user}"
        return f"postgresql:///{database}?host=localhost&{where}{more}"

    def processes(self) -> list[int]:
        """The server's, the first that listens."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def freeze(self) -> None:
        """Until nobody makes another process."""
        known: list[int] = []
        while known != self.processes():
            known = self.processes()
            for pid in known:
                _signal(pid, signal.SIGSTOP)

    def wake(self) -> None:
        for pid in self.processes():
            _signal(pid, signal.SIGCONT)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill_listener(self) -> None:
        """kill -9 of the postmaster alone: its children find out by themselves."""
        children = self.processes()[1:]
        self.stop(signal.SIGKILL)
        until = time.monotonic() + 30
        while any(_is_alive(pid) for pid in children):
            assert time.monotonic() < until, "its children live on"
            time.sleep(0.01)

    def take_connections(self) -> list[psycopg2.extensions.connection]:
        """All that are left."""
        taken = []
        try:
            while True:
                taken.append(psycopg2.connect(self.dsn("postgres")))
        except psycopg2.OperationalError:
            return taken


def _signal(pid: int, which: int) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        pass


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


_faulty: FaultyCluster | None = None


def faulty_cluster() -> FaultyCluster:
    """One for the whole process; whoever hurts it heals it."""
    global _faulty
    if _faulty is None:
        assert os.geteuid() == 0, "mounting a small disk needs root"
        directory = tempfile.mkdtemp(prefix="papercut-pg-")
        cluster = FaultyCluster(directory)
        try:
            cluster.create()
            cluster.start()
            cluster.run(f"CREATE ROLE {SECURED} LOGIN PASSWORD '{PASSWORD}'")
        except BaseException:
            cluster.kill()
            cluster.disk.close()
            raise
        _faulty = cluster
        owner = os.getpid()

        def end() -> None:
            if os.getpid() == owner:
                cluster.wake()
                cluster.kill()
                cluster.disk.close()
                shutil.rmtree(directory, ignore_errors=True)

        atexit.register(end)
    return _faulty


class MomentRelay(Relay):
    """Cut at a named moment: when the client sends what holds ``words``."""

    def __init__(self, target_port: int) -> None:
        #: Cut before that is passed on; after the server's answer to it has come.
        self.before = self.after = b""
        self._is_answer_lost = False
        super().__init__(target_port)

    def on_its_way(self, block: bytes) -> None:
        if self.before and self.before in block:
            self.before = b""
            self.cut()
        elif self._is_answer_lost:
            self._is_answer_lost = False
            self.cut()
        elif self.after and self.after in block:
            self.after = b""
            self._is_answer_lost = True

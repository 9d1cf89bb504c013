"""A PostgreSQL of the test's own: made, started and ended by it, on a socket in its directory.

The server refuses to run as root: then it runs as the user ``postgres`` of Debian's package.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2

_LIBRARY = Path("/usr/lib/postgresql")
START_S = 60.0


def program(name: str) -> str:
    """The newest installed; Debian keeps servers' programs out of the path."""
    found = sorted(_LIBRARY.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if found:
        return str(found[-1])
    here = shutil.which(name)
    assert here is not None, f"PostgreSQL's {name} is not installed"
    return here


def _end_with_parent() -> None:
    """Whoever started this process is killed: so is it (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


class Cluster:
    """One server. ``port`` is of its socket alone, unless ``tcp``."""

    def __init__(self, directory: str, settings: dict[str, str] | None = None) -> None:
        self.directory = Path(directory)
        self.port = 5432
        self._settings = {
            "fsync": "on",
            "listen_addresses": "''",
            "unix_socket_directories": f"'{directory}'",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "log_min_messages": "warning",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None

    def as_owner(self) -> dict[str, object]:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    def create(self) -> None:
        self.make_data("initdb", "-A", "trust", "--no-locale", "-E", "UTF8")

    def make_data(self, name: str, *words: str) -> None:
        """Have PostgreSQL's program ``name`` fill the data directory; then our settings."""
        self.own_directory()
        subprocess.run(
            [
                *(program(name), "-D", str(self.data), "-U", "papercut", "--no-sync"),
                *words,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            **self.as_owner(),  # type: ignore[call-overload]
        )
        self.write_settings()

    def own_directory(self) -> None:
        if self._owner is not None:
            os.chown(self.directory, self._owner.pw_uid, self._owner.pw_gid)

    def write_settings(self) -> None:
        with (self.data / "postgresql.conf").open("a") as config:
            config.writelines(f"{name} = {value}\n" for name, value in self._settings.items())

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                preexec_fn=_end_with_parent,
                **self.as_owner(),  # type: ignore[call-overload]
            )
        until = time.monotonic() + START_S
        while True:
            try:
                psycopg2.connect(self.dsn("postgres")).close()
                return
            except psycopg2.OperationalError:
                assert self._process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < until, "PostgreSQL does not start"
                time.sleep(0.05)

    def stop(self, how: int = signal.SIGINT) -> None:
        """End it: by default with all its sessions, at once and in order."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(how)
        self._process.wait(30)

    def kill(self) -> None:
        """As a crash of the machine's software would: no process of it writes anything more."""
        self.stop(signal.SIGQUIT)

    def dsn(self, database: str) -> str:
        return f"postgresql:///{database}?host={self.directory}&port={self.port}&user=papercut"

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        connection = psycopg2.connect(self.dsn(database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description is not None else []
        finally:
            connection.close()

    def create_database(self, name: str, template: str = "template0") -> str:
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.dsn(name)


_shared: Cluster | None = None
_SHARED_BYTES = 1_000_000_000


def _has_room(directory: str) -> bool:
    try:
        return shutil.disk_usage(directory).free > _SHARED_BYTES
    except OSError:
        return False


def shared_cluster() -> Cluster:
    """One for the whole process, for tests that do nothing to the server itself."""
    global _shared
    if _shared is None:
        # In memory where there is one: the syncs of hundreds of small databases cost minutes.
        memory = "/dev/shm" if _has_room("/dev/shm") else None
        directory = tempfile.mkdtemp(prefix="papercut-pg-", dir=memory)
        cluster = Cluster(directory)
        try:
            cluster.create()
            cluster.start()
        except BaseException:
            cluster.stop()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        _shared = cluster
        owner = os.getpid()

        def end() -> None:
            # A forked child is not its owner.
            if os.getpid() == owner:
                # At once: nobody needs what it has.
                cluster.kill()
                shutil.rmtree(directory, ignore_errors=True)

        atexit.register(end)
    return _shared

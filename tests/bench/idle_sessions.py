"""Device sessions that do nothing but ping: one of the processes of tests/bench/idle.py.

``python -m tests.bench.idle_sessions DIRECTORY PORT SITE FIRST COUNT``: DIRECTORY holds ``ca.pem``,
``key.pem`` and a chain ``NAME.pem`` for each device. Prints a line when all are open, and at
the end of its standard input one JSON object.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from papercutd.identity.names import dns_name
from protocols.limits import PING_INTERVAL_S
from tests.support.raw_link import JOURNAL

#: Descriptors beside those of the sessions.
OTHER_FILES = 64


def raise_limit(files: int) -> None:
    """Leave for ``files`` open files, or say what is missing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= files:
        return
    if hard != resource.RLIM_INFINITY and hard < files:
        raise SystemExit(f"{files} open files are needed, {hard} are allowed: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


class Idle:
    """One session; the socket is all that is kept of it."""

    def __init__(self, directory: Path, port: int, site: str, name: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(directory / "ca.pem")
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_cert_chain(directory / f"{name}.pem", directory / "key.pem")
        raw = socket.create_connection(("127.0.0.1", port), timeout=60.0)
        self._socket = context.wrap_socket(raw, server_hostname=dns_name("site", site))
        self.ask(
            "HELLO",
            {
                **{"versions": [1], "role": "device", "name": name, "journal": JOURNAL},
                "mark": {"number": 0, "chain": "00" * 32},
            },
        )
        self.ask("OPEN", {"page": 0, "last": True, "runs": []})

    def ask(self, verb: str, fields: dict[str, object]) -> None:
        """Raises OSError for any other answer than OK."""
        self._socket.sendall(f"a {verb} {json.dumps(fields)}\n".encode())
        data = b""
        while not any(line.startswith(b"a ") for line in data.split(b"\n")[:-1]):
            chunk = self._socket.recv(16_384)
            if not chunk:
                raise OSError("the session ended")
            data += chunk
        if b"a OK" not in data:
            raise OSError(data.decode())

    def never_wait(self) -> ssl.SSLSocket:
        """From here on there are only pings."""
        self._socket.setblocking(False)
        return self._socket

    def ping(self) -> None:
        """Send one; the answer is read when it is there."""
        self._socket.sendall(f"a PING {json.dumps({'clock': time.time()})}\n".encode())

    def read(self) -> None:
        """Raises OSError where the session has ended, or a ping was refused."""
        try:
            while data := self._socket.recv(16_384):
                if b"a NO" in data or b"* BYE" in data:
                    raise OSError(data.decode())
        except ssl.SSLWantReadError:
            return
        raise OSError("the session ended")


class Pinging:
    """Pings each of ``links`` every PING_INTERVAL_S, spread over that time.

    No ping waits for the answer to another: a slow server is not spared any.
    """

    def __init__(self, count: int) -> None:
        self.links: list[Idle] = []
        self.lost: dict[Idle, str] = {}
        self.ended = threading.Event()
        self._count = count
        self._readable = selectors.DefaultSelector()

    def add(self, link: Idle) -> None:
        self._readable.register(link.never_wait(), selectors.EVENT_READ, link)
        self.links.append(link)

    def run(self) -> None:
        while not self.ended.is_set():
            began = time.monotonic()
            for number, link in enumerate(list(self.links)):
                self._read_until(began + PING_INTERVAL_S * number / self._count)
                if self.ended.is_set():
                    return
                if link not in self.lost:
                    self._try(link, link.ping)
            self._read_until(began + PING_INTERVAL_S)

    def _read_until(self, due: float) -> None:
        """Read at least once; until ``due`` or the end."""
        while not self.ended.is_set():
            left_s = due - time.monotonic()
            for key, _ in self._readable.select(min(max(left_s, 0.0), 0.2)):
                self._try(key.data, key.data.read)
            if left_s <= 0.0:
                return

    def _try(self, link: Idle, what: Callable[[], None]) -> None:
        try:
            what()
        except OSError as error:
            if link not in self.lost:
                self.lost[link] = str(error)
                self._readable.unregister(link.never_wait())


def main() -> None:
    directory, port, site = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    first, count = int(sys.argv[4]), int(sys.argv[5])
    raise_limit(count + OTHER_FILES)
    pinging = Pinging(count)
    thread = threading.Thread(target=pinging.run, daemon=True)
    thread.start()
    for number in range(first, first + count):
        pinging.add(Idle(directory, port, site, f"idle-{number}"))
    print("open", flush=True)
    sys.stdin.read()
    pinging.ended.set()
    thread.join(60.0)
    lost = list(pinging.lost.values())
    found = {"open": len(pinging.links), "lost": len(lost), "first": lost[:1]}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

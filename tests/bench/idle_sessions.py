"""Device sessions that do nothing but ping: one of the processes of tests/bench/idle.py.

``python -m tests.bench.idle_sessions DIRECTORY PORT SITE FIRST COUNT``: DIRECTORY holds ``ca.pem``,
``key.pem`` and a chain ``NAME.pem`` for each device. Prints a line when all are open, and at
the end of its standard input one JSON object.
"""

from __future__ import annotations

import json
import resource
import socket
import ssl
import sys
import threading
import time
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

    def ping(self) -> None:
        self.ask("PING", {"clock": time.time()})


def main() -> None:
    directory, port, site = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    first, count = int(sys.argv[4]), int(sys.argv[5])
    raise_limit(count + OTHER_FILES)
    links: list[Idle] = []
    lost: list[str] = []
    ended = threading.Event()

    def ping() -> None:
        """Each every PING_INTERVAL_S, spread over that time."""
        while not ended.is_set():
            began = time.monotonic()
            for number, link in enumerate(list(links)):
                due = began + PING_INTERVAL_S * number / count
                if ended.wait(max(0.0, due - time.monotonic())):
                    return
                try:
                    link.ping()
                except OSError as error:
                    lost.append(str(error))
            ended.wait(max(0.05, began + PING_INTERVAL_S - time.monotonic()))

    pinging = threading.Thread(target=ping, daemon=True)
    pinging.start()
    for number in range(first, first + count):
        links.append(Idle(directory, port, site, f"idle-{number}"))
    print("open", flush=True)
    sys.stdin.read()
    ended.set()
    pinging.join(60.0)
    print(json.dumps({"open": len(links), "lost": len(lost), "first": lost[:1]}), flush=True)


if __name__ == "__main__":
    main()

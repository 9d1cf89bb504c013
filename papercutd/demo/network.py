"""Printers that keep what they receive, and relays whose links can be cut."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path

#: Below what systems give to outgoing connections: what is free now stays free.
_PORTS = range(15_000, 32_000)
#: Ports that one process gives out in turn; it keeps the first of them bound to own the rest.
_BLOCK = 200


class _Block:
    """Ports that no other process of ours will take: what is given is bound a while later."""

    def __init__(self) -> None:
        first = list(_PORTS[::_BLOCK])
        random.SystemRandom().shuffle(first)
        for port in first:
            self._owned = socket.socket()
            try:
                self._owned.bind(("127.0.0.1", port))
            except OSError:
                self._owned.close()
                continue
            self._first = port
            self._given = 0
            return
        raise OSError("no ports of the loopback are free")

    def next(self) -> int:
        self._given = self._given % (_BLOCK - 1) + 1
        return self._first + self._given


_block: _Block | None = None


def free_port() -> int:
    """A port of the loopback that nobody uses now.

    Neither an outgoing connection nor another process that asks here will take it.
    """
    global _block
    if _block is None:
        _block = _Block()
    for _ in range(_BLOCK):
        port = _block.next()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError("no port of the loopback is free")


class _Listener:
    """Accepts connections on the loopback in a thread until it is closed."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_server((host, 0), backlog=64)
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        # A plain close would leave the thread in accept() with the port open.
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


class Printer(_Listener):
    """A printer on a TCP port: every document it received is a file."""

    def __init__(self, directory: Path, host: str = "127.0.0.1") -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._count = 0
        self._lock = threading.Lock()
        super().__init__(host)

    def serve(self, connection: socket.socket) -> None:
        data = b""
        with connection:
            while block := connection.recv(65_536):
                data += block
            if data:
                with self._lock:
                    self._count += 1
                    path = self.directory / f"{self._count:05d}.prn"
                path.write_bytes(data)


class Relay(_Listener):
    """Passes bytes both ways to ``target_port``, until it is cut."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._open = threading.Event()
        self._open.set()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        super().__init__()

    def cut(self) -> None:
        """Silently: nothing is passed on, nothing is closed, nobody is told."""
        self._open.clear()

    def heal(self) -> None:
        """Connections that were cut are gone, as after any real cut of that length."""
        pairs, self._pairs = list(self._pairs), set()
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._open.set()

    def serve(self, connection: socket.socket) -> None:
        self._open.wait()
        try:
            other = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            connection.close()
            return
        other.settimeout(None)
        for end in (connection, other):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (connection, other)
        self._pairs.add(pair)
        back = threading.Thread(target=self._pass_on, args=(other, connection), daemon=True)
        back.start()
        self._pass_on(connection, other)
        back.join()
        self._pairs.discard(pair)
        connection.close()
        other.close()

    def on_its_way(self, block: bytes) -> None:
        """What has come and is not passed on yet: for those who cut at a named moment."""

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while block := source.recv(65_536):
                self.on_its_way(block)
                self._open.wait()
                target.sendall(block)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

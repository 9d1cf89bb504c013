"""A relay to a server that is far away: every byte arrives, later."""

from __future__ import annotations

import queue
import socket
import threading
import time

from papercutd.demo.network import Relay


class SlowRelay(Relay):
    """Passes bytes on ``delay_s`` after they came, each way, whatever comes behind them."""

    def __init__(self, target_port: int, delay_s: float) -> None:
        self._delay_s = delay_s
        super().__init__(target_port)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        sender = threading.Thread(target=self._send, args=(waiting, target), daemon=True)
        sender.start()
        block = b"-"
        while block:
            try:
                block = source.recv(65_536)
            except OSError:
                block = b""
            # Its end travels as long as its bytes.
            waiting.put((time.monotonic() + self._delay_s, block))
        sender.join()

    def _send(self, waiting: queue.SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
        try:
            while True:
                due, block = waiting.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not block:
                    break
                target.sendall(block)
        except OSError:
            pass
        try:
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

"""A print provider typed by hand: bytes over mutual TLS, and what comes back."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

from papercutd.identity.names import APPLICATION, dns_name

JOURNAL = "01960a2e-0000-7000-8000-0000000000f1"


def job_id(number: int) -> str:
    return f"01960a2e-0000-7000-8000-{number:012x}"


class RawLink:
    """One connection; every answer is read as it comes."""

    def __init__(
        self,
        port: int,
        identity: Path,
        timeout_s: float = 20.0,
        server: tuple[str, str] = (APPLICATION, APPLICATION),
    ) -> None:
        """``server``: role and name of whom we expect there."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(identity / "ca.pem")
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_cert_chain(identity / "chain.pem", identity / "key.pem")
        raw = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket = context.wrap_socket(raw, server_hostname=dns_name(*server))
        self._lines = self.socket.makefile("rb")
        self._tags = 0
        #: Events that came between answers.
        self.events: list[tuple[str, dict[str, Any]]] = []

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def send(self, line: bytes) -> None:
        self.socket.sendall(line)

    def line(self) -> bytes:
        """The next line; empty at the end of the connection."""
        try:
            return self._lines.readline()
        except (ConnectionError, ssl.SSLError):
            return b""

    def answer(self) -> tuple[str, str, dict[str, Any]]:
        """(tag, ``OK`` or the code, fields) of the next answer or notice; events are kept.

        At the end of the connection: (``end``, the code of its BYE, nothing).
        """
        while True:
            line = self.line()
            if not line:
                said = [fields["code"] for name, fields in self.events if name == "BYE"]
                return "end", said[-1] if said else "", {}
            tag, rest = line.decode().split(" ", 1)
            if tag == "*":
                name, body = rest.split(" ", 1)
                self.events.append((name, json.loads(body)))
                continue
            word, body = rest.split(" ", 1)
            if word == "NO":
                word, body = body.split(" ", 1)
            return tag, word, json.loads(body)

    def ask(self, verb: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        """(``OK`` or the code, fields) of the answer to a request."""
        self._tags += 1
        self.send(f"{self._tags} {verb} {json.dumps(fields)}\n".encode())
        tag, word, found = self.answer()
        assert tag in (str(self._tags), "end"), (tag, word, found)
        return word, found

    def hello(self, name: str = "raw", **fields: Any) -> tuple[str, dict[str, Any]]:
        return self.ask(
            "HELLO",
            **{
                "versions": [1],
                "role": "provider",
                "name": name,
                "journal": JOURNAL,
                "mark": {"number": 0, "chain": "00" * 32},
                **fields,
            },
        )

    def open(self) -> RawLink:
        """After the handshake, with nothing open."""
        word, found = self.hello()
        assert word == "OK", (word, found)
        word, found = self.ask("OPEN", page=0, last=True, keys=[])
        assert word == "OK", (word, found)
        return self

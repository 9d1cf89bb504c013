"""A bare TLS line echo: what Twisted and OpenSSL cost, with nothing behind them.

``python -m tests.bench.echo DIRECTORY``: DIRECTORY is an application server's, whose
certificate is shown and whose CA's certificates are demanded. Prints its port.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from papercutd.identity.endpoints import tls_server_factory
from papercutd.identity.tls import Credentials, ServerTls

reactor: Any = _reactor


class Echo(LineOnlyReceiver):
    """Each line as it came."""

    delimiter = b"\n"
    MAX_LENGTH = 65_536

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


def main() -> None:
    tls = ServerTls(Credentials.load(Path(sys.argv[1]) / "identity"), enforce_dates=True)
    factory = tls_server_factory(tls, Factory.forProtocol(Echo), reactor)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()

"""Who is shown what on the HTTPS port, and what a client believes: handshakes in memory."""

from __future__ import annotations

import time
from typing import Any

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from papercutd.identity.authority import pin_of
from papercutd.identity.names import peer_of
from papercutd.identity.tls import (
    INSTALLATION_NAME,
    LINK_PROTOCOL,
    ClientTls,
    PinnedTls,
    ServerTls,
    Trusted,
    WebTls,
)
from protocols.client.spec import CLIENT_NAME, CLIENT_PROTOCOL
from tests.support.certificates import credentials, make_authority


def shake_hands(server: Any, client: Any) -> tuple[SSL.Connection, SSL.Connection]:
    """Both ends after the handshake; raises SSL.Error of whoever refuses."""
    ends = (client.clientConnectionForTLS(None), server.serverConnectionForTLS(None))
    ends[0].set_connect_state()
    ends[1].set_accept_state()
    for _ in range(10):
        for one, other in (ends, ends[::-1]):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(65_536))
            except SSL.WantReadError:
                pass
    return ends


class HttpsPortTests(SynchronousTestCase):
    def setUp(self) -> None:
        wall_s = self.wall_s = time.time()
        self.authority = make_authority(wall_s)
        self.own = credentials(self.authority, "application", "application", wall_s)
        self.north = credentials(self.authority, "site", "north", wall_s)
        stranger = make_authority(wall_s)
        self.stranger = credentials(stranger, "application", "application", wall_s)
        # What browsers are shown is another certificate, as where the administrator has one.
        self.web = credentials(stranger, "site", "web", wall_s)

    def port(self, own: Any = None) -> WebTls:
        own = own or self.own
        installation = ServerTls(own, alpn=(LINK_PROTOCOL, b"http/1.1"))
        clients = ServerTls(own, demand=False, alpn=(CLIENT_PROTOCOL,))
        shown = ServerTls(self.web, demand=False)
        return WebTls(shown, installation, {CLIENT_NAME: clients})

    def client(self, role: str = "application", name: str = "application", **how: Any) -> ClientTls:
        options: dict[str, Any] = {"server_name": CLIENT_NAME, "alpn": (CLIENT_PROTOCOL,), **how}
        return ClientTls(Trusted(self.authority.pem), role, name, **options)

    def shown(self, connection: SSL.Connection) -> str:
        found = connection.get_peer_certificate()
        assert found is not None
        return peer_of(found.to_cryptography()).role

    def test_a_client(self) -> None:
        """The installation's certificate, and none of its own is asked for."""
        client, server = shake_hands(self.port(), self.client())
        self.assertEqual(self.shown(client), "application")
        self.assertIsNone(server.get_peer_certificate())
        self.assertEqual(server.get_alpn_proto_negotiated(), CLIENT_PROTOCOL)
        # At a site that site's.
        client, _ = shake_hands(self.port(self.north), self.client("site", "north"))
        self.assertEqual(self.shown(client), "site")

    def test_no_link_without_a_certificate(self) -> None:
        """The name chooses what may be spoken: neither protocol comes with the other's name."""
        for protocol in (CLIENT_PROTOCOL, LINK_PROTOCOL):
            client = self.client(server_name=INSTALLATION_NAME, alpn=(protocol,))
            self.assertRaises(SSL.Error, shake_hands, self.port(), client)
        _, server = shake_hands(self.port(), self.client(alpn=(LINK_PROTOCOL,)))
        # HTTP is what goes on then.
        self.assertEqual(server.get_alpn_proto_negotiated(), b"")

    def test_as_a_browser(self) -> None:
        """Without the name no protocol but HTTP is agreed on, whatever is offered."""
        client = PinnedTls(pin_of(self.web.certificate), pin_of, alpn=(CLIENT_PROTOCOL,))
        _, server = shake_hands(self.port(), client)
        self.assertEqual(server.get_alpn_proto_negotiated(), b"")

    def test_servers_that_are_not_believed(self) -> None:
        for server, client in (
            # Of another authority, by whatever name.
            (self.stranger, self.client()),
            # A site that poses as the application server, or as another site.
            (self.north, self.client()),
            (self.north, self.client("site", "south")),
            (self.own, self.client("site", "north")),
        ):
            with self.assertRaises(SSL.Error):
                shake_hands(self.port(server), client)

    def test_by_the_pin(self) -> None:
        for pin, is_right in ((pin_of(self.own.certificate), True), ("00" * 32, False)):
            client = PinnedTls(pin, pin_of, server_name=CLIENT_NAME, alpn=(CLIENT_PROTOCOL,))
            if is_right:
                shake_hands(self.port(), client)
            else:
                self.assertRaises(SSL.Error, shake_hands, self.port(), client)
            self.assertEqual((client.was_shown, client.was_another_shown), (is_right, not is_right))
        # The key that browsers are shown is no clients' pin.
        client = PinnedTls(pin_of(self.web.certificate), pin_of, server_name=CLIENT_NAME)
        self.assertRaises(SSL.Error, shake_hands, self.port(), client)

    def test_what_is_no_authority(self) -> None:
        self.assertRaises(ValueError, ClientTls, Trusted(b"no PEM"), "site", "north")

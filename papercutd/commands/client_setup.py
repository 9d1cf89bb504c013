"""``papercut-client setup``: which installation it is, by its authority or by a pin."""

from __future__ import annotations

import argparse
import json
import re
import uuid
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as SetupTimeout

from papercutd import __version__
from papercutd.client.client import NoServer
from papercutd.client.home import Home, Settings
from papercutd.commands.once import run_coroutine
from papercutd.environment import real_environment
from papercutd.errors import InvalidValue, LinkError
from papercutd.identity.authority import pin_of
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.names import check_name
from papercutd.identity.tls import PinnedTls
from papercutd.services.places import Place, parse_place, show_place
from protocols.client import messages
from protocols.client.spec import CLIENT, CLIENT_NAME, CLIENT_PROTOCOL
from protocols.codes import Code
from protocols.common import Mark
from protocols.endpoint import Session, SessionClientFactory
from protocols.errors import Refusal, SessionLost
from protocols.handshake import VERSIONS, Hello
from protocols.provider.messages import ServerAddress

HTTPS_PORT = 9192
SETUP_S = 15.0
_PIN = re.compile(r"[0-9a-f]{64}")


class SetupFailed(LinkError):
    """The server is not the one that the pin names; nothing was kept."""


def set_up(options: argparse.Namespace, reactor: Any) -> int:
    """Raises InvalidValue, NoServer or SetupFailed."""
    home = Home(Path(options.home))
    places = [_place(text, "server") for text in options.servers]
    sites = [_site(text) for text in options.site]
    if options.ca:
        ca = _authority(Path(options.ca))
    else:
        pin = options.pin.replace(":", "").strip().lower()
        if not _PIN.fullmatch(pin):
            raise InvalidValue("pin", "is 64 hexadecimal digits: `papercutd client show` prints it")
        ca = run_coroutine(_fetch_authority(reactor, places, pin))
    home.keep_settings(Settings(places, sites, ca, str(uuid.uuid4())))
    # Of another installation, perhaps.
    home.forget_keyring()
    home.keep_known([])
    result = {"ok": True, "home": str(home.path), "application": [show_place(*p) for p in places]}
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{home.path} is set up; `papercut-client login NAME` comes next")
    return 0


def _place(text: str, field: str) -> Place:
    place = parse_place(text) or parse_place(f"{text}:{HTTPS_PORT}")
    if place is None:
        raise InvalidValue(field, f"{text!r} is neither HOST nor HOST:PORT")
    return place


def _site(text: str) -> ServerAddress:
    name, equals, where = text.partition("=")
    if not equals:
        raise InvalidValue("site", f"{text!r} is not NAME=HOST[:PORT]")
    return ServerAddress("site", check_name(name), *_place(where, "site"))


def _authority(path: Path) -> str:
    body = path.read_bytes()
    try:
        x509.load_pem_x509_certificates(body)
    except ValueError:
        raise InvalidValue("ca", f"{path} is no certificate in PEM") from None
    return body.decode()


async def _fetch_authority(reactor: Any, places: list[Place], pin: str) -> str:
    """What the server with that key names as its authority; nothing is sent to any other."""
    tls = PinnedTls(pin, pin_of, server_name=CLIENT_NAME, alpn=(CLIENT_PROTOCOL,))
    for place in places:
        asking = _Asking(reactor)
        connecting = tls_endpoint(reactor, *place, tls).connect(
            SessionClientFactory(CLIENT, reactor, asking)
        )
        try:
            connecting.addTimeout(SETUP_S, reactor)
            session = cast(Session, await connecting)
            asking.watch(session)
            ca = await asking.found.addTimeout(SETUP_S, reactor)
        except (Refusal, SessionLost, SetupTimeout, OSError):
            continue
        except Exception:
            # Of Twisted's errors to connect there are many.
            continue
        session.end(Code.UNAVAILABLE)
        await session.when_disconnected()
        return ca
    where = ", ".join(show_place(*place) for place in places)
    if tls.was_another_shown:
        raise SetupFailed(
            f"{where} shows another key than the pin names: nothing was sent to it. It is not the"
            " server, or its key is another since: ask for the pin again (`papercutd client show`)"
        )
    raise NoServer(f"no application server answers at {where}: look at the address and the network")


class _Asking:
    """Handler of the one session: it waits for SERVERS."""

    def __init__(self, reactor: Any) -> None:
        self._env = real_environment(reactor)
        self.found: Deferred[str] = Deferred()

    def watch(self, session: Session) -> None:
        session.tell_disconnected(lambda _: self._fail(SessionLost("the connection was lost")))

    def make_hello(self) -> Hello:
        return Hello(
            versions=list(VERSIONS),
            role="client",
            name="setup",
            journal=self._env.new_id(),
            mark=Mark(0, "0" * 64),
            software=__version__,
            clock=self._env.wall_s(),
        )

    def opened(self, session: Session) -> None:
        """SERVERS follows."""

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)

    def event(self, session: Session, event: Any) -> None:
        if isinstance(event, messages.Servers) and not self.found.called:
            self.found.callback(event.ca)

    def closed(self, session: Session, reason: str) -> None:
        self._fail(SessionLost(reason))

    def refused(self, refusal: Refusal) -> None:
        self._fail(refusal)

    def _fail(self, error: Exception) -> None:
        if not self.found.called:
            self.found.errback(error)

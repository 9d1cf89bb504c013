"""Joining: the new machine's part. Nothing is sent before the server's key is the token's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import treq
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as AskingTimeout
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from papercutd.errors import LinkError, Rejected
from papercutd.identity.authority import key_pem, make_key, make_request, pin_of
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.names import APPLICATION, peer_of
from papercutd.identity.tls import INSTALLATION_NAME, ClientTls, Credentials, PinnedTls
from papercutd.identity.tokens import Token, parse_token

JOIN_TIMEOUT_S = 30.0
#: A certificate, a CA and their JSON are some 3 KiB.
ANSWER_LENGTH_MAX = 65_536


class JoinFailed(LinkError):
    """The application server did not let us join; the text says what to do."""


@implementer(IAgentEndpointFactory)
class _Fixed:
    """Every request goes to the one endpoint, whatever its URL says."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


async def join(
    reactor: Any,
    token_text: str,
    host: str,
    port: int,
    directory: Path,
    timeout_s: float = JOIN_TIMEOUT_S,
) -> Any:
    """Make a key, have it certified, write all into ``directory``; the server's answer.

    Joining again replaces what is there, key and certificate together. Raises
    InvalidValue for a token that is none, before anything is sent, or JoinFailed.
    """
    token = parse_token(token_text)
    key = make_key()
    request = make_request(key, token.role, token.name)
    where = f"{host}:{port}"
    # An IPv6 address may come in the brackets it has before a port.
    bare = host.removeprefix("[").removesuffix("]")
    tls = PinnedTls(token.pin, pin_of)
    agent = Agent.usingEndpointFactory(reactor, _Fixed(tls_endpoint(reactor, bare, port, tls)))
    body = {"token": token.text, "role": token.role, "name": token.name, "csr": request.decode()}
    asking = Deferred.fromCoroutine(_ask(agent, "join", body, where))
    try:
        answer = await asking.addTimeout(timeout_s, reactor)
    except (ResponseFailed, RequestTransmissionFailed, AskingTimeout) as error:
        raise JoinFailed(_why_unanswered(where, tls, token, timeout_s)) from error
    except (ConnectError, DNSLookupError) as error:
        raise JoinFailed(f"{where} cannot be reached: {error}") from error
    credentials = _credentials_from(answer, key, token.role, token.name, where)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    credentials.save(directory)
    return answer


async def ask_renewal(
    reactor: Any,
    credentials: Credentials,
    host: str,
    port: int,
    timeout_s: float = JOIN_TIMEOUT_S,
) -> Credentials:
    """A new key and its certificate, proved by the handshake with the present one.

    Raises JoinFailed.
    """
    me = peer_of(credentials.certificate)
    key = make_key()
    tls = ClientTls(credentials, APPLICATION, APPLICATION, server_name=INSTALLATION_NAME)
    where = f"{host}:{port}"
    agent = Agent.usingEndpointFactory(reactor, _Fixed(tls_endpoint(reactor, host, port, tls)))
    body = {"csr": make_request(key, me.role, me.name).decode()}
    asking = Deferred.fromCoroutine(_ask(agent, "renew", body, where))
    try:
        answer = await asking.addTimeout(timeout_s, reactor)
    except JoinFailed:
        raise
    except Exception as error:
        raise JoinFailed(f"{where} cannot be asked for a new certificate: {error}") from error
    return _credentials_from(answer, key, me.role, me.name, where)


async def _ask(agent: Agent, what: str, body: dict[str, str], where: str) -> dict[str, Any]:
    client = treq.client.HTTPClient(agent)
    # The name in the URL is looked up by nobody: the endpoint knows where to connect. No
    # redirects: the token is for the server that made it and no other.
    response = await client.post(
        f"https://application.papercut.internal/api/{what}",
        json=body,
        allow_redirects=False,
        unbuffered=True,
    )
    collector = _Body()
    response.deliverBody(collector)
    answer = _parse(await collector.whole)
    if response.code != 200:
        text = answer.get("text") if answer is not None else None
        raise JoinFailed(f"{where} refused: {text or f'HTTP status {response.code}'}")
    if answer is None:
        raise JoinFailed(f"{where} answered something that is no certificate")
    return answer


def _why_unanswered(where: str, tls: PinnedTls, token: Token, timeout_s: float) -> str:
    if tls.was_shown:
        return (
            f"{where} did not answer within {timeout_s:.0f} s or broke off: try again, and"
            " with a new token if this one is refused as used"
        )
    if tls.was_another_shown:
        return (
            f"{where} shows another key than this token names: nothing was sent to it. It is not"
            " the server that made the token, or its certificate was renewed since: then make"
            f" a new token there, `papercutd {token.role} token {token.name}`"
        )
    return f"{where} does not speak TLS 1.3: nothing was sent to it, the token is still good"


class _Body(Protocol):
    """Collects the body of an answer, up to a bound."""

    def __init__(self) -> None:
        self._data = bytearray()
        #: Cancelling it ends the connection.
        self.whole: Deferred[bytes] = Deferred(lambda cancelled: self._stop())

    def dataReceived(self, data: bytes) -> None:
        self._data.extend(data)
        if len(self._data) > ANSWER_LENGTH_MAX:
            self._stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # PotentialDataLoss is the end of an answer that gave no length.
        if len(self._data) <= ANSWER_LENGTH_MAX and reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(bytes(self._data))
        else:
            self.whole.errback(ResponseFailed([reason]))

    def _stop(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _credentials_from(
    answer: dict[str, Any], key: ec.EllipticCurvePrivateKey, role: str, name: str, where: str
) -> Credentials:
    """What is kept of the answer; raises JoinFailed unless it is for us and our key."""
    chain, ca = answer.get("chain"), answer.get("ca")
    try:
        if not isinstance(chain, str) or not isinstance(ca, str):
            raise ValueError
        certificate = x509.load_pem_x509_certificate(chain.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.encode()))
        peer = peer_of(certificate)
        is_ours = certificate.public_key() == key.public_key()
    except (ValueError, TypeError, Rejected):
        raise JoinFailed(f"{where} answered something that is no certificate") from None
    except Exception as error:
        # InvalidSignature, of cryptography.
        raise JoinFailed(f"{where} answered a certificate of another CA") from error
    if not is_ours or (peer.role, peer.name) != (role, name):
        raise JoinFailed(f"{where} answered somebody else's certificate")
    return Credentials(key_pem(key), chain.encode(), ca.encode())

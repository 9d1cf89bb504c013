"""Joining: the new machine's part. Nothing is sent before the server's key is the token's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import treq
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.client import Agent, RequestTransmissionFailed, ResponseNeverReceived
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from papercutd.errors import LinkError
from papercutd.identity.authority import key_pem, make_key, make_request, pin_of, write_private
from papercutd.identity.tls import PinnedTls
from papercutd.identity.tokens import parse_token
from protocols.limits import HANDSHAKE_TIMEOUT_S

JOIN_TIMEOUT_S = 30


class JoinFailed(LinkError):
    """The application server did not let us join; the text says what to do."""


@implementer(IPolicyForHTTPS)
class _Pinned:
    def __init__(self, pin: str) -> None:
        self._pin = pin

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return PinnedTls(self._pin, pin_of)


async def join(reactor: Any, token_text: str, host: str, port: int, directory: Path) -> Any:
    """Make a key, have it certified, write all into ``directory``; the server's answer.

    Raises JoinFailed.
    """
    token = parse_token(token_text)
    key = make_key()
    agent = Agent(reactor, _Pinned(token.pin), connectTimeout=HANDSHAKE_TIMEOUT_S)
    client = treq.client.HTTPClient(agent)
    body = {
        "token": token.text,
        "role": token.role,
        "name": token.name,
        "csr": make_request(key, token.role, token.name).decode(),
    }
    try:
        response = await client.post(
            f"https://{host}:{port}/api/join", json=body, timeout=JOIN_TIMEOUT_S
        )
        answer = await response.json()
    except (ResponseNeverReceived, RequestTransmissionFailed) as error:
        raise JoinFailed(
            f"{host}:{port} is not the server that made this token, or does not speak TLS:"
            f" nothing was sent ({error.reasons[0].type.__name__})"
        ) from error
    except Exception as error:
        raise JoinFailed(f"{host}:{port} cannot be reached: {error}") from error
    if response.code != 200:
        raise JoinFailed(f"the server refused: {answer.get('text', response.code)}")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(directory / "key.pem", key_pem(key))
    write_private(directory / "chain.pem", answer["chain"].encode(), 0o644)
    write_private(directory / "ca.pem", answer["ca"].encode(), 0o644)
    return answer

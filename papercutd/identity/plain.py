"""The provider protocol in plaintext: who may, how the name is proved, and the way there.

Only where the configuration lists the address it comes from, on the port of HTTP. The
name is proved by a secret that the provider has for this server and no other
(protocols/proof.py). Nothing after the handshake is proved, and nothing is hidden: this is
for networks that are trusted, and says so in the log and in ``status``.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from papercutd.environment import Environment
from papercutd.errors import ConfigError, InvalidValue
from papercutd.identity.endpoints import CONNECT_TIMEOUT_S
from papercutd.identity.files import write_private
from papercutd.identity.names import check_name
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.handlers import NamedPeer
from protocols.handshake import Hello
from protocols.proof import SECRET_LENGTH, is_proved, parse_secret, proof_of
from protocols.session.endpoint import Session

if TYPE_CHECKING:
    from random import Random

_log = Logger()
#: Wrong proofs from one address within WRONG_PROOFS_S; then nobody there is asked for so long.
WRONG_PROOFS_MAX = 10
WRONG_PROOFS_S = 60.0
_PROVIDER = "provider"


def canonical_address(text: str) -> str:
    """An address in its one form, an IPv4 one in IPv6 as itself; raises ValueError."""
    found = ip_address(text)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


def random_digits(rng: Random) -> str:
    """A new secret or nonce, hexadecimal."""
    return rng.randbytes(SECRET_LENGTH).hex()


@attrs.frozen
class _Kept:
    """The secret of one provider, as its file holds it."""

    secret: bytes = attrs.field(repr=False)
    #: Serials of its certificates that were revoked when the secret was made.
    revoked: frozenset[str]


class ProviderSecrets:
    """The secrets of providers, each in a file that the server alone may read.

    Not in the database: a backup or a replica of that is no key. HMAC needs the secret
    itself, so that whoever reads these files can pose as those providers, here alone.
    """

    def __init__(self, directory: Path, rng: Random) -> None:
        self._directory = directory
        self._rng = rng

    def names(self) -> list[str]:
        """Providers that have one."""
        return sorted(path.stem for path in self._directory.glob("*.json"))

    def make(self, name: str, revoked: Iterable[str]) -> str:
        """A new secret for ``name``, replacing the former; its hexadecimal digits.

        ``revoked``: serials of that provider that are revoked now; one more ends the secret.
        Raises InvalidValue for a name that is none.
        """
        path = self._path(name)
        secret = random_digits(self._rng)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        kept = {"secret": secret, "revoked": sorted(revoked)}
        write_private(path, json.dumps(kept).encode())
        return secret

    def remove(self, name: str) -> bool:
        """Whether there was one."""
        path = self._path(name)
        was_there = path.exists()
        path.unlink(missing_ok=True)
        return was_there

    def load(self, name: str) -> _Kept | None:
        """None for a name that has none, or is none."""
        try:
            found = json.loads(self._path(name).read_bytes())
            return _Kept(parse_secret(found["secret"]), frozenset(found["revoked"]))
        except (InvalidValue, FileNotFoundError):
            return None
        except (OSError, ValueError, KeyError, TypeError):
            _log.error("the secret of the provider {name} cannot be read", name=name)
            return None

    def _path(self, name: str) -> Path:
        return self._directory / f"{check_name(name)}.json"


class PlainDoor:
    """Who is let in without a certificate, and how that went."""

    def __init__(self, env: Environment, addresses: Sequence[str], kept: ProviderSecrets) -> None:
        """Raises ConfigError for an address that is none; without any the door stays shut."""
        problems = [f"plain.addresses: {problem}" for problem in address_problems(addresses)]
        if problems:
            raise ConfigError(problems)
        self._env = env
        self._addresses = frozenset(canonical_address(text) for text in addresses)
        self.secrets = kept
        #: Provider to serials of its revoked certificates.
        self._revoked: dict[str, set[str]] = {}
        self._wrong: dict[str, deque[float]] = {}
        #: wrong_proofs, locked_out, revoked, let_in: since the start.
        self.counters: Counter[str] = Counter()
        #: Against which unknown names are compared: they take as long as known ones.
        self._nobodys = bytes.fromhex(random_digits(env.rng))

    @property
    def is_open(self) -> bool:
        return bool(self._addresses)

    def may_come_from(self, address: object) -> bool:
        """Whether whoever connects from there may speak the protocol at all."""
        host = getattr(address, "host", "")
        try:
            return canonical_address(host) in self._addresses
        except ValueError:
            return False

    def make_nonce(self) -> str:
        return random_digits(self._env.rng)

    def admit(self, transport: ITransport) -> None:
        """Raises Refusal ``locked-out`` for an address with too many wrong proofs."""
        wait_s = self._locked_for_s(_host_of(transport))
        if wait_s > 0:
            self.counters["locked_out"] += 1
            raise Refusal(Code.LOCKED_OUT, {"retry_after_s": round(wait_s, 1)})

    def prove(self, transport: ITransport, hello: Hello, nonce: str) -> NamedPeer:
        """Who that is; raises Refusal ``identity`` or ``revoked``."""
        host = _host_of(transport)
        if not self.may_come_from(transport.getPeer()) or hello.role != _PROVIDER:
            raise Refusal(Code.NOT_ALLOWED)
        kept = self.secrets.load(hello.name)
        is_right = is_proved(kept.secret if kept else self._nobodys, nonce, hello.proof)
        if kept is None or not is_right:
            self.counters["wrong_proofs"] += 1
            self._wrong.setdefault(host, deque(maxlen=WRONG_PROOFS_MAX)).append(self._env.now())
            _log.warn(
                "{host} did not prove to be the provider {name!r}: refused",
                host=host,
                name=hello.name,
            )
            raise Refusal(Code.IDENTITY)
        if not self._revoked.get(hello.name, set()) <= kept.revoked:
            self.counters["revoked"] += 1
            raise Refusal(Code.REVOKED)
        self.counters["let_in"] += 1
        return NamedPeer(_PROVIDER, hello.name)

    def follow(self, revoked: Iterable[tuple[str, str]]) -> list[str]:
        """(name, serial) of all revoked certificates of providers; whose secrets that ends."""
        now: dict[str, set[str]] = {}
        for name, serial in revoked:
            now.setdefault(name, set()).add(serial)
        self._revoked = now
        ended = []
        for name, serials in now.items():
            kept = self.secrets.load(name)
            if kept is not None and not serials <= kept.revoked:
                ended.append(name)
        return ended

    def make_secret(self, name: str) -> str:
        """A new secret for the provider ``name``, hexadecimal; raises InvalidValue."""
        return self.secrets.make(name, self._revoked.get(name, set()))

    def status(self) -> dict[str, Any]:
        """What an administrator wants to see of it."""
        return {
            "warning": "plaintext: names are proved, nothing is hidden",
            "addresses": sorted(self._addresses),
            "secrets": self.secrets.names(),
            **{name: self.counters[name] for name in ("let_in", "wrong_proofs", "locked_out")},
        }

    def _locked_for_s(self, host: str) -> float:
        # Addresses that are listed, and so few.
        times = self._wrong.get(host)
        if times is None or len(times) < WRONG_PROOFS_MAX:
            return 0.0
        return times[0] + WRONG_PROOFS_S - self._env.now()


def address_problems(addresses: Sequence[str]) -> list[str]:
    """What is wrong with a list of addresses; empty: nothing."""
    problems = []
    for text in addresses:
        try:
            canonical_address(text)
        except ValueError:
            problems.append(f"{text!r} is not an IP address")
    return problems


def _host_of(transport: ITransport) -> str:
    return str(getattr(transport.getPeer(), "host", ""))


# The provider's side.


class SecretFile:
    """The secret for one server, read anew each time it is needed."""

    def __init__(self, key: str, path: str) -> None:
        """``key`` of the configuration; raises ConfigError unless the file can be used now."""
        self._key, self._path = key, Path(path)
        if not path:
            raise ConfigError([f'{key}: is needed with over = "plain"'])
        self._load()
        if self._path.stat().st_mode & 0o007:
            _log.warn("{key}: everybody may read {path}", key=key, path=path)

    def prove(self, nonce: str) -> str:
        """The proof over ``nonce``; raises ConfigError."""
        return proof_of(self._load(), nonce)

    def _load(self) -> bytes:
        try:
            return parse_secret(self._path.read_text("ascii").strip())
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except ValueError:
            problem = "is not what `papercutd provider secret NAME` printed"
        raise ConfigError([f"{self._key}: {self._path} {problem}"])


class _Proving(Factory):
    """Gives the sessions of another factory something to prove their HELLO with."""

    noisy = False

    def __init__(self, inner: IProtocolFactory, prove: Callable[[str], str]) -> None:
        self._inner = inner
        self._prove = prove

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        assert addr is not None
        session: IProtocol | None = self._inner.buildProtocol(addr)
        assert isinstance(session, Session)
        session.prove = self._prove
        return session


@implementer(IStreamClientEndpoint)
class PlainEndpoint:
    """A server's plaintext port: whoever is there is believed, we prove our name."""

    def __init__(self, reactor: Any, host: str, port: int, secret: SecretFile) -> None:
        self._tcp = HostnameEndpoint(reactor, host, port, timeout=CONNECT_TIMEOUT_S)
        self._secret = secret

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        connecting: Deferred[Any] = self._tcp.connect(_Proving(protocolFactory, self._secret.prove))
        return connecting

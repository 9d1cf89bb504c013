"""The administrator's shell: Python over SSH, for those whose key is listed, every line audited.

Loopback only, and off until a file of keys is configured. Passwords are not offered.
"""

from __future__ import annotations

import pprint
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.conch.checkers import IAuthorizedKeysDB, SSHPublicKeyChecker
from twisted.conch.insults import insults
from twisted.conch.manhole import ColoredManhole
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession
from twisted.conch.ssh.keys import Key
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from papercutd.identity.files import write_private

_log = Logger()
HOST_KEY = "ssh_host_ed25519_key"
#: Rows of one query, and characters of a line that is audited.
ROWS_MAX = 1_000
LINE_MAX = 10_000
BANNER = "papercutd: root, store (read only), status(), verify(). Every line is audited.\n"
Audit = Callable[[str, str], None]


@implementer(IAuthorizedKeysDB)
class KeyFile:
    """Public keys of one file, one a line as in ``authorized_keys``; read at each log-in.

    The comment behind a key is who is audited.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def getAuthorizedKeys(self, avatarId: bytes) -> Iterator[Key]:
        for key, _ in self._entries():
            yield key

    def name_of(self, key: Key) -> str:
        """Whose key that is: its comment, else its fingerprint."""
        for known, comment in self._entries():
            if known == key:
                return comment or str(known.fingerprint())
        return str(key.fingerprint())

    def _entries(self) -> Iterator[tuple[Key, str]]:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError as error:
            _log.error("the shell's keys cannot be read: {error}", error=str(error))
            return
        for line in lines:
            if not line.strip() or line.lstrip().startswith(b"#"):
                continue
            try:
                key = Key.fromString(line, type="public_openssh")
            except Exception:
                # The library's parser raises whatever comes of a line that is none.
                _log.error("a line of {path} is no public key", path=str(self._path))
                continue
            yield key, line.split(b" ", 2)[-1].decode("utf-8", "replace").strip()


class _Checker(SSHPublicKeyChecker):
    """Whoever logs in is called by the key that proved it, whatever name was given."""

    def __init__(self, keys: KeyFile) -> None:
        super().__init__(keys)
        self._keys = keys

    def _verifyKey(self, pubKey: Key, credentials: Any) -> bytes:
        super()._verifyKey(pubKey, credentials)
        return self._keys.name_of(pubKey).encode()


class ReadOnlyStore:
    """The database, for looking."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """At most 1,000 rows; anything that writes is refused by the database itself."""
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        try:
            connection.execute("PRAGMA query_only = ON")
            return connection.execute(sql, values).fetchmany(ROWS_MAX)
        finally:
            connection.close()

    def tables(self) -> list[str]:
        """Names of the tables."""
        return [row[0] for row in self.query("SELECT name FROM sqlite_schema WHERE type = 'table'")]

    def __repr__(self) -> str:
        return "store.query(SQL, ...), store.tables()"


def store_to_look_at(database: Path | str) -> object:
    """What ``store`` is at the prompt: of SQLite's file, or of PostgreSQL's database."""
    if isinstance(database, Path):
        return ReadOnlyStore(database)
    from papercutd.storage.postgres.opening import ReadOnlyPostgres

    return ReadOnlyPostgres(database, ROWS_MAX)


class AuditedManhole(ColoredManhole):
    """A Python prompt whose every line is on the disk before it runs."""

    def __init__(self, namespace: dict[str, Any], who: str, audit: Audit) -> None:
        super().__init__(namespace)
        self._who = who
        self._audit = audit

    def connectionMade(self) -> None:
        super().connectionMade()
        self._audit(self._who, "(connected)")
        self.terminal.write(BANNER.encode())
        self.drawInputLine()

    def lineReceived(self, line: bytes) -> None:
        self._audit(self._who, line.decode("utf-8", "replace")[:LINE_MAX])
        super().lineReceived(line)


class _Session(TerminalSession):
    """A terminal and nothing else: no command, no subsystem."""

    def execCommand(self, proto: Any, command: bytes) -> None:
        raise ValueError("only a terminal is served: ssh without a command")


class _Realm(TerminalRealm):
    sessionFactory = _Session

    def __init__(self, make: Callable[[str], AuditedManhole]) -> None:
        super().__init__()
        self._make = make

    def _getAvatar(self, avatarId: bytes) -> Any:
        who = avatarId.decode("utf-8", "replace")
        self.chainedProtocolFactory: Any = partial(insults.ServerProtocol, self._make, who)
        return super()._getAvatar(avatarId)


def host_key(directory: Path) -> Key:
    """The host key in ``directory``, made where there is none."""
    path = directory / HOST_KEY
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_private(path, pem)
    key: Key = Key.fromFile(str(path))
    return key


def make_shell(
    keys: Path,
    identity: Path,
    audit: Audit,
    namespace: dict[str, Any],
) -> ConchFactory:
    """The factory of the shell. ``audit(who, line)`` returns once the line is on the disk."""
    checker = _Checker(KeyFile(keys))

    def make(who: str) -> AuditedManhole:
        return AuditedManhole(dict(namespace), who, audit)

    realm: Any = _Realm(make)
    factory = ConchFactory(Portal(realm, [checker]))
    key: Any = host_key(identity)
    factory.publicKeys = {b"ssh-ed25519": key.public()}
    factory.privateKeys = {b"ssh-ed25519": key}
    return factory


class Report:
    """What an operation found, readable at the prompt."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def __repr__(self) -> str:
        return pprint.pformat(self._found, width=100)


def operation_call(operation: Callable[..., Any]) -> Callable[..., Deferred[Report]]:
    """An operation as a function of the prompt."""

    async def run(**arguments: Any) -> Report:
        return Report(await operation(arguments, lambda figures: None))

    def call(**arguments: Any) -> Deferred[Report]:
        return Deferred.fromCoroutine(run(**arguments))

    return call

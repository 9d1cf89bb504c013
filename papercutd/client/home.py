"""The home of a client: which installation it is set up with, and what logs it in again."""

from __future__ import annotations

from pathlib import Path

import attrs
import msgspec

from papercutd.errors import ConfigError
from papercutd.identity.files import write_private
from papercutd.services.places import Place
from protocols.provider.messages import ServerAddress

_FORMAT = msgspec.json.format


@attrs.frozen
class Settings:
    """What `papercut-client setup` leaves: settings.json."""

    #: Where the application server can be reached; several where several stand on one database.
    application: list[Place]
    #: Sites that were given, which count before those that servers tell of.
    sites: list[ServerAddress]
    #: The installation's authority, PEM.
    ca: str
    #: The id of this client, the same each time.
    id: str


@attrs.frozen
class Known:
    """What servers told: known.json."""

    servers: list[ServerAddress] = attrs.field(factory=list)


@attrs.frozen
class Token:
    """What logs in again at the servers that count it."""

    text: str = attrs.field(repr=False)
    ends_at: float


@attrs.frozen
class Keyring:
    """Who is logged in, and their tokens by the server that gave them: tokens.json, mode 600."""

    user: str = ""
    tokens: dict[str, Token] = attrs.field(factory=dict)


class Home:
    """The directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def settings(self) -> Settings:
        """Raises ConfigError."""
        path = self.path / "settings.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Settings)
        except FileNotFoundError:
            raise ConfigError(
                [f"{self.path} holds no settings: run `papercut-client setup HOST` first"]
            ) from None
        except (msgspec.DecodeError, ValueError) as error:
            raise ConfigError([f"{path}: {error}: run `papercut-client setup` again"]) from None

    def keep_settings(self, settings: Settings) -> None:
        self._keep("settings.json", settings)

    def known(self) -> list[ServerAddress]:
        """What cannot be read is learnt again."""
        try:
            known = msgspec.json.decode((self.path / "known.json").read_bytes(), type=Known)
        except (OSError, msgspec.DecodeError, ValueError):
            return []
        return known.servers

    def keep_known(self, servers: list[ServerAddress]) -> None:
        self._keep("known.json", Known(servers))

    def keyring(self) -> Keyring:
        """What cannot be read is asked for again; raises ConfigError where others can read it."""
        path = self.path / "tokens.json"
        try:
            if path.stat().st_mode & 0o077:
                raise ConfigError(
                    [f"{path} can be read by others: delete it, change the password, log in"]
                )
            return msgspec.json.decode(path.read_bytes(), type=Keyring)
        except (OSError, msgspec.DecodeError, ValueError):
            return Keyring()

    def keep_keyring(self, keyring: Keyring) -> None:
        self._keep("tokens.json", keyring)

    def forget_keyring(self) -> None:
        (self.path / "tokens.json").unlink(missing_ok=True)

    def _keep(self, name: str, value: object) -> None:
        self.make()
        body = _FORMAT(msgspec.json.encode(value), indent=2) + b"\n"
        write_private(self.path / name, body)

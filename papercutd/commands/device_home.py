"""The home of a simulated device: how it joins, and what it finds when it is switched on."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import attrs
import msgspec
from twisted.internet import reactor

from papercutd.commands.once import run_coroutine
from papercutd.errors import ConfigError, InvalidValue
from papercutd.identity.join_client import join
from papercutd.identity.names import APPLICATION, check_name
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.tokens import parse_token
from protocols.provider.messages import ServerAddress

DEVICES_PORT = 9193


@attrs.frozen
class Settings:
    """What joining leaves in the home of a device: DIR/servers.json."""

    #: In the order in which they are preferred.
    servers: list[ServerAddress]
    #: Where the certificate is renewed.
    host: str
    https: int


def _host_port(text: str, field: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise InvalidValue(field, f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _addresses(options: argparse.Namespace, host: str) -> list[ServerAddress]:
    servers = []
    for text in options.site:
        name, is_there, where = text.partition("=")
        if not is_there:
            raise InvalidValue("site", f"{text!r} is not NAME=HOST:PORT")
        servers.append(ServerAddress("site", check_name(name), *_host_port(where, "site")))
    where = options.application or f"{host}:{DEVICES_PORT}"
    servers.append(ServerAddress(APPLICATION, APPLICATION, *_host_port(where, "application")))
    return servers


def join_device(options: argparse.Namespace) -> int:
    token = parse_token(options.token)
    if token.role != "device":
        raise InvalidValue("token", f"is for a {token.role}, not for a device")
    host, https = _host_port(options.server, "server")
    settings = Settings(_addresses(options, host), host, https)
    home = Path(options.home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    former = _name_of(home)
    run_coroutine(join(reactor, options.token, host, https, home / "identity"))
    moved = [] if former in ("", token.name) else _put_aside(home)
    (home / "servers.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    )
    result = {"ok": True, "name": token.name, "home": str(home), "journals_kept": moved}
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{token.name} has joined; `papercut-device run --home {home}` switches it on")
    return 0


def _name_of(home: Path) -> str:
    """Whose identity lies in ``home``; empty: nobody's."""
    if not (home / "identity" / "key.pem").exists():
        return ""
    return NodeIdentity(home / "identity").name


def _put_aside(home: Path) -> list[str]:
    """The journal of another device is not this one's."""
    moved = []
    for ending in ("", "-wal", "-shm"):
        path = home / f"device.db{ending}"
        if path.exists():
            kept = home / f"old-{int(time.time())}-{path.name}"
            path.rename(kept)
            moved.append(str(kept))
    return moved


def load_settings(home: Path) -> Settings:
    """Raises ConfigError."""
    path = home / "servers.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        raise ConfigError([f"{home} holds no device: run `papercut-device join` first"]) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError([f"{path}: {error}"]) from None

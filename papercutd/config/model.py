"""The configuration of each role: keys, defaults and what they are for.

etc/*.toml are written from these classes (``python -m papercutd.config.render``),
and a test compares them.
"""

from __future__ import annotations

from typing import Any

import attrs


def key(default: Any, doc: str, *, least: float | None = None, among: tuple[str, ...] = ()) -> Any:
    """A key with its default, its one line of explanation and its bounds."""
    return attrs.field(default=default, metadata={"doc": doc, "least": least, "among": among})


@attrs.frozen
class Listen:
    """Where the server listens. Port 0 takes any free port."""

    interface: str = key("0.0.0.0", "address to listen on")
    http: int = key(9191, "HTTP: pages and /api/health", least=0)
    https: int = key(9192, "HTTPS: the same, and joining", least=0)
    links: int = key(9195, "mutual TLS for print providers and site servers", least=0)
    devices: int = key(9193, "mutual TLS for devices", least=0)
    host: str = key("", "name or address under which others reach this server; empty: interface")


@attrs.frozen
class Web:
    """Your own certificate for browsers on the HTTPS port; without one, the installation's."""

    certificate: str = key(
        "", "a file in PEM: the server's certificate, then its chain; followed as it changes"
    )
    key: str = key("", "the file of its private key, PEM without a passphrase")


@attrs.frozen
class Plain:
    """The provider protocol in plaintext on the HTTP port: for networks that are trusted."""

    addresses: tuple[str, ...] = key(
        (), "addresses of print providers that may; everybody else there gets HTTP alone"
    )


@attrs.frozen
class Times:
    """Times of the links to other servers, in seconds."""

    back_jitter_s: float = key(10.0, "return to a server within this time of its answer", least=0)
    reconnect_min_s: float = key(1.0, "shortest wait before connecting again", least=0.01)
    reconnect_max_s: float = key(60.0, "longest wait before connecting again", least=0.01)


@attrs.frozen
class Shell:
    """The administrator's shell over SSH, for keys only; off without a file of them."""

    keys: str = key("", "a file of public keys as in authorized_keys; empty: no shell")
    port: int = key(9194, "where it listens", least=0)
    interface: str = key("127.0.0.1", "an address of the loopback")


@attrs.frozen
class Debug:
    """Deliberate faults for the demonstration. Never set one on a server in use."""

    sabotage: str = key(
        "",
        "a deliberate fault: drop-ack or double-post",
        among=("", "drop-ack", "double-post"),
    )


@attrs.frozen
class SiteServer:
    """The site server beside this provider; without it the one that the server's settings name."""

    host: str = key("", "host name or address; empty: as the settings say")
    port: int = key(9195, "its port for links", least=1)
    https: int = key(9192, "its HTTPS port", least=1)
    http: int = key(9191, "its HTTP port", least=1)
    over: str = key(
        "links",
        "which port the link takes: links, https, or plain (its HTTP port, in plaintext)",
        among=("links", "https", "plain"),
    )
    secret: str = key("", "for plain: the file of what `papercutd provider secret` printed there")
    name: str = key("", "the site's name")


@attrs.frozen
class ApplicationServer:
    """The application server's address."""

    host: str = key("", "host name or address")
    port: int = key(9195, "its port for links", least=1)
    https: int = key(9192, "its HTTPS port, where certificates are renewed", least=1)
    others: tuple[str, ...] = key(
        (), "further application servers on its database, each host, or host:port of that port"
    )
    over: str = key(
        "links",
        "which port the link takes: links, or https where a firewall lets nothing else through",
        among=("links", "https"),
    )


@attrs.frozen
class CentreOfSite(ApplicationServer):
    """The application server's address."""

    devices: int = key(9193, "its port for devices, as they are told it here", least=1)


@attrs.frozen
class AskedApplicationServer(ApplicationServer):
    """The application server's address."""

    http: int = key(9191, "its HTTP port", least=1)
    over: str = key(
        "links",
        "which port the link takes: links, https, or plain (its HTTP port, in plaintext)",
        among=("links", "https", "plain"),
    )
    secret: str = key("", "for plain: the file of what `papercutd provider secret` printed there")


@attrs.frozen
class Analysis:
    """Where documents wait."""

    document_max_bytes: int = key(2_000_000_000, "the largest document accepted", least=1)
    time_max_s: float = key(90.0, "seconds for which a document is looked into", least=1)


@attrs.frozen
class Cups:
    """CUPS, where it runs on the provider's machine."""

    server: str = key("/run/cups/cups.sock", "its socket, or HOST:PORT; empty: it is not used")
    user: str = key("lp", "the user that CUPS runs its backends as")
    backend: str = key("/usr/lib/cups/backend/papercut", "where the backend is installed")
    printers_conf: str = key("/etc/cups/printers.conf", "its own file of queues")


@attrs.frozen
class Users:
    """Where users come from."""

    source: str = key("local", "a plugin of plugins/: local or csv")
    path: str = key("", "the file of the csv source")


@attrs.frozen
class AppConfig:
    """The application server."""

    data_dir: str = key("/var/lib/papercutd/app", "where the database, keys and sockets lie")
    store: str = key(
        "", "postgresql: and what libpq takes of a database; empty: SQLite in data_dir"
    )
    batch_max: int = key(256, "operations that share one commit at the most", least=1)
    listen: Listen = attrs.field(factory=Listen)
    web: Web = attrs.field(factory=Web)
    plain: Plain = attrs.field(factory=Plain)
    users: Users = attrs.field(factory=Users)
    debug: Debug = attrs.field(factory=Debug)
    shell: Shell = attrs.field(factory=Shell)


@attrs.frozen
class SiteConfig:
    """A site server."""

    data_dir: str = key("/var/lib/papercutd/site", "where journal, replica, keys and sockets lie")
    store: str = key(
        "", "postgresql: and what libpq takes of a database; empty: SQLite in data_dir"
    )
    anchor: str = key(
        "", "a file that tells a journal which was put back; on another disk if there is one"
    )
    forward_budget_s: float = key(
        0.3, "what the application server is given before the site decides itself", least=0
    )
    verify_every_h: float = key(
        24.0,
        "hours between comparisons of the replica with the application server; 0: none",
        least=0,
    )
    application: CentreOfSite = attrs.field(factory=CentreOfSite)
    listen: Listen = attrs.field(factory=Listen)
    web: Web = attrs.field(factory=Web)
    plain: Plain = attrs.field(factory=Plain)
    times: Times = attrs.field(factory=Times)
    shell: Shell = attrs.field(factory=Shell)


@attrs.frozen
class ProviderConfig:
    """A print provider."""

    data_dir: str = key("/var/lib/papercutd/provider", "where journal, spool, keys and sockets lie")
    application: AskedApplicationServer = attrs.field(factory=AskedApplicationServer)
    site: SiteServer = attrs.field(factory=SiteServer)
    times: Times = attrs.field(factory=Times)
    shell: Shell = attrs.field(factory=Shell)
    analysis: Analysis = attrs.field(factory=Analysis)
    cups: Cups = attrs.field(factory=Cups)


MODELS: dict[str, type[Any]] = {"app": AppConfig, "site": SiteConfig, "provider": ProviderConfig}

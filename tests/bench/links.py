"""Devices and sites by the dozen at one application server: copies and journals a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import attrs

from papercutd.identity.authority import Authority, key_pem, make_key, make_request, write_private
from tests.bench.figures import Notes, Row, say
from tests.bench.servers import Server, application, directory

DEVICES = 64
SITES = 16
CARD = "4711"


def rows(quick: bool, notes: Notes) -> list[Row]:
    """Each link under load from a process of its own."""
    seconds = 2.0 if quick else 10.0
    with directory("pc-links-") as where, application(where, "links", devices=True) as server:
        server.role.call("user.card", name="load0", number=CARD)
        devices = attrs.evolve(server, port=server.devices, identities=where / "devices")
        issue(server, devices.identities, "device", DEVICES, _device)
        sites = attrs.evolve(server, identities=where / "sites")
        issue(server, sites.identities, "site", SITES, make_site)
        visits = devices.load("visits", seconds, connections=DEVICES, pipeline=1, card=CARD)
        say(f"copies at devices: {visits.per_s:.0f}/s")
        records = sites.load("journals", seconds, connections=SITES, pipeline=1)
        say(f"records of sites: {records.per_s:.0f}/s")
        problems = server.problems()
    return [
        Row(f"copies (log-in, run, finish, log-out), {DEVICES} devices", visits.per_s, "1/s"),
        Row("server's processor time of a copy", visits.cpu_us, "us"),
        Row(f"records forwarded, {SITES} sites at once", records.per_s, "1/s"),
        Row("server's processor time of a record", records.cpu_us, "us"),
        Row("problems found by verify", problems, "", 0),
    ]


def issue(
    server: Server,
    identities: Path,
    role: str,
    count: int,
    make: Callable[[Server, Path, int], None],
    name: str = "",
) -> None:
    """So many of ``role``, called ``name``, each made by ``make`` and given a certificate."""
    authority = Authority.load(server.role.data / "ca")
    key = make_key()
    for number in range(count):
        folder = identities / f"{name or role}-{number}"
        folder.mkdir(parents=True)
        make(server, folder, number)
        asked = make_request(key, role, folder.name)
        issued = authority.issue(asked, role, folder.name, time.time())
        write_private(folder / "key.pem", key_pem(key))
        write_private(folder / "chain.pem", issued.chain_pem)
        write_private(folder / "ca.pem", authority.pem)


def _device(server: Server, folder: Path, number: int) -> None:
    server.role.call("device.add", name=folder.name, printer=f"load-{number}-1")


def make_site(server: Server, folder: Path, number: int) -> None:
    server.role.call("site.add", name=folder.name)
    provider = f"{folder.name}-p"
    server.role.call("provider.add", name=provider, site=folder.name)
    uri = "socket://127.0.0.1:9"
    made = server.role.call("printer.add", name=f"{provider}-1", provider=provider, uri=uri)
    (folder / "provider").write_text(provider)
    (folder / "printer").write_text(str(made["printer"]))

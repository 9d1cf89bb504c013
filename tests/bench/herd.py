"""Hundreds of sites that were cut come back together, each with the people of one group.

The links are real ones, from a few processes; somebody prints at the application server meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from papercutd.demo import measure, processes
from papercutd.identity.authority import Authority, key_pem, make_key, make_request, write_private
from tests.bench.figures import Notes, Row, cpu_s, percentile, say
from tests.bench.servers import AT_ONCE, BALANCE, Server, application, directory

SITES = 500
RECORDS = 2_000
#: Of a site: its own group.
PEOPLE = 5
PROCESSES = 3
#: Somebody at the desk, so often a second.
DESK_PER_S = 20
DESK_PIECE_S = 5.0


def rows(quick: bool, notes: Notes) -> list[Row]:
    """From the healed links to everything acknowledged."""
    sites, records = (20, 100) if quick else (SITES, RECORDS)
    return heal(sites, records, notes)


@attrs.define
class Healed:
    seconds: float = 0.0
    server_cpu_s: float = 0.0
    bytes_heard: int = 0
    turned_away: int = 0
    desk_ms: list[float] = attrs.field(factory=list)

    def cpu_us(self, records: int) -> float:
        """Of the server, for each record."""
        return self.server_cpu_s / records * 1e6


def heal(sites: int, records: int, notes: Notes) -> list[Row]:
    """``sites`` with ``records`` each."""
    with directory("pc-herd-") as where, application(where, "herd", connections=8) as server:
        began = time.monotonic()
        plan = _make_sites(server, where / "sites", sites)
        say(f"{sites} sites made in {time.monotonic() - began:.0f} s")
        before = int(server.role.call("status")["charges"])
        found = _heal(server, plan, records)
        missing = sites * records - (int(server.role.call("status")["charges"]) - before)
        notes.waits_ms["AUTHORIZE while a herd of sites heals"] = found.desk_ms
        problems = server.problems() if sites * records <= 100_000 else None
    what = f"{sites} sites x {records:,} records healed together"
    out = [
        Row(what, found.seconds, "s", 300),
        Row("records of sites", sites * records / found.seconds, "1/s"),
        Row("AUTHORIZE meanwhile, p95", percentile(found.desk_ms, 0.95), "ms", 250),
        Row(
            "server's processor time of a record", found.server_cpu_s / sites / records * 1e6, "us"
        ),
        Row("bytes of changes told to a site", found.bytes_heard / sites, "B"),
        Row("batches told to come again", found.turned_away, ""),
        Row("charges missing after it", missing, "", 0),
    ]
    if problems is not None:
        out.append(Row("problems found by verify", problems, "", 0))
    return out


def _heal(server: Server, plan: list[dict[str, Any]], records: int) -> Healed:
    found = Healed()
    shares = [plan[index::PROCESSES] for index in range(PROCESSES)]
    running = [
        processes.spawn(
            [sys.executable, "-m", "tests.bench.herd_sites"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in shares
    ]
    try:
        for process, share in zip(running, shares, strict=True):
            _tell(process, json.dumps({"port": server.port, "records": records, "sites": share}))
        for process in running:
            _hear(process)
        say("every journal is written: the links are healed")
        used_s = cpu_s(server.pid)
        for process in running:
            _tell(process, "go on")
        with ThreadPoolExecutor(len(running)) as pool:
            told = [pool.submit(_hear, process) for process in running]
            while not all(one.done() for one in told):
                # From processes of its own; where all is over within one piece, so be it.
                piece = server.load(
                    *("authorize", DESK_PIECE_S), connections=8, pipeline=1, rate_per_s=DESK_PER_S
                )
                found.desk_ms += piece.waits_ms
            said = [json.loads(one.result()) for one in told]
        found.server_cpu_s = cpu_s(server.pid) - used_s
    finally:
        for process in running:
            process.kill()
            process.wait()
    if any("error" in one for one in said):
        raise SystemExit(str(said))
    found.seconds = max(one["seconds"] for one in said)
    found.bytes_heard = sum(one["bytes_heard"] for one in said)
    found.turned_away = sum(one["turned_away"] for one in said)
    return found


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process of sites ended")
    return line


def _make_sites(server: Server, folders: Path, count: int) -> list[dict[str, Any]]:
    """Sites with a provider, a printer, people and a scope each, and a certificate."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        plan = list(pool.map(lambda number: _make_site(server, folders, number), range(count)))
    ids = _people(server)
    authority = Authority.load(server.role.data / "ca")
    key = make_key()
    for one in plan:
        one["people"] = [(name, *ids[name]) for name in one["people"]]
        folder = Path(one["folder"])
        folder.mkdir(parents=True)
        asked = make_request(key, "site", folder.name)
        issued = authority.issue(asked, "site", folder.name, time.time())
        write_private(folder / "key.pem", key_pem(key))
        write_private(folder / "chain.pem", issued.chain_pem)
        write_private(folder / "ca.pem", authority.pem)
    return plan


def _make_site(server: Server, folders: Path, number: int) -> dict[str, Any]:
    call, name = server.role.call, f"branch-{number}"
    call("site.add", name=name)
    provider, uri = f"{name}-p", "socket://127.0.0.1:9"
    call("provider.add", name=provider, site=name)
    printer = call("printer.add", name=f"{provider}-1", provider=provider, uri=uri)["printer"]
    people = [f"{name}-{person}" for person in range(PEOPLE)]
    for person in people:
        call("user.add", name=person, balance=BALANCE)
    call("group.add", name=name)
    call("group.add-users", name=name, users=people)
    call("site.scope", name=name, groups=[name])
    folder = str(folders / name)
    return {"folder": folder, "provider": provider, "printer": printer, "people": people}


def _people(server: Server) -> dict[str, tuple[int, int]]:
    """(user, account) of each name."""
    connection = measure.open_read(server.role.data / "application.db")
    try:
        return {
            name: (user, account)
            for name, user, account in connection.execute("SELECT name, id, account FROM user")
        }
    finally:
        connection.close()

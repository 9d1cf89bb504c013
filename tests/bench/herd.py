"""Hundreds of sites that were cut come back together, each with the people of one group.

The links are real ones, from a few processes; somebody prints at the application server meanwhile.
``python -m tests.bench.herd SITES RECORDS``: so many, with so many each.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from papercutd.commands.control_client import call
from papercutd.demo import measure as measuring
from papercutd.demo import processes
from papercutd.identity.authority import Authority, key_pem, make_key, make_request, write_private
from tests.bench.costs import PASSED_SITES, measure
from tests.bench.figures import Notes, Row, cpu_s, percentile, say, table
from tests.bench.servers import AT_ONCE, BALANCE, Load, Server, application, directory
from tests.bench.talk import COME_BACK_S

SITES = 500
RECORDS = 2_000
#: Of a site: its own group.
PEOPLE = 5
PROCESSES = 3
#: Somebody at the desk, so often a second.
DESK_PER_S = 20
DESK_BEFORE_S = 2.0
DESK_MAX_S = 3_600.0
#: What a record's page costs.
PAGE_E4 = 500
#: From so many on the costs should tell what a herd takes.
PREDICTED_RECORDS = 10_000
TOLD_S = 5.0
STUCK_S = 120.0
PATIENCE_S = 3_600.0


def rows(quick: bool, notes: Notes) -> list[Row]:
    """From the healed links to everything acknowledged."""
    if quick:
        return heal(20, 100, notes, 0.5, passed=20)
    return heal(SITES, RECORDS, notes, 10.0)


@attrs.define
class Healed:
    seconds: float = 0.0
    server_cpu_s: float = 0.0
    bytes_heard: int = 0
    turned_away: int = 0
    streams: list[str] = attrs.field(factory=list)
    desk: Load | None = None


def heal(
    sites: int, records: int, notes: Notes, seconds: float, passed: int = PASSED_SITES
) -> list[Row]:
    """``sites`` with ``records`` each; ``seconds``: of each load that tells a cost."""
    with directory("pc-herd-") as where:
        # First, and at another server: nothing of the herd is in what predicts it.
        costs = measure(where, seconds, passed)
        with application(where, "herd", connections=8) as server:
            began = time.monotonic()
            plan = _make_sites(server, where / "sites", sites)
            say(f"{sites} sites made in {time.monotonic() - began:.0f} s")
            found = _heal(server, plan, records, where / "stop")
            wrong = _wrong_sites(server, found.streams, records)
            began = time.monotonic()
            verified = call(
                str(server.role.data / "control.sock"), "verify", {}, timeout_s=PATIENCE_S
            )
            say(f"verified in {time.monotonic() - began:.0f} s")
    assert found.desk is not None
    all_records, questions = sites * records, found.desk.count
    waits = notes.waits_ms["AUTHORIZE while a herd of sites heals"] = found.desk.waits_ms
    per_s = questions / found.desk.seconds
    predicted = (
        costs.cpu_s(sites, all_records, found.seconds * per_s),
        max(costs.seconds(sites, all_records, per_s), COME_BACK_S),
    )
    # A small herd is over before they have all come.
    goal = 25 if all_records >= PREDICTED_RECORDS else None
    what = f"{sites} sites x {records:,} records healed together"
    return [
        Row(what, found.seconds, "s", 300),
        Row("records of sites", all_records / found.seconds, "1/s"),
        Row("AUTHORIZE meanwhile, p95", percentile(waits, 0.95), "ms", 250),
        Row("the same, median", percentile(waits, 0.5), "ms"),
        Row("server's processor time of a record", found.server_cpu_s / all_records * 1e6, "us"),
        Row("bytes of changes told to a site", found.bytes_heard / sites, "B"),
        Row("batches told to come again", found.turned_away, ""),
        Row("sites of which a record is missing, twice there or costs else", wrong, "", 0),
        Row("problems found by verify", len(verified["problems"]), "", 0),
        *costs.rows(),
        *_compared("server's processor time", predicted[0], found.server_cpu_s, goal),
        *_compared("seconds", predicted[1], found.seconds, goal),
    ]


def _compared(what: str, predicted_s: float, measured_s: float, goal: float | None) -> list[Row]:
    off = 100 * abs(predicted_s / measured_s - 1)
    return [
        Row(f"{what}, predicted from the costs of each", predicted_s, "s"),
        Row(f"{what}, measured", measured_s, "s"),
        Row(f"{what}, the prediction is off by", off, "%", goal),
    ]


def _wrong_sites(server: Server, streams: list[str], records: int) -> int:
    """How many of the streams are not in the books as they were forwarded."""
    expected = (records, records, records * PAGE_E4, records)
    connection = measuring.open_read(server.role.data / "application.db")
    try:
        booked = {
            stream: tuple(figures)
            for stream, *figures in connection.execute(
                "SELECT stream, COUNT(*), COUNT(DISTINCT stream_number), SUM(amount_e4),"
                " MAX(stream_number) FROM charge WHERE stream <> '' GROUP BY stream"
            )
        }
    finally:
        connection.close()
    return sum(booked.get(stream) != expected for stream in streams)


def _heal(server: Server, plan: list[dict[str, Any]], records: int, stop: Path) -> Healed:
    shares = [share for index in range(PROCESSES) if (share := plan[index::PROCESSES])]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    words = [sys.executable, "-m", "tests.bench.herd_sites"]
    running = [processes.spawn(words, text=True, **pipes) for _ in shares]
    try:
        for process, share in zip(running, shares, strict=True):
            _tell(process, json.dumps({"port": server.port, "records": records, "sites": share}))
        for process in running:
            _hear(process)
        with ThreadPoolExecutor(1) as pool:
            # At the desk somebody asks from before the links are healed until all is over.
            desk = pool.submit(
                lambda: server.load(
                    *("authorize", DESK_MAX_S),
                    **{"connections": 8, "pipeline": 1, "rate_per_s": DESK_PER_S},
                    stop=str(stop),
                )
            )
            try:
                time.sleep(DESK_BEFORE_S)
                say("the links are healed")
                used_s = cpu_s(server.pid)
                for process in running:
                    _tell(process, "go on")
                said = _until_over(running, len(plan) * records)
                used_s = cpu_s(server.pid) - used_s
            finally:
                stop.touch()
            found = Healed(desk=desk.result(), server_cpu_s=used_s)
    finally:
        for process in running:
            process.kill()
            process.wait()
    found.seconds = max(one["seconds"] for one in said)
    found.bytes_heard = sum(one["bytes_heard"] for one in said)
    found.turned_away = sum(one["turned_away"] for one in said)
    found.streams = [stream for one in said for stream in one["streams"]]
    return found


def _until_over(running: list[subprocess.Popen[str]], of: int) -> list[dict[str, Any]]:
    """What each process says in the end: that every record of its sites is acknowledged.

    Raises SystemExit where one fails, or none gets on any more.
    """
    said: queue.Queue[tuple[int, str]] = queue.Queue()

    def listen(number: int) -> None:
        stdout = running[number].stdout
        assert stdout is not None
        for line in stdout:
            said.put((number, line))
        said.put((number, '{"error": "a process of sites ended"}'))

    for number in range(len(running)):
        threading.Thread(target=listen, args=(number,), daemon=True).start()
    newest: list[dict[str, Any]] = [{"acknowledged": 0} for _ in running]
    began = told = moved = time.monotonic()
    most = 0
    while True:
        now = time.monotonic()
        acknowledged = sum(one["acknowledged"] for one in newest)
        if acknowledged > most:
            most, moved = acknowledged, now
        if now - told > TOLD_S:
            told = now
            rate = acknowledged / (now - began)
            left = f", {(of - acknowledged) / rate:.0f} s left" if rate else ""
            say(f"{acknowledged:,} of {of:,} records acknowledged, {rate:.0f} a second{left}")
        if all("seconds" in one for one in newest):
            return newest
        if now - moved > STUCK_S:
            raise SystemExit(f"nothing was acknowledged for {STUCK_S:.0f} s: {newest}")
        try:
            number, line = said.get(timeout=1.0)
        except queue.Empty:
            continue
        one = json.loads(line)
        if "error" not in one:
            newest[number] = one
        elif "seconds" not in newest[number]:
            raise SystemExit(one["error"])


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
    plan = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for one in pool.map(lambda number: _make_site(server, folders, number), range(count)):
            plan.append(one)
            if len(plan) % 100 == 0:
                say(f"{len(plan)} of {count} sites made")
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
    connection = measuring.open_read(server.role.data / "application.db")
    try:
        return {
            name: (user, account)
            for name, user, account in connection.execute("SELECT name, id, account FROM user")
        }
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.herd", description=__doc__)
    parser.add_argument("sites", type=int, nargs="?", default=SITES)
    parser.add_argument("records", type=int, nargs="?", default=RECORDS)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load before it")
    options = parser.parse_args()
    print(table(heal(options.sites, options.records, Notes(), options.seconds)))


if __name__ == "__main__":
    main()

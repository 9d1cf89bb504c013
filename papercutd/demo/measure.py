"""What the demonstration found: from the stores and the paper, never from what was intended."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs

from papercutd.demo.documents import title_of
from papercutd.domain.policy import bound_e4, resolve
from papercutd.domain.pricing import PriceList
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.policies import read_rules


@attrs.frozen
class Span:
    """A span of wall time."""

    began: float
    ended: float

    def holds(self, at: float) -> bool:
        return self.began <= at <= self.ended


@attrs.frozen
class Stores:
    """Where the evidence lies."""

    application: Path
    providers: Sequence[Path]
    replicas: Sequence[Path]
    printers: Sequence[Path]
    #: The engines' own counters, by the name of the device.
    machines: Mapping[str, Path] = attrs.field(factory=dict)


def open_read(path: Path) -> sqlite3.Connection:
    """The database at ``path``, to be read only."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which ``share`` of ``values`` lie; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)


@attrs.define
class Paper:
    """Every document the printers received, and the jobs they belong to.

    A document is named by its digest; where the spooler keeps the documents, by its title.
    """

    received: Counter[str]
    keys: dict[str, str]
    jobs: list[dict[str, Any]]

    @property
    def released(self) -> list[dict[str, Any]]:
        """Jobs that were held, and collected by their person."""
        return [j for j in self.jobs if j["phase"] == "release" and j["state"] == "ended"]


def read_paper(stores: Stores) -> Paper:
    """Match the printers' files to the providers' jobs."""
    keys: dict[str, str] = {}
    jobs: list[dict[str, Any]] = []
    for path in stores.providers:
        connection = open_read(path)
        connection.row_factory = sqlite3.Row
        for row in connection.execute(
            "SELECT job, phase, step, digest, title, state, decider, outcome, assumed,"
            " submitted_at, decided_at, waited_ms FROM job"
        ):
            job = dict(row)
            job["key"] = f"{row['job']}/{row['phase']}-{row['step']}"
            job["document"] = row["digest"] or row["title"]
            jobs.append(job)
            keys[job["document"]] = job["key"]
        connection.close()
    received: Counter[str] = Counter()
    for directory in stores.printers:
        for path in directory.glob("*.prn"):
            data = path.read_bytes()
            digest = sha256(data).hexdigest()
            received[digest if digest in keys else title_of(data) or digest] += 1
    return Paper(received, keys, jobs)


def measure_money(stores: Stores, paper: Paper) -> dict[str, Any]:
    """jobs, charged_e4, lost, duplicated, overspent_e4, and what was found in words."""
    connection = open_read(stores.application)
    charges: Counter[str] = Counter()
    charged_e4 = 0
    for key, amount_e4 in connection.execute("SELECT key, amount_e4 FROM charge"):
        charges[key] += 1
        charged_e4 += amount_e4
    found: list[str] = []
    lost = duplicated = 0
    for digest, count in paper.received.items():
        key = paper.keys.get(digest, "")
        if charges[key] == 0:
            lost += 1
            found.append(f"paper without a posted charge: {key or 'an unknown document'}")
        elif count > charges[key]:
            duplicated += count - charges[key]
            found.append(f"{key} came out {count} times and was charged {charges[key]} times")
    for job in paper.jobs:
        if charges[job["key"]] and not job["assumed"] and not paper.received[job["document"]]:
            duplicated += 1
            found.append(f"a charge without paper: {job['key']}")
    for key, count in charges.items():
        if count > 1:
            duplicated += 1
            found.append(f"{key} has {count} charges")
    overspent_e4 = _overspent(connection, found)
    for (detail,) in connection.execute("SELECT detail FROM listed WHERE kind = 'stream-replaced'"):
        found.append(f"a site's journal was lost: its stream {detail} without being retired")
    connection.close()
    return {
        "jobs": sum(paper.received.values()),
        "charged_e4": charged_e4,
        "lost": lost,
        "duplicated": duplicated,
        "overspent_e4": overspent_e4,
        "found": found,
    }


def measure_copies(stores: Stores) -> dict[str, Any]:
    """copies (runs of the machines), pages, lost and duplicated pages, and what was found.

    The machines' counters are compared with what is charged to runs of their names: each
    run once, with its pages, at the price of its version.
    """
    connection = open_read(stores.application)
    prices = {
        version: decode_prices(body).grey_a4_e4
        for version, body in connection.execute("SELECT version, body FROM price")
    }
    charges: dict[str, list[tuple[str, int, int, int]]] = {}
    for key, *charge in connection.execute(
        "SELECT key, provider, pages, amount_e4, price_version FROM charge"
        " WHERE provider LIKE 'device:%'"
    ):
        charges.setdefault(key, []).append(tuple(charge))
    connection.close()
    found: list[str] = []
    copies = total = lost = duplicated = 0
    for name, path in stores.machines.items():
        runs, counted = _engine(path)
        if sum(runs.values()) != counted:
            found.append(f"{name} counts {counted} pages, its runs {sum(runs.values())}")
        for key, pages in runs.items():
            copies += 1
            total += pages
            posted = charges.pop(key, [])
            charged = sum(one[1] for one in posted)
            lost += max(0, pages - charged)
            duplicated += max(0, charged - pages)
            if len(posted) != 1 or charged != pages:
                found.append(
                    f"{key}: {name} counted {pages} pages; {charged} are charged,"
                    f" {len(posted)} times"
                )
            for provider, charged, amount_e4, version in posted:
                if provider != f"device:{name}" or amount_e4 != charged * prices[version]:
                    found.append(f"{key} of {name} is charged wrongly: {provider}, {amount_e4}")
    for key, posted in charges.items():
        duplicated += sum(one[1] for one in posted)
        found.append(f"{key} is charged, and no machine counted it")
    return {
        "copies": copies,
        "pages": total,
        "lost": lost,
        "duplicated": duplicated,
        "found": found,
    }


def _engine(path: Path) -> tuple[dict[str, int], int]:
    """What a machine counted: pages by the key of the run, and pages since it was built."""
    connection = open_read(path)
    runs = dict(connection.execute("SELECT key, pages FROM run").fetchall())
    (counted,) = connection.execute("SELECT COALESCE(SUM(pages), 0) FROM counter").fetchone()
    connection.close()
    return runs, counted


def _overspent(connection: sqlite3.Connection, found: list[str]) -> int:
    """Spent beyond balance, overdraft and the caps of all sites, over all restricted users."""
    (body,) = connection.execute("SELECT body FROM price ORDER BY version DESC LIMIT 1").fetchone()
    prices: PriceList = decode_prices(body)
    rules = read_rules(connection)
    allowed = bound_e4(
        resolve(rules, site, (), prices.grey_a4_e4)
        for (site,) in connection.execute("SELECT id FROM site WHERE removed = 0").fetchall()
    )
    if allowed is None:
        return 0
    total = 0
    for name, balance_e4, floor_e4 in connection.execute(
        "SELECT name, credits_e4 - debits_e4, floor_e4 FROM account"
        " WHERE kind = 'personal' AND restricted = 1"
    ):
        beyond = floor_e4 - balance_e4 - allowed
        if beyond > 0:
            total += beyond
            found.append(f"{name} overspent by {beyond / 10_000:.2f}")
    return total


def waited(paper: Paper, spans: Sequence[Span]) -> list[float]:
    """Milliseconds to the decision, of jobs handed in within ``spans``."""
    return [
        job["waited_ms"]
        for job in paper.jobs
        if job["waited_ms"] is not None and any(s.holds(job["submitted_at"]) for s in spans)
    ]


def back_s(paper: Paper, healed_at: float) -> float | None:
    """Seconds from the heal to the first decision of the application server after it."""
    times = [
        job["decided_at"]
        for job in paper.jobs
        if job["decider"] == "application" and (job["decided_at"] or 0) > healed_at
    ]
    return round(min(times) - healed_at, 3) if times else None


def replica_lag_ms(stores: Stores, cuts: Sequence[Span]) -> float | None:
    """p99 from commit at the centre to applied at a site, of what was committed while linked."""
    lags: list[float] = []
    for path in stores.replicas:
        connection = open_read(path)
        for committed_at, applied_at in connection.execute(
            "SELECT committed_at, applied_at FROM applied"
        ):
            if not any(cut.holds(committed_at) for cut in cuts):
                lags.append((applied_at - committed_at) * 1000)
        connection.close()
    return percentile(lags, 0.99)

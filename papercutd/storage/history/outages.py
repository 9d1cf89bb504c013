"""Outages by number: found in what links did, closed once everybody has reported.

A closed one keeps the bytes of its statement: whatever comes later, be it a new name of
a printer or another policy of a site, its figures and its words stand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from papercutd.domain.policy import Effective, resolve
from papercutd.domain.signed import Signature, canonical
from papercutd.errors import NotFound
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.policies import read_rules
from papercutd.storage.engine import Connection
from papercutd.storage.history.statement import gone, read_figures, span_of_numbers
from papercutd.storage.replication.change_log import read_head

#: Links of sites that went down within so many seconds of each other are one outage.
ONE_OUTAGE_S = 60.0
#: Events looked at in one step, and open outages that are looked at.
EVENTS_MAX, OPEN_MAX = 1_000, 100
#: Events of others that may lie before the first one of a site in the same outage.
EVENTS_BEFORE_MAX = 10_000
LISTED_MAX = 500
Sign = Callable[[bytes], Signature]
_COLUMNS = "id, drill, since, first_event, last_event, last_down_at, first, sites"


@attrs.frozen
class Outage:
    """One row, without its statement."""

    id: int
    is_drill: bool
    since: float
    first_event: int
    last_event: int
    last_down_at: float
    #: The change with which it began.
    first: int
    sites: list[dict[str, Any]]


@attrs.frozen
class Closing:
    """Who is missing; nobody: when, and at which change, the last one had reported."""

    missing: list[str]
    at: float | None = None
    number: int | None = None


def gather(connection: Connection) -> None:
    """Number the outages that began since the last time."""
    newest = _newest(connection)
    # An installation of before there were numbers: its latest ones.
    start = newest.last_event if newest is not None else _first_event(connection)
    for id, identity, at, number, drill in connection.execute(
        "SELECT id, identity, at, number, drill FROM link_event"
        " WHERE event = 'down' AND identity LIKE 'site:%' AND id > ? ORDER BY id LIMIT ?",
        (start, EVENTS_MAX),
    ).fetchall():
        site = _site_as_it_stands(connection, identity, at)
        if newest is not None and _belongs(connection, newest, id, at, drill):
            sites = newest.sites
            if all(one["site"] != site["site"] for one in sites):
                sites = [*sites, site]
            connection.execute(
                "UPDATE outage SET last_event = ?, last_down_at = ?, sites = ? WHERE id = ?",
                (id, at, json.dumps(sites), newest.id),
            )
        else:
            connection.execute(
                "INSERT INTO outage (drill, since, first_event, last_event, last_down_at, first,"
                " sites) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (drill, at, id, id, at, number, json.dumps([site])),
            )
        newest = _newest(connection)


def close(connection: Connection) -> None:
    """Keep the statements of outages that nobody is missing from any more."""
    for outage in read_open(connection):
        closing = read_closing(connection, outage)
        if closing.number is None:
            continue
        written = connection.execute(
            "SELECT 1 FROM change_log WHERE number = ?", (closing.number,)
        ).fetchone()
        if written is None:
            # What else is in that transaction belongs to it: once it is written.
            continue
        body = canonical(_state(connection, outage, closing))
        connection.execute("UPDATE outage SET body = ? WHERE id = ?", (body, outage.id))


def sign_closed(connection: Connection, sign: Sign) -> int:
    """Sign what is closed and not signed yet; how many."""
    rows = connection.execute(
        "SELECT id, body FROM outage WHERE signature = '' AND body <> x'' ORDER BY id LIMIT ?",
        (OPEN_MAX,),
    ).fetchall()
    for id, body in rows:
        signed = sign(body)
        connection.execute(
            "UPDATE outage SET signature = ?, certificate = ? WHERE id = ?",
            (signed.signature, signed.certificate, id),
        )
    return len(rows)


def statement_of(connection: Connection, number: int | None = None) -> dict[str, Any]:
    """The statement of an outage, or of the latest; raises NotFound."""
    row = connection.execute(
        f"SELECT {_COLUMNS}, body, signature, certificate FROM outage"
        " WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC LIMIT 1",
        (number,),
    ).fetchone()
    if row is None:
        if number is not None:
            raise NotFound("outage", str(number))
        return _nothing(connection)
    outage, (body, signature, certificate) = _outage(row[:-3]), row[-3:]
    if not body:
        return _state(connection, outage, read_closing(connection, outage))
    stated: dict[str, Any] = json.loads(body)
    if signature:
        stated["signed"] = Signature(signature, certificate).as_shown()
    return stated


def state_again(connection: Connection, number: int) -> dict[str, Any]:
    """What the books say of an outage now, whatever was kept of it; raises NotFound."""
    row = connection.execute(
        f"SELECT {_COLUMNS}, body FROM outage WHERE id = ?", (number,)
    ).fetchone()
    if row is None:
        raise NotFound("outage", str(number))
    outage, body = _outage(row[:-1]), row[-1]
    if not body:
        return _state(connection, outage, read_closing(connection, outage))
    kept = json.loads(body)
    closing = Closing([], kept["until"], kept["changes"]["last"])
    return _state(connection, outage, closing)


def list_outages(connection: Connection, count_max: int) -> list[dict[str, Any]]:
    """Newest first: when, which sites, whether closed, and what was printed."""
    shown = []
    for (number,) in connection.execute(
        "SELECT id FROM outage ORDER BY id DESC LIMIT ?", (min(count_max, LISTED_MAX),)
    ).fetchall():
        stated = statement_of(connection, number)
        shown.append(
            {
                **{name: stated[name] for name in ("outage", "kind", "state", "since", "until")},
                "sites": [one["site"] for one in stated["sites"]],
                **{name: stated[name] for name in ("jobs", "pages", "amount_e4", "missing")},
                "signed": "signed" in stated,
            }
        )
    return shown


def read_closing(connection: Connection, outage: Outage, before: int | None = None) -> Closing:
    """Whether everybody who was part of ``outage`` had reported, looking at events so far."""
    missing: dict[tuple[str, str], None] = {}
    own = {f"site:{one['site']}" for one in outage.sites}
    for id, identity, via, event, at, number, drill in connection.execute(
        "SELECT id, identity, via, event, at, number, drill FROM link_event"
        " WHERE id >= ?1 - ?2 AND (?3 IS NULL OR id < ?3)"
        " AND (id >= ?1 OR at >= ?4 - ?5"
        # The clock may have been behind when somebody reported.
        " OR event = 'reported' AND id > (SELECT MIN(id) FROM link_event"
        " WHERE id >= ?1 - ?2 AND at >= ?4 - ?5))"
        " ORDER BY id",
        (outage.first_event, EVENTS_BEFORE_MAX, before, outage.since, ONE_OUTAGE_S),
    ):
        who = (identity, "" if identity.startswith("device:") else via)
        is_site = identity.startswith("site:")
        if event == "down":
            # Another cut of a site, later, is another outage; of a drill the site alone is part.
            counts = outage.first_event <= id <= outage.last_event and drill == outage.is_drill
            if (is_site and identity in own and counts) or not (is_site or outage.is_drill):
                missing[who] = None
        elif event == "reported":
            missing.pop(who, None)
        if id >= outage.last_event and not missing:
            return Closing([], at, number)
    away = gone(connection)
    names = [
        f"{identity} at {via}" if via else identity
        for identity, via in missing
        if identity not in away and f"site:{via}" not in away
    ]
    if names or before is not None:
        return Closing(sorted(names))
    # Whoever has not reported is no more: there is nobody to wait for.
    return Closing([], outage.last_down_at, read_head(connection).number)


def _state(connection: Connection, outage: Outage, closing: Closing) -> dict[str, Any]:
    head = read_head(connection)
    last = head.number + 1 if closing.number is None else closing.number
    at = connection.execute(
        "SELECT timeline, number, chain FROM change_log WHERE number = ?", (last,)
    ).fetchone()
    timeline, number, chain = at or (head.timeline, head.number, head.chain)
    (installation,) = connection.execute("SELECT installation FROM head").fetchone()
    figures = read_figures(connection, span_of_numbers(outage.first, last))
    policies = {one["site"]: one["policy"] for one in outage.sites}
    for one in figures["by_decider"]:
        one["policy"] = policies.get(one["site"], one["policy"])
    return {
        "format": 1,
        "installation": installation,
        "outage": outage.id,
        "kind": "drill" if outage.is_drill else "outage",
        "state": "open" if closing.missing or closing.number is None else "closed",
        "missing": closing.missing,
        "since": outage.since,
        "until": closing.at,
        "changes": {"first": outage.first, "last": None if closing.number is None else last},
        "sites": outage.sites,
        **figures,
        "overspend": _overspend(connection, outage, last),
        "evidence": _evidence(connection, outage, last),
        "position": {"timeline": timeline, "number": number, "chain": chain},
    }


def _overspend(connection: Connection, outage: Outage, last: int) -> dict[str, Any]:
    """How far below their floor people may have come at cut sites, and how far they did."""
    bound_e4: int | None = 0
    for site in outage.sites:
        caps = [p["cap_user_e4"] for p in (site, *site["groups"]) if p["policy"] == "capped"]
        bound_e4 = None if bound_e4 is None or None in caps else bound_e4 + max(caps, default=0)
    over = connection.execute(
        "SELECT name, over_e4 FROM (SELECT account.name, MIN(spent.amount_e4, account.floor_e4"
        " - account.credits_e4 + account.debits_e4 - account.purses_e4) AS over_e4"
        " FROM (SELECT account, SUM(amount_e4) AS amount_e4"
        " FROM charge WHERE number >= ? AND number <= ? AND decider NOT IN"
        " ('application', 'tracker') GROUP BY account) AS spent"
        " JOIN account ON account.id = spent.account WHERE account.kind = 'personal'"
        " AND account.restricted = 1) AS spender WHERE over_e4 > 0"
        " ORDER BY over_e4 DESC, name",
        (outage.first, last),
    ).fetchall()
    most_e4 = over[0][1] if over else 0
    return {
        "bound_per_user_e4": bound_e4,
        "people": len(over),
        "most_per_user_e4": most_e4,
        "in_all_e4": sum(one[1] for one in over),
        "within_bound": bound_e4 is None or most_e4 <= bound_e4,
    }


def _evidence(connection: Connection, outage: Outage, last: int) -> dict[str, Any]:
    """Why nothing was lost or charged twice: figures that anybody can count again."""
    charges, keys = connection.execute(
        "SELECT COUNT(*), COUNT(DISTINCT key) FROM charge WHERE number >= ? AND number <= ?",
        (outage.first, last),
    ).fetchone()
    (ledger_sum_e4,) = connection.execute(
        "SELECT SUM(credits_e4) - SUM(debits_e4) FROM account"
    ).fetchone()
    streams = []
    for site in outage.sites:
        streams += [
            {
                "site": site["site"],
                "stream": stream,
                "first": site["records"] + 1 if stream == site["stream"] else 1,
                "last": number,
                "chain": chain,
                # What the site said it had, and what is here: without a gap up to there.
                "told": max(told or 0, number),
            }
            for stream, number, chain, told in connection.execute(
                "SELECT stream.id, stream.number, stream.chain, asker.number FROM stream"
                " JOIN site ON site.id = stream.site LEFT JOIN asker ON asker.journal = stream.id"
                " WHERE site.name = ? AND (stream.id = ? OR stream.began_at >= ?)"
                " ORDER BY stream.began_at",
                (site["site"], site["stream"], outage.since),
            )
        ]
    return {
        "streams": streams,
        "charges": charges,
        "keys": keys,
        "lost_records": sum(one["told"] - one["last"] for one in streams),
        "ledger_sum_e4": ledger_sum_e4,
    }


def _nothing(connection: Connection) -> dict[str, Any]:
    """There has been no outage yet."""
    outage = Outage(0, False, 0.0, 0, 0, 0.0, read_head(connection).number + 1, [])
    return {**_state(connection, outage, Closing([], None, outage.first)), "until": None}


def _site_as_it_stands(connection: Connection, identity: str, at: float) -> dict[str, Any]:
    name = identity.partition(":")[2]
    (site,) = connection.execute("SELECT id FROM site WHERE name = ?", (name,)).fetchone()
    prices = connection.execute(
        "SELECT body FROM price WHERE effective_from <= ? ORDER BY version DESC LIMIT 1", (at,)
    ).fetchone()
    grey_e4 = 0 if prices is None else decode_prices(prices[0]).grey_a4_e4
    rules = read_rules(connection)
    own = _policy(resolve(rules, site, (), grey_e4))
    named = {rule.group for rule in rules}
    groups = [
        {"group": group, **policy}
        for id, group in connection.execute(
            "SELECT id, name FROM user_group WHERE removed = 0 ORDER BY name"
        )
        if id in named and (policy := _policy(resolve(rules, site, (id,), grey_e4))) != own
    ]
    stream = connection.execute(
        "SELECT stream.id, number FROM stream JOIN site ON site.id = stream.site"
        " WHERE site.name = ? AND state = 'live'",
        (name,),
    ).fetchone()
    return {
        "site": name,
        "since": at,
        **own,
        # Of groups for whom another policy holds there.
        "groups": groups,
        "stream": "" if stream is None else stream[0],
        "records": 0 if stream is None else stream[1],
    }


def _policy(effective: Effective) -> dict[str, Any]:
    return {"policy": effective.policy.value, "cap_user_e4": effective.cap_user_e4}


def _belongs(connection: Connection, outage: Outage, event: int, at: float, drill: int) -> bool:
    """Whether a site that went down is part of ``outage``: near it, and before it closed."""
    if drill or outage.is_drill or abs(at - outage.last_down_at) > ONE_OUTAGE_S:
        return False
    (body,) = connection.execute("SELECT body FROM outage WHERE id = ?", (outage.id,)).fetchone()
    return not body and read_closing(connection, outage, event).number is None


def _first_event(connection: Connection) -> int:
    found = connection.execute(
        "SELECT id FROM link_event WHERE event = 'down' AND identity LIKE 'site:%'"
        " ORDER BY id DESC LIMIT 1 OFFSET ?",
        (EVENTS_MAX,),
    ).fetchone()
    return 0 if found is None else int(found[0])


def _newest(connection: Connection) -> Outage | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM outage ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else _outage(row)


def read_open(connection: Connection) -> list[Outage]:
    """Those that are not closed yet, oldest first."""
    return [
        _outage(row)
        for row in connection.execute(
            f"SELECT {_COLUMNS} FROM outage WHERE body = x'' ORDER BY id LIMIT ?", (OPEN_MAX,)
        ).fetchall()
    ]


def _outage(row: Any) -> Outage:
    id, drill, since, first_event, last_event, last_down_at, first, sites = row
    return Outage(
        *(id, bool(drill), since, first_event, last_event, last_down_at, first),
        sites=json.loads(sites),
    )

"""At a site: how a charge came about here, and what a document would cost; read-only.

What a site knows is its own decision and its replica; the transfers are the application server's.
"""

from __future__ import annotations

import msgspec

from papercutd.domain.account_mode import Mode
from papercutd.domain.decision import APPLICATION, Decision
from papercutd.domain.document import Document
from papercutd.domain.job import Request
from papercutd.domain.pricing import reprice_pages, total_e4, total_pages
from papercutd.errors import NotFound, Rejected
from papercutd.storage.administration.listings import Row
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.explaining import SHOWN_MAX, line_row, prices_row
from papercutd.storage.jobs.priced import price_for
from papercutd.storage.jobs.quoting import name_of, quote_row, settled_so, shared_of
from papercutd.storage.money.shared_access import choose
from papercutd.storage.people.people import find_user
from papercutd.storage.site.deciding import (
    prices_in_force,
    read_mode_here,
    read_policy,
    read_purse,
)

_COLUMNS = "SELECT key, state, reserved_e4, body, request, pages, decided_at FROM decision WHERE"
_CHARGED = "state IN ('open', 'settled')"
_DECISION = msgspec.json.Decoder(Decision)
_REQUEST = msgspec.json.Decoder(Request)


def explain_here(connection: Connection, word: str) -> list[Row]:
    """What this site knows of the charges that ``word`` names: a key or a job id; NotFound."""
    found = connection.execute(f"{_COLUMNS} key = ? AND {_CHARGED}", (word,)).fetchall()
    if not found:
        found = connection.execute(
            f"{_COLUMNS} key > ? AND key < ? AND {_CHARGED} ORDER BY key LIMIT {SHOWN_MAX}",
            (f"{word}/", f"{word}0"),
        ).fetchall()
    if not found:
        raise NotFound("charge", word[:80])
    return [_explain(connection, *row) for row in found]


def _explain(
    connection: Connection,
    key: str,
    state: str,
    amount_e4: int,
    body: bytes,
    asked: bytes,
    pages: int,
    decided_at: float,
) -> Row:
    decision = _DECISION.decode(body)
    request = _REQUEST.decode(asked) if asked else None
    was = total_pages(decision.lines)
    is_over = state == "settled"
    lines = reprice_pages(decision.lines, pages) if is_over else decision.lines
    # What nobody could analyse is priced by the application server.
    shown = lines if total_e4(lines) == amount_e4 else ()
    sides = pages if is_over else was
    is_duplex = request is not None and request.document.duplex
    corrected = is_over and pages != was
    return {
        "charge": key,
        "key": key,
        "title": "" if request is None else request.title,
        "user": _name(connection, "user", decision.user),
        "account": _name(connection, "account", decision.account),
        "named": None if decision.named is None else _name(connection, "account", decision.named),
        "invoice": decision.invoice,
        "printer": _name(connection, "printer", decision.printer),
        "amount_e4": amount_e4,
        "pages": sides,
        "sheets": -(-sides // 2) if is_duplex else sides,
        "lines": [line_row(line) for line in shown],
        "price_version": decision.price_version,
        "prices": prices_row(connection, "replica.", decision.price_version),
        "decided_by": "the application server"
        if decision.decider == APPLICATION
        else f"this site (stream {decision.decider})",
        "corrections": [f"{was} sides were decided, {pages} were printed"] if corrected else [],
        "outcome": "printed" if is_over else "reserved, not ended yet",
        "claimed_at": decided_at,
        "transfers": [],
        "listed": [],
    }


def quote_here(
    connection: Connection,
    document: Document,
    user: str,
    printer: str,
    dated_s: float,
    account: str = "",
) -> Row:
    """What ``document`` would cost now, by the replica; raises NotFound, Rejected."""
    prices, capable = prices_in_force(connection, dated_s)
    if not capable:
        raise Rejected("unavailable", "this release cannot evaluate the prices in force")
    place, whose, spendable_e4 = 0, None, None
    mode: Mode | None = Mode()
    if printer:
        found = connection.execute(
            "SELECT id FROM replica.printer WHERE name = ? AND removed = 0", (printer,)
        ).fetchone()
        if found is None:
            raise NotFound("printer", printer)
        place = found[0]
    if user:
        whose = find_user(connection, "replica.", user)
        person = connection.execute(
            "SELECT account, account_mode, needs FROM replica.user WHERE id = ?", (whose,)
        ).fetchone()
        if person is None:
            raise NotFound("user", user)
        spendable_e4 = read_purse(connection, person[0], dated_s).spendable_e4
        mode = read_mode_here(read_policy(connection, whose, dated_s), *person[1:])
    lines = price_for(connection, "replica.", document, prices, place, whose)
    shared = shared_of(mode)
    if account:
        found = connection.execute(
            "SELECT id FROM replica.account WHERE kind = 'shared' AND name = ?", (account,)
        ).fetchone()
        if found is None:
            raise NotFound("account", account)
        shared = found[0]
    settled = settled_so(mode, shared)
    chosen = choose(connection, "replica.", shared, whose, dated_s)
    if settled.payer is not None:
        spendable_e4 = read_purse(connection, settled.payer, dated_s).spendable_e4
    names = (user, printer, account or name_of(connection, "replica.", shared))
    return quote_row(document, prices, lines, names, spendable_e4, settled, chosen)


def _name(connection: Connection, table: str, id: int | None) -> str:
    """As the replica has it; else what there is."""
    found = connection.execute(f"SELECT name FROM replica.{table} WHERE id = ?", (id,)).fetchone()
    return "nobody" if id is None else str(id if found is None else found[0])

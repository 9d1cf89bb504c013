"""How a charge came about, from what is stored of it: read-only, at the application server."""

from __future__ import annotations

from typing import Any

import msgspec

from papercutd.domain.decision import APPLICATION, Decision
from papercutd.domain.pricing import PriceLine, total_pages
from papercutd.errors import DomainError, InvalidValue, NotFound
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.history.invoicing import as_yes
from papercutd.storage.jobs.job_comments import read_comment

#: Charges of one job, and transfers of one charge, that are shown.
SHOWN_MAX = 100
_CHARGE = (
    "SELECT charge.*, printer.name AS printer_name, user.name AS user_is,"
    " account.name AS account_name, named.name AS named_name, site.name AS site FROM charge"
    " LEFT JOIN printer ON printer.id = charge.printer"
    " LEFT JOIN user ON user.id = charge.user"
    " LEFT JOIN account ON account.id = charge.account"
    " LEFT JOIN account AS named ON named.id = charge.named"
    " LEFT JOIN stream ON stream.id = charge.decider"
    " LEFT JOIN site ON site.id = stream.site WHERE "
)
_TRANSFERS = (
    "SELECT transfer.id, transfer.kind, payer.name AS debit, payee.name AS credit, amount_e4,"
    " transfer.who, transfer.forced, reason, received_at, number FROM transfer"
    " LEFT JOIN account AS payer ON payer.id = transfer.debit"
    " LEFT JOIN account AS payee ON payee.id = transfer.credit"
    f" WHERE transfer.key = ? ORDER BY transfer.id LIMIT {SHOWN_MAX}"
)
_LINES = msgspec.json.Decoder(tuple[PriceLine, ...])
_DECISION = msgspec.json.Decoder(Decision)


def read_explanation(connection: Connection, word: str) -> list[Row]:
    """Every charge that ``word`` names: a charge id, a key or a job id; raises NotFound."""
    found = rows(connection, f"{_CHARGE} charge_id = ?1 OR charge.key = ?1", word)
    if not found:
        # The steps of a job: what stands behind the slash.
        steps = f"{_CHARGE} charge.key > ? AND charge.key < ? ORDER BY charge.key LIMIT {SHOWN_MAX}"
        found = rows(connection, steps, f"{word}/", f"{word}0")
    if not found:
        raise _why_none(connection, word)
    return [_explain(connection, charge) for charge in found]


def _explain(connection: Connection, charge: Row) -> Row:
    key, lines = charge["key"], _LINES.decode(charge["lines"])
    transfers = rows(connection, _TRANSFERS, key)
    decided = connection.execute(
        "SELECT state, reserved_e4, body FROM decision WHERE key = ?", (key,)
    ).fetchone()
    stored = None if decided is None else _DECISION.decode(decided[2])
    # Of which the charge was made, where it was decided here; a site's came with its record.
    ours = stored if stored is not None and stored.decider == charge["decider"] else None
    return {
        "charge": charge["charge_id"],
        "key": key,
        "title": charge["title"],
        "user": charge["user_is"] or charge["user_name"],
        "account": charge["account_name"],
        # A shared account that is only named: whoever pays is the account.
        "named": charge["named_name"],
        "invoice": as_yes(charge["invoice"]),
        "comment": read_comment(connection, key),
        "printer": charge["printer_name"] or charge["printer"],
        "amount_e4": charge["amount_e4"],
        "pages": charge["pages"],
        "sheets": charge["sheets"],
        "lines": [line_row(line) for line in lines],
        "price_version": charge["price_version"],
        "prices": prices_row(connection, "", charge["price_version"]),
        "decided_by": _decider(charge),
        "decided": None if ours is None else _decided(ours),
        "corrections": _corrections(charge, lines, ours),
        "forced": charge["forced"],
        "assumed": charge["assumed"],
        "outcome": charge["outcome"],
        "claimed_at": charge["claimed_at"],
        "received_at": charge["received_at"],
        "transfers": transfers,
        "refunds": _refunds(connection, charge["charge_id"]),
        "written_off": _written_off(connection, charge["charge_id"]),
        "listed": _listed(connection, key, {charge["number"], *(t["number"] for t in transfers)}),
    }


def _why_none(connection: Connection, word: str) -> DomainError:
    """No charge: a job that was refused or held has none, and it is said why."""
    steps = "SELECT verdict, reason FROM job_log WHERE key = ? OR (key > ? AND key < ?)"
    found = connection.execute(f"{steps} ORDER BY key DESC", (word, f"{word}/", f"{word}0"))
    refused = found.fetchone()
    if refused is None:
        return NotFound("charge", word[:80])
    why = ", ".join(one for one in refused if one)
    return InvalidValue("charge", f"was not made: the job has cost nothing ({why})")


def _refunds(connection: Connection, charge: str) -> list[Row]:
    """What was asked back of it, and given."""
    return rows(
        connection,
        "SELECT id, state, amount_e4, granted_e4, words, answer, asked_by FROM refund"
        f" WHERE charge_id = ? ORDER BY id LIMIT {SHOWN_MAX}",
        charge,
    )


def _written_off(connection: Connection, charge: str) -> list[Row]:
    query = "SELECT amount_e4, reason FROM written_off WHERE charge_id = ?"
    return rows(connection, query, charge)


def line_row(line: PriceLine) -> Row:
    """A line of a charge, to be shown."""
    return {
        "what": line.what,
        "quantity": line.quantity,
        "unit_e4": line.unit_e4,
        "amount_e4": line.amount_e4,
    }


def _decided(decision: Decision) -> Row:
    return {
        "amount_e4": decision.amount_e4,
        "pages": total_pages(decision.lines),
        "lines": [line_row(line) for line in decision.lines],
        "allowance": decision.allowance,
    }


def _decider(charge: Row) -> str:
    if charge["decider"] == APPLICATION:
        return "the application server"
    if charge["decider"] == "tracker":
        return "nobody: it was printed before anybody could be asked"
    return f"site {charge['site'] or '?'} (stream {charge['decider']})"


def prices_row(connection: Connection, schema: str, version: int) -> Row | None:
    """That version; None: it is not kept any more, or was lost."""
    found = connection.execute(
        f"SELECT effective_from, body FROM {schema}price WHERE version = ?", (version,)
    ).fetchone()
    if found is None:
        return None
    return {"effective_from": found[0], "currency": decode_prices(found[1]).currency}


def _corrections(charge: Row, lines: tuple[PriceLine, ...], ours: Decision | None) -> list[str]:
    """In words, why the charge is not what was decided."""
    told = []
    if ours is not None and lines != ours.lines:
        was = total_pages(ours.lines)
        if charge["pages"] != was:
            told.append(f"{was} sides were decided, {charge['pages']} were printed")
        else:
            told.append("priced anew when it was posted")
    if charge["assumed"]:
        told.append("the printer's outcome is not known: charged as analysed")
    if charge["forced"]:
        told.append("posted without a reservation that guarded it, or below the floor")
    return told


def _listed(connection: Connection, key: str, numbers: set[Any]) -> list[Row]:
    """What the statement says of it, in the changes that moved its money."""
    found: list[Row] = []
    for number in sorted(numbers):
        found += rows(
            connection,
            "SELECT kind, detail, amount_e4, at FROM listed WHERE number = ? AND key = ?"
            f" ORDER BY id LIMIT {SHOWN_MAX}",
            *(number, key),
        )
    return found

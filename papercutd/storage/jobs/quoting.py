"""What a document would cost now, at the application server: read-only, nothing is reserved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from papercutd.domain.account_choice import Settled
from papercutd.domain.account_mode import Mode
from papercutd.domain.decision import Reason
from papercutd.domain.document import Document
from papercutd.domain.pricing import PriceLine, PriceList, total_e4, total_pages, with_markup
from papercutd.errors import NotFound, Rejected
from papercutd.storage.administration.directory import Directory, decode_prices
from papercutd.storage.administration.listings import Row
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.account_settling import mode_of
from papercutd.storage.jobs.explaining import line_row
from papercutd.storage.jobs.naming import added_by
from papercutd.storage.jobs.priced import price_for
from papercutd.storage.money.accounts import Accounts
from papercutd.storage.money.shared_access import Choice, choose
from papercutd.storage.money.shared_accounts import find_account

T = TypeVar("T")


def read_quote(
    connection: Connection,
    directory: Directory,
    accounts: Accounts,
    document: Document,
    user: str,
    printer: str,
    now: float,
    account: str = "",
) -> Row:
    """Its lines, for ``user``, at ``printer`` and charged to the shared ``account`` where they are
    named; raises NotFound."""
    found = connection.execute(
        "SELECT body FROM price WHERE effective_from <= ? ORDER BY version DESC LIMIT 1", (now,)
    ).fetchone()
    if found is None:
        raise Rejected("unavailable", "no price list is in force")
    prices = decode_prices(found[0])
    place = directory.id_of(connection, "printer", printer) if printer else 0
    spendable_e4, whose = None, None
    mode: Mode | None = Mode()
    if user:
        person = directory.find_person(connection, user)
        if person is None:
            raise NotFound("user", user)
        whose, mode = person.id, mode_of(connection, _as_it_stands, person)
        funds = accounts.funds(connection, accounts.heir(connection, person.account))
        spendable_e4 = funds.spendable_e4 if funds.restricted else None
    lines = price_for(connection, "", document, prices, place, whose)
    shared = find_account(connection, account) if account else shared_of(mode)
    settled, chosen = settled_so(mode, shared), choose(connection, "", shared, whose, now)
    if settled.payer is not None:
        funds = accounts.funds(connection, settled.payer)
        spendable_e4 = funds.spendable_e4 if funds.restricted else None
    names = (user, printer, account or name_of(connection, "", shared))
    return quote_row(document, prices, lines, names, spendable_e4, settled, chosen)


def _as_it_stands(read: Callable[..., T], connection: Connection, *of: object) -> T:
    return read(connection, *of)


def shared_of(mode: Mode | None) -> int | None:
    """The shared account that a person of that ``mode`` charges without choosing one."""
    return None if mode is None else mode.shared


def name_of(connection: Connection, schema: str, shared: int | None) -> str:
    """Of a shared account; of none: empty."""
    if shared is None:
        return ""
    found = connection.execute(f"SELECT name FROM {schema}account WHERE id = ?", (shared,))
    row = found.fetchone()
    return "" if row is None else str(row[0])


def settled_so(mode: Mode | None, shared: int | None) -> Settled:
    """What becomes of ``shared`` as a person of that ``mode`` chooses it; None: a newer release
    knows."""
    if mode is None and shared is not None:
        return Settled(shared, reason=Reason.CAPABILITY)
    return Settled(shared, named=shared is not None and mode is not None and mode.names)


def quote_row(
    document: Document,
    prices: PriceList,
    lines: Sequence[PriceLine],
    names: tuple[str, str, str],
    spendable_e4: int | None,
    settled: Settled,
    chosen: Choice,
) -> Row:
    """A quote to be shown; ``names``: of user, printer and shared account; ``settled`` and
    ``chosen``: what becomes of the last."""
    lines = with_markup(lines, added_by(settled, chosen))
    refused = settled.reason if chosen.refusal is Reason.NONE else chosen.refusal
    user, printer, account = names
    return {
        "amount_e4": total_e4(lines),
        "currency": prices.currency,
        "pages": total_pages(lines),
        "sheets": document.sheets,
        "lines": [line_row(line) for line in lines],
        "price_version": prices.version,
        "user": user,
        "printer": printer,
        "account": account,
        "named": settled.named,
        "refused": refused.value,
        "spendable_e4": spendable_e4,
    }

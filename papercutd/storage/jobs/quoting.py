"""What a document would cost now, at the application server: read-only, nothing is reserved."""

from __future__ import annotations

from collections.abc import Sequence

from papercutd.domain.document import Document
from papercutd.domain.pricing import PriceLine, PriceList, total_e4, total_pages, with_markup
from papercutd.errors import NotFound, Rejected
from papercutd.storage.administration.directory import Directory, decode_prices
from papercutd.storage.administration.listings import Row
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.explaining import line_row
from papercutd.storage.jobs.priced import price_for
from papercutd.storage.money.accounts import Accounts
from papercutd.storage.money.shared_access import Choice, choose
from papercutd.storage.money.shared_accounts import find_account


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
    if user:
        person = directory.find_person(connection, user)
        if person is None:
            raise NotFound("user", user)
        whose = person.id
        funds = accounts.funds(connection, accounts.heir(connection, person.account))
        spendable_e4 = funds.spendable_e4 if funds.restricted else None
    lines = price_for(connection, "", document, prices, place, whose)
    shared = find_account(connection, account) if account else None
    if shared is not None:
        funds = accounts.funds(connection, shared)
        spendable_e4 = funds.spendable_e4 if funds.restricted else None
    chosen = choose(connection, "", shared, whose, now)
    return quote_row(document, prices, lines, (user, printer, account), spendable_e4, chosen)


def quote_row(
    document: Document,
    prices: PriceList,
    lines: Sequence[PriceLine],
    names: tuple[str, str, str],
    spendable_e4: int | None,
    chosen: Choice,
) -> Row:
    """A quote to be shown; ``names``: of user, printer and shared account, ``chosen``: what becomes
    of the last."""
    lines = with_markup(lines, chosen.markup_e4)
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
        "refused": chosen.refusal.value,
        "spendable_e4": spendable_e4,
    }

"""What is to be invoiced to shared accounts, and the jobs that they are only named for: as
administrators see it.

Charges from before there was an invoice option on them say nothing, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.account_tree import SEPARATOR
from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.money.shared_accounts import find_account
from papercutd.storage.proof.seals import one_moment

_AT_ONCE = 500
#: Of each account: by whether it was only named, and whether it is to be invoiced.
_CHARGED = (
    "SELECT COALESCE(named, account) AS of,"
    " CASE WHEN named IS NULL THEN 0 ELSE 1 END AS only_named, invoice, COUNT(*), SUM(pages),"
    " SUM(amount_e4) FROM charge"
    " WHERE invoice IS NOT NULL AND received_at >= ? AND received_at < ? GROUP BY 1, 2, 3"
)
#: What was given back meanwhile, whenever it was charged: what was invoiced stays as it was.
_GIVEN_BACK = (
    "SELECT COALESCE(c.named, c.account) AS of,"
    " CASE WHEN c.named IS NULL THEN 0 ELSE 1 END AS only_named, c.invoice, SUM(r.granted_e4)"
    " FROM refund AS r JOIN charge AS c ON c.charge_id = r.charge_id WHERE c.invoice IS NOT NULL"
    " AND r.state = 'approved' AND r.answered_at >= ? AND r.answered_at < ? GROUP BY 1, 2, 3"
)
#: Beyond every time.
_NEVER_S = 1e12


@attrs.define
class _Sums:
    jobs: int = 0
    pages: int = 0
    amount_e4: int = 0
    given_back_e4: int = 0

    @property
    def left_e4(self) -> int:
        return self.amount_e4 - self.given_back_e4


def as_yes(invoice: int | None) -> bool | None:
    """Whether a charge is to be invoiced, to be shown; None: of no shared account."""
    return None if invoice is None else bool(invoice)


def names_of(connection: Connection, accounts: Iterable[int]) -> dict[int | None, str]:
    """Their names, with few questions: each may be a journey."""
    ids, names = sorted(set(accounts)), dict[int | None, str]()
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        places = ", ".join("?" * len(part))
        names |= dict(
            connection.execute(f"SELECT id, name FROM account WHERE id IN ({places})", part)
        )
    return names


def add_naming(connection: Connection, page: list[Row]) -> None:
    """To transactions, which their charges say: whether to be invoiced, and who is named."""
    keys = sorted({row["key"] for row in page if row["key"]})
    said: dict[str, tuple[int | None, int]] = {}
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        for key, named, invoice in connection.execute(
            "SELECT key, named, invoice FROM charge WHERE invoice IS NOT NULL"
            f" AND key IN ({', '.join('?' * len(part))})",
            part,
        ):
            said[key] = (named, invoice)
    names = names_of(connection, [named for named, _ in said.values() if named is not None])
    for row in page:
        named, invoice = said.get(row["key"], (None, None))
        row["named"] = names.get(named, "")
        row["invoice"] = as_yes(invoice)


def read_invoices(connection: Connection, since: float, until: float, below: str) -> list[Row]:
    """A row an account that something was charged to, or named for, by name.

    ``below``: of this account and those below it; raises NotFound.
    """
    sums: dict[tuple[int, int, int], _Sums] = {}
    for *key, jobs, pages, amount_e4 in connection.execute(_CHARGED, (since, until)):
        sums[_key(key)] = _Sums(jobs, pages, int(amount_e4))
    for *key, given_e4 in connection.execute(_GIVEN_BACK, (since, until)):
        sums.setdefault(_key(key), _Sums()).given_back_e4 = int(given_e4)
    names = names_of(connection, {account for account, _, _ in sums})
    if below:
        top = names_of(connection, [find_account(connection, below)])
        (name,) = top.values()
        names = {
            id: one for id, one in names.items() if (one + SEPARATOR).startswith(name + SEPARATOR)
        }
    found = sorted((name, id) for id, name in names.items() if id is not None)
    return [_row(name, id, sums) for name, id in found]


def _key(found: list[int]) -> tuple[int, int, int]:
    account, named, invoice = found
    return account, named, invoice


def _row(name: str, account: int, sums: dict[tuple[int, int, int], _Sums]) -> Row:
    paid, unpaid = (
        [sums.get((account, named, invoice), _Sums()) for invoice in (1, 0)] for named in (0, 1)
    )
    return {
        "account": name,
        "jobs": sum(one.jobs for one in paid),
        "pages": sum(one.pages for one in paid),
        "paid_e4": sum(one.left_e4 for one in paid),
        "invoice_jobs": paid[0].jobs,
        "invoice_e4": paid[0].left_e4,
        # What people paid themselves.
        "named_jobs": sum(one.jobs for one in unpaid),
        "named_pages": sum(one.pages for one in unpaid),
        "named_e4": sum(one.left_e4 for one in unpaid),
        "named_invoice_jobs": unpaid[0].jobs,
        "named_invoice_e4": unpaid[0].left_e4,
    }


class InvoiceStore:
    """Reads beside the writer, each at one moment."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    def invoices(self, since: float | None, until: float | None, below: str) -> Deferred[list[Row]]:
        """See ``read_invoices``; None: from the first charge, to the last."""

        def read(connection: Connection) -> list[Row]:
            with one_moment(connection):
                end_s = _NEVER_S if until is None else until
                return read_invoices(connection, since or 0.0, end_s, below)

        return self._store.read_long(read)

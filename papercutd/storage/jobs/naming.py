"""What a decision and a charge say of the shared account that a job is for: which one is only
named, and whether it is to be invoiced."""

from __future__ import annotations

import attrs

from papercutd.domain.account_choice import Settled
from papercutd.domain.decision import Decision
from papercutd.domain.invoicing import is_invoiced
from papercutd.storage.engine import Connection
from papercutd.storage.money.shared_access import Choice, invoice_option


def with_naming(
    decision: Decision, settled: Settled, chosen: Choice, wish: bool | None
) -> Decision:
    """``decision`` of a job that the account of ``settled`` pays, or is named for."""
    if settled.shared is None or decision.account is None:
        return decision
    named = settled.shared if settled.named else None
    return attrs.evolve(decision, named=named, invoice=is_invoiced(chosen.invoice, wish))


def added_by(settled: Settled, chosen: Choice) -> int:
    """The mark-up: of an account that pays, not of one that is named."""
    return 0 if settled.named else chosen.markup_e4


def whole(connection: Connection, decision: Decision, payer: str) -> Decision:
    """``decision`` as it is charged, at the application server; ``payer``: the kind of account.

    Who decided may be of an older release, or nobody: then it is as is usual for the account. A
    name that a restore has lost, or that is no shared account's, is none.
    """
    named = decision.named
    if named is not None and not is_shared(connection, named):
        named = None
    shared = decision.account if payer == "shared" else named
    invoice = decision.invoice
    if shared is None:
        invoice = None
    elif invoice is None:
        invoice = is_invoiced(invoice_option(connection, "", shared))
    return attrs.evolve(decision, named=None if payer == "shared" else named, invoice=invoice)


def is_shared(connection: Connection, account: int) -> bool:
    """Whether it is a shared account's id."""
    found = connection.execute("SELECT kind FROM account WHERE id = ?", (account,)).fetchone()
    return found is not None and found[0] == "shared"

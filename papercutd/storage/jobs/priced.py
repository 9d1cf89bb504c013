"""A document priced for its printer and its person: the same at either server."""

from __future__ import annotations

from papercutd.domain.document import Document
from papercutd.domain.pricing import PriceLine, PriceList, price_document
from papercutd.storage.engine import Connection
from papercutd.storage.people.groups import groups_of_user
from papercutd.storage.people.people import heir_of_user


def price_for(
    connection: Connection,
    schema: str,
    document: Document,
    prices: PriceList,
    printer: int,
    user: int | None,
) -> tuple[PriceLine, ...]:
    """``user``: whose job it is, or whose heir; None: nobody known, who is in no group.

    Groups are read only where it matters in which somebody is.
    """
    groups: list[int] = []
    if user is not None and prices.by_group:
        groups = groups_of_user(connection, schema, heir_of_user(connection, schema, user))
    return price_document(document, prices, printer, groups)

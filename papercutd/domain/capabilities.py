"""Kinds of rules this release can evaluate, by name.

A replicated row that is of no use without one says so in its column ``needs``, words between
spaces, and so does a record of a journal. Who lacks a word of it does not guess: a site holds
what the row is about (reason ``capability``), the application server parks the record. Both
say so in ``status``.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Prices that differ for paper printed on both sides.
DUPLEX_PRICES = "duplex-prices"

#: Prices with discounts, fees, categories of sizes, multipliers, or more lists than one.
PRICE_MODELS = "price-models"

#: Rules for a group that has groups within it.
NESTED_GROUPS = "nested-groups"

#: Shared accounts that some may charge and others not, that add to a price, or are disabled.
ACCOUNT_RULES = "account-rules"

#: Users who are asked who pays a job, or whose jobs a shared account pays.
ACCOUNT_MODES = "account-modes"

#: Users who pay what they name a shared account for.
NAMED_ACCOUNTS = "named-accounts"

#: Unknown users made at a cut site, and records of a journal that tell of them.
USERS_MET = "users-met"

CAPABILITIES = frozenset(
    {
        *(ACCOUNT_MODES, ACCOUNT_RULES, DUPLEX_PRICES, NAMED_ACCOUNTS, NESTED_GROUPS),
        *(PRICE_MODELS, USERS_MET),
    }
)


def lacking(needs: Iterable[str], known: Iterable[str] = CAPABILITIES) -> list[str]:
    """What of ``needs`` is not ``known``; empty: the rule can be evaluated."""
    return sorted(set(needs) - set(known))

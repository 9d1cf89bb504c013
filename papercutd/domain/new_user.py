"""How a new user begins: rules per group, and one for everybody (decision 0024).

A rule may say some of it and leave the rest open. What a user's groups say counts, field by
field, before what is said for everybody; where several of them speak, the most generous does.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.domain.account_mode import parse_mode
from papercutd.domain.money import check_amount_e4
from papercutd.errors import InvalidValue

#: Stands for everybody in place of a group.
EVERYBODY = 0
MODE_MAX = 32
NOTHING_SAID = "says nothing: give a credit, restricted, an overdraft or an account mode"


@attrs.frozen
class NewUserRule:
    """What one rule says; None: nothing of that."""

    credit_e4: int | None = None
    restricted: bool | None = None
    overdraft_e4: int | None = None
    #: How it is settled who pays a job, as domain/account_mode.py keeps it.
    account_selection: str | None = None

    def check(self) -> None:
        """Raises InvalidValue."""
        for field, amount_e4 in (("credit", self.credit_e4), ("overdraft", self.overdraft_e4)):
            if amount_e4 is not None:
                check_amount_e4(amount_e4, field=field)
                if amount_e4 < 0:
                    raise InvalidValue(field, "is below zero")
        mode = self.account_selection
        if mode is not None and (not mode or len(mode) > MODE_MAX or not mode.isprintable()):
            raise InvalidValue("account-mode", "is empty or too long")
        if self == NewUserRule():
            raise InvalidValue("rule", NOTHING_SAID)


@attrs.frozen
class Start:
    """How one user begins."""

    credit_e4: int = 0
    restricted: bool = True
    overdraft_e4: int = 0
    account_selection: str | None = None

    @property
    def mode(self) -> tuple[str, str]:
        """What is kept with the user: the mode, and what a site must be able to evaluate."""
        if self.account_selection is None:
            return "", ""
        return self.account_selection, parse_mode(self.account_selection).needs


def start_of(everybody: NewUserRule, of_groups: Sequence[NewUserRule]) -> Start:
    """``of_groups``: the rules of all groups that the new user is in, by the names of these.

    The largest credit and overdraft; restricted only where all that speak of it say so; the
    account selection of the first that speaks.
    """
    credits = _said("credit_e4", everybody, of_groups)
    overdrafts = _said("overdraft_e4", everybody, of_groups)
    modes = _said("account_selection", everybody, of_groups)
    return Start(
        credit_e4=max(credits, default=0),
        restricted=all(_said("restricted", everybody, of_groups)),
        overdraft_e4=max(overdrafts, default=0),
        account_selection=modes[0] if modes else None,
    )


def _said(field: str, everybody: NewUserRule, of_groups: Sequence[NewUserRule]) -> list:  # type: ignore[type-arg]
    """What is said of ``field``: by groups, else for everybody, else nothing."""
    for rules in (of_groups, (everybody,)):
        found = [value for rule in rules if (value := getattr(rule, field)) is not None]
        if found:
            return found
    return []

"""Who pays a job, by its person's mode of account selection, at the application server.

The default of the installation and of its groups are rules for any site
(administration/policies.py); so is who pays where somebody who was asked has not answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from papercutd.domain.account_choice import Settled, settle
from papercutd.domain.account_mode import Mode, parse_mode
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.job import Request
from papercutd.domain.policy import ANY, Account, Effective, Knob, Rule, resolve
from papercutd.storage.administration.directory import Person
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.naming import is_shared
from papercutd.storage.people.groups import groups_of_user

#: Reads a setting, now or since the settings stand.
Setting = Callable[..., Any]
#: What holds where nothing was set, as of nearly everybody.
_NO_RULE, _PERSONAL, _OWN = Effective(), Account(), Mode()


def read_rules_anywhere(connection: Connection, knob: str) -> list[Rule]:
    """The rules of one knob that are for any site."""
    return [
        Rule(*row)
        for row in connection.execute(
            "SELECT knob, value, site, user_group, needs, below FROM site_policy"
            f" WHERE site = {ANY} AND knob = ?",
            (knob,),
        )
    ]


def settle_here(
    connection: Connection, setting: Setting, request: Request, person: Person
) -> Settled:
    """Who pays what ``person`` asks for, at the application server."""
    mode = mode_of(connection, setting, person)
    rule = _PERSONAL
    if request.unanswered:
        found = _anywhere(connection, setting, person, Knob.ACCOUNT)
        if found.unevaluable:
            return Settled(None, Verdict.HOLD, Reason.CAPABILITY)
        rule = found.account
    if mode is None:
        return Settled(None, Verdict.HOLD, Reason.CAPABILITY)
    return settle(request, mode, rule)


def payer_alone(connection: Connection, setting: Setting, person: Person) -> tuple[int, int | None]:
    """The account that pays what ``person`` printed while nobody could be asked anything, and
    the shared one that it is only named for."""
    mode = mode_of(connection, setting, person)
    if mode is None or mode.shared is None:
        # Who would have been asked pays as everybody does: no policy could refuse it any more.
        return person.account, None
    if not is_shared(connection, mode.shared):
        return person.account, None
    return (person.account, mode.shared) if mode.names else (mode.shared, None)


def mode_of(connection: Connection, setting: Setting, person: Person) -> Mode | None:
    """The mode of account selection; None: a newer release has set it."""
    if person.account_mode:
        try:
            return parse_mode(person.account_mode)
        except ValueError:
            return None
    found = _anywhere(connection, setting, person, Knob.ACCOUNT_MODE)
    return None if found.unevaluable else found.account_mode or _OWN


def _anywhere(connection: Connection, setting: Setting, person: Person, knob: Knob) -> Effective:
    rules = setting(read_rules_anywhere, connection, knob.value)
    if not rules:
        return _NO_RULE
    # No price is needed for these.
    return resolve(rules, ANY, groups_of_user(connection, "", person.id), 0)

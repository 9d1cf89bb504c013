"""Every administrative operation has its entry in the audit: the one place that sees to it.

The table of operations is wrapped as a whole, so that a new operation is audited unless it is
named here as one that only reads.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import update_wrapper
from typing import Any

import attrs
from twisted.logger import Logger

from papercutd.domain.hidden import shown_arguments
from papercutd.environment import Environment
from papercutd.errors import PapercutError
from papercutd.services.audited_subjects import is_name, subjects_of
from papercutd.services.operation import Operation, Progress, code_of
from papercutd.storage.administration.acts import UNDER_WAY, Act
from papercutd.storage.interfaces import IApplicationStore

_log = Logger()
#: Operations that change nothing.
READS = frozenset(
    (
        *("account.list", "audit", "device.list", "group.list", "group.members", "head"),
        *("job.held", "lost-edits.list", "outages", "parked.list", "policy.show", "price.show"),
        *("printer.list", "provider.list", "quota.list", "quota.show", "report", "reserved.list"),
        *("site.allowances", "site.list", "statement", "status", "uncollected.list"),
        *("user.export", "user.list", "user.show", "verify", "verify.signed"),
        *("account.invoices", "account.transactions", "user.transactions"),
        *("job-log", "explain", "price.test"),
        *("price.export", "purse.list", "refund.list", "voucher.list", "voucher.show"),
        *("account.show", "account.export", "client.show"),
        *("new-user-rule.list", "unknown-users.show", "unknown-users.list"),
    )
)


@attrs.frozen
class Caller:
    """Who asks for an operation, and from where."""

    who: str = "administrator"
    place: str = "here"


#: Set by a face around what it calls.
CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)


def audited(
    operations: dict[str, Operation],
    store: IApplicationStore,
    env: Environment,
    otherwise: Caller | None = None,
) -> dict[str, Operation]:
    """``operations``, each with its entry; ``otherwise``: who asks where no face says it."""
    asks = otherwise or Caller()
    return {
        name: operation if name in READS else _audited(name, operation, store, env, asks)
        for name, operation in operations.items()
    }


def _audited(
    name: str,
    operation: Operation,
    store: IApplicationStore,
    env: Environment,
    otherwise: Caller,
) -> Operation:
    async def run(arguments: dict[str, Any], progress: Progress) -> Any:
        if UNDER_WAY.get() is not None:
            # A step of another act.
            return await operation(arguments, progress)
        act = _act_of(name, arguments, CALLER.get() or otherwise, env)
        token = UNDER_WAY.set(act)
        try:
            result = await operation(arguments, progress)
        except Exception as error:
            UNDER_WAY.reset(token)
            await _refused(store, act, error)
            raise
        else:
            UNDER_WAY.reset(token)
        finally:
            act.is_over = True
        if not act.entries:
            # It had no transaction of its own.
            await store.audit.add(act, "done")
        return result

    update_wrapper(run, operation)
    return run


async def _refused(store: IApplicationStore, act: Act, error: Exception) -> None:
    """Whoever asked is told why; that it cannot be written down says nothing to them."""
    outcome = code_of(error) if isinstance(error, PapercutError) else "internal"
    try:
        await store.audit.add(act, outcome)
    except PapercutError as why:
        _log.error(
            "no entry of {name} that was refused ({outcome}): {why}",
            name=act.operation,
            outcome=outcome,
            why=str(why),
        )


def _act_of(name: str, arguments: dict[str, Any], caller: Caller, env: Environment) -> Act:
    kind, _, _ = name.partition(".")
    subjects = subjects_of(name, arguments)
    act = Act(
        *(env.new_id(), env.wall_s(), caller.who, caller.place, name),
        shown_arguments(arguments),
        subjects,
    )
    if kind == "policy":
        site, group = arguments.get("site"), arguments.get("group")
        if all(one is None or is_name(one) for one in (site, group)):
            act.policy = site, group
    return act

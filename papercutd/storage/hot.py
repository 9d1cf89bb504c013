"""Operations that come by the thousand, and what each will read.

An engine to which every statement is a journey reads what a whole batch of them wants at once
(storage/postgres/workspace.py). To any other they are operations like all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import attrs

from papercutd.domain.decision import Decision
from papercutd.domain.job import Completion, Request, SessionRef, device_owner, fold_user_name
from papercutd.storage.engine import Connection

T = TypeVar("T")


@attrs.frozen
class Wanted:
    """What a question about a key, or its settlement, begins from."""

    asker: str
    job: str
    key: str
    #: The job's owner: a print provider's name, or ``device:NAME``.
    owner: str
    name: str
    printer: int
    users: tuple[int, ...] = ()
    accounts: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()

    @property
    def device(self) -> str | None:
        return device_owner(self.owner)


def wanted_by(asker: SessionRef, job: Request | Completion) -> Wanted:
    """What ``job`` names."""
    decision: Decision | None = None
    versions: set[int] = set()
    accounts: set[int | None] = set()
    if isinstance(job, Request):
        accounts.add(job.account)
    else:
        decision = job.decision
        versions.add(job.price_version)
    if decision is not None:
        versions.add(decision.price_version)
        accounts |= {decision.account, decision.named}
    user = None if decision is None else decision.user
    return Wanted(
        asker=asker.identity,
        job=job.job,
        key=job.key,
        owner=job.provider,
        name=fold_user_name(job.user_name),
        printer=job.printer,
        users=() if user is None else (user,),
        accounts=tuple(account for account in accounts if account is not None),
        versions=tuple(versions),
    )


@attrs.frozen
class Hot(Generic[T]):
    """An operation, and what it wants."""

    operation: Callable[[Connection], T]
    wanted: Wanted

    def __call__(self, connection: Connection) -> T:
        return self.operation(connection)

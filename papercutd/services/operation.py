"""What an operation is: a name, arguments, progress and a result; one shape for every face."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from papercutd.errors import InvalidValue

Progress = Callable[[dict[str, Any]], None]
Operation = Callable[[dict[str, Any], Progress], Awaitable[Any]]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def interruptible(operation: F) -> F:
    """``operation`` only reads, for long perhaps: it ends when nobody waits for it any more."""
    operation.is_interruptible = True  # type: ignore[attr-defined]
    return operation


def code_of(error: Exception) -> str:
    """Its own code, else ``storage-full`` of StorageFull."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    return str(getattr(error, "code", "") or name)


def uninterrupted(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """``work`` within an interruptible operation that goes on though nobody waits for it."""
    done: Deferred[T] = Deferred()
    running = Deferred.fromCoroutine(work)
    running.addBoth(lambda result: None if done.called else done.callback(result))
    return done


def take(arguments: dict[str, Any], *required: str, **optional: Any) -> dict[str, Any]:
    """The arguments of an operation; raises InvalidValue for one missing, unknown or mistyped."""
    unknown = set(arguments) - set(required) - set(optional)
    if unknown:
        raise InvalidValue(sorted(unknown)[0], "is not an argument of this operation")
    found = {}
    for name in (*required, *optional):
        value = arguments.get(name, optional.get(name))
        if value is None and name in required:
            raise InvalidValue(name, "is needed")
        wanted = type(optional[name]) if optional.get(name) is not None else str
        if value is not None and not isinstance(value, wanted):
            raise InvalidValue(name, f"is not {wanted.__name__}")
        found[name] = value
    return found

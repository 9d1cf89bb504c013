"""Statements of outages: closed and signed by themselves, listed, and checked when shown again.

Beside them the signed head of the history, once a day into a file of its own: whoever keeps
a copy can prove later that nothing before it was changed.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.domain.chain import Position
from papercutd.domain.signed import Signature, as_printed, canonical
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, NotFound, StorageError, StorageFull
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore

_log = Logger()
#: Seconds between looks for outages that can be closed.
SETTLE_EVERY_S = 15.0
#: Daily files of the head that are kept.
HEADS_MAX = 400
#: What the books must say again of a closed outage. Names and balances may be others by now.
_SAME_AGAIN = (
    *("jobs", "pages", "amount_e4", "prints", "copies", "released", "by_user", "by_device"),
    *("refused", "listed", "items", "charged_twice", "changes", "position"),
)
_SAME_WITHOUT_NAMES = ("by_account", "by_printer", "by_decider")
_NAMES = ("name", "site", "policy")


class Signs(Protocol):
    """Who signs, and checks what was signed."""

    def sign(self, body: bytes) -> Signature:
        """Sign ``body``."""

    def check(self, document: dict[str, Any], text: str) -> None:
        """Raises InvalidValue unless ``document``, read from ``text``, is as it was signed."""


class Statements:
    """Everything about statements that administrators ask for."""

    def __init__(
        self, env: Environment, store: IApplicationStore, signs: Signs, heads: Path
    ) -> None:
        """``heads``: the directory of the daily files."""
        self._env = env
        self._store = store
        self._signs = signs
        self._heads = heads
        self._settling = LoopingCall(self._settle)
        self._settling.clock = env.clock

    def start(self) -> None:
        self._settling.start(SETTLE_EVERY_S).addErrback(
            lambda failure: _log.failure("closing statements ended", failure=failure)
        )

    def stop(self) -> None:
        if self._settling.running:
            self._settling.stop()

    def all(self) -> dict[str, Operation]:
        return {
            "statement": self.statement,
            "outages": self.outages,
            "head": self.head,
            "verify.signed": self.verify_signed,
        }

    async def statement(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """The statement of the last outage, of one by its number, or of a span of time."""
        given = take(arguments, since=None, until=None, outage=0)
        since, until = (None if given[k] is None else float(given[k]) for k in ("since", "until"))
        if since is None and until is None:
            return await self.signed_statement(given["outage"] or None)
        return await self._store.statement(since, until)

    async def signed_statement(self, outage: int | None = None) -> dict[str, Any]:
        """Of one outage, or of the latest; raises NotFound."""
        with suppress(StorageFull):
            await self._store.settle_outages(self._signs.sign)
        return await self._store.statement(None, None, outage)

    async def signed_outages(self, count: int) -> list[dict[str, Any]]:
        """Newest first."""
        with suppress(StorageFull):
            await self._store.settle_outages(self._signs.sign)
        return await self._store.outages(count)

    async def outages(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Outages, newest first."""
        count = take(arguments, count=20)["count"]
        if not 0 < count <= 500:
            raise InvalidValue("count", "is a number from 1 to 500")
        return await self.signed_outages(count)

    async def head(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Where the history stands, signed."""
        take(arguments)
        return await self.signed_head()

    async def signed_head(self) -> dict[str, Any]:
        head = await self._store.head()
        stated = {
            "kind": "head",
            "installation": await self._store.installation(),
            "at": self._env.wall_s(),
            "position": {"timeline": head.timeline, "number": head.number, "chain": head.chain},
        }
        return {**stated, "signed": self._signs.sign(canonical(stated)).as_shown()}

    async def verify_signed(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Whether a statement or head is genuine, and the books still say the same."""
        text = take(arguments, "text")["text"]
        document = read_document(text)
        problems = []
        try:
            self._signs.check(document, text)
        except InvalidValue as error:
            problems.append(str(error))
        genuine = not problems
        if genuine:
            problems += await self._compare(document)
        told = {"genuine": genuine, "books_agree": genuine and not problems}
        return {"ok": not problems, **told, "problems": problems}

    async def _compare(self, document: dict[str, Any]) -> list[str]:
        """What the books say otherwise than ``document``, which is genuine."""
        if document["installation"] != await self._store.installation():
            return ["it is of another installation"]
        at = document["position"]
        position = Position(at["timeline"], at["number"], at["chain"])
        if not await self._store.in_history(position):
            return [f"change {position.number} of timeline {position.timeline} is not in the books"]
        if document["kind"] == "head":
            return []
        try:
            again = await self._store.state_again(document["outage"])
            kept = await self._store.statement(None, None, document["outage"])
        except NotFound:
            return [f"the books know no outage {document['outage']}"]
        problems = [
            f"the books say otherwise: {name.replace('_', ' ')}"
            for name in (*_SAME_AGAIN, *_SAME_WITHOUT_NAMES)
            if _bare(name, again[name]) != _bare(name, document[name])
        ]
        if canonical(kept) != canonical(document):
            problems.append("the statement that is kept here is another")
        return problems

    async def _settle(self) -> None:
        try:
            await self._store.settle_outages(self._signs.sign)
            await self._export_head()
        except (StorageError, OSError) as error:
            _log.warn("statements were not settled: {error}", error=str(error))
        except Exception:
            _log.failure("settling statements failed")

    async def _export_head(self) -> None:
        """One file a day; the oldest go."""
        day = datetime.fromtimestamp(self._env.wall_s(), UTC).date().isoformat()
        path = self._heads / f"head-{day}.json"
        if path.exists():
            return
        self._heads.mkdir(mode=0o700, exist_ok=True)
        text = as_printed(await self.signed_head()) + "\n"
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)
        for old in sorted(self._heads.glob("head-*.json"))[:-HEADS_MAX]:
            old.unlink()


def read_document(text: str) -> dict[str, Any]:
    """A statement or head; raises InvalidValue for anything else."""
    try:
        document = json.loads(text)
        if document["kind"] not in ("outage", "drill", "head"):
            raise ValueError
        at = document["position"]
        if not isinstance(document["installation"], str) or not isinstance(at["chain"], str):
            raise ValueError
        numbers = [at["timeline"], at["number"]]
        if document["kind"] != "head":
            numbers.append(document["outage"])
        if any(type(number) is not int for number in numbers):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidValue("statement", "is no statement and no head of papercutd") from None
    found: dict[str, Any] = document
    return found


def _bare(name: str, value: Any) -> Any:
    if name not in _SAME_WITHOUT_NAMES:
        return value
    return [{k: v for k, v in one.items() if k not in _NAMES} for one in value]

"""Quotas for administrators: schedules made, looked at, run and taken away."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from papercutd.domain.money import parse_amount_e4
from papercutd.domain.schedule import DAYS, DAYS_MAX, Rule, every
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.quotas import run_due
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.schedules import RESTRICTED, Schedule, of_account

_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class QuotaOperations:
    """``quota.add``, ``list``, ``show``, ``remove`` and ``run``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {
            "quota.add": self.add,
            "quota.list": self.list,
            "quota.show": self.show,
            "quota.set": self.set,
            "quota.remove": self.remove,
            "quota.run": self.run,
        }

    async def add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A new quota; its first run is the first that is due from now on."""
        days = arguments.get("days")
        given = take(
            {k: v for k, v in arguments.items() if k != "days"},
            *("name", "amount", "period"),
            **{
                "day": "",
                "time": "00:00",
                "cap": None,
                "account": None,
                "first": None,
                "purse": "",
            },
        )
        cap, account = given["cap"], given["account"]
        if given["period"] == "custom":
            rule = parse_custom(days, given["first"], given["day"], given["time"])
        elif days is not None or given["first"] is not None:
            raise InvalidValue("days", "and first are of a custom quota")
        else:
            rule = parse_rule(given["period"], given["day"], given["time"])
        whom = RESTRICTED
        if account is not None:
            whom = of_account(await self._store.shared_account(account))
        schedule = Schedule(
            given["name"],
            parse_amount_e4(given["amount"]),
            rule,
            None if cap is None else parse_amount_e4(cap, field="cap"),
            whom,
            given["purse"],
        )
        await self._store.add_quota(schedule)
        return shown_quota(await self._store.quota(schedule.name))

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All quotas."""
        take(arguments)
        return [shown_quota(row) for row in await self._store.quotas()]

    async def show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """One quota with its last runs."""
        return shown_quota(await self._store.quota(take(arguments, "name")["name"]))

    async def set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Other figures of a quota, from its next run on; not while one is under way."""
        given = take(arguments, "name", amount=None, cap=None)
        amount, cap = given["amount"], given["cap"]
        if amount is None and cap is None:
            raise InvalidValue("name", "is all that was given: say an amount or a cap")
        await self._store.change_quota(
            given["name"],
            None if amount is None else parse_amount_e4(amount),
            cap if cap in (None, "none") else parse_amount_e4(cap, field="cap"),
        )
        return shown_quota(await self._store.quota(given["name"]))

    async def remove(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A quota has no more runs; what it credited stays."""
        name = take(arguments, "name")["name"]
        await self._store.remove_quota(name)
        return {"name": name}

    async def run(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Run now what is due; of what is overdue for more than 35 days as ``missed`` says."""
        given = take(arguments, name=None, missed="")
        if given["missed"] not in ("", "make-up", "skip"):
            raise InvalidValue("missed", "is make-up or skip")
        waiting = await self._store.quotas_waiting()
        skipped = []
        if given["missed"] == "skip":
            skipped = [name for name in waiting if given["name"] in (None, name)]
            for name in skipped:
                await self._store.skip_quota(name)
        runs = await run_due(self._store, given["name"], given["missed"] == "make-up", progress)
        left = await self._store.quotas_waiting()
        return {"runs": runs, "skipped": skipped, "waiting": left}


def parse_rule(period: str, day: str, time: str) -> Rule:
    """``weekly``, ``friday``, ``06:30`` and the like; raises InvalidValue."""
    clock = _TIME.fullmatch(time)
    if clock is None or int(clock[2]) > 59:
        raise InvalidValue("time", "is from 00:00 to 23:59 UTC")
    number = 0 if period == "daily" else 1
    if day:
        named = [n for n, name in enumerate(DAYS, 1) if name == day.casefold()]
        is_number = day.isascii() and day.isdecimal() and len(day) <= 2 and period != "weekly"
        if period == "weekly" and named:
            number = named[0]
        elif is_number and period == "monthly":
            number = int(day)
        else:
            raise InvalidValue("day", "is monday to sunday of a week, or 1 to 31 of a month")
    rule = Rule(period, number, int(clock[1]) * 60 + int(clock[2]))
    rule.check()
    return rule


def parse_custom(days: Any, first: str | None, day: str, time: str) -> Rule:
    """Every so many days, from the day ``first`` on; raises InvalidValue."""
    if day:
        raise InvalidValue("day", "is of a week or a month: say first of a custom quota")
    if type(days) is not int:
        raise InvalidValue("days", f"is a number from 1 to {DAYS_MAX}: every how many")
    try:
        begin = _EPOCH.date() if first is None else date.fromisoformat(first)
    except ValueError:
        raise InvalidValue("first", "is a day such as 2027-01-31") from None
    return every(days, begin, parse_rule("daily", "", time).minute)


def shown_quota(row: dict[str, Any]) -> dict[str, Any]:
    """A quota with moments as text, and the rule in words."""
    day = {
        "daily": "",
        "weekly": f" on {DAYS[row['day'] % 8 - 1]}",
        "monthly": f" on day {row['day']}",
        "custom": f", every {row['day']} days",
    }[row["period"]]
    minute = row["minute"] % 1_440
    shown = {
        "name": row["name"],
        "amount_e4": row["amount_e4"],
        "cap_e4": row["cap_e4"],
        "when": f"{row['period']}{day} at {minute // 60:02d}:{minute % 60:02d} UTC",
        "whom": row["whom"] if row["account"] is None else f"account {row['account']}",
        "purse": row["purse"],
        "next_run": _moment(row["next_at"]),
        "last_run": _moment(row["ran_at"]) if row["ran_at"] else None,
        "is_running": row["is_running"],
    }
    if "runs" in row:
        shown["runs"] = [
            {
                "period": run["period"],
                "due": _moment(run["due_at"]),
                "is_whole": run["finished_at"] is not None,
                **{k: v for k, v in run.items() if k == "users" or k.endswith("_e4")},
            }
            for run in row["runs"]
        ]
    return shown


def _moment(at_s: int) -> str:
    return f"{_EPOCH + timedelta(seconds=at_s):%Y-%m-%d %H:%M} UTC"

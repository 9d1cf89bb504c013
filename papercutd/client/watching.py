"""`papercut-client watch`: what goes on is shown, and questions are answered by what is typed,
or by a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.logger import Logger

from papercutd.client.answers import Typed, Wanted, parse_typed
from papercutd.client.client import Client, NoServer, NotLoggedIn
from papercutd.client.servers import Server
from papercutd.client.words import (
    ANSWERED,
    STATES,
    WITHDRAWN,
    explain,
    explain_answer,
    show_balance,
    show_message,
    show_question,
)
from papercutd.environment import Environment
from papercutd.errors import InvalidValue
from papercutd.services.tasks import Tasks
from protocols.client import messages
from protocols.device.messages import ChargeableAccount
from protocols.errors import Refusal, SessionLost

_log = Logger()
#: Accounts that are numbered for a question; `papercut-client answer` takes any by its name.
ACCOUNTS_SHOWN_MAX = 100
#: Pages of accounts that are looked through for a name.
PAGES_MAX = 50
WAIT_S = 30.0

#: Tells one thing: as JSON, or as the text.
Tell = Callable[[dict[str, Any], str], None]


@attrs.define
class _Asked:
    question: messages.Question
    ends_at: float
    accounts: list[ChargeableAccount] = attrs.field(factory=list)
    is_shown: bool = False
    is_answered: bool = False


class Watching:
    """The Shower of a client that stays connected."""

    def __init__(
        self, env: Environment, tell: Tell, rule: Wanted | None = None, is_typed: bool = True
    ) -> None:
        """``is_typed``: somebody may type answers, and is shown the accounts."""
        self._env = env
        self._tell = tell
        self._rule = rule
        self._is_typed = is_typed
        self._tasks = Tasks()
        self._asked: dict[str, _Asked] = {}
        #: The job of the question that is on the screen: what is typed answers that one.
        self._current = ""
        self.client: Client | None = None

    async def stop(self) -> None:
        await self._tasks.stop()

    # As a Shower.

    def logged_in(self, server: Server, person: messages.Person) -> None:
        found = attrs.asdict(person)
        del found["token"], found["token_ends_at"]
        balance = show_balance(person.balance_e4, person.available_e4, person.promised_e4)
        state = STATES[person.state]
        text = f"{person.user_name} at {server.address.name}: {balance}"
        self._tell(
            {"event": "logged-in", "server": server.address.name, **found},
            f"{text}\n{state}" if state else text,
        )
        # What is still asked is asked again.
        self._asked = {job: one for job, one in self._asked.items() if one.is_answered}
        self._current = ""

    def not_logged_in(self, refusal: Refusal) -> None:
        text = explain(refusal)
        self._tell({"event": "not-logged-in", "code": refusal.code.value, "text": text}, text)

    def left(self) -> None:
        self._tell({"event": "no-server"}, "No server is in reach; it is tried again.")

    def event(self, event: Any) -> None:
        if isinstance(event, messages.Question):
            self._ask(event)
        elif isinstance(event, messages.Withdrawn):
            self._withdraw(event)
        elif isinstance(event, messages.Message):
            self._tell({"event": "message", **attrs.asdict(event)}, show_message(event))
            self._spawn(self._acknowledge(event), "acknowledging a message")
        elif isinstance(event, messages.BalanceChanged):
            found = attrs.asdict(event)
            self._tell({"event": "balance", **found}, show_balance(**found))
        elif isinstance(event, messages.StateChanged):
            state = event.state
            self._tell({"event": "state", "state": state}, STATES[state] or "online again")

    # Questions.

    def typed(self, line: str) -> None:
        """A line that a person typed."""
        one = self._asked.get(self._current)
        if not line.strip():
            return
        if one is None or not one.is_shown:
            self._tell({"event": "error", "text": "nothing is asked"}, "Nothing is asked now.")
            return
        try:
            typed = parse_typed(line, one.question, one.accounts)
        except InvalidValue as error:
            self._tell({"event": "error", "text": str(error)}, str(error))
            return
        self._spawn(self._answer(one, typed), "answering")

    def _ask(self, question: messages.Question) -> None:
        former = self._asked.get(question.job)
        if former is not None and former.is_answered:
            return
        one = _Asked(question, self._env.now() + question.deadline_s)
        self._asked[question.job] = one
        self._spawn(self._put(one), "asking")

    async def _put(self, one: _Asked) -> None:
        question = one.question
        if self._rule is None and question.kind == "account" and self._is_typed:
            page = await self._accounts(messages.Accounts())
            one.accounts = page.accounts
        accounts = [(account.id, account.name) for account in one.accounts]
        found = {"event": "question", **attrs.asdict(question), "accounts": accounts}
        is_behind = self._current in self._asked and self._current != question.job
        self._tell(found, f"{question.title!r} is asked next." if is_behind else "")
        one.is_shown = True
        if self._rule is not None:
            await self._answer_by_rule(one, self._rule)
        elif not is_behind:
            self._show_next()

    def _show_next(self) -> None:
        """One question at a time: nobody answers another than the one they read."""
        one = next((one for one in self._asked.values() if one.is_shown), None)
        self._current = "" if one is None else one.question.job
        if one is not None:
            left_s = max(one.ends_at - self._env.now(), 0.0)
            text = show_question(one.question, one.accounts, left_s)
            self._tell({"event": "next", "job": self._current}, text)

    async def _answer_by_rule(self, one: _Asked, rule: Wanted) -> None:
        if rule.choice != "shared":
            typed = Typed(rule.choice, comment=rule.comment)
        elif one.question.kind != "account":
            typed = Typed("personal", comment=rule.comment)
        else:
            account = await find_account(self._of(), rule.account)
            typed = Typed("shared", account, rule.comment, rule.invoice, rule.pin)
        await self._answer(one, typed)

    async def _answer(self, one: _Asked, typed: Typed) -> None:
        answer = messages.Answer(
            job=one.question.job,
            choice=typed.choice,
            id=self._env.new_id(),
            account=typed.account,
            comment=typed.comment,
            invoice=typed.invoice,
            pin=typed.pin,
        )
        one.is_shown, one.is_answered = False, True
        try:
            found = await self._of().answer(answer, WAIT_S)
        except (Refusal, NoServer, NotLoggedIn, SessionLost) as error:
            # It is asked still.
            one.is_shown, one.is_answered = True, False
            text = explain_answer(error) if isinstance(error, Refusal) else str(error)
            self._tell({"event": "error", "job": answer.job, "text": text}, text)
            return
        self._asked.pop(answer.job, None)
        result = {"event": "answered", "job": answer.job, "choice": typed.choice}
        result["state"] = found.state
        self._tell(result, ANSWERED[found.state])
        self._over(answer.job)

    def _withdraw(self, event: messages.Withdrawn) -> None:
        one = self._asked.pop(event.job, None)
        if one is not None and one.is_answered:
            # Its answer says so.
            return
        text = "" if one is None else f"{one.question.title!r}: {WITHDRAWN.get(event.reason, '')}"
        self._tell({"event": "withdrawn", **attrs.asdict(event)}, text)
        self._over(event.job)

    def _over(self, job: str) -> None:
        if job == self._current:
            self._show_next()

    async def _accounts(self, wanted: messages.Accounts) -> Any:
        return await self._of().request(wanted, WAIT_S)

    async def _acknowledge(self, message: messages.Message) -> None:
        await self._of().request(messages.Acknowledge(message.id), WAIT_S)

    def _of(self) -> Client:
        assert self.client is not None
        return self.client

    def _spawn(self, work: Any, what: str) -> None:
        async def run() -> None:
            try:
                await work
            except (Refusal, NoServer, NotLoggedIn, SessionLost, InvalidValue) as error:
                text = explain(error) if isinstance(error, Refusal) else str(error)
                self._tell({"event": "error", "text": text}, text)

        self._tasks.spawn(run(), what)


async def find_account(client: Client, name: str) -> int:
    """The id of the shared account called ``name``; raises InvalidValue."""
    after = ""
    for _ in range(PAGES_MAX):
        page = await client.request(messages.Accounts(find=name, after=after), WAIT_S)
        for account in page.accounts:
            if account.name == name:
                return int(account.id)
        if page.last or not page.accounts:
            break
        after = page.accounts[-1].name
    raise InvalidValue("account", f"you may charge none that is called {name!r}")

"""A server's part for clients without books: two people, and what is to be asked of them."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from papercutd.domain.account_choice import Choice, Question
from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.identity.authority import Authority, key_pem, make_key, make_request
from papercutd.identity.client_tokens import SignedTokens
from papercutd.identity.tls import Credentials
from papercutd.services.client_log_ins import ClientLogIns
from papercutd.services.client_places import FixedPlaces
from papercutd.services.clients import Clients
from papercutd.services.devices import Devices
from papercutd.services.held_jobs import HeldJobs
from papercutd.services.lockouts import Lockouts
from papercutd.services.sessions import Sessions
from papercutd.services.tasks import Tasks
from papercutd.storage.people.client_epochs import epoch_name
from papercutd.storage.people.people import Login
from papercutd.storage.values import Chargeable, Purse

#: A moment at which certificates are made.
NOW_S = 1_800_000_000.0


def login(user: int, name: str, password: str, **fields: Any) -> Login:
    return Login(
        *(user, name, name.title(), user * 10, False, password, ""),
        **{"users": frozenset({user}), "names": frozenset({name}), **fields},
    )


class Store:
    """What is read of the books."""

    def __init__(self) -> None:
        self.people = {"anna": login(7, "anna", "horse"), "ben": login(8, "ben", "mule")}
        self.purses = {70: Purse(1_000, 900, 500), 80: Purse(50, None)}
        self.secrets: dict[str, str] = {}
        self.locked: list[int] = []
        #: Shared accounts by their ids, and by their PINs.
        self.chargeables: dict[int, Chargeable] = {}
        self.pins: dict[str, Chargeable] = {}

    def login_by_name(self, name: str) -> Deferred[Login | None]:
        return succeed(self.people.get(name))

    def purse(self, account: int) -> Deferred[Purse]:
        return succeed(self.purses[account])

    def secret(self, name: str) -> Deferred[str | None]:
        return succeed(self.secrets.get(name))

    def shared_accounts(self, user: int, find: str, after: str, count: int) -> Deferred[list[Any]]:
        return succeed([])

    def chargeable(self, user: int, account: int) -> Deferred[Chargeable | None]:
        return succeed(self.chargeables.get(account))

    def account_by_pin(self, user: int, pin: str) -> Deferred[list[Chargeable]]:
        return succeed([self.pins[pin]] if pin in self.pins else [])

    def lockouts(self) -> Deferred[list[Any]]:
        return succeed([])

    def lock_out(self, user: int, failures: int, key: str) -> Deferred[None]:
        self.locked.append(user)
        return succeed(None)

    def log_out(self, user: int) -> None:
        self.secrets[epoch_name(user)] = f"epoch {len(self.secrets)}"


class Plain:
    """Verifiers that are the secrets themselves."""

    async def make(self, secret: str) -> str:
        return secret

    async def matches(self, verifier: str, secret: str) -> bool:
        return bool(verifier) and verifier == secret


class Books:
    """What people are asked."""

    def __init__(self) -> None:
        self.clients: Any = None
        self.open: list[Question] = []
        self.answers: list[tuple[int, str, Choice]] = []

    async def questions_of(self, user: int) -> list[Question]:
        return [question for question in self.open if question.user == user]

    async def answer_question(self, user: int, job: str, choice: Choice) -> str:
        found = next((one for one in self.open if one.job == job), None)
        if found is None:
            return "ended"
        if found.user != user:
            raise Rejected("not-yours")
        self.open.remove(found)
        self.answers.append((user, job, choice))
        # The job's owner says so before it answers.
        self.clients.withdraw(user, job, "ended")
        return "taken"


@attrs.define(eq=False)
class Screen:
    """A client that only remembers."""

    seen: list[tuple[Any, ...]] = attrs.field(factory=list)

    def question(self, question: Question, left_s: float) -> None:
        self.seen.append(("question", question.job, left_s))

    def withdrawn(self, job: str, reason: str) -> None:
        self.seen.append(("withdrawn", job, reason))

    def balance(self, purse: Purse, state: str) -> None:
        self.seen.append(("balance", purse.balance_e4))

    def message(self, message: Any) -> None:
        self.seen.append(("message", message.told.value, message.reason, message.title))

    def state(self, state: str) -> None:
        self.seen.append(("state", state))

    def end(self, code: Any) -> None:
        self.seen.append(("end", code.value))


class Server:
    """The services of one server."""

    role = "application"
    decider = "application"

    def __init__(
        self, clock: Clock, credentials: Credentials | None = None, store: Store | None = None
    ) -> None:
        self.clock = clock
        self.env = Environment(clock, lambda: NOW_S + clock.seconds(), random.Random(1))
        self.store = store or Store()
        self.tasks = Tasks()
        self.state = "online"
        self.takes = True
        self.position: Any = object()
        self.held = HeldJobs(self.env, Sessions(self.env))
        books: Any = self.store
        self.lockouts = Lockouts(self.env, books, self.tasks)
        self.devices = Devices(self.env, books, self, Plain())
        self.questions = Books()
        wall_s = self.env.wall_s
        self.tokens = SignedTokens(lambda: credentials or member("application"), wall_s)
        log_ins = ClientLogIns(self.env, books, self, self.tokens)
        asked: Any = self.questions
        self.clients = Clients(self.env, books, self, log_ins, asked)
        here = ("application", "application", "app.example.org", 9192)
        self.clients.places = FixedPlaces(here)
        self.questions.clients = self.clients

    async def takes_passwords(self, user: int) -> bool:
        return self.takes

    async def link_card(self, user: int, number: str) -> str:
        raise NotImplementedError


_members: dict[tuple[str, str], Credentials] = {}
_authority: list[Authority] = []


def member(role: str, name: str = "application", another: Path | None = None) -> Credentials:
    """Key and certificate of a server of one installation; ``another``: of one made there."""
    if not _authority:
        _authority.append(Authority.create(Path("ca-of-clients"), NOW_S))
    made = _members.get((role, name))
    if made is None or another is not None:
        authority = _authority[0] if another is None else Authority.create(another, NOW_S)
        key = make_key()
        issued = authority.issue(make_request(key, role, name), role, name, NOW_S)
        made = Credentials(key_pem(key), issued.chain_pem, authority.pem)
        if another is None:
            _members[role, name] = made
    return made


def question(job: str, user: int = 7, deadline_s: float = NOW_S + 300) -> Question:
    return Question(*(job, 4, "front-desk", user, "Minutes", 2, 1_000, "account", True, deadline_s))


def result_of(case: Any, work: Awaitable[Any]) -> Any:
    return case.successResultOf(Deferred.fromCoroutine(work))


def code_of(case: Any, work: Awaitable[Any]) -> str:
    """Why it was rejected."""
    return str(case.failureResultOf(Deferred.fromCoroutine(work), Rejected).value.code)

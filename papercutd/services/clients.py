"""People's own clients at a server: who is there, what they are asked and told.

No transport here: a session is reached through ``Reach``. What a person is asked is kept by the
server's books (``questions_of``); what they are told is kept here, in memory, until it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.domain.account_choice import Choice, Question
from papercutd.domain.decision import Decision
from papercutd.domain.job import Completion, Receipt, Request
from papercutd.domain.person_messages import PersonMessage, Told, of_completion, of_decision
from papercutd.environment import Environment
from papercutd.errors import Rejected, StorageError
from papercutd.identity.client_tokens import NoTokens
from papercutd.services.client_log_ins import ClientLogIns, LoggedIn
from papercutd.services.client_places import ApplicationPlaces, FixedPlaces
from papercutd.services.devices import is_theirs
from papercutd.services.held_jobs import HeldJobs, Listed
from papercutd.services.inboxes import Inboxes
from papercutd.services.questions import Questions
from papercutd.services.tasks import Tasks
from papercutd.storage.interfaces import IJobStore
from papercutd.storage.people.client_epochs import EPOCH
from papercutd.storage.people.people import Login
from papercutd.storage.values import Chargeable, Purse
from protocols.codes import Code

_log = Logger()
#: Clients of one person, and of one server.
PERSON_SESSIONS_MAX = 5
SERVER_SESSIONS_MAX = 10_000
#: Questions that one client has before it and has not answered.
QUESTIONS_MAX = 50
#: Seconds between two looks at how the server stands.
LOOK_S = 1.0
#: Seconds from a movement of money to the look at what is left: several come together.
BALANCE_S = 0.2
#: Seconds between two looks at everybody's balance where others charge too.
BALANCES_S = 60.0


class Reach(Protocol):
    """One client that is connected."""

    def question(self, question: Question, left_s: float) -> None: ...
    def withdrawn(self, job: str, reason: str) -> None: ...
    def balance(self, purse: Purse, state: str) -> None: ...
    def message(self, message: PersonMessage) -> None: ...
    def state(self, state: str) -> None: ...
    def end(self, code: Code) -> None: ...


class ClientServer(Protocol):
    """What the service needs of its server."""

    held: HeldJobs
    tasks: Tasks

    @property
    def state(self) -> str: ...


@attrs.define(eq=False)
class ClientSession:
    """One client somebody is logged in at."""

    proof: LoggedIn
    reach: Reach
    address: str = ""
    #: Jobs it has been asked about.
    asked: set[str] = attrs.field(factory=set)

    @property
    def person(self) -> Login:
        return self.proof.person


class Clients:
    """All clients connected to this server."""

    def __init__(
        self,
        env: Environment,
        store: IJobStore,
        server: ClientServer,
        log_ins: ClientLogIns,
        questions: Questions,
    ) -> None:
        self._env = env
        self._store = store
        self._server = server
        self.log_ins = log_ins
        #: Where they are told that servers are.
        self.places: ApplicationPlaces | FixedPlaces = FixedPlaces()
        self._questions = questions
        #: Jobs that are being answered here: they end by that.
        self._answering: set[str] = set()
        self._sessions: dict[int, list[ClientSession]] = {}
        #: Of everybody who is there, by themselves and by who was merged into them.
        self._known_as: dict[int, int] = {}
        self._count = 0
        self._inboxes = Inboxes(env)
        self._balance_timers: dict[int, IDelayedCall] = {}
        self._looking = LoopingCall(self._look)
        self._looking.clock = env.clock
        self._state = ""
        #: Charges came that name nobody: everybody's balance is looked at in a while.
        self._is_moved = False
        self._balances_at = env.now()

    def stop(self) -> None:
        if self._looking.running:
            self._looking.stop()
        for timer in self._balance_timers.values():
            timer.cancel()
        self._balance_timers.clear()
        self.end_all(Code.UNAVAILABLE)

    # Sessions.

    @property
    def count(self) -> int:
        """Clients that somebody is logged in at."""
        return self._count

    def in_reach(self, user: int) -> bool:
        """Somebody is there who can answer for ``user``."""
        return bool(self._of(user))

    async def log_in(
        self, name: str, password: str, token: str, address: str, reach: Reach
    ) -> tuple[ClientSession, Purse]:
        """Raises LockedOut or Rejected, ``busy`` where there are too many."""
        proof = await self.log_ins.log_in(name, password, token, address)
        purse = await self._store.purse(proof.person.account)
        sessions = self._sessions.setdefault(proof.person.user, [])
        if len(sessions) >= PERSON_SESSIONS_MAX or self._count >= SERVER_SESSIONS_MAX:
            if not sessions:
                del self._sessions[proof.person.user]
            raise Rejected("busy")
        session = ClientSession(proof, reach, address)
        sessions.append(session)
        self._know(session.person)
        self._count += 1
        self._begin_looking()
        return session, purse

    def _know(self, person: Login) -> None:
        for user in (person.user, *person.users):
            self._known_as[user] = person.user

    def left(self, session: ClientSession) -> None:
        """It is gone."""
        user = session.person.user
        sessions = self._sessions.get(user, [])
        if session in sessions:
            sessions.remove(session)
            self._count -= 1
            if not self._count and self._looking.running:
                self._looking.stop()
            if not sessions:
                del self._sessions[user]
                for one in (user, *session.person.users):
                    self._known_as.pop(one, None)

    def end_all(self, code: Code) -> None:
        for session in self._all():
            session.reach.end(code)

    def _all(self) -> list[ClientSession]:
        return [one for sessions in self._sessions.values() for one in sessions]

    def _of(self, user: int) -> list[ClientSession]:
        """Sessions of this person; ``user`` may be one that was merged into them."""
        return list(self._sessions.get(self._known_as.get(user, user), ()))

    # What a person asks.

    async def purse(self, session: ClientSession) -> Purse:
        return await self._store.purse(session.person.account)

    async def accounts(
        self, session: ClientSession, find: str, pin: str, after: str, count_max: int
    ) -> list[tuple[Chargeable, Purse]]:
        """Shared accounts that this person may charge, by name.

        With ``pin`` the one of that PIN alone; one that finds none counts as a failed log-in.
        Raises LockedOut, Rejected ``busy``.
        """
        person = session.person
        if pin:
            found = await self.log_ins.account_by_pin(person, pin, session.address)
        else:
            found = await self._store.shared_accounts(person.user, find, after, count_max)
        return [(one, await self._store.purse(one.id)) for one in found]

    def jobs(self, session: ClientSession) -> list[Listed]:
        """Held jobs of this person, oldest first."""
        person = session.person
        found = [one for one in self._server.held.list() if is_theirs(person, one.job)]
        return sorted(found, key=lambda one: (one.job.held_at, one.job.job))

    async def answer(self, session: ClientSession, job: str, choice: Choice, pin: str = "") -> str:
        """What came of an answer; other clients of this person hear that it is given.

        ``pin``: of the shared account that is chosen, if it has one. Raises as
        Questions.answer_question does; LockedOut; Rejected ``bad-credentials`` without the PIN.
        """
        await self._check_pin(session, choice.shared, pin)
        self._answering.add(job)
        try:
            state = await self._answer(session.person, job, choice)
        finally:
            self._answering.discard(job)
        self.withdraw(session.person.user, job, "ended" if state == "ended" else "answered")
        return state

    async def _check_pin(self, session: ClientSession, account: int | None, pin: str) -> None:
        person = session.person
        if account is None or not await self.log_ins.needs_pin(person, account):
            return
        if not pin or not await self.log_ins.account_by_pin(person, pin, session.address, account):
            raise Rejected("bad-credentials")

    async def _answer(self, person: Login, job: str, choice: Choice) -> str:
        """A job may be of somebody who was merged into this person."""
        *others, last = _users_of(person)
        for user in others:
            try:
                return await self._questions.answer_question(user, job, choice)
            except Rejected as rejected:
                if rejected.code != "not-yours":
                    raise
        return await self._questions.answer_question(last, job, choice)

    def messages(self, session: ClientSession) -> list[PersonMessage]:
        return self._inboxes.of(session.person.user)

    def acknowledge(self, session: ClientSession, message: str) -> None:
        """One that is not there any more is acknowledged too."""
        self._inboxes.acknowledge(session.person.user, message)

    # What a person is asked.

    async def begin(self, session: ClientSession) -> None:
        """Ask and tell what waited for the log-in."""
        for message in self._inboxes.of(session.person.user):
            session.reach.message(message)
        await self._ask_rest(session)

    async def _ask_rest(self, session: ClientSession) -> None:
        for user in _users_of(session.person):
            for question in await self._questions.questions_of(user):
                self._put(session, question)

    def ask(self, question: Question) -> bool:
        """Ask whoever is there; whether somebody is."""
        sessions = self._of(question.user)
        for session in sessions:
            self._put(session, question)
        return bool(sessions)

    def _put(self, session: ClientSession, question: Question) -> None:
        if question.job in session.asked or len(session.asked) >= QUESTIONS_MAX:
            return
        left_s = max(question.deadline_s - self._env.wall_s(), 0.0)
        session.asked.add(question.job)
        session.reach.question(question, left_s)

    def withdraw(self, user: int, job: str, reason: str) -> None:
        """Nobody has to answer that any more: ``answered``, ``timed-out`` or ``ended``."""
        if reason == "ended" and job in self._answering:
            # Its owner was faster to say so than to answer us.
            reason = "answered"
        for session in self._of(user):
            was_full = len(session.asked) >= QUESTIONS_MAX
            if job in session.asked:
                session.asked.discard(job)
                session.reach.withdrawn(job, reason)
                if was_full:
                    self._server.tasks.spawn(self._ask_rest(session), "asking what waited")

    # What a person is told.

    def decided(self, request: Request, decision: Decision) -> None:
        """A job was answered: who is refused, or held for funds, hears of it."""
        told = of_decision(request, decision)
        if told is not None:
            pages, amount_e4 = request.document.pages, decision.amount_e4
            self._tell(request, decision, told, pages, amount_e4)
        if decision.allowed:
            self._money_moved(decision.user)

    def completed(self, completion: Completion, receipt: Receipt) -> None:
        """A job is in the books."""
        decision = completion.decision
        told = of_completion(completion, receipt)
        if told is not None and decision is not None:
            self._tell(completion, decision, told, receipt.pages, receipt.amount_e4)
        self._money_moved(None if decision is None else decision.user)

    def _tell(
        self,
        job: Request | Completion,
        decision: Decision,
        told: Told,
        pages: int,
        amount_e4: int,
    ) -> None:
        user = decision.user
        assert user is not None
        sessions = self._of(user)
        if sessions:
            user = sessions[0].person.user
        elif told is Told.CHARGED:
            # The statement has it; nobody needs to be told tomorrow.
            return
        message = PersonMessage(
            *(self._env.new_id(), told, decision.reason.value, job.job, job.title),
            *(pages, amount_e4, self._env.wall_s()),
        )
        if self._inboxes.keep(user, job.key, message):
            for session in sessions:
                session.reach.message(message)

    # What changes.

    def changed(self, rows: Iterable[Any]) -> None:
        """Rows of the books, or of the replica, have changed."""
        if not self._sessions:
            return
        to_check: set[int] = set()
        for row in rows:
            table, key = row[0], row[1]
            if table == "account" and row[2] is not None:
                self._money_moved(row[2].get("user"))
            elif table == "user":
                to_check.add(key)
            elif table == "secret" and key.startswith(EPOCH):
                to_check.add(int(key.removeprefix(EPOCH)))
            elif table == "charge":
                self._is_moved = True
            elif table == "printer":
                # A new replica is told so: everything may be another.
                to_check.update(self._sessions)
        here = [user for user in to_check if self._of(user)]
        if here:
            self._server.tasks.spawn(self._check(here), "looking who is still logged in")

    async def _check(self, users: list[int]) -> None:
        for user in users:
            for session in self._of(user):
                try:
                    person = await self.log_ins.still(session.proof)
                except (Rejected, StorageError):
                    continue
                if person is None:
                    session.reach.end(Code.NO_LOGIN)
                else:
                    session.proof = attrs.evolve(session.proof, person=person)
                    self._know(person)

    def _money_moved(self, user: int | None) -> None:
        if user is None:
            return
        for session in self._of(user)[:1]:
            person = session.person.user
            if person not in self._balance_timers:
                self._balance_timers[person] = self._env.clock.callLater(
                    BALANCE_S, self._tell_balance, person
                )

    def _tell_balance(self, user: int) -> None:
        self._balance_timers.pop(user, None)
        self._server.tasks.spawn(self._show_balance(user), "telling a balance")

    async def _show_balance(self, user: int) -> None:
        sessions = self._of(user)
        if not sessions:
            return
        try:
            purse = await self._store.purse(sessions[0].person.account)
        except (Rejected, StorageError):
            return
        for session in self._of(user):
            session.reach.balance(purse, self._server.state)

    def _begin_looking(self) -> None:
        """As long as anybody is there."""
        if self._looking.running:
            return
        self._state, self._is_moved = self._server.state, False
        self._looking.start(LOOK_S, now=False).addErrback(
            lambda failure: _log.failure("looking after clients ended", failure=failure)
        )

    def _look(self) -> None:
        state = self._server.state
        if state != self._state:
            self._state = state
            for session in self._all():
                session.reach.state(state)
        if self._is_moved and self._env.now() - self._balances_at >= BALANCES_S:
            self._is_moved, self._balances_at = False, self._env.now()
            self._server.tasks.spawn(self._show_balances(), "telling balances")

    async def _show_balances(self) -> None:
        for user in list(self._sessions):
            await self._show_balance(user)


def _users_of(person: Login) -> list[int]:
    return [*sorted(person.users - {person.user}), person.user]


def make_clients(env: Environment, store: IJobStore, server: Any, questions: Questions) -> Clients:
    """Of an application or site server, whose other parts are there; it gives no tokens yet."""
    log_ins = ClientLogIns(env, store, server, NoTokens())
    clients = Clients(env, store, server, log_ins, questions)
    questions.clients = clients
    return clients

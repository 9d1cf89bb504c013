"""People who say who pays: their clients come and go, answer, answer late, twice or not at all.

Every job of theirs ends, and what comes out is charged to whom they chose, or to whom the
policy says where they have not; to be invoiced as they said, where they may say so. Who only names
an account pays what is charged (I25).
"""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.account_choice import ASKED, Choice, Chosen, Question
from papercutd.domain.capabilities import ACCOUNT_MODES
from papercutd.domain.policy import Knob, Rule
from papercutd.errors import PapercutError
from papercutd.storage.administration.policies import Policies
from papercutd.storage.people.account_modes import read_written, set_mode
from papercutd.storage.people.groups import Groups
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.core_nodes import CoreInstallation

#: Those who are asked, how, and what they have.
CHOOSERS = {
    **{"pia": ("popup", 400_000), "ada": ("default", 400_000), "kai": ("personal+confirm", 0)},
    "noa": ("popup+named", 400_000),
}
#: Who pays whatever account they choose.
_NAMING = ("noa",)
#: Members of a group with a default, and a payer, of its own.
_GROUP = ("ada",)
#: With their invoice options.
ACCOUNTS = {"Physics": "user-chooses", "Chemistry": "user-chooses-no"}
TIMEOUT_S = 20
JOBS = 16
#: Seconds between two moments at which people come to a server, or leave it.
_PRESENCE_S = 6.0


def prepare(store: Any, connection: sqlite3.Connection) -> None:
    """The people, their accounts and the rules, as an administrator made them."""
    directory, log = store.directory, store.log
    for name, (mode, _) in CHOOSERS.items():
        user = directory.id_of_user(connection, name)
        set_mode(connection, log, [user], read_written(connection, mode))
    groups, policies = Groups(log, directory), Policies(log)
    group = groups.add(connection, "choosers")
    groups.change(connection, "choosers", add=_GROUP)
    accounts = _account_ids(connection)
    for name, option in ACCOUNTS.items():
        connection.execute(
            "UPDATE shared_account SET invoice = ? WHERE id = ?", (option, accounts[name])
        )
        log.touch("shared_account", accounts[name])
    chemistry = accounts["Chemistry"]
    for rule in (
        Rule(Knob.ACCOUNT_CHOICE_TIMEOUT.value, str(TIMEOUT_S)),
        Rule(Knob.ACCOUNT_MODE.value, "advanced", group=group, needs=ACCOUNT_MODES),
        Rule(Knob.ACCOUNT.value, f"shared:{chemistry}", group=group),
    ):
        policies.set(connection, rule)


def _account_ids(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, id FROM account WHERE kind = 'shared'"))


@attrs.define
class SimClients:
    """The clients of one server process."""

    load: ChoiceLoad
    server: str

    def in_reach(self, user: int) -> bool:
        return user in self.load.there[self.server]

    def ask(self, question: Question) -> None:
        self.load.asked(self.server, question)

    def withdraw(self, user: int, job: str, reason: str) -> None:
        self.load.world.count(f"questions {reason}")


class ChoiceLoad:
    """Hands jobs in, and has their people answer."""

    def __init__(
        self,
        installation: CoreInstallation,
        rng: random.Random,
        hand_in: Callable[[str, str], None],
    ) -> None:
        """``hand_in`` submits a job at a printer for a user."""
        self._in = installation
        self.world: World = installation.world
        self._rng = rng
        self._hand_in = hand_in
        servers = ("application", *installation.topology.sites)
        #: Who has a client connected to each server, by id.
        self.there: dict[str, set[int]] = {server: set() for server in servers}
        self._users: dict[str, int] = {}
        #: (account, whether to be invoiced) of each answer that was given, by its id; None: their
        #: own account; nothing said.
        self.answers: dict[str, tuple[int | None, bool | None]] = {}
        installation.clients = lambda server: SimClients(self, server)

    def start(self, chaos_s: float) -> None:
        connection = self._in.database("application")
        self._users = dict(connection.execute("SELECT name, id FROM user"))
        self._accounts = sorted(_account_ids(connection).values())
        for _ in range(JOBS):
            self.world.later(self._rng.uniform(6.0, chaos_s * 0.9), self._submit)
        for step in range(int(chaos_s / _PRESENCE_S)):
            self.world.later(step * _PRESENCE_S, self._move)

    def _submit(self) -> None:
        site = self._rng.choice(sorted(self._in.topology.sites))
        self._hand_in(f"{site}-1", self._rng.choice(sorted(CHOOSERS)))

    def _move(self) -> None:
        """Somebody's client connects, or goes."""
        server = self._rng.choice(sorted(self.there))
        user = self._users[self._rng.choice(sorted(CHOOSERS))]
        if user in self.there[server]:
            self.there[server].discard(user)
            return
        self.there[server].add(user)
        found, node = self._server(server), self.world.nodes[server]
        if found is None or node.clock is None:
            return

        def greet() -> None:
            asking = Deferred.fromCoroutine(found.questions.questions_of(user))
            asking.addCallback(lambda all_: [self.asked(server, one) for one in all_])
            asking.addErrback(lambda failure: failure.trap(PapercutError) and None)

        node.clock.callLater(0, greet)

    def _server(self, name: str) -> Any:
        return self._in.application if name == "application" else self._in.sites.get(name)

    def asked(self, server: str, question: Question) -> None:
        """A client shows it; its person answers soon, late, twice, or not at all."""
        self.world.count("questions asked")
        behaviour = self._rng.random()
        if behaviour < 0.25:
            return
        delay_s = self._rng.uniform(0.2, 8.0)
        if behaviour < 0.45:
            delay_s = TIMEOUT_S + self._rng.uniform(-2.0, 6.0)
        choice = self._choice(question)
        self.world.later(delay_s, self._answer, server, question, choice)
        if behaviour > 0.8:
            again = choice if behaviour > 0.9 else self._choice(question)
            delay_s += self._rng.uniform(0.0, 0.3)
            self.world.later(delay_s, self._answer, server, question, again)

    def _choice(self, question: Question) -> Choice:
        id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        if self._rng.random() < 0.1:
            return Choice(Chosen.CANCEL, id)
        if question.kind == "confirm" or self._rng.random() < 0.4:
            return Choice(Chosen.PERSONAL, id)
        invoice = self._rng.choice((None, True, False))
        return Choice(Chosen.SHARED, id, self._rng.choice(self._accounts), invoice=invoice)

    def _answer(self, server: str, question: Question, choice: Choice) -> None:
        found, node = self._server(server), self.world.nodes[server]
        if found is None or node.clock is None or node.clock.is_paused:
            return
        if choice.chosen is not Chosen.CANCEL:
            self.answers[choice.id] = (choice.shared, choice.invoice)

        def say() -> None:
            said = found.questions.answer_question(question.user, question.job, choice)
            Deferred.fromCoroutine(said).addCallbacks(
                lambda state: self.world.count(f"answers {state}"),
                lambda failure: failure.trap(PapercutError) and self.world.count("unheard answers"),
            )

        node.clock.callLater(0, say)

    # What must hold.

    def is_over(self) -> bool:
        """Nobody is waited for."""
        return not self._waiting()

    def _waiting(self) -> list[str]:
        return [
            f"{job} of {user} waits for its person"
            for owner in self._in.topology.providers
            for job, user, reason in self._in.database(owner).execute(
                "SELECT job, user_name, reason FROM job WHERE state = 'held'"
            )
            if user in CHOOSERS and reason in ASKED
        ]

    def check_end(self) -> None:
        """I25, once everything is quiet."""
        self.world.findings.checked["I25"] += 1
        for text in self._waiting():
            self.world.find("I25", text)
        application = self._in.database("application")
        personal = dict(application.execute("SELECT name, account FROM user"))
        charged = {
            key: tuple(said)
            for key, *said in application.execute("SELECT key, account, named, invoice FROM charge")
        }
        accounts = _account_ids(application)
        usual = {id: ACCOUNTS[name] != "user-chooses-no" for name, id in accounts.items()}
        for owner in self._in.topology.providers:
            connection = self._in.database(owner)
            for job, user, key, decider, release, unanswered in connection.execute(
                "SELECT job, user_name, job || '/' || phase || '-' || step, decider, release,"
                " unanswered FROM job WHERE state = 'ended'"
            ).fetchall():
                if user not in CHOOSERS or key not in charged:
                    continue
                chosen: int | None = None
                wish: bool | None = None
                if decider == "tracker":
                    pass
                elif unanswered:
                    chosen = accounts["Chemistry"] if user in _GROUP else None
                else:
                    chosen, wish = self._chosen(connection, job, release)
                self.world.count("charged by the policy" if unanswered else "charged as chosen")
                named = chosen if user in _NAMING else None
                invoice: int | None = None
                if chosen is not None:
                    invoice = int(usual[chosen] if wish is None else wish)
                    self.world.count("only named" if named else "charged to the chosen")
                payer = personal[user] if chosen is None or named else chosen
                if charged[key] != (payer, named, invoice):
                    wanted = f"{payer}, named {named}, invoice {invoice}"
                    self.world.find("I25", f"{key} is charged to {charged[key]}, not to {wanted}")

    def _chosen(
        self, connection: sqlite3.Connection, job: str, release: str
    ) -> tuple[int | None, bool | None]:
        """What the answer names that the job's owner took last: account, whether to invoice."""
        if release and release not in self.answers:
            # By a server's word, which names none.
            return None, None
        taken = connection.execute(
            "SELECT id FROM release WHERE job = ? AND answer <> 'discarded'"
            " ORDER BY id = ? DESC, written_at DESC",
            (job, release),
        ).fetchall()
        for (id,) in taken:
            if id in self.answers:
                return self.answers[id]
        self.world.find("I25", f"{job} was printed, and nobody was asked")
        return None, None

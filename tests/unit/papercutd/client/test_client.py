"""A client and the faces of two servers, in memory and by simulated time."""

from __future__ import annotations

import random
import stat
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.client import servers
from papercutd.client.answers import Typed, Wanted, parse_rule, parse_typed
from papercutd.client.client import Client, NoServer, NotLoggedIn
from papercutd.client.home import Home, Keyring, Settings
from papercutd.client.servers import ordered
from papercutd.client.watching import Watching
from papercutd.client.words import explain, show_question
from papercutd.domain.account_choice import Chosen
from papercutd.environment import Environment
from papercutd.errors import ConfigError, InvalidValue, Rejected
from papercutd.faces import client as client_face
from papercutd.faces.client import LOG_IN_S, LOG_INS_MAX, ClientFace, ClientSessionFactory, nobody
from papercutd.services.link import LinkSettings
from papercutd.storage.values import Chargeable
from protocols.client import messages
from protocols.client.spec import CLIENT
from protocols.codes import Code
from protocols.device.messages import ChargeableAccount
from protocols.errors import Refusal, SessionLost
from protocols.handshake import Hello
from protocols.provider.messages import ServerAddress
from tests.unit.papercutd.client.people import NOW_S, Server, Store, login, member, question
from tests.unit.protocols.builders import WireEndpoint

APPLICATION = ServerAddress("application", "application", "app.example.org", 9192)
NORTH = ServerAddress("site", "north", "north.example.org", 9192)
JOB = "01960a2e-9900-7000-8000-0000000000dd"
OTHER_JOB = "01960a2e-9900-7000-8000-0000000000de"
PHYSICS_PIN = Chargeable(31, "Physics", needs_pin=True, invoice="user-chooses-no")


class Told:
    """What a person would read."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self.texts: list[str] = []

    def __call__(self, found: dict[str, Any], text: str) -> None:
        self.found.append(found)
        self.texts.append(text)

    def events(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.found if one["event"] == event]


class ClientCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Store()
        self.application = Server(self.clock, member("application"), self.store)
        self.north = Server(self.clock, member("site", "north"), self.store)
        self.north.role = "site"
        self.ends = {
            "application": self.end(self.application, "application"),
            "north": self.end(self.north, "north"),
        }
        self.home = Home(Path(self.mktemp()))
        self.home.keep_settings(Settings([("app.example.org", 9192)], [NORTH], "", JOB))
        self.rng = random.Random(2)
        self.clients: list[Client] = []

    def tearDown(self) -> None:
        for client in self.clients:
            self.run_it(client.stop())
        for server in (self.application, self.north):
            server.clients.stop()
        self.run_for(6.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def end(self, server: Any, name: str) -> WireEndpoint:
        face = ClientFace(server.env, server, name, lambda: b"the authority")
        factory = ClientSessionFactory(CLIENT, self.clock, face, nobody)
        return WireEndpoint(self.clock, factory)

    def client(self, shower: Any = None) -> Client:
        env = Environment(self.clock, lambda: NOW_S + self.clock.seconds(), self.rng)
        settings = LinkSettings(back_jitter_s=0.5, reconnect_min_s=0.5, reconnect_max_s=2.0)

        def endpoint_of(address: ServerAddress) -> Any:
            return self.ends[address.name]

        client = Client(env, self.home, "annas-desk", endpoint_of, settings, shower)
        if shower is not None:
            shower.client = client
        self.clients.append(client)
        client.start()
        return client

    def watch(self, rule: str = "", comment: str = "") -> tuple[Client, Watching, Told]:
        told = Told()
        env = Environment(self.clock, lambda: NOW_S + self.clock.seconds(), self.rng)
        watching = Watching(env, told, parse_rule(rule, comment) if rule else None)
        self.addCleanup(lambda: self.run_it(watching.stop()))
        return self.client(watching), watching, told

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 32)):
            self.clock.advance(1 / 32)

    def run_it(self, work: Any, seconds: float = 20.0) -> Any:
        """The result of ``work``, raised where it is an error."""
        results: list[Any] = []
        running = Deferred.fromCoroutine(work)
        running.addBoth(results.append)
        for _ in range(round(seconds * 32)):
            if results:
                break
            self.clock.advance(1 / 32)
        (result,) = results
        if hasattr(result, "raiseException"):
            result.raiseException()
        return result

    def code(self, work: Any) -> str:
        caught = self.assertRaises(Refusal, self.run_it, work)
        return str(caught.code.value)

    def log_in(self) -> Client:
        client = self.client()
        self.run_it(client.log_in("anna", "horse", 5.0))
        return client

    def cut(self, name: str) -> None:
        end = self.ends[name]
        end.mode = "refuse"
        for wire in end.wires:
            for one in wire.ends:
                one.closed(ConnectionError)


class LogInTests(ClientCase):
    def test_once_by_password_then_by_token(self) -> None:
        client = self.client()
        self.assertRaises(NotLoggedIn, self.run_it, client.until_logged_in(5.0))
        self.assertEqual(self.code(client.log_in("anna", "wrong", 5.0)), "bad-credentials")
        person = self.run_it(client.log_in("anna", "horse", 5.0))
        self.assertEqual((person.user, person.balance_e4, person.promised_e4), (7, 1_000, 0))
        path = self.home.path / "tokens.json"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        again = self.client()
        self.assertEqual(self.run_it(again.until_logged_in(5.0)).user_name, "anna")
        purse = self.run_it(again.request(messages.Balance(), 5.0))
        self.assertEqual((purse.balance_e4, purse.available_e4), (1_000, 900))
        again.log_out()
        self.assertEqual(self.home.keyring(), Keyring())

    def test_a_token_that_counts_no_more(self) -> None:
        self.log_in()
        self.store.people["anna"] = login(7, "anna", "donkey")
        client = self.client()
        self.assertEqual(self.code(client.until_logged_in(5.0)), "bad-credentials")
        self.assertEqual(self.home.keyring().tokens, {})
        # The session that lives ends too, once the server hears of it.
        self.application.clients.changed([("user", 7, {})])
        self.run_for(0.2)
        self.assertEqual(self.application.clients.count, 0)
        self.run_it(client.log_in("anna", "donkey", 5.0))

    def test_logged_in_by_another_command(self) -> None:
        _, _, told = self.watch()
        self.run_for(1.0)
        self.assertEqual([one["code"] for one in told.events("not-logged-in")], ["no-login"])
        self.log_in()
        self.run_for(4.0)
        self.assertEqual(len(told.events("logged-in")), 1)

    def test_nobody_is_there(self) -> None:
        for end in self.ends.values():
            end.mode = "refuse"
        self.assertRaises(NoServer, self.run_it, self.client().until_logged_in(5.0))

    def test_what_others_can_read(self) -> None:
        self.log_in()
        (self.home.path / "tokens.json").chmod(0o644)
        self.assertRaises(ConfigError, self.client)

    def test_not_set_up(self) -> None:
        self.assertRaises(ConfigError, Home(Path(self.mktemp())).settings)
        (self.home.path / "settings.json").write_text("{")
        self.assertRaises(ConfigError, self.home.settings)


class BoundTests(ClientCase):
    def session(self) -> Any:
        client = self.client()
        server = self.run_it(client.until_served(5.0))
        return server.link.session

    def call(self, session: Any, message: Any) -> Any:
        async def call() -> Any:
            return await session.call(message)

        return self.run_it(call())

    def test_nothing_before_the_log_in(self) -> None:
        session = self.session()
        for message in (
            *(messages.Balance(), messages.Accounts(), messages.Jobs(), messages.Messages()),
            messages.Acknowledge(JOB),
            messages.Answer(JOB, "cancel", JOB),
        ):
            caught = self.assertRaises(Refusal, self.call, session, message)
            self.assertIs(caught.code, Code.NO_LOGIN)

    def test_one_person_a_session(self) -> None:
        session = self.session()
        self.call(session, messages.Login("anna", "horse"))
        caught = self.assertRaises(Refusal, self.call, session, messages.Login("ben", "mule"))
        self.assertIs(caught.code, Code.WRONG_STATE)

    def test_so_many_guesses(self) -> None:
        session = self.session()
        for number in range(LOG_INS_MAX):
            self.assertTrue(session.is_open)
            guess = messages.Login(f"nobody{number}", "wrong")
            self.assertRaises((Refusal, SessionLost), self.call, session, guess)
        self.run_for(0.2)
        self.assertFalse(session.is_open)

    def test_who_does_not_log_in_is_put_out(self) -> None:
        session = self.session()
        self.run_for(LOG_IN_S - 1)
        self.assertTrue(session.is_open)
        self.run_for(1.0)
        self.assertFalse(session.is_open)

    def test_so_many_strangers(self) -> None:
        self.patch(client_face, "STRANGERS_MAX", 1)
        first, second = self.session(), self.client()
        self.run_for(1.0)
        self.assertEqual(self.run_it(second.until_served(5.0)).key, "site:north")
        self.call(first, messages.Login("anna", "horse"))
        # Who was sent away comes again after the time it was told.
        self.run_for(client_face.BUSY_S + 3.0)
        self.assertEqual(self.run_it(second.until_served(5.0)).key, "application")

    def test_answers_that_contradict_themselves(self) -> None:
        session = self.session()
        self.call(session, messages.Login("anna", "horse"))
        for choice, account in (("shared", None), ("personal", 3), ("cancel", 3)):
            answer = messages.Answer(JOB, choice, JOB, account)
            caught = self.assertRaises(Refusal, self.call, session, answer)
            self.assertIs(caught.code, Code.BAD_FIELDS)

    def test_who_is_no_client(self) -> None:
        make = servers.Server.make_hello
        for role in ("provider", "device", "site"):

            def hello(server: servers.Server, role: str = role) -> Hello:
                return attrs.evolve(make(server), role=role)

            self.patch(servers.Server, "make_hello", hello)
            client = self.client()
            self.run_for(0.5)
            self.assertEqual(client._servers.all[0].problem, "identity")


class OutageTests(ClientCase):
    def test_over_to_the_site_and_back(self) -> None:
        self.log_in()
        _, _, told = self.watch()
        self.run_for(1.0)
        self.cut("application")
        self.run_for(2.0)
        self.north.state = "cut"
        self.run_for(1.5)
        self.ends["application"].mode = "accept"
        self.run_for(6.0)
        served_by = [one["server"] for one in told.events("logged-in")]
        self.assertEqual(served_by, ["application", "north", "application"])
        self.assertEqual([one["state"] for one in told.events("state")], ["cut"])
        # The site is left then.
        self.assertEqual(self.north.clients.count, 0)

    def test_what_a_site_gave_counts_there_alone(self) -> None:
        self.ends["application"].mode = "refuse"
        self.log_in()
        self.assertEqual(list(self.home.keyring().tokens), ["site:north"])
        self.assertEqual(self.run_it(self.client().until_logged_in(5.0)).user_name, "anna")
        self.ends["application"].mode = "accept"
        self.cut("north")
        self.assertRaises(NotLoggedIn, self.run_it, self.client().until_logged_in(5.0))

    def test_an_answer_whose_answer_was_lost(self) -> None:
        client = self.log_in()
        self.application.questions.open.append(question(JOB))
        answering = Deferred.fromCoroutine(
            client.answer(messages.Answer(JOB, "personal", JOB), 5.0)
        )
        self.cut("application")
        self.north.questions.open.append(question(JOB))
        self.run_for(4.0)
        self.assertEqual(self.successResultOf(answering).state, "taken")
        self.assertEqual(self.north.questions.answers[0][2].id, JOB)

    def test_an_answer_that_is_to_be_said_again(self) -> None:
        client = self.log_in()
        codes = ["unavailable", "timeout"]
        answer_question = self.application.questions.answer_question

        async def later(user: int, job: str, choice: Any) -> str:
            if codes:
                raise Rejected(codes.pop())
            return await answer_question(user, job, choice)

        self.patch(self.application.questions, "answer_question", later)
        self.application.questions.open.append(question(JOB))
        found = self.run_it(client.answer(messages.Answer(JOB, "personal", JOB), 5.0))
        self.assertEqual((found.state, codes), ("taken", []))

    def test_what_servers_tell_is_kept(self) -> None:
        self.log_in()
        self.run_for(0.5)
        self.assertEqual(self.home.known(), [APPLICATION])
        known = [NORTH, ServerAddress("site", "south", "s", 1), ServerAddress("site", "x", "", 1)]
        south = known[1]
        self.assertEqual(ordered([APPLICATION], known), [APPLICATION, NORTH, south])
        moved = ServerAddress("site", "north", "elsewhere", 1)
        self.assertEqual(ordered([APPLICATION, NORTH], [moved]), [APPLICATION, NORTH])


class WatchTests(ClientCase):
    listed = (Chargeable(31, "Physics"),)

    def ask(self, **fields: Any) -> None:
        asked = attrs.evolve(question(JOB, deadline_s=NOW_S + self.clock.seconds() + 60), **fields)
        self.application.questions.open.append(asked)
        self.application.clients.ask(asked)
        self.run_for(0.5)

    def chosen(self) -> list[tuple[Chosen, int | None, str]]:
        answers = self.application.questions.answers
        return [(choice.chosen, choice.shared, choice.comment) for _, _, choice in answers]

    def share(self) -> None:
        self.store.purses |= dict.fromkeys((31, 32), self.store.purses[70])
        self.store.shared_accounts = (  # type: ignore[method-assign]
            lambda user, find, after, count: succeed([] if after else [*self.listed])
        )
        self.store.chargeables = {one.id: one for one in self.listed}
        self.store.pins = {"4711": PHYSICS_PIN}

    def test_a_rule(self) -> None:
        self.log_in()
        self.share()
        self.watch("shared:Physics", "for the board")
        self.run_for(1.0)
        self.ask()
        self.assertEqual(self.chosen(), [(Chosen.SHARED, 31, "for the board")])
        # Who is asked only whether to print has nothing to share.
        self.ask(kind="confirm")
        self.assertEqual(self.chosen()[1], (Chosen.PERSONAL, None, "for the board"))

    def test_a_rule_that_cannot_be_followed(self) -> None:
        self.log_in()
        _, _, told = self.watch("shared:Chemistry")
        self.run_for(1.0)
        self.ask()
        self.assertEqual(self.chosen(), [])
        self.assertIn("Chemistry", told.events("error")[0]["text"])

    def test_typed(self) -> None:
        self.log_in()
        self.share()
        _, watching, told = self.watch()
        self.run_for(1.0)
        watching.typed("p")
        self.ask()
        for line in ("", "7", "x", "pp"):
            watching.typed(line)
            self.run_for(0.2)
        self.assertEqual(len(told.events("error")), 4)
        watching.typed("1 my comment")
        self.run_for(0.5)
        self.assertEqual(self.chosen(), [(Chosen.SHARED, 31, "my comment")])
        self.assertEqual(told.events("answered")[0]["state"], "taken")
        self.assertEqual(told.events("withdrawn"), [])
        self.assertIn("  1  Physics (+i or -i: invoice it or not, else yes)", "\n".join(told.texts))

    def test_invoiced_and_with_a_pin(self) -> None:
        self.log_in()
        self.listed = (PHYSICS_PIN, Chargeable(32, "Law", invoice="never"))
        self.share()
        _, watching, told = self.watch()
        self.run_for(1.0)
        self.ask()
        self.assertIn("1  Physics (pin=PIN; +i or -i: invoice it or not, else no)", told.texts[-1])
        self.assertIn("2  Law\n", told.texts[-1])
        # Without its PIN, and with another, it is still asked.
        for line in ("1 +i", "1 pin=1 +i words"):
            watching.typed(line)
            self.run_for(0.5)
            self.assertIn("PIN", told.events("error")[-1]["text"])
        self.assertEqual(self.chosen(), [])
        watching.typed("1 +i pin=4711 for the board -i")
        self.run_for(0.5)
        self.assertEqual(self.chosen(), [(Chosen.SHARED, 31, "for the board -i")])
        (_, _, choice), *_ = self.application.questions.answers
        self.assertIs(choice.invoice, True)

    def test_guesses_of_a_pin_lock_out(self) -> None:
        client = self.log_in()
        self.listed = (PHYSICS_PIN,)
        self.share()
        self.assertTrue(self.run_it(client.request(messages.Accounts(pin="4711"), 5.0)).accounts)
        answer = messages.Answer(JOB, "shared", JOB, account=31)
        # That none was given is no guess.
        for _ in range(10):
            self.refused_pin(client, answer, Code.BAD_CREDENTIALS)
        for number in range(4):
            self.refused_pin(client, attrs.evolve(answer, pin=f"{number}"), Code.BAD_CREDENTIALS)
        found = self.run_it(client.request(messages.Accounts(pin="5"), 5.0))
        self.assertEqual(found.accounts, [])
        self.refused_pin(client, attrs.evolve(answer, pin="4711"), Code.LOCKED_OUT)
        self.assertEqual(self.store.locked, [7])

    def refused_pin(self, client: Any, answer: messages.Answer, code: Code) -> None:
        with self.assertRaises(Refusal) as caught:
            self.run_it(client.answer(answer, 5.0))
        self.assertIs(caught.exception.code, code)

    def test_answered_elsewhere(self) -> None:
        client = self.log_in()
        _, watching, told = self.watch()
        self.run_for(1.0)
        self.ask()
        self.run_it(client.answer(messages.Answer(JOB, "cancel", JOB), 5.0))
        self.run_for(0.5)
        self.assertEqual(told.events("withdrawn")[0]["reason"], "answered")
        watching.typed("p")
        self.assertEqual(self.chosen(), [(Chosen.CANCEL, None, "")])

    def test_one_question_at_a_time(self) -> None:
        """What is typed answers the question that is on the screen, not an older one."""
        self.log_in()
        _, watching, told = self.watch()
        self.run_for(1.0)
        self.ask(title="first", kind="confirm")
        self.ask(title="second", kind="confirm", job=OTHER_JOB)
        shown = "\n".join(told.texts)
        self.assertIn("'first': 2 pages", shown)
        self.assertNotIn("'second': 2 pages", shown)
        self.assertIn("'second' is asked next.", shown)
        watching.typed("c")
        self.run_for(0.5)
        self.assertIn("'second': 2 pages at front-desk, 0.10. Print it?", told.texts[-1])
        watching.typed("p")
        self.run_for(0.5)
        answers = self.application.questions.answers
        self.assertEqual(
            [(job, choice.chosen) for _, job, choice in answers],
            [(JOB, Chosen.CANCEL), (OTHER_JOB, Chosen.PERSONAL)],
        )
        watching.typed("p")
        self.assertEqual(told.texts[-1], "Nothing is asked now.")
        # The one on the screen is answered elsewhere: the next comes up.
        third, fourth = JOB[:-1] + "a", JOB[:-1] + "b"
        self.ask(title="third", kind="confirm", job=third)
        self.ask(title="fourth", kind="confirm", job=fourth)
        self.application.clients.withdraw(7, third, "timed-out")
        self.run_for(0.5)
        self.assertIn("'fourth': 2 pages", told.texts[-1])

    def test_time_left(self) -> None:
        asked = messages.Question(JOB, 4, "p", "t", 1, 1, "confirm")
        for left_s, words in ((19.6, "20 s"), (300, "5 minutes"), (86_380, "24 hours")):
            self.assertIn(f"({words})", show_question(asked, [], left_s))

    def test_rules_and_words(self) -> None:
        self.assertEqual(parse_rule("shared:a:b", "c"), Wanted("shared", "a:b", "c"))
        for text in ("", "shared", "shared:", "personal:x", "maybe"):
            self.assertRaises(InvalidValue, parse_rule, text)
        self.assertRaises(InvalidValue, parse_rule, "cancel", "x" * 256)
        self.assertRaises(InvalidValue, parse_rule, "cancel", "a\x1bb")
        confirm = messages.Question(JOB, 4, "p", "t", 1, 1, "confirm", may_choose_personal=False)
        x = ChargeableAccount(1, "x", invoice="always")
        self.assertEqual(parse_typed("p", confirm, [x]), Typed("personal"))
        self.assertRaises(InvalidValue, parse_typed, "1", confirm, [x])
        account = attrs.evolve(confirm, kind="account")
        self.assertRaises(InvalidValue, parse_typed, "p", account, [])
        for text in ("0", "2", "\u0661", "999999999999"):
            self.assertRaises(InvalidValue, parse_typed, text, account, [x])
        # A PIN is no comment, whether there is one or not.
        self.assertEqual(parse_typed("1 pin=2 y", account, [x]), Typed("shared", 1, "y"))
        self.assertRaises(InvalidValue, parse_typed, "1 pin=2 +i y", account, [x])
        for pin in ("2" * 257, "2\x1b"):
            self.assertRaises(InvalidValue, parse_typed, f"1 pin={pin}", account, [x])

    def test_every_code_has_words(self) -> None:
        for code in Code:
            self.assertTrue(explain(Refusal(code)))
        self.assertIn("90 s", explain(Refusal(Code.LOCKED_OUT, {"retry_after_s": 90.2})))

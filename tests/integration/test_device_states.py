"""Devices that say the wrong thing: each verb in each state, strange cards, guesses, clones."""

from __future__ import annotations

import json
import threading
import tomllib
import urllib.error
import urllib.request
from typing import Any

from papercutd.demo.processes import Role, command
from tests.support.devices import CARD, DeviceCase
from tests.support.raw_link import RawLink, job_id
from tests.support.waiting import wait_for

#: What each verb is answered, by state; ``end``: the session is over.
STATES = (
    *("before HELLO", "before LOGIN", "logged in", "after LOGOUT"),
    *("another device's login", "replaced", "after it was replaced"),
)
W, L, R = "wrong-state", "no-login", "no-run"
TABLE = {
    "LOGIN": (W, "OK", "OK", "OK", "OK", "end", "OK"),
    "ACCOUNTS": (W, L, "OK", L, L, "end", L),
    "JOBS": (W, L, "OK", L, L, "end", L),
    "RELEASE": (W, L, "OK", L, L, "end", L),
    "DISCARD": (W, L, "OK", L, L, "end", L),
    "RUN": (W, L, "OK", L, L, "end", L),
    # A run goes on when its person has left; in a new session it is listed first.
    "PAGES": (W, R, "OK", "OK", R, "end", R),
    "FINISH": (W, "bad-grant", "OK", "OK", "not-yours", "end", "OK"),
    "OPEN": (W, "OK", "OK", "OK", "OK", "end", "OK"),
    "PING": (W, "OK", "OK", "OK", "OK", "end", "OK"),
    # One that has ended is answered too; another device's is not ended by it.
    "LOGOUT": (W, "OK", "OK", "OK", "OK", "end", "OK"),
}
SESSIONS = 50
GUESSES = 10_000
AT_ONCE = 32


class StateCase(DeviceCase):
    def setUp(self) -> None:
        super().setUp()
        self.site = self.branch.site

    def health(self, role: Role) -> dict[str, dict[str, Any]]:
        """The checks by name, ``ok`` for all of them."""
        port = self.installation.http_port
        if role is not self.installation.app:
            port = tomllib.loads(role.config.read_text())["listen"]["http"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health") as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        return {check["name"]: check for check in found["checks"]}


class StateTests(StateCase):
    def test_each_verb_in_each_state(self) -> None:
        self.add_devices("mfd-1", "mfd-2")
        for role in (self.installation.app, self.site):
            found = {verb: tuple(self.answers(role, verb)) for verb in TABLE}
            self.assertEqual(found, TABLE, role.name)
            self.assertEqual(role.call("verify")["problems"], [])

    def answers(self, role: Role, verb: str) -> list[str]:
        """What ``verb`` is answered in each of STATES."""
        words = [self.connect("mfd-1", role).ask(verb, **self.fields(verb))[0]]
        link, other = self.session("mfd-1", role), self.session("mfd-2", role)
        words.append(link.ask(verb, **self.fields(verb))[0])
        fields = self.fields(verb, link)
        words.append(link.ask(verb, **fields)[0])
        fields = self.fields(verb, link)
        self.assertEqual(link.ask("LOGOUT", login=self.login_id)[0], "OK")
        words.append(link.ask(verb, **fields)[0])
        fields = self.fields(verb, link)
        words.append(other.ask(verb, **fields)[0])
        # Whatever the other said: this log-in and this run are as they were.
        self.assertEqual(link.ask("JOBS", login=self.login_id)[0], "OK")
        word, progress = link.ask("PAGES", **self.key, pages=1)
        self.assertEqual((word, progress["left"]), ("OK", 2))
        newer = self.session("mfd-1", role)
        words.append(_asked_at_the_end(link, verb, fields))
        words.append(newer.ask(verb, **fields)[0])
        # Nothing of the run is left behind.
        newer.ask("FINISH", grant=self.grant, pages=1)
        return words

    def fields(self, verb: str, link: RawLink | None = None) -> dict[str, Any]:
        """Good fields of ``verb``: of a visit and a run begun over ``link``, or of nothing."""
        self.login_id, self.grant = job_id(1), "x"
        self.key = {"job": job_id(2), "step": "run-1"}
        if link is not None:
            self.login_id = self.login(link)["login"]
            word, run = link.ask("RUN", login=self.login_id, function="copy", pages=3)
            self.assertEqual((word, run["granted"]), ("OK", True))
            self.grant, self.key = run["grant"], {"job": run["job"], "step": run["step"]}
        release = {"login": self.login_id, "release": job_id(3), "job": job_id(4)}
        fields: dict[str, dict[str, Any]] = {
            "LOGIN": {"method": "card", "card": CARD},
            "RELEASE": release,
            "DISCARD": release,
            "RUN": {"login": self.login_id, "function": "copy", "pages": 1},
            "PAGES": {**self.key, "pages": 1},
            "FINISH": {"grant": self.grant, "pages": 1},
            "OPEN": {"page": 0, "last": True, "runs": [{"grant": self.grant, "pages": 0}]},
            "PING": {},
        }
        return fields.get(verb, {"login": self.login_id})

    def test_cards_as_readers_and_others_send_them(self) -> None:
        link = self.device(self.site, self.branch)
        for card, word in (
            (" 04 a2 2b 91 ", "OK"),
            (";04A22B91?", "OK"),
            ("04-a2-2B-91" + " " * 200, "OK"),
            ("", "bad-credentials"),
            (" : ", "bad-credentials"),
            ("04:A2:2B", "bad-credentials"),
            ("04:A2:2B:91:00", "bad-credentials"),
            ("04:A2:2B:91 OR 1=1", "bad-credentials"),
            ("\u0660\u0664A22B91", "bad-credentials"),
            ("x" * 256, "bad-credentials"),
            ("x" * 4096, "bad-fields"),
            ("04:A2:2B:91\0", "bad-fields"),
            ("04:A2:2B:91\r\n", "bad-fields"),
            ("\x1b[2J", "bad-fields"),
            (None, "bad-fields"),
            (4711, "bad-fields"),
        ):
            found = link.ask("LOGIN", method="card", card=card)
            self.assertEqual(found[0], word, (card, found))
        for shown in ({"method": "finger"}, {}, {"method": "password", "user_name": "a\0"}):
            self.assertEqual(link.ask("LOGIN", **shown)[0], "bad-fields")
        # Nobody's password is empty, nor is the PIN of somebody who has none.
        for shown in (
            {"method": "password", "user_name": "anna"},
            {"method": "password", "user_name": ""},
            {"method": "card-pin", "card": CARD},
        ):
            self.assertEqual(link.ask("LOGIN", **shown)[0], "bad-credentials")

    def test_logged_in_over_and_over(self) -> None:
        """A device that never logs out has so many log-ins and no more."""
        link = self.device(self.site, self.branch)
        words = [link.ask("LOGIN", method="card", card=CARD)[0] for _ in range(20)]
        self.assertEqual(words, ["OK"] * 16 + ["busy"] * 4)
        link.close()
        # They end with their session.
        self.login(self.device(self.site, self.branch))

    def test_devices_nobody_added(self) -> None:
        link = self.device(self.site, self.branch)
        ghosts = [self.connect("ghost", self.site) for _ in range(SESSIONS)]
        for number, ghost in enumerate(ghosts):
            name = "ghost" if number % 2 else f"{self.branch.name}-mfd"
            word = "not-yours" if number % 2 else "identity"
            self.assertEqual(ghost.hello(name, role="device")[0], word)
        self.login(link)
        self.assertEqual(self.site.call("status")["fighting"], [])

    def test_two_with_one_identity(self) -> None:
        self.add_devices("mfd-1")
        for role in (self.site, self.installation.app):
            self.assertTrue(self.health(role)["clones"]["ok"])
            links = [self.session("mfd-1", role) for _ in range(4)]
            for link in links[:-1]:
                self.assertEqual(link.answer()[:2], ("end", "replaced"))
            self.login(links[-1])
            self.assertEqual(role.call("status")["fighting"], ["device:mfd-1"])
            clones = self.health(role)["clones"]
            self.assertEqual((clones["ok"], clones["detail"]), (False, "device:mfd-1"))


class GuessTests(StateCase):
    def test_ten_thousand_guesses(self) -> None:
        """Half of fifty devices guess Ben's PIN, half cards nobody has; Anna shows hers."""
        names = [f"guess-{number}" for number in range(SESSIONS)]
        self.add_devices(*names)
        links = [self.session(name, self.site) for name in names]
        honest = self.device(self.site, self.branch)
        before = _resident_kb(self.site)
        answered: list[str] = []
        is_over = threading.Event()
        thread = threading.Thread(target=_keep_logging_in, args=(honest, answered, is_over))
        thread.start()
        try:
            words = [self.guess(links) for _ in range(GUESSES // (SESSIONS * AT_ONCE) + 1)]
            during = len(answered)
        finally:
            is_over.set()
            thread.join(60)
        found = [word for round in words for word in round]
        self.assertGreaterEqual(len(found), GUESSES)
        self.assertEqual({w for _, w in found}, {"bad-credentials", "busy", "locked-out"})
        # However many asked at once: five guesses of Ben's PIN were looked at, no more.
        at_bens = [word for number, word in found if number % 2 == 0]
        self.assertEqual(at_bens.count("bad-credentials"), 5)
        for number in range(1, SESSIONS, 2):
            wrong = [w for n, w in found if n == number].count("bad-credentials")
            self.assertLessEqual(wrong, 20)
        # Others were served all the while.
        self.assertEqual(set(answered), {"OK"})
        self.assertGreater(during, 10)
        self.assertLess(_resident_kb(self.site) - before, 150_000)
        self.see_and_lift(honest)

    def guess(self, links: list[RawLink]) -> list[tuple[int, str]]:
        """(session, answer) of as many guesses of each session as may be in flight."""
        for number, link in enumerate(links):
            card = "0815" if number % 2 == 0 else f"99{number}"
            for guess in range(AT_ONCE):
                shown = {"method": "card-pin", "card": card, "pin": f"{guess}"}
                if number % 2:
                    shown["card"] += str(guess)
                link.send(f"{guess} LOGIN {json.dumps(shown)}\n".encode())
        return [(n, link.answer()[1]) for n, link in enumerate(links) for _ in range(AT_ONCE)]

    def see_and_lift(self, link: RawLink) -> None:
        """What an administrator finds in the morning, and does about it."""
        status = self.site.call("status")
        self.assertEqual([one["name"] for one in status["locked_out_users"]], ["ben"])
        self.assertLessEqual(status["locked_out_users"][0]["seconds_left"], 900)
        for one in status["locked_out_devices"]:
            self.assertRegex(one["name"], "^guess-")
        # Everywhere, not only where it happened.
        app_lists = lambda: self.installation.app.call("status")["locked_out_users"]  # noqa: E731
        wait_for("the application server knows of it", app_lists)
        self.assertEqual([one["name"] for one in app_lists()], ["ben"])
        health = self.health(self.site)
        self.assertEqual(health["locked out users"]["detail"], "1")
        self.assertTrue(health["locked out users"]["ok"])
        ben = {"method": "card-pin", "card": "0815", "pin": "4711"}
        word, found = link.ask("LOGIN", **ben)
        self.assertEqual(word, "locked-out")
        self.assertLessEqual(found["retry_after_s"], 900)
        done = command(self.site.config, "user", "unlock", "BEN")
        self.assertEqual(done, {"name": "BEN", "was_locked_out": True})
        self.assertEqual(link.ask("LOGIN", **ben)[0], "OK")
        self.assertFalse(command(self.site.config, "user", "unlock", "ben")["was_locked_out"])
        # Nobody else had counted any.
        wait_for("it is over there too", lambda: not app_lists())
        for one in status["locked_out_devices"]:
            self.assertTrue(self.site.call("device.unlock", name=one["name"])["was_locked_out"])
        self.assertEqual(self.site.call("status")["locked_out_devices"], [])
        for name in ("nobody", ""):
            with self.assertRaisesRegex(Exception, "user"):
                self.site.call("user.unlock", name=name)


def _asked_at_the_end(link: RawLink, verb: str, fields: dict[str, Any]) -> str:
    """``end``, or what was answered though the session is over."""
    try:
        link.send(f"late {verb} {json.dumps(fields)}\n".encode())
    except OSError:
        # The server has closed it already.
        return "end"
    tag, word, _ = link.answer()
    return "end" if tag == "end" else word


def _keep_logging_in(link: RawLink, answered: list[str], is_over: threading.Event) -> None:
    while not is_over.is_set():
        word, person = link.ask("LOGIN", method="card", card=CARD)
        answered.append(word)
        if word != "OK":
            return
        link.ask("LOGOUT", login=person["login"])


def _resident_kb(role: Role) -> int:
    with open(f"/proc/{role.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

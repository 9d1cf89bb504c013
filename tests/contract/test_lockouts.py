"""People locked out of devices, at sites that are cut and after the heal: design 4.11.

A guesser gets at most 26 guesses in 24 hours at one server: 19 that do not lock out yet, and
one with each of the seven lockouts that a day has room for. Servers that are connected share
their lockouts; those that are cut are summed at the heal.
"""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.domain.chain import CHAIN_START, Position
from papercutd.domain.lockout import A_DAY_MAX, DAY_S, LOCKOUT_S
from papercutd.errors import Rejected
from papercutd.services.application_server import ApplicationServer
from papercutd.services.attempts import LockedOut
from papercutd.services.devices import USER_DAY_MAX, Credentials
from papercutd.services.lockout_operations import LockoutOperations
from papercutd.services.site_server import SiteServer
from papercutd.storage.people.lockouts import KEPT_S
from papercutd.storage.replication.records import (
    LOCKOUT,
    Locked,
    Record,
    decode_record,
    encode_record,
)
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import WALL_S, Branch, Centre, Turner, job_id

A_DAY_GUESSES = USER_DAY_MAX - 1 + A_DAY_MAX


@attrs.define
class Guarded:
    """Everybody's password is ``right``; when it was guessed at."""

    turner: Turner
    guessed: list[float] = attrs.field(factory=list)

    async def matches(self, verifier: str, secret: str) -> bool:
        if secret != "right":
            self.guessed.append(self.turner.clock.seconds())
        return secret == "right"

    async def make(self, secret: str) -> str:
        return secret


class CutLink:
    suspect = True
    session = refusal = speaks = None

    def start(self) -> None:
        """It never comes up: tests carry what goes over it."""

    async def stop(self) -> None:
        """Nothing is under way."""


class Place:
    """A site of two, with a device."""

    def __init__(self, turner: Turner, centre: Centre, name: str, engine: Engine) -> None:
        self.turner, self.centre, self.name = turner, centre, name
        self.branch = Branch(turner, name, engine=engine)
        self.branch.load_snapshot(centre)
        self.session = centre.site(self.branch.stream, name)
        self.guarded = Guarded(turner)
        self.starts = 0
        self.start()
        self.server.freshness.told(Position(1, 0, CHAIN_START), self.centre_s, self.position)

    @property
    def centre_s(self) -> float:
        return WALL_S + self.turner.clock.seconds()

    @property
    def position(self) -> Any:
        return self.turner.result(self.branch.store.identity()).position

    def start(self) -> None:
        self.starts += 1
        env = self.turner.environment(ord(self.name[0]) * 100 + self.starts)
        store = self.branch.store
        self.server: Any = SiteServer(env, store, None, verifiers=self.guarded)  # type: ignore[arg-type]
        self.server.link = CutLink()
        self.turner.run(self.server.start())
        self.device = self.turner.result(store.device(f"{self.name}-panel"))

    def restart(self) -> None:
        self.turner.run(self.server.stop())
        self.start()

    def forward(self) -> None:
        while self.branch.forward(self.centre, self.session):
            self.turner.settle()

    def follow(self) -> None:
        after = self.position.number
        changes = self.turner.result(self.centre.store.changes_after(after, 10_000, 10**9))
        self.branch.follow(self.centre)
        self.server._applied([row for change in changes for row in change.rows])
        self.turner.settle()

    def records(self) -> list[Record]:
        bodies = self.branch.query("SELECT body FROM journal ORDER BY number")
        found = [decode_record(body) for (body,) in bodies]
        return [record for record in found if record.kind == LOCKOUT]


class Guessed:
    """Two sites that are cut, and the application server, each with a device."""

    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.anna = self.centre.user("anna")
        self.ben = self.centre.user("ben")
        add = self.centre.store.add_device
        for site, printer in (("north", "lp1"), ("south", "lp2")):
            self.turner.result(add(f"{site}-panel", printer, site, logins="card password"))
        self.turner.result(add("panel", "lp1", None, logins="card password"))
        self.guarded = Guarded(self.turner)
        self.app: Any = None
        self.start_application()
        self.north, self.south = self.places = [
            Place(self.turner, self.centre, name, self.engine) for name in ("north", "south")
        ]
        self.device = self.turner.result(self.centre.store.device("panel"))

    def tearDown(self) -> None:
        self.heal()
        columns = "user, lockouts, lasts_s, ends_at, unlocked"
        there = self.centre.query(f"SELECT {columns} FROM lockout ORDER BY user")
        for place in self.places:
            query = f"SELECT {columns} FROM replica.lockout ORDER BY user"
            self.assertEqual(place.branch.query(query), there)
            self.assertEqual(self.turner.result(place.branch.store.verify()), [])
            self.turner.run(place.server.stop())
        self.assertEqual(self.turner.result(self.centre.store.verify()), [])
        self.turner.run(self.app.stop())

    def start_application(self) -> None:
        if self.app is not None:
            self.turner.run(self.app.stop())
        env = self.turner.environment()
        self.app = ApplicationServer(env, self.centre.store, verifiers=self.guarded)
        self.centre.store.log.on_commit = self.app.committed
        self.turner.run(self.app.start())

    def heal(self) -> None:
        for place in self.places:
            place.forward()
        for place in self.places:
            place.follow()

    def advance(self, seconds: float) -> None:
        self.turner.clock.advance(seconds)
        self.turner.settle()

    def try_at(self, where: Any, user: str = "anna", password: str = "wrong") -> float | str:
        """``in``, a code, or the seconds for which it is locked out."""
        server, device = (self.app, self.device) if where is self else (where.server, where.device)
        shown = Credentials("password", user_name=user, password=password)
        try:
            visit, _ = self.turner.run(server.devices.login(device, shown, lambda *a: None))  # type: ignore[misc]
        except LockedOut as locked:
            return locked.left_s
        except Rejected as rejected:
            return rejected.code
        server.devices.logout(visit.id, device)
        return "in"

    def lock_out(self, where: Any, user: str = "anna") -> None:
        self.assertEqual([self.try_at(where, user) for _ in range(5)], ["bad-credentials"] * 5)

    def left_s(self, where: Any, user: str = "anna") -> float:
        found = self.try_at(where, user, "right")
        return 0.0 if found == "in" else float(found)

    def everywhere(self, user: str = "anna") -> list[float]:
        return [self.left_s(where, user) for where in (self, self.north, self.south)]

    def unlock(self, where: Any, user: str = "anna") -> Any:
        server = self.app if where is self else where.server
        operations = LockoutOperations(server.devices).all()
        return self.turner.run(operations["user.unlock"]({"name": user}, lambda figures: None))

    def guess_on(self, wheres: list[Any], until_s: float, every_s: float, after: Any) -> None:
        """At each of them as often as may be, but so far apart."""
        while self.turner.clock.seconds() < until_s:
            for where in wheres:
                while self.try_at(where) == "bad-credentials" and every_s == 0:
                    continue
                after()
            self.advance(every_s or 60.0)

    def most_in_a_day(self, guessed: list[float]) -> int:
        return max(sum(0 <= at - first < DAY_S for at in guessed) for first in guessed)


class SummedContract(Guessed):
    def test_one_record_for_each_lockout_and_none_for_a_guess(self) -> None:
        for _ in range(4):
            self.try_at(self.north)
        self.assertEqual(self.north.records(), [])
        for _ in range(10):
            self.try_at(self.north)
        (record,) = self.north.records()
        self.assertEqual(
            record.lockout, Locked(self.anna, 5, self.north.centre_s, LOCKOUT_S, False)
        )
        # Of a name that nobody has there is nothing to tell.
        for _ in range(10):
            self.try_at(self.north, "nobody")
        self.assertEqual(len(self.north.records()), 1)

    def test_cut_sites_hold_their_own_and_the_heal_sums(self) -> None:
        self.lock_out(self.north)
        self.advance(100)
        self.lock_out(self.south)
        self.assertEqual(self.everywhere(), [0.0, LOCKOUT_S - 100, LOCKOUT_S])
        self.advance(100)
        self.heal()
        self.assertEqual(self.everywhere(), [2 * LOCKOUT_S - 100] * 3)
        self.assertEqual(self.everywhere("ben"), [0.0] * 3)
        self.advance(2 * LOCKOUT_S - 101)
        self.assertEqual(self.everywhere(), [1.0] * 3)
        self.advance(1)
        self.assertEqual(self.everywhere(), [0.0] * 3)

    def test_of_the_application_server_everywhere(self) -> None:
        self.lock_out(self)
        self.assertEqual(self.everywhere(), [LOCKOUT_S, 0.0, 0.0])
        self.heal()
        self.assertEqual(self.everywhere(), [LOCKOUT_S] * 3)

    def test_a_success_elsewhere_erases_nothing(self) -> None:
        self.lock_out(self.north)
        self.assertEqual(self.try_at(self.south, password="right"), "in")
        self.assertEqual(self.try_at(self, password="right"), "in")
        self.advance(10)
        self.heal()
        self.assertEqual(self.everywhere(), [LOCKOUT_S - 10] * 3)

    def test_what_is_long_ago_at_the_heal_locks_nobody_out(self) -> None:
        for _ in range(3):
            self.lock_out(self.north)
            self.advance(2 * DAY_S)
        self.heal()
        self.assertEqual(self.everywhere(), [0.0] * 3)

    def test_a_restart_changes_nothing(self) -> None:
        self.lock_out(self.north)
        self.advance(100)
        self.north.restart()
        self.assertEqual(self.left_s(self.north), LOCKOUT_S - 100)
        self.heal()
        self.start_application()
        self.south.restart()
        self.assertEqual(self.everywhere(), [LOCKOUT_S - 100] * 3)

    def test_again_in_another_stream_counts_once(self) -> None:
        self.lock_out(self.north)
        self.heal()
        row = self.centre.query("SELECT * FROM lockout")
        for number in (1, 2):
            stream = job_id(0xDEF0 + number)
            self.turner.result(self.north.branch.store.take_new_stream(stream))
            self.north.branch.stream = stream
            self.north.session = self.centre.site(stream)
            self.north.forward()
        self.assertEqual(self.centre.query("SELECT * FROM lockout"), row)
        self.assertEqual(len(self.centre.query("SELECT * FROM lockout_event")), 1)

    def test_what_is_forgotten_does_not_count_again(self) -> None:
        self.lock_out(self.north)
        self.heal()
        self.advance(KEPT_S + 1)
        self.lock_out(self, "ben")
        self.assertEqual(self.centre.query("SELECT user FROM lockout"), [(self.ben,)])
        self.turner.result(self.north.branch.store.take_new_stream(job_id(0xDEF)))
        self.north.branch.stream = job_id(0xDEF)
        self.north.session = self.centre.site(job_id(0xDEF))
        self.heal()
        self.assertEqual(self.centre.query("SELECT user FROM lockout_event"), [(self.ben,)])
        self.lock_out(self.north)
        self.assertEqual(len(self.north.branch.query("SELECT * FROM lockout_event")), 1)

    def test_clocks_that_are_set_end_nothing(self) -> None:
        """A running server counts what is left by its monotonic clock."""
        self.lock_out(self.north)
        self.heal()
        for shift_s in (1e6, -1e6):
            self.centre.store._wall_s = lambda s=shift_s: WALL_S + s
            self.north.server.freshness._clock._base = attrs.evolve(
                self.north.server.freshness._clock._base, told_s=WALL_S + shift_s
            )
            self.turner.run(self.app.lockouts.refresh())
            self.turner.run(self.north.server.lockouts.refresh())
            self.assertEqual(self.everywhere(), [LOCKOUT_S] * 3)

    def test_of_somebody_merged_since(self) -> None:
        self.lock_out(self.north)
        self.turner.result(self.centre.store.merge_users("anna", "ben"))
        self.heal()
        self.assertEqual(self.everywhere("ben"), [LOCKOUT_S] * 3)
        self.unlock(self, "anna")
        self.heal()
        self.assertEqual(self.everywhere("ben"), [0.0] * 3)


class BoundContract(Guessed):
    """How many guesses somebody gets who goes on for days.

    Thousands of the transactions that the other classes try on every engine.
    """

    once = True

    def bounded(self, every_s: float, after: Any = lambda: None) -> list[list[float]]:
        self.guess_on([self, *self.places], 1.5 * DAY_S, every_s, after)
        guessed = [one.guarded.guessed for one in (self, *self.places)]
        for times in guessed:
            self.assertLessEqual(self.most_in_a_day(times), A_DAY_GUESSES)
        self.assertEqual(A_DAY_GUESSES, 26)
        return guessed

    def test_as_fast_as_may_be_while_cut(self) -> None:
        self.bounded(0)

    def test_slowly_enough_not_to_be_locked_out_while_cut(self) -> None:
        self.bounded(LOCKOUT_S / 4 + 1)

    def test_with_the_person_logging_in_all_the_time(self) -> None:
        def log_in() -> None:
            for where in (self, *self.places):
                self.try_at(where, password="right")

        self.bounded(LOCKOUT_S / 4 + 1, log_in)

    def test_all_together_while_connected(self) -> None:
        """Lockouts are shared: seven a day of all servers, and what each had let pass before."""
        guessed = self.bounded(300, self.heal)
        together = self.most_in_a_day([at for times in guessed for at in times])
        self.assertLessEqual(together, 3 * (USER_DAY_MAX - 1) + A_DAY_MAX)

    def test_summed_after_a_cut(self) -> None:
        self.guess_on(self.places, DAY_S, 0, lambda: None)
        before = sum(len(place.guarded.guessed) for place in self.places)
        self.heal()
        self.assertEqual(self.everywhere(), [self.left_s(self)] * 3)
        self.assertGreater(self.left_s(self), DAY_S / 2)
        self.advance(DAY_S / 2)
        self.assertEqual(sum(len(place.guarded.guessed) for place in self.places), before)


class UnlockContract(Guessed):
    def test_at_the_application_server_everywhere(self) -> None:
        self.lock_out(self.north)
        self.heal()
        self.lock_out(self.south, "ben")
        self.assertEqual(self.unlock(self), {"name": "anna", "was_locked_out": True})
        self.assertEqual(self.everywhere(), [0.0, LOCKOUT_S, LOCKOUT_S])
        self.heal()
        self.assertEqual(self.everywhere(), [0.0] * 3)
        self.assertEqual(self.everywhere("ben"), [LOCKOUT_S] * 3)
        self.north.restart()
        self.start_application()
        self.assertEqual(self.everywhere(), [0.0] * 3)

    def test_what_a_cut_site_has_not_told_ends_with_it(self) -> None:
        self.lock_out(self.north)
        self.assertFalse(self.unlock(self)["was_locked_out"])
        self.assertEqual(self.left_s(self.north), LOCKOUT_S)
        self.heal()
        self.assertEqual(self.everywhere(), [0.0] * 3)
        # It is over for the count too, and the next one counts.
        self.lock_out(self.north)
        self.heal()
        self.assertEqual(self.everywhere(), [LOCKOUT_S] * 3)

    def test_the_failures_of_a_day_are_forgotten_with_it(self) -> None:
        for _ in range(USER_DAY_MAX):
            self.try_at(self.north)
            self.advance(300)
        self.assertGreater(self.left_s(self.north), 0)
        self.heal()
        self.unlock(self)
        self.heal()
        self.assertEqual([self.try_at(self.north) for _ in range(4)], ["bad-credentials"] * 4)
        self.assertEqual(self.left_s(self.north), 0.0)

    def test_at_a_site_there_and_what_it_had_counted(self) -> None:
        self.lock_out(self.north)
        self.lock_out(self.south)
        self.heal()
        self.assertEqual(self.everywhere(), [2 * LOCKOUT_S] * 3)
        self.assertTrue(self.unlock(self.north)["was_locked_out"])
        self.assertEqual(self.everywhere(), [2 * LOCKOUT_S, 0.0, 2 * LOCKOUT_S])
        self.north.restart()
        self.assertEqual(self.left_s(self.north), 0.0)
        self.heal()
        # What the other site counted stands, there too.
        self.assertEqual(self.everywhere(), [LOCKOUT_S, 0.0, LOCKOUT_S])

    def test_at_a_site_ends_no_later_lockout_elsewhere(self) -> None:
        self.lock_out(self.south)
        self.heal()
        self.unlock(self.north)
        self.advance(LOCKOUT_S + 1)
        self.lock_out(self.south)
        self.heal()
        self.assertEqual(self.everywhere(), [2 * LOCKOUT_S] * 3)

    def test_it_is_shown(self) -> None:
        self.lock_out(self.north)
        self.heal()
        expected = [{"name": "anna", "seconds_left": 900}]
        for server in (self.app, self.north.server, self.south.server):
            status = LockoutOperations(server.devices).status()
            self.assertEqual(status["locked_out_users"], expected)


class BadContract(Guessed):
    """Records of a site that tells nonsense."""

    def tell(self, **more: Any) -> None:
        fields = {"user": self.anna, "failures": 5, "began_at": self.north.centre_s, **more}
        key = fields.pop("key", job_id(0xAAA))
        position = fields.pop("position", "1.1")
        record = Record(LOCKOUT, key, position, 0.0, lockout=Locked(**fields))
        self.turner.result(self.north.branch.store.salvage([encode_record(record)]))
        self.heal()

    def test_what_cannot_be_is_parked(self) -> None:
        for user in (4_711, -1, 2**70):
            self.tell(user=user)
        self.tell(user=4_711, ended=True)
        self.assertEqual(self.centre.listed().count("parked"), 4)
        self.assertEqual(self.centre.query("SELECT * FROM lockout"), [])

    def test_no_longer_than_a_day_from_now(self) -> None:
        for number, began_at in enumerate((1e308, 4e9, -1e308, 0.0) * 4):
            self.tell(began_at=began_at, lasts_s=1e300, key=f"{number}", position="x")
        self.assertEqual(self.everywhere(), [DAY_S] * 3)

    def test_it_ends_only_its_own(self) -> None:
        self.lock_out(self.south)
        self.heal()
        self.tell(ended=True)
        self.assertEqual(self.everywhere(), [LOCKOUT_S] * 3)


on_every_engine(globals())

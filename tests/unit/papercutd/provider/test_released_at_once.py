"""One held job released at two places at once, a thousand times; and a cut in the midst of it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from protocols.provider import messages
from tests.unit.papercutd.provider.rig import STEP_S, config
from tests.unit.papercutd.provider.test_releasing import ReleaseCase

FIND_ME = messages.PrinterSetting(2, "find-me", "fake://none", release="find-me", group="g")
HERE = messages.PrinterSetting(3, "here", "fake://three", release="secure", group="g")
THERE = messages.PrinterSetting(4, "there", "fake://four", release="secure", group="g")
JOBS = 1_000
AT_ONCE = 100


class FindMeCase(ReleaseCase):
    def setUp(self) -> None:
        super().setUp()
        for server in (self.application, self.site):
            server.config = config(printers=[FIND_ME, HERE, THERE])
            server.send(server.config)
        self.rig.run(0.1)

    def papers(self) -> list[tuple[str, int]]:
        """(job, printer) of each completion that a server was sent, once for each key."""
        completed = {
            (message.job, message.step): message.printer
            for server in (self.application, self.site)
            for message in server.all(messages.Complete)
        }
        return [(job, printer) for (job, _), printer in completed.items()]


class AtOnceTests(FindMeCase):
    def test_one_prints_and_the_other_hears_where(self) -> None:
        self.rig.paper.print_s = 0.0
        chance = random.Random(1)
        won: Counter[int] = Counter()
        for first in range(0, JOBS, AT_ONCE):
            self.release_all(chance, won, first)
        self.assertEqual(sum(won.values()), JOBS)
        # Each came first often enough for this to say something.
        self.assertGreater(min(won[HERE.id], won[THERE.id]), JOBS // 5)

    def release_all(self, chance: random.Random, won: Counter[int], first: int) -> None:
        jobs = []
        for _ in range(AT_ONCE):
            accepted = self.rig.submit(printer="find-me")
            self.rig.run(STEP_S)
            jobs.append(accepted[0])
        self.rig.run(1.0)
        for server in (self.application, self.site):
            server.heard.clear()
        self.rig.paper.printed.clear()
        for number, job in enumerate(jobs, first):
            both = [(self.application, HERE.id), (self.site, THERE.id)]
            chance.shuffle(both)
            for at, (server, printer) in enumerate(both):
                self.release(job, 2 * number + at, printer, server)
                if at == 0 and chance.random() < 0.5:
                    self.rig.run(STEP_S * chance.randrange(1, 5))
        self.rig.run(20.0)
        heard = {
            id(server): {message.job: message for message in server.all(messages.Released)}
            for server in (self.application, self.site)
        }
        here, there = heard[id(self.application)], heard[id(self.site)]
        papers = dict(self.papers())
        for job in jobs:
            answers = {here[job].answer, there[job].answer}
            self.assertEqual(answers, {"released", "already-released"}, job)
            # Both name the printer of the one that came first, which is where it is.
            self.assertEqual({here[job].printer, there[job].printer}, {papers[job]}, job)
            won[papers[job]] += 1
        self.assertEqual(len(self.papers()), AT_ONCE)
        self.assertEqual(len(self.rig.paper.printed), AT_ONCE)
        self.assertEqual(len(set(self.rig.paper.printed)), AT_ONCE)


class CutTests(FindMeCase):
    """A person at a device of the site; a link goes at every instant of the release."""

    def cut_at(self, steps: int, who: str, is_silent: bool) -> str:
        """What the journal said of the job just after ``who`` was cut."""
        server = {"site": self.site, "application": self.application}[who]
        other = self.application if server is self.site else self.site
        job = self.submit("find-me")
        self.release(job, 1, HERE.id, self.site)
        if steps:
            self.rig.run(STEP_S * steps)
        if is_silent:
            server.say[messages.Authorize] = None
        else:
            server.unplug()
        state = str(self.rig.state(job)[0])
        self.rig.run(4.0)
        # The device goes to the server that is left, and presses the same button there.
        self.release(job, 1, HERE.id, other)
        self.rig.run(1.0)
        said = other.all(messages.Released)[-1]
        self.assertIn(said.answer, ("released", "unanswered"))
        if said.answer == "unanswered":
            self.assertEqual(self.rig.state(job)[0], "held")
            self.assertEqual(self.rig.paper.printed, [])
            self.release(job, 2, THERE.id, other)
            self.rig.run(3.0)
            self.assertEqual(other.all(messages.Released)[-1].answer, "released")
        # Another device, another press: too late, and told where it is.
        self.release(job, 3, THERE.id, other)
        self.rig.run(3.0)
        self.assertEqual(other.all(messages.Released)[-1].answer, "already-released")
        if is_silent:
            self.at_release(server, "allow")
        else:
            server.plug()
        self.rig.run(15.0)
        self.assertEqual(self.rig.state(job)[0], "ended")
        ((_, printer),) = self.papers()
        self.assertEqual(other.all(messages.Released)[-1].printer, printer)
        self.assertEqual(self.rig.paper.printed, ["spool/1"])
        self.assertEqual(self.rig.provider.cancel(job), False)
        owed = self.rig.rows(
            "SELECT key FROM taken WHERE acked = 0 UNION SELECT key FROM cancel WHERE acked = 0"
        )
        self.assertEqual(owed, [])
        return state

    def sweep(self, who: str, is_silent: bool = False) -> set[str]:
        states = set()
        for steps in range(12):
            # Each of them on a new installation.
            self.setUp()
            states.add(self.cut_at(steps, who, is_silent))
        return states

    def test_the_site_is_cut_off(self) -> None:
        self.assertEqual(self.sweep("site"), {"held", "asked", "decided", "printing"})

    def test_the_application_server_is_cut_off(self) -> None:
        self.assertEqual(self.sweep("application"), {"held", "asked", "decided", "printing"})

    def test_the_site_falls_silent(self) -> None:
        self.sweep("site", is_silent=True)

    def test_both_are_cut_off_and_come_back(self) -> None:
        """Nobody answers: held again, and the same press stays unanswered for ever."""
        for steps in range(12):
            self.setUp()
            job = self.submit("find-me")
            self.release(job, 1, HERE.id, self.site)
            self.rig.run(STEP_S * steps)
            self.site.unplug()
            self.application.unplug()
            self.rig.run(4.0)
            self.site.plug()
            self.application.plug()
            self.rig.run(5.0)
            said: Any = ""
            for number in (1, 2):
                self.release(job, number, HERE.id, self.site)
                self.rig.run(3.0)
                said = self.site.all(messages.Released)[-1].answer
                if said == "released":
                    break
            self.assertEqual(said, "released")
            self.rig.run(5.0)
            self.assertEqual(self.rig.paper.printed, ["spool/1"])
            self.assertEqual(len(self.papers()), 1)

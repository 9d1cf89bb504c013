"""People who print and copy all the time, whatever happens around them."""

from __future__ import annotations

import random
import threading
from collections import Counter

import attrs

from papercutd.commands.control_client import ControlError
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch
from tests.soak.world import PEOPLE, STRICT, World

#: Seconds between two of one kind at one branch.
PAUSE_S = 0.5


@attrs.define
class Credits:
    """Money given: what was acknowledged, and what may have been booked all the same."""

    acknowledged: Counter[str] = attrs.field(factory=Counter)
    uncertain: Counter[str] = attrs.field(factory=Counter)


class Load:
    """Two threads at each branch and one administrator, until stopped."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.credits = Credits()
        #: What nobody expected of a thread.
        self.defects: list[str] = []
        #: (branch, job) whose id was told: ours from then on.
        self.accepted: list[tuple[Branch, str]] = []
        self._threads = [
            threading.Thread(
                target=self._keep_on, args=(work, random.Random(f"{seed} {name}"), *rest)
            )
            for name, work, *rest in self._works()
        ]

    def _works(self) -> list[tuple[object, ...]]:
        works: list[tuple[object, ...]] = [("credit", self._credit)]
        for branch in self._world.branches:
            works.append((f"print {branch.name}", self._print, branch))
            works.append((f"copy {branch.name}", self._copy, branch))
        return works

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """What is under way comes to its end; what an interrupt kept from beginning never does."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is None:
                continue
            thread.join(90.0)
            if thread.is_alive():
                self.defects.append(f"a thread of the load does not end: {thread.name}")

    def _keep_on(self, work, rng: random.Random, *rest) -> None:  # type: ignore[no-untyped-def]
        while not self._stop.is_set():
            try:
                work(rng, *rest)
            except Exception as error:
                if self._world.is_closed:
                    return
                self.defects.append(f"{work.__name__}: {type(error).__name__}: {error}")
                self._stop.wait(1.0)
            self._stop.wait(rng.uniform(0.2, 2.0) * PAUSE_S)

    def _print(self, rng: random.Random, branch: Branch) -> None:
        number = self.done["handed in"] = self.done["handed in"] + 1
        title = f"{branch.name} {number} {rng.getrandbits(32):08x}"
        queue = branch.queues[rng.random() < 0.2]
        shares = (5, 4, 1, 4 if branch.name in STRICT else 0)
        user = rng.choices(list(PEOPLE), shares)[0]
        try:
            job = branch.print_file(make_pdf(title, rng.randint(1, 3), False), title, user, queue)
        except (OSError, ValueError, RuntimeError):
            # It was not there, its disk was full, or it died before it said so.
            self.done["not taken"] += 1
            return
        self.accepted.append((branch, job))

    def _copy(self, rng: random.Random, branch: Branch) -> None:
        device = branch.mfd
        _, _, card = PEOPLE[rng.choice(("anna", "ben"))]
        lines = [f"login card {card}", f"copy {rng.randint(1, 5)}"]
        if rng.random() < 0.3:
            lines.append("release all")
        for line in [*lines, "logout"]:
            try:
                answer = device.do(line)
            except (OSError, ValueError):
                answer = {}
            if not answer:
                # Its power was cut; somebody switches it on again.
                device.kill()
                self._stop.wait(rng.uniform(0.5, 3.0))
                device.start("--speed", "600")
                return
            word = line.split()[0]
            self.done[word if answer.get("ok") else f"{word} not done"] += 1
            if word == "login" and not answer.get("ok"):
                return

    def _credit(self, rng: random.Random) -> None:
        name = rng.choice(("anna", "ben", "dana"))
        try:
            self._world.app.call("user.adjust", name=name, amount="1.00", reason="soak")
        except ControlError as error:
            if error.code not in ("storage-full", "unavailable"):
                self.credits.uncertain[name] += 1
        except (OSError, ValueError):
            self.credits.uncertain[name] += 1
        else:
            self.credits.acknowledged[name] += 1
        self._stop.wait(1.0)

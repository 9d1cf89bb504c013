"""The core's scenario: people print at two sites while everything fails, then all is counted."""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Request
from papercutd.errors import PapercutError
from papercutd.provider.provider import Submission
from papercutd.services import wire
from tests.simulation.core_absence import Absence
from tests.simulation.core_choices import ChoiceLoad
from tests.simulation.core_devices import LOGIN_S, DeviceLoad
from tests.simulation.core_held_stage import Held
from tests.simulation.core_logic import Logic
from tests.simulation.core_lost_edits import Edits
from tests.simulation.core_newcomers import Newcomers
from tests.simulation.core_nodes import APPLICATION, PRICES, PROVIDERS, USERS, CoreInstallation
from tests.simulation.core_oracle import CoreOracle
from tests.simulation.core_people import PEOPLE, People
from tests.simulation.core_purses import top_up
from tests.simulation.core_strict import StrictFaults
from tests.simulation.core_upgrades import Upgrades
from tests.simulation.core_vouchers import VoucherFaults
from tests.simulation.findings import Findings
from tests.simulation.plan import FaultPlan
from tests.simulation.profiles import PROFILES, Profile
from tests.simulation.restores import Restores
from tests.simulation.scenario import run_scenario
from tests.simulation.spool import SpooledDocument
from tests.simulation.stage import Fault, Stage
from tests.simulation.world import World

ADJUSTMENTS = 12
PAGES_MAX = 30


class CoreScenario:
    """One seed of the core."""

    def __init__(self, world: World, rng: random.Random, profile: Profile) -> None:
        self._profile = profile
        self.world = world
        # What the product says no with is logged as a failure here and there.
        world.expected_failures = (PapercutError,)
        self._rng = rng
        self.installation = CoreInstallation(
            self.world,
            profile.has_devices,
            has_held=profile.has_held,
            has_cups=profile.has_cups,
            people=PEOPLE if profile.has_people else None,
            policy=profile.policy,
            funds=profile.funds,
            has_shared=profile.has_shared,
            has_choices=profile.has_choices,
            newcomers=Newcomers(world) if profile.has_newcomers else None,
        )
        self.oracle = CoreOracle(self.installation)
        self._documents = 0
        stage = Stage(self.world, self.installation.topology)
        stage.logic["F42"] = self._change_prices
        stage.logic["F44"] = self._ask_both
        stage.logic["F45"] = self._ask_again_what_was_denied
        Restores(stage, self.oracle).register()
        self.held: Held | None = None
        if profile.has_held:
            self.held = Held(self.installation, stage, self.oracle, self._hand_in)
        self.choices: ChoiceLoad | None = None
        if profile.has_choices:
            rng_of_choices = self.world.random("choices")
            self.choices = ChoiceLoad(self.installation, rng_of_choices, self._hand_in)
        self._logic = Logic(stage, self.installation, self.world.random("logic"))
        self._logic.register()
        self._strict = StrictFaults(stage, self.installation, self.world.random("strict"))
        self._strict.register()
        People(stage, self.installation, self.world.random("people")).register()
        self.absence = Absence(stage, self.installation, self.world.random("absence"))
        self.absence.register()
        self._vouchers = VoucherFaults(stage, self.installation, self.world.random("vouchers"))
        self._vouchers.register()
        if "F20" in profile.rates:
            Upgrades(stage, self.installation, self.world.random("upgrades")).register()
        plan = FaultPlan.generate(
            self.world.random("plan"), profile, self.installation.topology, frozenset(stage.logic)
        )
        self.world.findings.plan = plan.lines()
        self._plan, self._stage = plan, stage
        self.oracle.refusals.trouble_s = lambda: plan.trouble_until(self.world.now)

    def run(self) -> Findings:
        """Chaos, then quiet, then the questions."""
        self.installation.boot_all()
        self._plan.start(self._stage)
        rng = self._rng
        for _ in range(self._profile.jobs):
            self.world.later(rng.uniform(6.0, self._profile.chaos_s), self._print)
        for _ in range(round(ADJUSTMENTS * self._profile.funds)):
            self.world.later(rng.uniform(6.0, self._profile.chaos_s), self._adjust)
        pursed = self.world.random("purses")
        top_up(self.installation, self._stage, pursed, self._profile.chaos_s)
        if {"F30", "F31"} & self._profile.rates.keys():
            Edits(self.installation, self.world.random("edits")).start(self._profile.chaos_s)
        if self._profile.has_devices:
            DeviceLoad(self.installation, rng, sorted(USERS)).start(self._profile.chaos_s)
        if self.held is not None:
            self.held.start(self._profile.chaos_s)
        if self.choices is not None:
            self.choices.start(self._profile.chaos_s)
        after_s = LOGIN_S if self._profile.has_devices else 1.0
        self.world.run(self._profile.chaos_s + after_s)
        if self.held is not None:
            self.held.weekend.pass_by()
        until_s = self.world.now + self._profile.quiet_s
        self.world.run_until(
            lambda: self._logic.is_over and self.oracle.is_settled() and self._is_chosen(), until_s
        )
        if self._profile.policy == "strict":
            self._strict.retire()
            self.world.run(self.world.now + 20.0)
            self.world.run_until(self.oracle.is_settled, self.world.now + 60.0)
        # What was settled must stay so.
        self.world.run(self.world.now + 10.0)
        if not self._is_chosen():
            # What was being decided in the last moment waits for its person only now.
            self.world.run_until(
                lambda: self.oracle.is_settled() and self._is_chosen(), self.world.now + 60.0
            )
        self.oracle.check_end()
        self.installation.check_shared()
        self.absence.check_end()
        centre = self.world.nodes[APPLICATION].disk.connection("application.db")
        if self.installation.newcomers is not None:
            self.installation.newcomers.check_end(centre)
        self._vouchers.check_end(self.oracle.struck)
        if self.held is not None:
            self.held.checks.check_end()
        if self.choices is not None:
            self.choices.check_end()
        return self.world.finish()

    def _is_chosen(self) -> bool:
        return self.choices is None or self.choices.is_over()

    def _print(self) -> None:
        name = self._rng.choice(sorted(PROVIDERS))
        self._hand_in(f"{PROVIDERS[name]}-1")

    def _hand_in(self, printer: str, chooser: str = "") -> None:
        rng = self._rng
        name = next(one for one, site in PROVIDERS.items() if printer.startswith(f"{site}-"))
        user = rng.choice(
            [*sorted(USERS), "staff", "stranger"] if rng.random() < 0.1 else sorted(USERS)
        )
        if self.installation.people and rng.random() < 0.6:
            user = rng.choice(sorted(self.installation.people))
        if self.installation.newcomers is not None and rng.random() < 0.5:
            user = self.installation.newcomers.name()
        user = chooser or user
        pages = rng.randint(1, PAGES_MAX)
        node = self.world.nodes[name]
        self._documents += 1
        if not node.is_up or node.clock is None or node.clock.is_paused:
            self.world.count("not submitted")
            return
        provider = self.installation.providers.get(name)
        if provider is None or provider.config is None:
            self.world.count("not submitted")
            return
        path = f"spool/{self._documents}"
        digest = blake2b(path.encode(), digest_size=32).hexdigest()
        document = Document((PageGroup("A4", pages, rng.randint(0, pages) // 4),))
        node.disk.spool.add(SpooledDocument(path, document, 1000, digest))
        submission = Submission(
            printer=printer,
            user_name=user,
            path=path,
            digest=digest,
            size=1000,
            format="application/pdf",
            title=f"document {self._documents}",
        )

        def accepted(job: str) -> None:
            self.oracle.accepted[job] = name
            self.world.count("jobs")

        # The person stands at the print server: what they hand in happens there.
        node.clock.callLater(0, self._submit, provider, submission, accepted)

    def _submit(self, provider: Any, submission: Submission, accepted: Any) -> None:
        Deferred.fromCoroutine(provider.submit(submission)).addCallbacks(
            accepted, lambda failure: self.world.count("refused submissions")
        )

    def _adjust(self) -> None:
        node = self.world.nodes[APPLICATION]
        server = self.installation.application
        if node.clock is None or server is None:
            return
        user, amount_e4 = self._rng.choice(sorted(USERS)), self._rng.randint(1, 20) * 1_000

        def adjust() -> None:
            server.store.adjust(user, amount_e4, "top-up").addErrback(lambda failure: None)

        node.clock.callLater(0, adjust)

    def _change_prices(self, fault: Fault) -> Any:
        """F42: the prices change, perhaps while a site is cut."""
        node = self.world.nodes[APPLICATION]
        server = self.installation.application
        done: list[object] = []
        if node.clock is not None and server is not None:
            factor = self._rng.randint(1, 3)
            prices = attrs.evolve(
                PRICES,
                papers=tuple(
                    attrs.evolve(p, grey_e4=p.grey_e4 * factor, colour_e4=p.colour_e4 * factor)
                    for p in PRICES.papers
                ),
            )

            def change() -> None:
                server.store.add_prices(prices).addCallbacks(done.append, lambda failure: None)

            node.clock.callLater(0, change)
        return lambda: bool(done)

    def _ask_both(self, fault: Fault) -> Any:
        """F44: a key under way is asked at both servers; what nobody took is given back."""
        done: list[object] = []
        name = self._rng.choice(sorted(PROVIDERS))
        left = 40

        def look() -> None:
            nonlocal left
            provider, node = self.installation.providers.get(name), self.world.nodes[name]
            left -= 1
            if provider is not None and node.clock is not None and not node.clock.is_paused:
                living = [j for j in provider._living.values() if j.state == "asked" and j.document]
                if living:
                    node.clock.callLater(0, self._duplicate, name, provider, living[0], done)
                    return
            if left:
                self.world.later(0.05, look)

        # A job that is being asked for is a matter of milliseconds: hand one in and look.
        self._print()
        self.world.later(0.01, look)
        return lambda: bool(done)

    def _duplicate(self, name: str, provider: Any, job: Any, done: list[object]) -> None:
        for server in provider.servers.values():
            if server.link.session is None:
                continue
            giver = server.decider
            asked = wire.request_out(provider._request(job), hedged=True)

            def answered(answer: Any, giver: str = giver) -> None:
                if wire.decision_in(answer).allowed:
                    self._give_back(name, provider, job, giver)

            server.link.request(asked).addCallbacks(answered, lambda failure: None)
            done.append(server)

    def _give_back(self, name: str, provider: Any, job: Any, giver: str) -> None:
        """Cancel ``giver``'s answer once it is known that another's was taken."""
        journal = self.world.nodes[name].disk.connection("provider.db")
        if provider is not self.installation.providers.get(name) or journal is None:
            # It died, and its next session will not list the key.
            return
        found = journal.execute(
            "SELECT phase || '-' || step, state, decider FROM job WHERE job = ?", (job.job,)
        ).fetchone()
        if found is None:
            return
        step, state, decider = found
        # Until its answer is there, who decided is that of the step before.
        if step == job.step_name and state in ("received", "analysed", "asked"):
            self.world.later(0.2, self._give_back, name, provider, job, giver)
        elif decider != giver or step != job.step_name:
            provider.tasks.spawn(provider._cancel(job.key, giver, "superseded"), "F44")

    def _ask_again_what_was_denied(self, fault: Fault) -> Any:
        """F45: somebody is denied, topped up, and the same key comes again: denied as before."""
        done: list[object] = []
        node, server = self.world.nodes[APPLICATION], self.installation.application
        name = self._rng.choice(sorted(PROVIDERS))
        provider, asker = self.installation.providers.get(name), self.world.nodes[name]
        journal = asker.disk.connection("provider.db")
        if server is None or provider is None or journal is None:
            return lambda: False
        # Denied there, as its asker remembers it; or given back, and void since.
        ended = journal.execute(
            "SELECT job || '/' || phase || '-' || step, decision FROM job"
            " WHERE outcome = 'denied' AND decider = 'application'"
        ).fetchall()
        centre = node.disk.connection("application.db")
        if centre is not None:
            ended += centre.execute(
                "SELECT key, NULL FROM decision WHERE state = 'voided' AND provider = ?", (name,)
            ).fetchall()
        if not ended or node.clock is None or asker.clock is None:
            return lambda: False
        key, body = self._rng.choice(ended)
        job, step = key.split("/")
        document = Document((PageGroup("A4", 1),))
        printer = printer_of(journal, job)
        request = Request(job, step, name, printer, "dora", document)

        def again() -> None:
            # A provider that has just started has none yet.
            server = provider.servers.get("application")
            if server is not None and server.link.session is not None:
                server.link.request(wire.request_out(request)).addCallbacks(
                    judge, lambda failure: None
                )

        def judge(answer: Any) -> None:
            done.append(answer)
            self.world.sometimes("F45 answered")
            if answer.verdict == "allow":
                ended = "void" if body is None else "denied"
                self.world.find("I5", f"{key} was {ended} and is allowed", name)

        node.clock.callLater(0, self._top_up, server)
        asker.clock.callLater(0.5, again)
        return lambda: bool(done)

    def _top_up(self, server: Any) -> None:
        for user in sorted(USERS):
            server.store.adjust(user, 100_000, "top-up").addErrback(lambda failure: None)


def printer_of(journal: Any, job: str) -> int:
    """Where ``job`` was to be printed, as its provider has it."""
    found = journal.execute("SELECT printer FROM job WHERE job = ?", (job,)).fetchone()
    return 1 if found is None else int(found[0])


def run_core(seed: int, profile: str = "base", **other: Any) -> Findings:
    """The findings of one seed; ``other``: what differs from the profile."""
    return run_scenario(CoreScenario, seed, attrs.evolve(PROFILES[profile], **other))

"""300 seeds of the core: real servers under faults, and every tenth twice (I18)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.core import run_core

SEEDS_OF_A_TEST = 30


class SeedCase(SynchronousTestCase):
    """The world judges what is logged as a failure, and knows the living from the dead."""

    timeout = 300

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors(RuntimeError)


class BaseTests(SeedCase):
    """A test for each thirty seeds; a failing seed says how it is replayed."""

    timeout = 300

    def check(self, first: int) -> None:
        for seed in range(first, first + SEEDS_OF_A_TEST):
            findings = run_core(seed)
            text = "\n".join(str(finding) for finding in findings.found)
            self.assertTrue(findings.is_good, f"make simulate SEEDS=1 FIRST_SEED={seed}\n{text}")
            self.assertGreater(findings.counts["jobs"], 0)
            if seed % 10 == 0:
                self.assertEqual(run_core(seed).trace, findings.trace, f"seed {seed} (I18)")


def _add(number: int) -> None:
    first = 1 + number * SEEDS_OF_A_TEST

    def test(self: BaseTests) -> None:
        self.check(first)

    name = f"test_seeds_{first:04d}"
    test.__name__ = name
    setattr(BaseTests, name, test)


class DeviceTests(SeedCase):
    """The same with people who copy at devices: each page that came out is charged once."""

    timeout = 300

    def check(self, first: int) -> None:
        for seed in range(first, first + SEEDS_OF_A_TEST):
            findings = run_core(seed, "devices")
            text = "\n".join(str(finding) for finding in findings.found)
            where = f"make simulate SEEDS=1 FIRST_SEED={seed} PROFILE=devices"
            self.assertTrue(findings.is_good, f"{where}\n{text}")

    def test_seeds_0001(self) -> None:
        self.check(1)

    def test_seeds_0101(self) -> None:
        """Among them what a server held for a device that had gone to another."""
        self.check(101)

    def test_seeds_0131(self) -> None:
        self.check(131)


class HeldTests(SeedCase):
    """Held jobs, directly and at CUPS: each comes out once for its one release."""

    timeout = 300

    def check(self, first: int) -> None:
        for seed in range(first, first + SEEDS_OF_A_TEST // 2):
            findings = run_core(seed, "held")
            text = "\n".join(str(finding) for finding in findings.found)
            where = f"make simulate SEEDS=1 FIRST_SEED={seed} PROFILE=held"
            self.assertTrue(findings.is_good, f"{where}\n{text}")
            if seed % 10 == 0:
                self.assertEqual(run_core(seed, "held").trace, findings.trace, f"{seed} (I18)")

    def test_seeds_0001(self) -> None:
        self.check(1)

    def test_seeds_0016(self) -> None:
        self.check(16)


class RestoreTests(SeedCase):
    """Disks go back, are lost, or run twice; what a surviving one has a record of is charged."""

    def check(self, profile: str) -> None:
        for seed in range(1, SEEDS_OF_A_TEST + 1):
            findings = run_core(seed, profile)
            text = "\n".join(str(finding) for finding in findings.found)
            where = f"make simulate SEEDS=1 FIRST_SEED={seed} PROFILE={profile}"
            self.assertTrue(findings.is_good, f"{where}\n{text}")

    def test_application_server(self) -> None:
        self.check("app-restore")

    def test_sites(self) -> None:
        self.check("site-restore")

    def test_whole_machines(self) -> None:
        self.check("revert")

    def test_clones(self) -> None:
        self.check("clone")


class FoundTests(SeedCase):
    """Seeds that failed once, each named for what was wrong."""

    timeout = 120

    def check(self, *seeds: int, profile: str = "base") -> None:
        for seed in seeds:
            findings = run_core(seed, profile)
            self.assertEqual([str(finding) for finding in findings.found], [])

    def test_held_job_unanswered_is_held_again(self) -> None:
        """It was printed by the tracker, on the decision that had held it."""
        self.check(5112, 5139, 5151)

    def test_full_disk_at_the_beginning_of_a_session(self) -> None:
        """The link stayed open with nothing flowing through it."""
        self.check(15, 17, 29, 45, 53)

    def test_asked_before_the_stream_was_known(self) -> None:
        """The answer's giver had no name, and was never told how it ended."""
        self.check(18)

    def test_decided_at_a_price_that_was_lost(self) -> None:
        """It was charged at the one in force, though its person had been told another."""
        self.check(96, profile="app-restore")

    def test_late_answer_of_a_stream_that_is_gone(self) -> None:
        """It settled what another server had allowed: the paper was never charged."""
        self.check(44, profile="mixed")

    def test_held_by_what_was_lost_and_printed_by_a_copy(self) -> None:
        """The tester's: a dead clone's asker comes back late, lost journals hold what they held,
        and a copy charges steps that its original does not know."""
        self.check(20, 29, 2008, profile="mixed")

    def test_a_clock_that_jumps_makes_nothing_old(self) -> None:
        """Jobs of 1970 were forgotten as soon as the provider was told the time."""
        self.check(1, 16, profile="disks")

    def test_totals_of_former_streams_after_a_restore(self) -> None:
        """What a stream had been granted and the centre forgot was parked, told by its
        successor; and a row made for what was paid ahead was in no change."""
        self.check(3, 6, 8, 9, 15, profile="strict-restore")

    def test_given_up_before_its_stream_went(self) -> None:
        """It was turned to the application server, and stood open there for ever."""
        self.check(8, profile="mixed-held")

    def test_given_back_before_it_was_decided(self) -> None:
        """The tester's: a release's step had the decider of the one before."""
        self.check(1, profile="held")

    def test_a_run_that_was_told_at_the_site(self) -> None:
        """Its device had left the application server in its midst: the statement stayed open."""
        self.check(18, profile="held")

    def test_reported_while_the_clock_was_behind(self) -> None:
        """The statement of an outage soon after it was mended stayed open."""
        self.check(81, profile="mixed")


for _number in range(10):
    _add(_number)

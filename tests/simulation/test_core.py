"""Seeds of the core: real servers under faults, and every tenth seed twice (I18)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.core import run_core

#: So many that a test takes half a minute at the most: workers end together.
SEEDS_OF_A_TEST = 10
#: Seeds of each profile, from 1; what they cost is in docs/testing.md.
SEEDS = {
    "base": 300,
    **dict.fromkeys(("site-restore", "clone", "revert", "app-restore", "mixed"), 40),
    **dict.fromkeys(("devices", "held"), 20),
    **dict.fromkeys(("disks", "people", "strict"), 10),
    **dict.fromkeys(("app-restore-clone", "strict-restore", "policy", "again", "gone"), 5),
    **dict.fromkeys(("calm", "calm-strict"), 5),
}


class SeedCase(SynchronousTestCase):
    """The world judges what is logged as a failure, and knows the living from the dead."""

    timeout = 300

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors(RuntimeError)


class ProfileTests(SeedCase):
    """A test for each few seeds of a profile; a failing seed says how it is replayed."""

    def check(self, profile: str, first: int, count: int) -> None:
        for seed in range(first, first + count):
            findings = run_core(seed, profile)
            text = "\n".join(str(finding) for finding in findings.found)
            where = f"make simulate SEEDS=1 FIRST_SEED={seed} PROFILE={profile}"
            self.assertTrue(findings.is_good, f"{where}\n{text}")
            if profile == "base":
                self.assertGreater(findings.counts["jobs"], 0)
            if seed % 10 == 0:
                self.assertEqual(run_core(seed, profile).trace, findings.trace, f"{where} (I18)")


def _add(profile: str, first: int, count: int) -> None:
    def test(self: ProfileTests) -> None:
        self.check(profile, first, count)

    name = f"test_{profile.replace('-', '_')}_{first:04d}"
    test.__name__ = name
    setattr(ProfileTests, name, test)


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


for _profile, _seeds in SEEDS.items():
    for _first in range(1, _seeds + 1, SEEDS_OF_A_TEST):
        _add(_profile, _first, min(SEEDS_OF_A_TEST, _seeds + 1 - _first))

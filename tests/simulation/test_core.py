"""Seeds of the core in every profile: real servers under faults."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.core import run_core
from tests.simulation.findings import Findings
from tests.simulation.fortnight import make_core
from tests.simulation.profiles import PROFILES
from tests.simulation.scenario import run_scenario


def replayed(seed: int, profile: str) -> str:
    """What a person types to see that seed again."""
    return f"make simulate SEEDS=1 FIRST_SEED={seed} PROFILE={profile}"


class SeedCase(SynchronousTestCase):
    """The world judges what is logged as a failure, and knows the living from the dead."""

    timeout = 300

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors(RuntimeError)

    def run_good(self, seed: int, profile: str) -> Findings:
        """The findings of one seed, of which none is bad; else how it is replayed."""
        findings = run_scenario(make_core, seed, PROFILES[profile])
        text = "\n".join(str(finding) for finding in findings.found)
        self.assertTrue(findings.is_good, f"{replayed(seed, profile)}\n{text}")
        return findings


class ProfileTests(SeedCase):
    """Seeds of every profile, cut into tests that the runner can share out.

    A failing one says how it is replayed; one in ten is run twice (I18).
    """

    timeout = 600

    def check(self, profile: str, first: int, count: int) -> None:
        for seed in range(first, first + count):
            findings = self.run_good(seed, profile)
            self.assertGreater(findings.counts["jobs"], 0)
            if profile == "fortnight":
                self.assertGreater(findings.sometimes["expired, and refused"], 0)
            if seed % 10 == 0:
                again = self.run_good(seed, profile).trace
                self.assertEqual(again, findings.trace, f"{replayed(seed, profile)} (I18)")


#: Profile, first seed, how many; what they cost is in docs/testing.md.
SEEDS = (
    ("base", 1, 300),
    *((p, 1, 100) for p in ("site-restore", "clone", "revert", "app-restore", "mixed")),
    ("fortnight", 1, 100),
    ("devices", 1, 20),
    # Among them what a server held for a device that had gone to another.
    ("devices", 101, 20),
    *((p, 1, 20) for p in ("held", "strict", "strict-restore", "disks")),
    ("vouchers", 1, 3),
    *((p, 1, 10) for p in ("app-restore-clone", "mixed-held", "policy", "gone")),
    *((p, 1, 5) for p in ("calm", "calm-strict", "again", "newcomers")),
    ("choices", 1, 2),
)
#: Some seconds each: the runner's workers end together.
SEEDS_OF_A_TEST = 10


def _add(profile: str, first: int, count: int) -> None:
    def test(self: ProfileTests) -> None:
        self.check(profile, first, count)

    name = f"test_{profile.replace('-', '_')}_{first:04d}"
    test.__name__ = name
    setattr(ProfileTests, name, test)


for _profile, _first, _count in SEEDS:
    for _start in range(_first, _first + _count, SEEDS_OF_A_TEST):
        _add(_profile, _start, min(SEEDS_OF_A_TEST, _first + _count - _start))


class AbsenceTests(SeedCase):
    """Quotas and cards while sites are cut; upgrades."""

    timeout = 300

    def test_people_and_upgrades(self) -> None:
        for profile, faults in (("people", ("F53", "F54")), ("upgrade", ("F20",))):
            met: set[str] = set()
            for seed in range(1, 13):
                findings = self.run_good(seed, profile)
                met |= {fault for fault in faults if findings.sometimes[fault]}
            self.assertEqual(met, set(faults))


class FoundTests(SeedCase):
    """Seeds that failed once, each named for what was wrong, with as many jobs as then."""

    timeout = 120

    def check(self, *seeds: int, profile: str = "base", jobs: int | None = None) -> None:
        jobs = jobs or {"held": 20, "mixed-held": 45}.get(profile, 60)
        for seed in seeds:
            findings = run_core(seed, profile, jobs=jobs, funds=1.0)
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

    def test_given_back_and_printed_alone(self) -> None:
        """It was charged as decided by who had answered too late."""
        self.check(501, profile="strict", jobs=24)

    def test_reported_while_the_clock_was_behind(self) -> None:
        """The statement of an outage soon after it was mended stayed open."""
        self.check(81, profile="mixed")


class NightlyTests(SeedCase):
    """Seeds of the nightly run that failed once, as it runs them."""

    timeout = 120

    def test_a_site_put_back_while_its_provider_restarts(self) -> None:
        """Nobody told it what it had acknowledged."""
        self.run_good(1525, "clone")
        self.run_good(2678, "mixed")

    def test_one_number_for_two_lists_of_prices(self) -> None:
        """The dearer one was lost, and what was decided by it refused."""
        self.run_good(5852, "mixed")

    def test_a_timeline_that_nobody_remembers(self) -> None:
        """Restored, then from before that: its decisions were priced anew."""
        self.run_good(6685, "strict-restore")

    def test_a_stream_that_was_given_up_and_lives(self) -> None:
        """What it had reserved was charged elsewhere, and stayed reserved."""
        self.run_good(5461, "mixed")

    def test_another_stream_in_the_midst_of_a_session(self) -> None:
        """The provider took its answers for those of the former one."""
        self.run_good(13559, "app-restore-clone")

    def test_a_greeting_that_comes_late(self) -> None:
        """Of a connection that was gone already, it took the live one's place in the books."""
        self.run_good(13778, "base")

    def test_put_back_twice_and_passed_on(self) -> None:
        """A site passed on what a second history took, and the first was never shown again."""
        self.run_good(2504, "strict-restore")

    def test_put_back_twice(self) -> None:
        """A provider showed what its site knew of the second history, not what it was told."""
        for seed in (457, 667, 822):
            self.run_good(seed, "app-restore")

    def test_what_the_tester_took_for_lost(self) -> None:
        """An edit that a newer backup has again; a completion that a site relays for a provider
        of whose revocation it has not heard; a clone whose end nobody has noticed yet; paper of
        a job that CUPS began again and was told to cancel."""
        for seed, profile in ((380, "app-restore-clone"), (1620, "mixed"), (9968, "app-restore")):
            self.run_good(seed, profile)
        for seed, profile in ((749, "people"), (10753, "app-restore-clone"), (8377, "held")):
            self.run_good(seed, profile)

"""What a journal that was lost held open, and what the spooler says became of it."""

from __future__ import annotations

from collections.abc import Set

from twisted.internet.defer import Deferred

from papercutd.provider.lost_keys import LOOK_S, Fate, LostKeys
from papercutd.provider.servers import Known
from papercutd.services import wire
from papercutd.services.tasks import Tasks
from protocols.provider.messages import Adopt, AdoptKey
from tests.support.stores import job_id
from tests.unit.papercutd.provider.test_journal import JournalCase, decision, job

UUID = "urn:uuid:1"
KEY = f"{job_id(1)}/submit-1"


class Spooler:
    """Remembers what it is told to."""

    def __init__(self) -> None:
        self.known: dict[str, Fate] = {}
        self.asked = 0

    async def fates(self, job_uuids: Set[str]) -> dict[str, Fate]:
        self.asked += 1
        return {uuid: fate for uuid, fate in self.known.items() if uuid in job_uuids}


class LostKeysTests(JournalCase):
    def setUp(self) -> None:
        super().setUp()
        self.spooler = Spooler()
        self.settled = 0
        self.begin()

    def begin(self) -> None:
        """As at the start of a process."""
        self.lost = LostKeys(
            self.turner.environment(),
            self.journal,
            Known(self.turner.result(self.journal.identity())),
            Tasks(),
            self.spooler,
            self.settle,
        )

    def settle(self) -> None:
        self.settled += 1

    def tell(self, job_uuid: str = UUID, has_decision: bool = True) -> None:
        told = wire.decision_out(decision()) if has_decision else None
        event = Adopt("old", [AdoptKey(job_id(1), "submit-1", job_uuid, told)], True)
        self.turner.result(Deferred.fromCoroutine(self.lost.told("application", event)))
        self.turner.settle()

    def listed(self) -> list[str]:
        return [key.key for key in self.turner.result(self.journal.lost_keys())]

    def owed(self) -> list[tuple[str, bool]]:
        """(key, whether paper came out) of what the application server is to hear."""
        found = self.turner.result(self.journal.owed_to("application", 10))
        return [(one.key, one.completion is not None) for one in found]

    def look_again(self) -> None:
        self.turner.clock.advance(LOOK_S)
        self.turner.settle()

    def test_printed(self) -> None:
        self.spooler.known[UUID] = Fate(True, "completed", "anna", "report")
        self.tell()
        self.assertEqual((self.owed(), self.listed()), ([(KEY, True)], []))
        (owed,) = self.turner.result(self.journal.owed_to("application", 1))
        done = owed.completion
        self.assertEqual((done.decision, done.pages, done.assumed), (decision(), None, True))
        self.assertGreater(self.settled, 0)

    def test_canceled_in_mid_print_costs_nothing(self) -> None:
        self.spooler.known[UUID] = Fate(True, "canceled", "anna", "report")
        self.tell()
        (owed,) = self.turner.result(self.journal.owed_to("application", 1))
        self.assertEqual((owed.completion.outcome, owed.completion.pages), ("canceled", 0))

    def test_not_printed_yet(self) -> None:
        self.spooler.known[UUID] = Fate(False)
        self.tell()
        self.assertEqual((self.owed(), self.listed()), ([(KEY, False)], []))

    def test_under_way_over_a_restart(self) -> None:
        self.spooler.known[UUID] = Fate(True)
        self.tell()
        self.look_again()
        self.assertEqual((self.owed(), self.listed()), ([], [KEY]))
        self.begin()
        self.turner.result(Deferred.fromCoroutine(self.lost.go_on()))
        self.spooler.known[UUID] = Fate(True, "completed", "anna", "report")
        self.look_again()
        self.assertEqual((self.owed(), self.listed()), ([(KEY, True)], []))

    def test_printed_anew_before_it_was_told(self) -> None:
        """Its backend came first: it was asked for as another job."""
        self.turner.result(self.journal.received(job(2, job_uuid=UUID)))
        self.tell()
        self.assertEqual((self.owed(), self.spooler.asked), ([(KEY, False)], 0))

    def test_followed_as_ever(self) -> None:
        """The journal was not lost: it took another id."""
        self.turner.result(self.journal.received(job(1, job_uuid=UUID)))
        self.tell()
        self.assertEqual((self.owed(), self.spooler.asked), ([], 0))

    def test_told_again(self) -> None:
        """Each session begins with all that is open: what is there no more somebody has settled."""
        self.tell("")
        self.assertEqual(self.listed(), [KEY])
        head = self.journal.head
        self.tell("")
        self.assertEqual(self.journal.head, head)
        first = Adopt("old", [AdoptKey(job_id(2), "submit-1")], False)
        rest = Adopt("old", [AdoptKey(job_id(3), "submit-1")], True)
        for page in (first, rest):
            self.turner.result(Deferred.fromCoroutine(self.lost.told("application", page)))
        self.assertEqual(self.listed(), [f"{job_id(n)}/submit-1" for n in (2, 3)])

    def test_not_known_or_without_its_decision(self) -> None:
        self.tell("urn:uuid:2")
        self.tell("")
        self.spooler.known[UUID] = Fate(True, "completed", "anna", "report")
        self.tell(has_decision=False)
        self.assertEqual((self.owed(), self.listed()), ([], [KEY]))

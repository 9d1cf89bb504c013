"""Words of a newer release, read by this one."""

from __future__ import annotations

import attrs
import msgspec
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.decision import Reason, Verdict
from papercutd.services import wire
from protocols.common import Decision
from tests.unit.protocols.builders import decision


class NewerWordsTests(SynchronousTestCase):
    def read(self, **fields: object) -> tuple[Verdict, Reason]:
        """As it comes over the wire, with a field that we do not know."""
        sent = {**attrs.asdict(decision()), "mood": "sunny", **fields}
        made = msgspec.json.decode(msgspec.json.encode(sent), type=Decision)
        read = wire.decision_in(made)
        return read.verdict, read.reason

    def test_what_is_not_known_is_held(self) -> None:
        for verdict, reason, expected in (
            ("allow", "", (Verdict.ALLOW, Reason.NONE)),
            ("hold", "full-moon", (Verdict.HOLD, Reason.HELD)),
            ("deny", "full-moon", (Verdict.DENY, Reason.HELD)),
            ("postpone", "full-moon", (Verdict.HOLD, Reason.HELD)),
            ("postpone", "funds", (Verdict.HOLD, Reason.FUNDS)),
        ):
            self.assertEqual(self.read(verdict=verdict, reason=reason), expected)

    def test_every_word_of_ours_comes_back(self) -> None:
        for verdict in Verdict:
            for reason in Reason:
                self.assertEqual(
                    self.read(verdict=verdict.value, reason=reason.value), (verdict, reason)
                )

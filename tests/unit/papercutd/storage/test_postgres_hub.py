"""Functions that wait in greenlets."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.postgres.hub import spawn, wait


class HubTests(SynchronousTestCase):
    def test_nothing_to_wait_for(self) -> None:
        self.assertEqual(self.successResultOf(spawn(lambda: 7)), 7)

    def test_an_answer_that_is_there(self) -> None:
        done = spawn(lambda: [wait(succeed(number)) for number in range(10_000)])
        self.assertEqual(len(self.successResultOf(done)), 10_000)

    def test_an_answer_that_comes(self) -> None:
        answers: list[Deferred[int]] = [Deferred(), Deferred()]
        done = spawn(lambda: sum(wait(answer) for answer in answers))
        answers[0].callback(1)
        self.assertNoResult(done)
        answers[1].callback(2)
        self.assertEqual(self.successResultOf(done), 3)

    def test_an_error(self) -> None:
        def work() -> str:
            try:
                wait(fail(KeyError("lost")))
            except KeyError as error:
                return f"caught {error}"
            return ""

        self.assertEqual(self.successResultOf(spawn(work)), "caught 'lost'")
        self.failureResultOf(spawn(lambda: wait(fail(KeyError("lost")))), KeyError)

    def test_two_at_once(self) -> None:
        first: Deferred[int] = Deferred()
        second: Deferred[int] = Deferred()
        ended: list[str] = []
        spawn(lambda: (wait(first), ended.append("first")))
        spawn(lambda: (wait(second), ended.append("second")))
        second.callback(0)
        first.callback(0)
        self.assertEqual(ended, ["second", "first"])

    def test_one_that_is_resumed_by_another(self) -> None:
        """Each goes back to whoever resumed it, and neither is lost."""
        between: Deferred[int] = Deferred()
        more: Deferred[int] = Deferred()

        def waits() -> int:
            return wait(between) + wait(more)

        def resumes() -> str:
            between.callback(1)
            return "over"

        waiting = spawn(waits)
        self.assertEqual(self.successResultOf(spawn(resumes)), "over")
        more.callback(2)
        self.assertEqual(self.successResultOf(waiting), 3)

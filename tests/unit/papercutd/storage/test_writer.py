"""The writer's thread: an error of the disk at a commit ends it, and is not tried again."""

from __future__ import annotations

import errno
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.migrate import connect
from papercutd.storage.writer import ThreadWriter


class FatalTests(SynchronousTestCase):
    def test_input_output_error_at_a_commit(self) -> None:
        """F22: nobody is answered, nothing is committed, and whoever runs the process is told."""
        connection = connect(self.mktemp())
        connection.execute("CREATE TABLE one (n INTEGER)")
        tried: list[int] = []
        told: list[Failure] = []
        answers: list[Any] = []

        def fail() -> None:
            tried.append(1)
            raise OSError(errno.EIO, "input/output error")

        writer = ThreadWriter(
            connection, lambda call, *args: call(*args), told.append, before_commit=fail
        )
        writer.submit(lambda c: c.execute("INSERT INTO one VALUES (1)")).addBoth(answers.append)
        writer._thread.join(timeout=30)
        self.assertEqual((len(tried), answers), (1, []))
        self.assertEqual([failure.type for failure in told], [OSError])
        self.assertEqual(connection.execute("SELECT COUNT(*) FROM one").fetchone(), (0,))
        connection.close()

"""A wall clock that is set while a process runs: its timers go on."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

#: A process whose wall clock is set back by an hour once its reactor runs.
_PROCESS = """
import time
real, offset_s = time.time, [0.0]
time.time = lambda: real() + offset_s[0]
from twisted.internet import reactor
from papercutd.environment import keep_time
keep_time(reactor)
def set_back():
    offset_s[0] = -3600.0
    reactor.callLater(0.2, reactor.stop)
reactor.callLater(0.1, print, "due")
reactor.callWhenRunning(set_back)
reactor.run()
"""


class SetBackTests(SynchronousTestCase):
    timeout = 120

    def test_timers_go_on(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _PROCESS],
            capture_output=True,
            text=True,
            timeout=100,
        )
        self.assertEqual((done.returncode, done.stdout.split()), (0, ["due"]), done.stderr)

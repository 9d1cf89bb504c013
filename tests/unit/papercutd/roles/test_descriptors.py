"""The limit of open files is raised as far as the system lets it be."""

from __future__ import annotations

import resource
import sys
from subprocess import run

from twisted.trial.unittest import SynchronousTestCase

from papercutd.roles.descriptors import allow_many_files

_IN_A_PROCESS = """
import resource, sys
from papercutd.roles.descriptors import allow_many_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
print(allow_many_files(150), allow_many_files(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


class DescriptorTests(SynchronousTestCase):
    def test_raised_as_far_as_it_may_be(self) -> None:
        # In a process of its own: what was raised cannot be taken back for the others.
        done = run([sys.executable, "-c", _IN_A_PROCESS], capture_output=True, text=True)
        self.assertEqual(done.stdout, "150 200 (200, 200)\n", done.stderr)

    def test_never_lowered(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertEqual(allow_many_files(1), soft)

"""A short soak, and one that is interrupted: nothing is wrong, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.soak.load import Load
from tests.soak.soak import soak
from tests.soak.world import World
from tests.support import quick_start
from tests.support.installation import ROOT
from tests.support.waiting import wait_for

# The soak of a process of its own below starts everything the plain way.
quick_start.use()


def namespaces() -> set[str]:
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in done.stdout.splitlines() if line}


def processes(word: str) -> list[str]:
    """Command lines that have ``word``, this process's not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if word in text and path.parent.name != str(os.getpid()):
            found.append(text)
    return found


class SoakTests(SynchronousTestCase):
    timeout = 360

    def setUp(self) -> None:
        self.assertEqual(os.geteuid(), 0, "network namespaces and small disks need root")

    def test_a_short_one(self) -> None:
        result = soak(20 / 60, 7, quiet=True, sites=("north", "east"))
        self.assertEqual(result["found"], [])
        self.assertEqual(
            (result["lost"], result["duplicated"], result["statement"]), (0, 0, "closed")
        )
        self.assertGreater(result["prints"], 0)
        self.assertGreater(sum(result["faults"].values()), 3)

    def test_interrupted_before_the_load(self) -> None:
        """No thread of it has begun, and to stop it is no error."""
        world = World(sites=())
        self.addCleanup(world.close)
        load = Load(world, 1)
        load.stop()
        self.assertEqual(load.defects, [])

    def test_interrupted(self) -> None:
        """Its own Ctrl-C: namespaces, mounts, files and processes go with it."""
        running = subprocess.Popen(
            [sys.executable, "-m", "tests.soak", "--minutes", "5", "--seed", "1"],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.addCleanup(running.kill)
        assert running.stderr is not None
        said = ""
        for line in running.stderr:
            said += line.decode()
            if "minutes begin" in said:
                break
        found = re.search(r"network (\S+), files (\S+):", said)
        assert found, said
        network, files = found.groups()
        self.assertTrue(any(name.startswith(network) for name in namespaces()))
        running.send_signal(signal.SIGINT)
        _, rest = running.communicate(timeout=120)
        self.assertEqual(running.returncode, 130, rest.decode())
        self.assertFalse(any(name.startswith(network) for name in namespaces()))
        self.assertNotIn(files, Path("/proc/mounts").read_text())
        self.assertFalse(Path(files).exists())
        self.assertTrue(wait_for("all have ended", lambda: not processes(files)))

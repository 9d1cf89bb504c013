"""What quick_start.py begins is a process like any other."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support import quick_start

#: What a program sees of itself.
_SHOW = """
import json, os, random, sys
print(json.dumps({"pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0),
    "words": sys.argv, "directory": os.getcwd(), "variable": os.environ.get("VARIABLE"),
    "home": os.environ.get("HOME"), "chance": random.random(), "read": sys.stdin.read(),
    "quick": "papercutd.roles.app" in sys.modules, "open": os.listdir("/proc/self/fd"),
    "reactor": "twisted.internet.reactor" in sys.modules, "main": __name__}))
sys.exit(3)
"""


class QuickStartTests(SynchronousTestCase):
    timeout = 120

    def shown(self, *words: str, **options: Any) -> tuple[dict[str, Any], subprocess.Popen[Any]]:
        command = [sys.executable, *(words or ("-c", _SHOW, "one", "two"))]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        with quick_start.spawn(command, text=True, **pipes, **options) as process:
            out, err = process.communicate("typed\n", timeout=60)
        self.assertEqual(err, "")
        found: dict[str, Any] = json.loads(out)
        return found, process

    def test_what_it_sees(self) -> None:
        directory = os.path.realpath(tempfile.mkdtemp(prefix="pc-"))
        self.addCleanup(os.rmdir, directory)
        env = {**os.environ, "VARIABLE": "7"}
        env.pop("HOME", None)
        found, process = self.shown(cwd=directory, env=env, start_new_session=True)
        self.assertTrue(found["quick"])
        self.assertEqual((found["pid"], process.returncode), (process.pid, 3))
        self.assertEqual((found["parent"], found["session"]), (os.getpid(), process.pid))
        self.assertEqual((found["directory"], found["words"]), (directory, ["-c", "one", "two"]))
        self.assertEqual((found["variable"], found["home"]), ("7", None))
        self.assertEqual((found["read"], found["main"]), ("typed\n", "__main__"))
        self.assertFalse(found["reactor"])
        # Its three, and the directory that is being listed.
        self.assertEqual(len(found["open"]), 4)
        other, _ = self.shown()
        self.assertNotEqual((found["pid"], found["chance"]), (other["pid"], other["chance"]))

    def test_as_it_is_elsewhere(self) -> None:
        """Another release, or another interpreter's variables: the plain way."""
        for name, value in (("PYTHONPATH", "/nowhere"), ("LD_LIBRARY_PATH", "/nowhere")):
            found, process = self.shown(env={**os.environ, name: value})
            self.assertFalse(found["quick"])
            self.assertEqual((found["pid"], found["parent"]), (process.pid, os.getpid()))

    def test_in_a_network_namespace(self) -> None:
        """As ``ip netns exec`` starts it: in that network, with its names."""
        name = f"pc-{secrets.token_hex(3)}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.addCleanup(subprocess.run, ["ip", "netns", "delete", name], check=True)
        folder = Path("/etc/netns", name)
        folder.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, folder)
        folder.joinpath("hosts").write_text("10.77.0.1 elsewhere.soak\n")
        code = (
            "import os, socket, sys; print(os.stat('/proc/self/ns/net').st_ino,"
            " 'papercutd.roles.app' in sys.modules, socket.gethostbyname('elsewhere.soak'))"
        )
        words = ("ip", "netns", "exec", name, sys.executable, "-c", code)
        with quick_start.spawn(words, stdout=subprocess.PIPE, text=True) as process:
            out, _ = process.communicate(timeout=60)
        network = os.stat(f"/run/netns/{name}").st_ino
        self.assertEqual(out.split(), [str(network), "True", "10.77.0.1"])
        self.assertNotIn("elsewhere", Path("/etc/hosts").read_text())

    def test_its_end(self) -> None:
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            process = quick_start.spawn([sys.executable, "-c", "import time; time.sleep(60)"])
            self.assertIsNone(process.poll())
            process.send_signal(number)
            self.assertEqual(process.wait(60), -number)

    def test_its_status(self) -> None:
        """And what it still had to say and do is said and done."""
        late = "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()"
        for words, status, said in (
            ("pass", 0, ""),
            ("sys.exit('no')", 1, "no\n"),
            ("sys.exit(3)", 3, ""),
            ("sys.exit(-1)", 255, ""),
            ("print('not flushed', end='')", 0, "not flushed"),
            ("atexit.register(print, 'at exit')", 0, "at exit\n"),
            (late, 0, "thread\n"),
            ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
            ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt\n"),
        ):
            code = f"import atexit, sys, threading, time; {words}"
            process = quick_start.spawn(
                [sys.executable, "-c", code],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            out, _ = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out[-len(said) :]), (status, said), words)

    def test_a_module(self) -> None:
        command = [sys.executable, "-m", "papercutd.commands.main", "--help"]
        with quick_start.spawn(command, stdout=subprocess.PIPE, text=True) as process:
            out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        self.assertTrue(out.startswith("usage: "), out)

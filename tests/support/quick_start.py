"""Starting our programs from a process that has imported them already.

A role takes more than a second of a processor to import what it is made of; tests start hundreds.
``spawn`` has one process of each process of tests do that once, and fork at each start. What it
forks is a process like any other: its own id, memory, descriptors and end, a child of who asked.
Workers of roles, that look into a document or verify a database, are begun alike.
No reactor is installed before the fork, nothing is open and no thread runs, so that nothing is
shared but what was read from modules. A frozen release has a process of its own for that. Programs
started under another one, or with variables that matter to the interpreter, are started the plain
way.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet.process import Process
from twisted.plugin import getPlugins

from papercutd.demo import processes

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_CHILD_SUBREAPER = 36
_CLONE_NEWNET, _CLONE_NEWNS = 0x40000000, 0x00020000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
#: Words before the name of a network namespace and the program that runs in it.
_IN_NAMESPACE = ("ip", "netns", "exec")
_WORKERS = ("papercutd.provider.analysis.worker", "papercutd.storage.proof.verify_worker")
_ROLES = {"papercut-app", "papercut-site", "papercut-provider"}
_REQUEST_MAX = 200_000
#: Variables that an interpreter or its libraries read at their start.
_OF_THE_START = ("LD_", "PYTHON", "OPENSSL", "MALLOC", "TZ", "LANG", "LC_")
#: Everything that roles and commands import, but what installs a reactor.
_MODULES = (
    "twisted.scripts.twistd",
    "twisted.internet.epollreactor",
    "papercutd.roles.app",
    "papercutd.roles.application",
    "papercutd.roles.provider",
    "papercutd.roles.print_provider",
    "papercutd.roles.site",
    "papercutd.roles.site_server",
    "papercutd.roles.crash_points",
    "papercutd.client.watching",
    "papercutd.device.device",
    "papercutd.commands.main",
    "papercutd.identity.join_client",
    "papercutd.storage.proof.verifying",
    # What they import when they first need it.
    "email.policy",
    "encodings.idna",
    "papercutd.commands.backup",
    "papercutd.commands.restore",
    "papercutd.device.console",
    "papercutd.device.words",
    "papercutd.storage.postgres.database",
    "papercutd.storage.postgres.moved_in",
    "papercutd.storage.postgres.opening",
)
_SCHEMAS = ("application", "device", "journal", "machine", "postgresql", "provider", "replica")


def use() -> None:
    """From now on roles, devices and commands of this process of tests start quickly."""
    os.environ["PYTHONPATH"] = str(ROOT)
    processes.spawn = spawn


#: Where the packages of the releases are whose programs start quickly.
_releases = {str(ROOT)}


def add_release(directory: str) -> None:
    """Programs with ``directory`` alone in PYTHONPATH, a frozen release, start quickly too."""
    _releases.add(directory)


def spawn(words: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """As ``subprocess.Popen``."""
    environment = os.environ if options.get("env") is None else options["env"]
    program = list(words[4:] if tuple(words[:3]) == _IN_NAMESPACE else words)
    if program[0] == sys.executable and program[1] in ("-c", "-m") and _is_as_here(environment):
        return _Forked(list(words), **options)
    return subprocess.Popen(words, **options)


def _is_as_here(environment: Mapping[str, str]) -> bool:
    release = environment.get("PYTHONPATH", "")
    here = _of_the_start({**os.environ, "PYTHONPATH": release})
    return release in _releases and _of_the_start(environment) == here


def _of_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(_OF_THE_START)}


class _Forked(subprocess.Popen[Any]):
    """Begun by a fork of the process that has imported everything; else it is what it looks."""

    def _execute_child(self, *arguments: Any) -> None:
        given = inspect.signature(subprocess.Popen._execute_child).bind(self, *arguments)  # type: ignore[attr-defined]
        asked = given.arguments
        words, namespace = asked["args"], ""
        if tuple(words[:3]) == _IN_NAMESPACE:
            namespace, words = words[3], words[4:]
        request = {
            "words": words[1:],
            "namespace": namespace,
            "environment": dict(os.environ if asked["env"] is None else asked["env"]),
            "directory": str(asked["cwd"] or os.getcwd()),
            "new_session": asked["start_new_session"],
        }
        own = [asked["p2cread"], asked["c2pwrite"], asked["errwrite"]]
        descriptors = [own[i] if own[i] != -1 else i for i in range(3)]
        self.pid = _parent(request["environment"]["PYTHONPATH"]).fork(request, descriptors)
        self._child_created = True
        self._close_pipe_fds(  # type: ignore[attr-defined]
            *(asked[end] for end in ("p2cread", "p2cwrite", "c2pread", "c2pwrite")),
            *(asked[end] for end in ("errread", "errwrite")),
        )


class _Asking:
    """The process that has imported everything, as who asks it to fork sees it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._prctl = ctypes.CDLL(None).prctl

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """The id of the process, which is a child of ours."""
        body = json.dumps(request).encode()
        assert len(body) < _REQUEST_MAX
        with self._lock:
            # Who begot it is gone at once, and it falls to us; nothing else that loses its parent
            # shall.
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._channel, [body], descriptors)
                answer = self._channel.recv(100)
            finally:
                self._prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        if not answer:
            raise OSError("the process that starts programs has ended")
        return int(answer)


class _Parent(_Asking):
    """That of this process of tests, for one release."""

    def __init__(self, release: str) -> None:
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=release,
                # This module is of no frozen release.
                env={**os.environ, "PYTHONPATH": os.pathsep.join((release, str(ROOT)))},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        super().__init__(channel)

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


_parents: dict[tuple[int, str], _Parent] = {}


def _parent(release: str) -> _Parent:
    key = os.getpid(), release
    if key not in _parents:
        _parents[key] = made = _Parent(release)
        atexit.register(made.close)
    return _parents[key]


# In the process that has imported everything.


def _serve(channel: socket.socket) -> list[str] | None:
    """Fork until nobody is there to ask; in what was forked, the words of its program."""
    while True:
        body, descriptors, _, _ = socket.recv_fds(channel, _REQUEST_MAX, 3)
        if not body:
            return None
        told, tell = os.pipe()
        begetter = os.fork()
        if begetter == 0:
            begetter = os.getpid()
            pid = os.fork()
            if pid:
                os.write(tell, str(pid).encode())
                os._exit(0)
            for descriptor in (told, tell):
                os.close(descriptor)
            channel.close()
            while os.getppid() == begetter:
                time.sleep(0.001)
            return _become(json.loads(body), descriptors)
        os.waitpid(begetter, 0)
        pid_text = os.read(told, 100)
        for descriptor in (told, tell, *descriptors):
            os.close(descriptor)
        channel.send(pid_text)


def _become(request: dict[str, Any], descriptors: list[int]) -> list[str]:
    if request["new_session"]:
        os.setsid()
    if request["namespace"]:
        _enter(request["namespace"])
    # None of the three is one of 0 to 2, which are open here.
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    words: list[str] = request["words"]
    return words


def _enter(namespace: str) -> None:
    """As ``ip netns exec`` does: its network, and its files over those of /etc."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments):
            raise OSError(ctypes.get_errno(), f"{name} for {namespace}")

    with open(f"/run/netns/{namespace}") as file:
        call("setns", file.fileno(), _CLONE_NEWNET)
    call("unshare", _CLONE_NEWNS)
    call("mount", b"", b"/", b"none", ctypes.c_ulong(_MS_SLAVE | _MS_REC), None)
    for path in Path("/etc/netns", namespace).glob("*"):
        onto = Path("/etc", path.name)
        call("mount", bytes(path), bytes(onto), b"none", ctypes.c_ulong(_MS_BIND), None)


def _begin_workers() -> list[str] | None:
    """In a role: a process of its own forks its workers.

    In it the words of one of them are returned, or None in the end; in the role no words.
    """
    channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        channel.close()
        with theirs:
            return _serve(theirs)
    theirs.close()
    asking = _Asking(channel)

    def spawn_instead(self: Any, *arguments: Any) -> bool:
        *_, args, environment, more = arguments
        words = [os.fsdecode(word) for word in args[1:]]
        if words not in [["-m", worker] for worker in _WORKERS] or environment is not None:
            return False
        request = {
            "words": words,
            "environment": dict(os.environ),
            "directory": os.getcwd(),
            "namespace": "",
            "new_session": False,
        }
        self.status = -1
        self.pid = asking.fork(request, [more["fdmap"][number] for number in range(3)])
        return True

    Process._trySpawnInsteadOfFork = spawn_instead
    return []


def _run(words: list[str]) -> None:
    """As the interpreter does with ``-c CODE ...`` and ``-m MODULE ...``."""
    if _ROLES.intersection(words):
        worker = _begin_workers()
        if worker is None:
            return
        words = worker or words
    kind, what, *rest = words
    sys.argv = [what if kind == "-m" else "-c", *rest]
    if kind == "-m":
        # It runs as the main module: no other program has it twice.
        sys.modules.pop(what, None)
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


def _main() -> None:
    # Whoever presses Ctrl-C means the tests, whose end is ours. What was forked hears it, and that
    # of its first moments too: a signal that is ignored would be lost, one that is blocked waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    is_frozen = Path(processes.__file__).parents[2] != ROOT
    for name in _MODULES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            # A frozen release may have another.
            assert is_frozen, name
    list(getPlugins(IServiceMaker))
    if not is_frozen:
        _make_once()
    assert "twisted.internet.reactor" not in sys.modules
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        words = _serve(channel)
    if words is not None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        _end(_status_of(words))


def _make_once() -> None:
    """What each process makes once."""
    from papercutd.faces.links import LINKS
    from papercutd.provider.analysis.worker import get_ready
    from papercutd.storage.sqlite.migrate import migrations
    from protocols.client.spec import CLIENT
    from protocols.device.spec import DEVICE
    from protocols.provider.spec import PROVIDER
    from protocols.site.spec import SITE
    from protocols.spec import Side, tables_of

    get_ready()
    for protocol in (SITE, PROVIDER, DEVICE, CLIENT, LINKS):
        for side in Side:
            tables_of(protocol, side)
    for schema in _SCHEMAS:
        migrations(schema)


def _status_of(words: list[str]) -> int:
    """Run the program; what the interpreter makes of its end."""
    try:
        _run(words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return int(end.code or 0)
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # The interpreter ends by the signal, after a traceback: leave it to it.
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(status: int) -> None:
    """As the interpreter ends, but for taking apart everything that was imported.

    That touches each page of it, which is copied for it: 50 ms of a processor.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            # As the interpreter says it of standard output.
            status = status or 120
    os._exit(status & 0xFF)


if __name__ == "__main__":
    _main()

"""``papercut-device``: a simulated MFD, by hand and from tests."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

from papercutd.commands.device_home import DEVICES_PORT, join_device, load_settings
from papercutd.config.model import ApplicationServer
from papercutd.device.console import HELP, Console, Result
from papercutd.device.device import Device
from papercutd.device.journal import SCHEMA, DeviceJournal
from papercutd.device.machine import SCHEMA as MACHINE_SCHEMA
from papercutd.device.machine import Machine, MachineSettings, Trouble
from papercutd.device.runs import Work
from papercutd.device.shown import readable
from papercutd.device.words import explain
from papercutd.domain.money import show_amount
from papercutd.environment import keep_time, real_environment
from papercutd.errors import ConfigError, PapercutError
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.renewal import NodeIdentity, Renewer
from papercutd.roles.common import DataDirectory, exit_with_failure
from papercutd.roles.crash_points import crash_point, die
from papercutd.roles.ways import asking_renewer
from papercutd.services.link import LinkSettings
from papercutd.services.places import Places
from papercutd.storage.replication.asker_journal import create_journal
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import ThreadWriter
from protocols.provider.messages import ServerAddress

reactor: Any = _reactor
EX_CONFIG = 78
#: How long commands that were given at once wait for the first server.
FIRST_SERVER_S = 5
LINE_LENGTH_MAX = 65_536
LOG_BYTES = 1_000_000


def parser() -> argparse.ArgumentParser:
    """All options."""
    top = argparse.ArgumentParser(
        prog="papercut-device",
        description="A simulated multifunction device: log in, release held jobs, copy, scan.",
        epilog="Examples: papercut-device join TOKEN --home mfd --server app.example.org:9192;"
        " papercut-device run --home mfd",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    join = commands.add_parser(
        "join",
        help="fetch a certificate with the token that `papercutd device add` printed",
        description="Fetch a certificate with the token that `papercutd device add` printed."
        " Joining again keeps what is not reported yet.",
    )
    join.add_argument("token")
    _add_home(join)
    join.add_argument(
        "--server", required=True, help="HOST:PORT of the application server's HTTPS (9192)"
    )
    join.add_argument(
        "--site",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT",
        help="a site server it connects to first; may be given more than once",
    )
    join.add_argument(
        "--application",
        metavar="HOST:PORT",
        help=f"the application server's port for devices (default: its host, {DEVICES_PORT})",
    )
    join.add_argument("--json", action="store_true", help="tell the result as one line of JSON")
    run = commands.add_parser(
        "run",
        help="switch it on",
        description="Switch it on: a prompt at a terminal; else commands from standard input, one"
        " a line; or those given. A PIN or password is asked for, or stands on the next line.",
        epilog="Commands:\n" + HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "commands", nargs="*", metavar="COMMAND", help='such as "login card 4711" "copy 3"'
    )
    _add_home(run)
    run.add_argument("--json", action="store_true", help="one line of JSON for each command")
    run.add_argument("--speed", type=_positive, default=30.0, metavar="PAGES", help="a minute (30)")
    run.add_argument("--jam-at", type=int, default=0, metavar="N", help="the N-th page gets stuck")
    run.add_argument(
        "--power-off-at", type=int, default=0, metavar="N", help="the power goes after the N-th"
    )
    run.add_argument(
        "--reconnect-max",
        type=_positive,
        default=60.0,
        metavar="SECONDS",
        help="longest wait between two attempts to connect (60)",
    )
    run.add_argument(
        "--back-jitter",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="longest wait until a server that was away is used again (10)",
    )
    return top


def _add_home(to: argparse.ArgumentParser) -> None:
    to.add_argument("--home", required=True, metavar="DIR", help="where its journal and keys lie")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("is a number above 0")
    return value


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        if options.command == "join":
            return join_device(options)
        return Running(options).run()
    except ConfigError as error:
        _complain(options, "\n".join(error.problems))
        return EX_CONFIG
    except (PapercutError, OSError) as error:
        _complain(options, str(error))
        return 1


def run() -> None:
    """The console script."""
    sys.exit(main())


def _complain(options: argparse.Namespace, text: str) -> None:
    print(f"papercut-device: {text}", file=sys.stderr)
    if options.json:
        print(json.dumps({"command": options.command, "ok": False, "text": text}), flush=True)


# Running.


class Lines:
    """Lines of standard input, or those given; read in a thread of its own."""

    def __init__(self, given: list[str]) -> None:
        self._given = list(given)
        self._is_given = bool(given)
        self._left = b""
        self.is_terminal = not given and sys.stdin is not None and sys.stdin.isatty()

    def next(self, prompt: str = "") -> str | None:
        """The next line; None at the end."""
        if self._is_given:
            return self._given.pop(0) if self._given else None
        if prompt and self.is_terminal:
            print(prompt, end="", flush=True)
        # Not sys.stdin: its lock would be held by this thread when the process ends.
        while b"\n" not in self._left and len(self._left) < LINE_LENGTH_MAX:
            block = os.read(0, 4096)
            if not block:
                break
            self._left += block
        if not self._left:
            return None
        line, _, self._left = self._left.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")

    def secret(self, prompt: str) -> str:
        """A PIN or password: typed unseen at a terminal, else the next line."""
        if self.is_terminal:
            return getpass.getpass(prompt)
        return self.next() or ""


class Running:
    """A device that is switched on."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._home = Path(options.home)
        self._settings = load_settings(self._home)
        self._data = DataDirectory(str(self._home))
        self._lines = Lines(options.commands)
        self._code = 0
        self._device: Device | None = None

    def run(self) -> int:
        """Until `quit`, the end of the commands, or a signal; the exit code."""
        self._data.acquire()
        try:
            log = LogFile("log", str(self._home), rotateLength=LOG_BYTES, maxRotatedFiles=2)
            globalLogBeginner.beginLoggingTo(
                [textFileLogObserver(cast(TextIO, log))],
                redirectStandardIO=False,
                discardBuffer=True,
            )
            keep_time(reactor)
            self._make()
            reactor.callWhenRunning(self._begin)
            reactor.addSystemEventTrigger("before", "shutdown", self._end)
            reactor.run()
        finally:
            self._data.release()
        return self._code

    def _make(self) -> None:
        options = self._options
        self._env = real_environment(reactor)
        self._identity = NodeIdentity(self._home / "identity")
        self._renewer: Renewer = asking_renewer(
            self._env,
            self._identity,
            reactor,
            ApplicationServer(host=self._settings.host, https=self._settings.https),
        )
        crash = crash_point(reactor)
        connection = open_database(str(self._home / "device.db"), SCHEMA)
        create_journal(connection, self._identity.name, self._env.new_id())
        engine = open_database(str(self._home / "machine.db"), MACHINE_SCHEMA)
        self._journal = DeviceJournal(
            ThreadWriter(
                *(connection, reactor.callFromThread, self._fatal),
                before_commit=crash.before_commit,
                after_commit=crash.after_commit,
            ),
            self._env.wall_s,
        )
        self._machine = Machine(
            self._env,
            ThreadWriter(engine, reactor.callFromThread, self._fatal, name="engine"),
            MachineSettings(options.speed),
            Trouble(options.jam_at, options.power_off_at, die),
        )
        self._device = Device(
            *(self._env, self._journal, self._machine, self._settings.servers, self._endpoint),
            LinkSettings(
                back_jitter_s=options.back_jitter,
                reconnect_min_s=min(1.0, options.reconnect_max),
                reconnect_max_s=options.reconnect_max,
            ),
        )
        self._console = Console(self._env, self._device, self._ask_secret, self._lines.is_terminal)
        if self._lines.is_terminal and not options.json:
            self._device.runs.on_progress = self._show_progress

    def _endpoint(self, address: ServerAddress) -> IStreamClientEndpoint:
        tls = self._identity.client_tls(address.role, address.name)
        place = address.host, address.port
        return Places([place], lambda host, port: tls_endpoint(reactor, host, port, tls))

    def _fatal(self, failure: Failure) -> None:
        print(f"papercut-device: the journal failed: {failure.value}", file=sys.stderr)
        exit_with_failure(reactor)

    def _begin(self) -> None:
        assert self._device is not None
        signal.signal(signal.SIGINT, self._interrupted)
        starting = Deferred.fromCoroutine(self._device.start())
        starting.addCallbacks(lambda _: self._read(), self._failed)

    def _read(self) -> None:
        self._renewer.start()
        threading.Thread(target=self._work, name="commands", daemon=True).start()

    def _failed(self, failure: Failure) -> None:
        print(f"papercut-device: {failure.value}", file=sys.stderr)
        self._code = 1
        _stop()

    def _end(self) -> Deferred[None]:
        async def end() -> None:
            self._renewer.stop()
            if self._device is not None:
                await self._device.stop()
                await self._journal.close()
                await self._machine.close()

        return Deferred.fromCoroutine(end())

    def _interrupted(self, number: int, frame: object) -> None:
        """Ctrl-C: what runs is canceled; when nothing runs, the device is switched off."""

        def stop() -> None:
            if self._device is not None and self._device.runs.work is not None:
                self._device.cancel()
            else:
                _stop()

        reactor.callFromThread(stop)

    # In the thread of the commands.

    def _work(self) -> None:
        try:
            # Nothing can be done before; a person sees in the prompt whether there is one.
            self._do(f"wait online {1 if self._lines.is_terminal else FIRST_SERVER_S}")
            for line in self._typed():
                self._show(self._do(line))
                if self._console.is_over:
                    break
            else:
                # The end of the input is a `quit` that nobody typed.
                self._do("quit")
        except BaseException:
            self._code = 1
            reactor.callFromThread(self._failed, Failure())
            return
        reactor.callFromThread(_stop)

    def _typed(self) -> Iterator[str]:
        while True:
            line = self._lines.next(self._prompt())
            if line is None:
                return
            if line.strip():
                yield line

    def _prompt(self) -> str:
        device = self._device
        assert device is not None
        active, visit = device.active, device.visit
        who = "" if visit is None else f"{visit.person.user_name}@"
        return f"{who}{self._identity.name} ({active.address.name if active else 'no server'})> "

    def _do(self, line: str) -> Result:
        result: Result = blockingCallFromThread(
            reactor, lambda: Deferred.fromCoroutine(self._console.do(line))
        )
        return result

    def _show(self, result: Result) -> None:
        notices = self._console.take_notices()
        if not result["ok"] and not self._lines.is_terminal:
            self._code = 1
        if self._options.json:
            print(json.dumps({**result, "notices": notices}), flush=True)
            return
        for notice in notices:
            print(f"* {notice['notice']}: {explain(notice.get('why', ''))}")
        text = readable(result)
        if text:
            print(text, flush=True)

    def _show_progress(self, work: Work) -> None:
        if work.outcome:
            sys.stdout.write("\n")
        else:
            sys.stdout.write(
                f"\r{work.order.function}: page {work.pages} of {work.order.pages},"
                f" {show_amount(work.amount_e4)} (Ctrl-C cancels)"
            )
        sys.stdout.flush()

    async def _ask_secret(self, prompt: str) -> str:
        # The thread of the commands waits for this command: another one reads.
        return await deferToThread(self._lines.secret, prompt)


def _stop() -> None:
    """A signal may have come first."""
    if reactor.running:
        reactor.stop()


if __name__ == "__main__":
    run()

"""``papercut-client``: a person's balance, held jobs and messages, and who pays for a job."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from papercutd.client.answers import RULES, check_comment, check_secret, parse_rule
from papercutd.client.client import Client, NoServer, NotLoggedIn
from papercutd.client.home import Home, Settings
from papercutd.client.servers import SUSPECT_S
from papercutd.client.watching import Tell, Watching, find_account
from papercutd.client.words import (
    ANSWERED,
    explain,
    explain_answer,
    show_account,
    show_balance,
    show_message,
)
from papercutd.commands.client_setup import set_up
from papercutd.domain.money import show_amount
from papercutd.environment import keep_time, real_environment
from papercutd.errors import ConfigError, PapercutError
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.tls import ClientTls, Trusted
from papercutd.services.link import LinkSettings
from papercutd.services.places import Places
from protocols.client import messages
from protocols.client.spec import CLIENT_NAME, CLIENT_PROTOCOL
from protocols.codes import Code
from protocols.common import ID_PATTERN, TEXT_PATTERN
from protocols.errors import Refusal, SessionLost
from protocols.provider.messages import ServerAddress

reactor: Any = _reactor
EX_REFUSED = 1
EX_NO_SERVER = 3
EX_LOG_IN = 4
EX_CONFIG = 78
LINE_LENGTH_MAX = 4096
PAGES_MAX = 1000
EXIT_CODES = (
    "Exit codes: 0 done; 1 refused or failed, with what to do; 2 wrong words; 3 no server in reach;"
    " 4 log in first; 78 not set up."
)


def parser() -> argparse.ArgumentParser:
    """All options."""
    top = argparse.ArgumentParser(
        prog="papercut-client",
        description="Your balance, held jobs and messages; who pays for a job is asked here.",
        epilog="Examples: papercut-client setup print.example.org --pin 3f9a...;"
        " papercut-client login anna; papercut-client watch. " + EXIT_CODES,
    )
    top.add_argument(
        "--home",
        metavar="DIR",
        default=os.environ.get("PAPERCUT_CLIENT_HOME")
        or os.path.join(
            os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "papercut-client"
        ),
        help="where its settings and tokens lie (~/.config/papercut-client)",
    )
    top.add_argument("--json", action="store_true", help="tell results as lines of JSON")
    top.add_argument(
        "--wait", type=_seconds, default=10.0, metavar="SECONDS", help="for a server (10)"
    )
    top.add_argument(
        "--reconnect-max", type=_seconds, default=60.0, metavar="SECONDS", help=argparse.SUPPRESS
    )
    top.add_argument(
        "--back-jitter", type=_seconds, default=10.0, metavar="SECONDS", help=argparse.SUPPRESS
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    setup = commands.add_parser(
        "setup",
        help="say once where the server is, and by what it is known",
        description="Say once where the application server is, and by what it is known: the pin"
        " that `papercutd client show` prints, or the file of the installation's authority.",
    )
    setup.add_argument(
        "servers", nargs="+", metavar="HOST[:PORT]", help="of the application server's HTTPS (9192)"
    )
    known = setup.add_mutually_exclusive_group(required=True)
    known.add_argument("--pin", help="SHA-256 of the server's public key")
    known.add_argument("--ca", metavar="FILE", help="the authority's certificate, PEM")
    setup.add_argument(
        "--site",
        action="append",
        default=[],
        metavar="NAME=HOST[:PORT]",
        help="a site to turn to when the application server is out of reach; may be repeated",
    )
    login = commands.add_parser("login", help="log in; it stays so for 30 days")
    login.add_argument("user", type=_name, metavar="NAME")
    commands.add_parser("logout", help="forget the log-in on this computer")
    commands.add_parser("balance", help="what is there to spend")
    accounts = commands.add_parser("accounts", help="shared accounts you may charge")
    accounts.add_argument("find", type=_name, nargs="?", default="", help="part of the name")
    commands.add_parser("jobs", help="your held jobs")
    commands.add_parser("messages", help="what became of your jobs; shown once")
    watch = commands.add_parser(
        "watch",
        help="stay connected: show balance and messages, ask who pays",
        description="Stay connected: show balance and messages, and ask who pays. Type the number"
        " of an account, p to pay yourself, c not to print; a comment may follow.",
    )
    watch.add_argument("--answer", metavar="RULE", help=f"answer by itself: {RULES}")
    watch.add_argument("--comment", default="", help="with --answer: what is written to it")
    _add_account_choices(watch)
    answer = commands.add_parser("answer", help="answer a question by the job's id")
    answer.add_argument("job", type=_job, help="its id, as `jobs` and `watch --json` show it")
    answer.add_argument("choice", choices=("personal", "shared", "cancel"))
    answer.add_argument(
        "--account", type=_name, default="", metavar="NAME", help="with shared: which"
    )
    answer.add_argument("--comment", default="")
    _add_account_choices(answer)
    return top


def _add_account_choices(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--invoice",
        choices=("yes", "no"),
        help="with a shared account: whether it is to be invoiced, where you may say so",
    )
    one.add_argument(
        "--pin-file",
        metavar="FILE",
        help="with a shared account that has a PIN: where it stands; - for the input",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("is a number of seconds above 0")
    return value


def _name(text: str) -> str:
    if len(text) > 255 or not re.fullmatch(TEXT_PATTERN, text):
        raise argparse.ArgumentTypeError("is at most 255 characters, none a control character")
    return text


def _job(text: str) -> str:
    if not re.fullmatch(ID_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no job's id, as `jobs` shows it")
    return text


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        if options.command == "setup":
            return set_up(options, reactor)
        if options.command == "logout":
            Home(Path(options.home)).forget_keyring()
            _tell(options)({"ok": True}, "The log-in is forgotten on this computer.")
            return 0
        return Running(options).run()
    except ConfigError as error:
        return _complain(options, "\n".join(error.problems), EX_CONFIG)
    except (NoServer, SessionLost) as error:
        return _complain(options, str(error), EX_NO_SERVER)
    except NotLoggedIn as error:
        return _complain(options, str(error), EX_LOG_IN)
    except Refusal as refusal:
        is_log_in = refusal.code.value in ("bad-credentials", "no-login")
        code = EX_LOG_IN if is_log_in else EX_REFUSED
        return _complain(options, explain(refusal), code, refusal.code.value)
    except (PapercutError, OSError) as error:
        return _complain(options, str(error), EX_REFUSED)


def run() -> None:
    """The console script."""
    sys.exit(main())


def _complain(options: argparse.Namespace, text: str, exit_code: int, code: str = "") -> int:
    print(f"papercut-client: {text}", file=sys.stderr)
    if options.json:
        print(json.dumps({"ok": False, "code": code, "text": text}), flush=True)
    return exit_code


def _tell(options: argparse.Namespace) -> Tell:
    def tell(found: dict[str, Any], text: str) -> None:
        if options.json:
            print(json.dumps(found), flush=True)
        elif text:
            print(text, flush=True)

    return tell


def endpoint_maker(settings: Settings) -> Any:
    """What makes the way to a server: of the installation's authority alone, by its one name."""

    def make(address: ServerAddress) -> IStreamClientEndpoint:
        tls = ClientTls(
            *(Trusted(settings.ca.encode()), address.role, address.name),
            server_name=CLIENT_NAME,
            alpn=(CLIENT_PROTOCOL,),
        )
        place = (address.host, address.port)
        places = settings.application if address.role == "application" else [place]
        return Places(places, lambda host, port: tls_endpoint(reactor, host, port, tls))

    return make


class Running:
    """One command, connected."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._tell = _tell(options)
        self._home = Home(Path(options.home))
        self._watching: Watching | None = None
        self._results: list[Any] = []
        keep_time(reactor)
        self._env = real_environment(reactor)
        if options.command == "watch":
            rule = None
            if options.answer:
                choices = _invoice(options), _pin(options)
                rule = parse_rule(options.answer, options.comment, *choices)
            self._watching = Watching(self._env, self._tell, rule)
        self._client = Client(
            *(self._env, self._home, socket.gethostname()[:255] or "client"),
            endpoint_maker(self._home.settings()),
            LinkSettings(
                back_jitter_s=options.back_jitter,
                reconnect_min_s=min(1.0, options.reconnect_max),
                reconnect_max_s=options.reconnect_max,
                suspect_after_s=SUSPECT_S,
            ),
            self._watching,
        )
        if self._watching is not None:
            self._watching.client = self._client
        self._password = ""
        if options.command == "login":
            self._password = check_secret("password", _unseen(f"Password of {options.user}: "))
        self._account_pin = _pin(options) if options.command == "answer" else ""

    def run(self) -> int:
        """Until it is done, or a signal comes; the exit code."""
        reactor.callWhenRunning(self._begin)
        reactor.addSystemEventTrigger("before", "shutdown", self._end)
        reactor.run()
        result = self._results[0] if self._results else 0
        if isinstance(result, Failure):
            result.raiseException()
        return int(result)

    def _begin(self) -> None:
        self._client.start()
        if self._watching is not None:
            threading.Thread(target=self._read, name="typed", daemon=True).start()
            return
        work = getattr(self, f"_{self._options.command}")()
        Deferred.fromCoroutine(work).addBoth(self._done)

    def _done(self, result: Any) -> None:
        self._results.append(result)
        if reactor.running:
            reactor.stop()

    def _end(self) -> Deferred[None]:
        async def end() -> None:
            if self._watching is not None:
                await self._watching.stop()
            await self._client.stop()

        return Deferred.fromCoroutine(end())

    def _read(self) -> None:
        """Lines that are typed; at the end of a terminal's input it is over."""
        is_terminal = os.isatty(0)
        left = b""
        while True:
            try:
                block = os.read(0, LINE_LENGTH_MAX)
            except OSError:
                block = b""
            if not block:
                break
            *lines, left = (left + block).split(b"\n")
            left = left[-LINE_LENGTH_MAX:]
            for line in lines:
                assert self._watching is not None
                reactor.callFromThread(self._watching.typed, line.decode("utf-8", "replace"))
        if is_terminal:
            reactor.callFromThread(self._done, 0)

    # Commands.

    async def _login(self) -> int:
        options = self._options
        person = await self._client.log_in(options.user, self._password, options.wait)
        balance = show_balance(person.balance_e4, person.available_e4, person.promised_e4)
        self._tell({"ok": True, **_without_token(person)}, f"{person.user_name}: {balance}")
        return 0

    async def _balance(self) -> int:
        purse = await self._client.request(messages.Balance(), self._options.wait)
        lines = [show_balance(purse.balance_e4, purse.available_e4, purse.promised_e4)]
        lines += [f"  {one.name}: {show_amount(one.balance_e4)}" for one in purse.purses]
        self._tell({"ok": True, **attrs.asdict(purse)}, "\n".join(lines))
        return 0

    async def _accounts(self) -> int:
        after = ""
        for _ in range(PAGES_MAX):
            wanted = messages.Accounts(self._options.find, after)
            page = await self._client.request(wanted, self._options.wait)
            for one in page.accounts:
                left = "" if one.available_e4 is None else f"  {show_amount(one.available_e4)}"
                self._tell(attrs.asdict(one), f"{show_account(one)}{left}")
                after = one.name
            if page.last or not page.accounts:
                break
        return self._found(after, "There is no shared account you may charge.")

    def _found(self, something: object, nothing: str) -> int:
        """A person reads that there is nothing; a program has read no line."""
        if not something and not self._options.json:
            print(nothing, flush=True)
        return 0

    async def _jobs(self) -> int:
        after = ""
        for _ in range(PAGES_MAX):
            page = await self._client.request(messages.Jobs(after), self._options.wait)
            for one in page.jobs:
                cost = "" if one.amount_e4 is None else f", {show_amount(one.amount_e4)}"
                text = f"{one.job}  {one.title!r}, {one.pages} pages{cost} ({one.reason})"
                self._tell(attrs.asdict(one), text)
                after = one.job
            if page.last or not page.jobs:
                break
        return self._found(after, "No jobs are held for you.")

    async def _messages(self) -> int:
        found = await self._client.request(messages.Messages(), self._options.wait)
        for one in found.messages:
            self._tell(attrs.asdict(one), show_message(one))
            await self._client.request(messages.Acknowledge(one.id), self._options.wait)
        return self._found(found.messages, "There are no messages.")

    async def _answer(self) -> int:
        options = self._options
        account = None
        if options.choice == "shared":
            await self._client.until_logged_in(options.wait)
            account = await find_account(self._client, options.account)
        answer = messages.Answer(
            job=options.job,
            choice=options.choice,
            id=self._env.new_id(),
            account=account,
            comment=check_comment(options.comment),
            invoice=_invoice(options) if account is not None else None,
            pin=self._account_pin if account is not None else "",
        )
        try:
            found = await self._client.answer(answer, options.wait)
        except Refusal as refusal:
            if refusal.code is not Code.BAD_CREDENTIALS:
                raise
            text = explain_answer(refusal)
            return _complain(options, text, EX_REFUSED, refusal.code.value)
        is_taken = found.state == "taken"
        server = self._client.server
        name = "" if server is None else server.address.name
        result = {"ok": is_taken, "state": found.state, "server": name}
        self._tell(result, ANSWERED[found.state])
        return 0 if is_taken else EX_REFUSED


def _without_token(person: messages.Person) -> dict[str, Any]:
    found = attrs.asdict(person)
    del found["token"], found["token_ends_at"]
    return found


def _invoice(options: argparse.Namespace) -> bool | None:
    return None if options.invoice is None else options.invoice == "yes"


def _pin(options: argparse.Namespace) -> str:
    """The first line: what stands in a command is shown to everybody on the machine."""
    if options.pin_file is None:
        return ""
    if options.pin_file == "-":
        return check_secret("pin", _unseen("PIN of the account: ").strip())
    try:
        with open(options.pin_file, encoding="utf-8") as file:
            return check_secret("pin", file.readline(1_000).strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{options.pin_file}: {error}"]) from None


def _unseen(prompt: str) -> str:
    """Typed unseen at a terminal, else the first line of the input."""
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(prompt)
    return sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else ""


if __name__ == "__main__":
    run()

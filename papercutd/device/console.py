"""The commands of a device, typed by a person or a program: a line in, a result out.

A result is a flat object with ``command``, ``ok`` and what there is to say; one that was
not done has ``code`` and ``text``. What the prompt shows is made of the same object.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from papercutd.device.device import Device, work_shown
from papercutd.device.errors import DeviceError
from papercutd.device.runs import Order, Work
from papercutd.device.words import explain
from papercutd.environment import Environment
from papercutd.errors import StorageError
from protocols.device import messages

Result = dict[str, Any]
#: Asks for a secret without showing it; the prompt's words in.
AskSecret = Callable[[str], Awaitable[str]]
#: Longest wait of `wait`, in seconds, where none is given.
WAIT_S = 30.0
_LOOK_S = 0.05
#: Runs that `runs` shows.
RUNS_SHOWN = 20
_INVOICE = ("invoice", "no-invoice")
_RELEASE_FLAGS = ("duplex", "simplex", *_INVOICE)
#: Notices that wait for the next result.
NOTICES_MAX = 100

HELP = """\
login card NUMBER [pin]     log in by a card; with `pin` its PIN is asked for
link card NUMBER            the card is yours from now on (logged in by password)
redeem SERIAL               credit yourself with a voucher
login NAME                  log in by name; the password is asked for
logout                      leave
list                        your held jobs
release N|JOB|all           print a held job, by its number (copies K, duplex, simplex,
                            account N, invoice, no-invoice)
delete N|JOB                delete a held job
account list [TEXT]         shared accounts you may charge
account pin PIN             the shared account of that PIN
copy PAGES [WORDS]          colour, duplex, paper SIZE, account N, invoice, no-invoice,
                            uncounted, background
scan PAGES [WORDS]          the same
cancel                      stop after the page that is in the machine
clear                       the stuck paper is out
wait [WHAT] [SECONDS]       until the run is over; `wait online`; `wait settled`: all is reported
balance                     your balance, and what can be spent here
counters                    pages of this machine since it was built
runs                        its latest runs, and what servers said to them
status                      servers, what runs, what is not reported yet
quit                        leave; what runs is finished first
"""


class BadInput(Exception):
    """What was typed cannot be done; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@attrs.define
class Console:
    """Does what is typed at one device."""

    env: Environment
    device: Device
    ask_secret: AskSecret
    #: Somebody may look over the shoulder: no PIN in the line itself.
    is_terminal: bool = False
    is_over: bool = False
    notices: list[Result] = attrs.field(factory=list)
    _jobs: list[messages.DeviceJob] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.device.on_notice = self._notice

    def _notice(self, word: str, fields: Result) -> None:
        self.notices.append({"notice": word, **fields})
        del self.notices[:-NOTICES_MAX]

    def take_notices(self) -> list[Result]:
        """What happened unasked since the last time."""
        taken, self.notices = self.notices, []
        return taken

    async def do(self, line: str) -> Result:
        """The result of ``line``."""
        words = line.split()
        name = words[0] if words else ""
        command = self._commands().get(name)
        result: Result = {"command": name, "ok": True}
        try:
            if command is None:
                raise BadInput("unknown-command")
            result |= await command(words[1:])
        except DeviceError as error:
            result |= _not_done(error.code, error.retry_after_s)
        except BadInput as error:
            result |= _not_done(error.code)
        except StorageError as error:
            result |= {"ok": False, "code": "device-full", "text": str(error)}
        return result

    def _commands(self) -> dict[str, Callable[[list[str]], Coroutine[Any, Any, Result]]]:
        return {
            "login": self._login,
            "link": self._link,
            "redeem": self._redeem,
            "logout": self._logout,
            "list": self._list,
            "release": self._release,
            "delete": self._delete,
            "account": self._account,
            "copy": lambda words: self._run("copy", words),
            "scan": lambda words: self._run("scan", words),
            "cancel": self._cancel,
            "clear": self._clear,
            "wait": self._wait,
            "balance": self._balance,
            "counters": self._counters,
            "runs": self._runs,
            "status": self._status,
            "help": self._help,
            "quit": self._quit,
        }

    # People.

    async def _login(self, words: list[str]) -> Result:
        if words[:1] == ["card"] and len(words) in (2, 3):
            pin = words[2] if len(words) == 3 else ""
            if pin == "pin":
                pin = await self.ask_secret("PIN: ")
            elif pin and self.is_terminal:
                raise BadInput("shown-pin")
            method = "card-pin" if len(words) == 3 else "card"
            await self.device.log_in(method, card=words[1], pin=pin)
        elif words and words[0] != "card":
            password = await self.ask_secret("Password: ")
            await self.device.log_in("password", user_name=" ".join(words), password=password)
        else:
            raise BadInput("usage")
        self._jobs = []
        return self._purse()

    def _purse(self) -> Result:
        visit = self.device.visit
        if visit is None:
            raise DeviceError("no-login")
        person = visit.person
        return {
            "user_name": person.user_name,
            "full_name": person.full_name,
            "balance_e4": person.balance_e4 - visit.spent_e4,
            "available_e4": None
            if person.available_e4 is None
            else person.available_e4 - visit.spent_e4,
            "promised_e4": person.promised_e4,
            # As the server said: what was spent since is in the balance alone.
            "purses": []
            if visit.spent_e4
            else [{"name": one.name, "balance_e4": one.balance_e4} for one in person.purses],
            "held": person.held,
            "state": person.state,
            "told": person.notices,
            "server": visit.server.address.name,
        }

    async def _link(self, words: list[str]) -> Result:
        if words[:1] != ["card"] or len(words) != 2:
            raise BadInput("usage")
        return {"card": await self.device.link_card(words[1])}

    async def _redeem(self, words: list[str]) -> Result:
        if not words:
            raise BadInput("usage")
        answer = await self.device.redeem(" ".join(words))
        if answer.state == "refused":
            return _not_done(f"voucher-{answer.reason}")
        told = {"redeemed": answer.state, "amount_e4": answer.amount_e4, "purse": answer.purse}
        return {**self._purse(), **told}

    async def _balance(self, words: list[str]) -> Result:
        return self._purse()

    async def _logout(self, words: list[str]) -> Result:
        await self.device.log_out()
        return {}

    # Held jobs.

    async def _list(self, words: list[str]) -> Result:
        self._jobs = await self.device.jobs()
        return {"jobs": [attrs.asdict(job) for job in self._jobs]}

    def _job(self, word: str) -> str:
        if not word.isascii() or not word.isdigit():
            return word
        if not 1 <= int(word[:9]) <= len(self._jobs):
            raise BadInput("bad-number")
        return self._jobs[int(word) - 1].job

    async def _release(self, words: list[str]) -> Result:
        if not words:
            raise BadInput("usage")
        given = _read(words[1:], counted=("copies", "account"), flags=_RELEASE_FLAGS)
        duplex = True if "duplex" in given else False if "simplex" in given else None
        if words[0] == "all":
            jobs = [job.job for job in await self.device.jobs()]
        else:
            jobs = [self._job(words[0])]
        answers = []
        for job in jobs:
            answer = await self.device.release(
                *(job, given.get("copies"), duplex, given.get("account"), _invoice(given))
            )
            answers.append({"job": job, **attrs.asdict(answer)})
        return _answered(answers, "released")

    async def _delete(self, words: list[str]) -> Result:
        if len(words) != 1:
            raise BadInput("usage")
        job = self._job(words[0])
        answer = await self.device.discard(job)
        return _answered([{"job": job, **attrs.asdict(answer)}], "discarded")

    async def _account(self, words: list[str]) -> Result:
        if words[:1] == ["pin"] and len(words) == 2:
            found = await self.device.accounts(pin=words[1])
            if not found:
                return _not_done("no-such-pin")
        elif words[:1] == ["list"] and len(words) <= 2:
            found = await self.device.accounts(*words[1:])
        else:
            raise BadInput("usage")
        return {"accounts": [attrs.asdict(one) for one in found]}

    # Paper.

    async def _run(self, function: str, words: list[str]) -> Result:
        if not words:
            raise BadInput("usage")
        given = _read(
            words[1:],
            counted=("account",),
            named=("paper",),
            flags=(*("colour", "color", "duplex", "uncounted", "background"), *_INVOICE),
        )
        try:
            order = Order(
                function,
                _number(words[0]),
                colour="colour" in given or "color" in given,
                duplex="duplex" in given,
                paper=given.get("paper", "A4"),
                account=given.get("account"),
                is_counted="uncounted" not in given,
                invoice=_invoice(given),
            )
        except ValueError:
            raise BadInput("bad-number") from None
        work = await self.device.begin(order)
        if "background" in given:
            return {"started": True, **work_shown(work)}
        return await self._over(work)

    async def _over(self, work: Work) -> Result:
        await _fired(work.done)
        shown = work_shown(work)
        if work.outcome == "completed" and work.pages == work.order.pages:
            return shown
        return {**shown, **_not_done(work.why or "internal")}

    async def _cancel(self, words: list[str]) -> Result:
        self.device.cancel()
        return {}

    async def _clear(self, words: list[str]) -> Result:
        self.device.machine.clear()
        return {}

    async def _wait(self, words: list[str]) -> Result:
        what = words[0] if words and not words[0].isdigit() else "run"
        seconds = [word for word in words if word.isdigit()]
        wait_s = float(seconds[0][:5]) if seconds else WAIT_S
        if what not in ("run", "online", "settled"):
            raise BadInput("usage")
        deadline = self.env.now() + wait_s
        work = self.device.runs.work
        while not await self._is_so(what):
            if self.env.now() >= deadline:
                raise DeviceError("timeout")
            await deferLater(self.env.clock, _LOOK_S, lambda: None)
        return await self._over(work) if what == "run" and work is not None else {"is": what}

    async def _is_so(self, what: str) -> bool:
        if what == "online":
            return self.device.active is not None
        if what == "run":
            return self.device.runs.work is None
        return not await self.device.journal.kept()

    # How it stands.

    async def _counters(self, words: list[str]) -> Result:
        counters = await self.device.machine.counters()
        return {"counters": counters, "pages": sum(counters.values())}

    async def _runs(self, words: list[str]) -> Result:
        runs = await self.device.journal.runs(RUNS_SHOWN)
        hidden = attrs.filters.exclude("grant_text")
        return {"runs": [attrs.asdict(run, filter=hidden) for run in runs]}

    async def _status(self, words: list[str]) -> Result:
        return await self.device.status()

    async def _help(self, words: list[str]) -> Result:
        return {"help": HELP}

    async def _quit(self, words: list[str]) -> Result:
        work = self.device.runs.work
        if work is not None:
            await _fired(work.done)
        if self.device.visit is not None:
            await self.device.log_out()
        self.is_over = True
        return {}


def _not_done(code: str, retry_after_s: float = 0.0) -> Result:
    fields: Result = {"ok": False, "code": code, "text": explain(code, retry_after_s)}
    if retry_after_s:
        fields["retry_after_s"] = retry_after_s
    return fields


def _answered(answers: list[Result], wanted: str) -> Result:
    """The result of releases: not done when one of them was not."""
    bad = [one for one in answers if one["answer"] != wanted]
    if not bad:
        return {"answers": answers}
    code = bad[0]["reason"] or bad[0]["answer"]
    return {"answers": answers, **_not_done(code)}


async def _fired(done: Deferred[Work]) -> None:
    """Wait for ``done`` without taking its result from the others who wait."""
    waiter: Deferred[None] = Deferred()

    def fire(work: Work) -> Work:
        if not waiter.called:
            waiter.callback(None)
        return work

    done.addCallback(fire)
    await waiter


def _invoice(given: dict[str, Any]) -> bool | None:
    """Whether it is to be invoiced, where that was typed."""
    return True if "invoice" in given else False if "no-invoice" in given else None


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit()) or len(word) > 15:
        raise BadInput("bad-number")
    return int(word)


def _read(
    words: list[str],
    counted: tuple[str, ...] = (),
    named: tuple[str, ...] = (),
    flags: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The words after a command; raises BadInput for one that is none of these."""
    found: dict[str, Any] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if word in flags:
            found[word] = True
        elif word in (*counted, *named) and left:
            value = left.pop(0)
            found[word] = _number(value) if word in counted else value
        else:
            raise BadInput("usage")
    return found

"""The application server's decisions and charges: one answer and one charge for each key.

Each method is one step of the writer's transaction. The rules are design 4.1
to 4.4; the money itself moves in storage/money/accounts.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, TypeVar

import attrs
import msgspec

from papercutd.domain.account_choice import Settled
from papercutd.domain.decision import APPLICATION, Decision, Reason, Verdict
from papercutd.domain.document import (
    ONE_PAGE,
    SIDES_MAX,
    correct_pages,
    is_believed,
)
from papercutd.domain.job import (
    Completion,
    Receipt,
    Request,
    SessionRef,
    device_owner,
    is_run,
)
from papercutd.domain.policy import UnknownUsers
from papercutd.domain.pricing import (
    Dearest,
    PriceLine,
    PriceList,
    are_possible,
    exceed,
    fit_lines,
    markup_rate,
    reprice_pages,
    total_e4,
    total_pages,
    with_markup,
)
from papercutd.domain.site_scope import Owner
from papercutd.errors import Rejected
from papercutd.storage.administration.directory import Directory, decode_prices
from papercutd.storage.administration.listed import list_item
from papercutd.storage.administration.policies import read_strict
from papercutd.storage.engine import Connection, insert_rows
from papercutd.storage.jobs import askers, runs
from papercutd.storage.jobs.account_settling import payer_alone, settle_here
from papercutd.storage.jobs.job_comments import keep_comment
from papercutd.storage.jobs.late_charges import give_back, last_run
from papercutd.storage.jobs.naming import added_by, whole, with_naming
from papercutd.storage.jobs.plain_records import PlainRecords, Settings
from papercutd.storage.jobs.posted_rows import (
    CHARGE,
    DECISION,
    Source,
    charge_row,
    decision_row,
)
from papercutd.storage.jobs.priced import price_for
from papercutd.storage.jobs.unknown_users import Met, UnknownPeople
from papercutd.storage.money.accounts import REVENUE, UNCOLLECTED, Accounts, Entry
from papercutd.storage.money.allowances import Allowances, Shortage
from papercutd.storage.money.shared_access import NO_CHOICE, choose, markup_of, most_markup_of
from papercutd.storage.people.people import heir_of_user
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.scope import (
    check_printer,
    check_spoken_for,
    check_step,
    site_of_owner,
)
from papercutd.storage.replication.timeline import is_lost

T = TypeVar("T")
_DECODE_DECISION = msgspec.json.Decoder(Decision).decode


#: The number of a position, in its text.
#: Pages that a device on its way to a stop may feed beyond a reservation, unlisted.
RUN_EXCESS_PAGES = 2


@attrs.frozen
class Stored:
    """A row of the decision table."""

    provider: str
    state: str
    account: int | None
    reserved_e4: int
    transfer: int | None
    decision: Decision


def _was(stored: Stored) -> tuple[Owner, ...]:
    """Whose its reservation was: who asked, and who was to pay."""
    asker: Owner = ("asker", stored.provider)
    return (asker,) if stored.account is None else (asker, ("account", stored.account))


def read_decision(connection: Connection, key: str) -> Stored | None:
    """The stored answer to ``key``."""
    found = connection.execute(
        "SELECT provider, state, account, reserved_e4, transfer, body FROM decision WHERE key = ?",
        (key,),
    ).fetchone()
    if found is None:
        return None
    provider, state, account, reserved_e4, transfer, body = found
    return Stored(provider, state, account, reserved_e4, transfer, _DECODE_DECISION(body))


def check_job_owner(connection: Connection, job: str, provider: str) -> None:
    """Raise Rejected ``not-yours`` when another provider asked for a step of ``job``."""
    found = connection.execute(
        "SELECT 1 FROM decision WHERE key > ? AND key < ? AND provider <> ? LIMIT 1",
        (f"{job}/", f"{job}0", provider),
    ).fetchone()
    if found is not None:
        raise Rejected("not-yours")


def _provider_of(connection: Connection, printer: int) -> str | None:
    """Whose ``printer`` is; None: there is no such printer."""
    found = connection.execute(
        "SELECT provider.name FROM printer JOIN provider ON provider.id = printer.provider"
        " WHERE printer.id = ?",
        (printer,),
    ).fetchone()
    return None if found is None else str(found[0])


class Charging:
    """Authorise, complete, cancel: at the application server."""

    def __init__(
        self,
        log: ChangeLog,
        accounts: Accounts,
        directory: Directory,
        allowances: Allowances,
        wall_s: Callable[[], float],
    ) -> None:
        self._log = log
        self._accounts = accounts
        self._directory = directory
        self._allowances = allowances
        self._wall_s = wall_s
        self.unknown = UnknownPeople(log, directory, wall_s)
        self._prices: dict[int, PriceList] = {}
        #: Settings read since they were said to stand; None: they may change at any time.
        self._standing: dict[tuple[Any, ...], Any] | None = None
        #: The demo's deliberate fault ``double-post``: charge a key again, under another id.
        self.ignore_unique_key = False

    @contextmanager
    def settings_stand(self) -> Iterator[None]:
        """Within, nobody changes printers, sites, rules or prices: each is read once."""
        self._standing = {}
        try:
            yield
        finally:
            self._standing = None

    def _setting(self, read: Callable[..., T], connection: Connection, *of: Any) -> T:
        """What ``read`` finds, now or since the settings stand."""
        if self._standing is None:
            return read(connection, *of)
        key = (read.__name__, *of)
        if key not in self._standing:
            self._standing[key] = read(connection, *of)
        found: T = self._standing[key]
        return found

    def prices(self, connection: Connection, version: int) -> PriceList | None:
        """One version of the prices; versions never change, so they are remembered."""
        known = self._prices.get(version)
        if known is None:
            found = connection.execute(
                "SELECT body FROM price WHERE version = ?", (version,)
            ).fetchone()
            if found is None:
                return None
            known = self._prices[version] = decode_prices(found[0])
        return known

    def forget_prices(self, version: int) -> None:
        """That version is being made: whatever was read of its number is gone."""
        self._prices.pop(version, None)

    def prices_now(self, connection: Connection) -> PriceList:
        """The version in force; raises Rejected ``unavailable`` where there is none."""
        found = connection.execute(
            "SELECT version FROM price WHERE effective_from <= ? ORDER BY version DESC LIMIT 1",
            (self._wall_s(),),
        ).fetchone()
        prices = None if found is None else self.prices(connection, found[0])
        if prices is None:
            raise Rejected("unavailable", "no price list is in force")
        return prices

    def authorize(
        self,
        connection: Connection,
        asker: SessionRef,
        request: Request,
        may_recall: bool = False,
    ) -> Decision | Shortage:
        """The answer to a key: the stored one, or a new one made durable with its reservation.

        With ``may_recall`` nobody is refused, or given less, while sites hold some of
        their money: nothing is decided then, and what is missing is told.
        """
        askers.check_session(connection, asker)
        key = request.key
        stored = read_decision(connection, key)
        if stored is not None:
            if stored.provider != request.provider:
                raise Rejected("not-yours")
            if stored.state in ("voided", "settled"):
                raise Rejected(stored.state)
            if stored.state == "open":
                askers.hold(connection, key, asker)
            return stored.decision
        check_job_owner(connection, request.job, request.provider)
        site = asker.name if asker.role == "site" else None
        waits = check_printer(connection, "", request, site)
        prices = self.prices_now(connection)
        person = self._directory.find_person(connection, request.user_name)
        met = Met(person)
        if person is None:
            met = self.unknown.meet(connection, request, asker.identity)
            person = met.person
        user = None if person is None else person.id
        lines = price_for(connection, "", request.document, prices, request.printer, user)
        now = self._wall_s()
        transfer = account = None
        held = person is None and met.what is UnknownUsers.HOLD
        verdict, reason = Verdict.HOLD if held else Verdict.DENY, Reason.UNKNOWN_USER
        settled, chosen = Settled(), NO_CHOICE
        if person is not None:
            settled = settle_here(connection, self._setting, request, person)
            is_own = request.account is not None
            chosen = choose(connection, "", settled.shared, user, now, is_own)
            lines = with_markup(lines, added_by(settled, chosen))
        if person is not None and person.is_closed(now):
            reason = Reason.CLOSED
        elif person is not None and chosen.refusal is not Reason.NONE:
            reason = chosen.refusal
        elif person is not None and waits:
            account = self._payer(connection, person.account, settled.payer)
            verdict, reason = Verdict.HOLD, Reason.RELEASE
        elif person is not None and settled.verdict is not None:
            account = self._payer(connection, person.account, settled.payer)
            verdict, reason = settled.verdict, settled.reason
        elif person is not None:
            account = self._payer(connection, person.account, settled.payer)
            funds = self._accounts.funds(connection, account)
            missing_e4 = total_e4(lines) - funds.spendable_e4
            if may_recall and funds.restricted and missing_e4 > 0:
                shortage = self._allowances.shortage(connection, account, missing_e4)
                if shortage is not None:
                    return shortage
            if is_run(request.step):
                lines = fit_lines(lines, funds.spendable_e4 if funds.restricted else None)
            entry = Entry(
                key=key,
                price_version=prices.version,
                who=asker.identity,
                place=f"printer:{request.printer}",
                claimed_at=request.submitted_at,
                received_at=now,
            )
            transfer = self._accounts.reserve(connection, account, total_e4(lines), entry)
            allowed = transfer is not None
            verdict = Verdict.ALLOW if allowed else Verdict.DENY
            reason = Reason.NONE if allowed else Reason.FUNDS
        decision = Decision(
            verdict=verdict,
            reason=reason,
            decider=APPLICATION,
            user=user,
            account=account,
            printer=request.printer,
            price_version=prices.version,
            lines=lines,
            position=self._log.position_text,
            promise=last_run(connection, account or 0).text,
            ask=False if settled.asks and reason is settled.reason else None,
        )
        decision = with_naming(decision, settled, chosen, request.invoice)
        state = "open" if verdict is Verdict.ALLOW else "refused"
        reserved = decision.amount_e4 if transfer is not None else 0
        self._store(
            connection, key, request.provider, request.job_uuid, decision, state, transfer, reserved
        )
        if state == "open":
            askers.hold(connection, key, asker)
        elif reason is not Reason.RELEASE and decision.ask is None:
            self.log_job(connection, request, decision, Source(asker.identity))
        return decision

    def complete(self, connection: Connection, completion: Completion, source: Source) -> Receipt:
        """Post what came out of the printer, once; it always posts (design 4.3)."""
        key = completion.key
        check_step(completion.provider, completion.step)
        if not is_believed(completion.document, completion.pages):
            raise Rejected("bad-fields", "a document out of bounds")
        completion = runs.take_count(connection, completion)
        stored = read_decision(connection, key)
        if stored is not None and stored.provider != completion.provider:
            raise Rejected("not-yours")
        if stored is None:
            check_job_owner(connection, completion.job, completion.provider)
            self._check_printer_of(connection, completion)
        elif stored.state == "settled" and not self.ignore_unique_key:
            return self._already(connection, completion, source)
        decision = self._decision_of(connection, completion, stored, source)
        listed: list[str] = []
        if stored is None or decision is not stored.decision:
            decision, listed = self._check_carried(connection, completion, decision)
        lines, more = self._final_lines(connection, completion, decision)
        listed += more
        pages, amount_e4 = total_pages(lines), total_e4(lines)
        opened = stored is not None and stored.state == "open"
        if pages == 0 and completion.outcome != "completed":
            self._settle_without_paper(connection, completion, stored, decision, source)
            return Receipt("posted", 0, 0)
        account = self._accounts.heir(connection, decision.account or UNCOLLECTED)
        if decision.account is not None:
            payer = self._check_payer(connection, account)
            decision = whole(connection, decision, payer)
        owner_known = decision.account is not None
        # Decided nowhere, or decided here and no longer reserved: nothing guarded it.
        carried = completion.decision
        unguarded = carried is None or not carried.allowed or decision.decider == APPLICATION
        forced = not opened and unguarded
        entry = Entry(
            key=key,
            price_version=decision.price_version,
            who=source.who,
            place=f"printer:{completion.printer}",
            claimed_at=completion.completed_at,
            received_at=self._wall_s(),
            forced=forced,
        )
        pending = stored.transfer if opened and stored is not None else None
        if pending is not None and stored is not None and stored.account is not None:
            reserved_e4 = stored.reserved_e4
            if stored.account == account and not decision.allowance:
                paid = self._accounts.post(
                    connection, pending, account, reserved_e4, amount_e4, entry
                )
            else:
                self._accounts.void(connection, pending, stored.account, reserved_e4, entry)
                beyond, paid = self._pay(
                    connection, account, amount_e4, completion, decision, entry
                )
                forced |= beyond
        else:
            beyond, paid = self._pay(connection, account, amount_e4, completion, decision, entry)
            forced |= beyond
        give_back(connection, self._accounts, decision, account, amount_e4, paid, entry)
        if owner_known and not forced:
            funds = self._accounts.funds(connection, account)
            forced = funds.restricted and funds.balance_e4 < funds.floor_e4 and amount_e4 > 0
        self._write_charge(connection, completion, decision, lines, account, forced, source)
        keep_comment(connection, completion)
        self._settle(connection, completion, stored, decision)
        for kind in (*listed, *self._flags(forced, completion, owner_known)):
            self.list_item(connection, kind, key, source.who, "", amount_e4)
        if decision.user is not None:
            self._note_use(connection, completion.provider, decision.user)
        return Receipt("posted", amount_e4, pages)

    def plain_records(
        self, connection: Connection, completions: Iterable[Completion]
    ) -> PlainRecords:
        """What may go the short way of a batch's ``completions``, while the settings stand."""

        def holds_strictly(owner: str, user: int) -> bool:
            site = self._setting(site_of_owner, connection, owner)
            if site is None:
                return False
            return self._setting(read_strict, connection, site).holds_for(connection, user)

        settings = Settings(
            partial(self.prices, connection),
            partial(self._setting, self._dearest, connection),
            partial(self._setting, _provider_of, connection),
            lru_cache(maxsize=None)(holds_strictly),
        )
        parts = (self._log, self._accounts, settings, self._wall_s())
        return PlainRecords(connection, *parts, completions)

    def cancel(self, connection: Connection, asker: SessionRef, key: str, reason: str) -> None:
        """``asker`` will not use the answer to ``key``; the last holder's word voids it."""
        askers.check_session(connection, asker)
        stored = read_decision(connection, key)
        if stored is None:
            return
        if asker.role == "provider" and stored.provider != asker.name:
            raise Rejected("not-yours")
        if stored.state == "settled":
            raise Rejected("settled")
        askers.release(connection, key, asker.identity, self.void)

    def void(self, connection: Connection, key: str) -> None:
        """Nobody holds ``key``: give its reservation back."""
        stored = read_decision(connection, key)
        if stored is None or stored.state != "open":
            return
        runs.forget(connection, key)
        if stored.transfer is not None and stored.account is not None:
            entry = Entry(
                key=key,
                price_version=stored.decision.price_version,
                who=APPLICATION,
                place=f"printer:{stored.decision.printer}",
                claimed_at=self._wall_s(),
                received_at=self._wall_s(),
            )
            self._accounts.void(
                connection, stored.transfer, stored.account, stored.reserved_e4, entry
            )
        connection.execute("UPDATE decision SET state = 'voided' WHERE key = ?", (key,))
        self._log.touch("reservation", key, *_was(stored))

    def log_job(
        self,
        connection: Connection,
        job: Request | Completion,
        decision: Decision,
        source: Source,
        ended: str = "",
    ) -> None:
        """Remember a job that costs nothing: refused, or ended without paper."""
        claimed_at = job.submitted_at if isinstance(job, Request) else job.completed_at
        # One server may void what another has charged meanwhile: then it did cost something.
        connection.execute(
            "INSERT INTO job_log SELECT ?1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
            " WHERE NOT EXISTS (SELECT 1 FROM charge WHERE key = ?1) ON CONFLICT DO NOTHING",
            (
                *(job.key, job.provider, job.printer, decision.user, job.user_name, job.title),
                *(ended or decision.verdict.value, decision.reason.value, decision.decider),
                *(source.stream, source.number, claimed_at, self._wall_s(), self._log.number),
            ),
        )

    def list_item(
        self,
        connection: Connection,
        kind: str,
        key: str,
        who: str,
        detail: str,
        amount_e4: int = 0,
    ) -> None:
        """Put something into the statement."""
        list_item(connection, self._log.number, self._wall_s(), kind, key, who, detail, amount_e4)

    # Parts of the above.

    def _check_printer_of(self, connection: Connection, completion: Completion) -> None:
        if device_owner(completion.provider) is not None:
            # Its grant names the printer, sealed by the server that gave it.
            return
        provider = self._setting(_provider_of, connection, completion.printer)
        if provider is not None and provider != completion.provider:
            raise Rejected("not-yours")

    def _payer(self, connection: Connection, personal: int, chosen: int | None) -> int:
        return chosen if chosen is not None else self._accounts.heir(connection, personal)

    def _decision_of(
        self,
        connection: Connection,
        completion: Completion,
        stored: Stored | None,
        source: Source,
    ) -> Decision:
        """What the charge goes by: our own stored answer, else the one the record carries."""
        carried = completion.decision
        if carried is not None and not carried.allowed:
            # Nobody allowed it and it came out all the same: as if nobody had been asked.
            carried = None
        if stored is not None and stored.decision.allowed:
            # Given back, and the record carries none: it was printed by nobody's answer.
            was_taken = carried is not None or stored.state == "open"
            if was_taken and self._stands(connection, stored.decision, carried):
                return stored.decision
        if carried is not None:
            return self._owned(connection, carried, completion)
        person = self._directory.find_person_as_of(
            connection, completion.user_name, completion.position
        )
        version = completion.price_version
        prices = self.prices(connection, version) or self.prices_now(connection)
        user = account = named = None
        if person is not None:
            user = person.id
            account, named = payer_alone(connection, self._setting, person)
        return Decision(
            verdict=Verdict.ALLOW,
            reason=Reason.UNREACHABLE,
            decider="tracker",
            user=user,
            account=account,
            named=named,
            printer=completion.printer,
            price_version=prices.version,
            lines=price_for(connection, "", completion.document, prices, completion.printer, user),
            position=completion.position,
        )

    def _check_carried(
        self, connection: Connection, completion: Completion, decision: Decision
    ) -> tuple[Decision, list[str]]:
        """A decision that we do not know as ours, and what is to be listed of it.

        Raises Rejected ``bad-fields`` for one that nobody here can have taken. Where the
        decision was lost in a restore, its version of the prices may have been too, and ours of
        that number be another: it stands. Else what is dearer than any that we have is priced
        by the one in force.
        """
        prices = self.prices(connection, decision.price_version)
        who = (decision.printer, decision.user)
        if self._exceed(connection, decision):
            if is_lost(connection, decision.position):
                return decision, ["price-difference"]
            if prices is not None:
                raise Rejected("bad-fields", "dearer than any retained price")
            now = self.prices_now(connection)
            lines = price_for(connection, "", completion.document, now, *who)
            lines = with_markup(lines, markup_of(connection, decision.account))
            decision = attrs.evolve(decision, lines=lines, price_version=now.version)
            return decision, ["price-difference"]
        if prices is not None:
            ours = price_for(connection, "", completion.document, prices, *who)
            ours = with_markup(ours, markup_of(connection, decision.account))
            if ours == decision.lines:
                return decision, []
        return decision, ["price-difference"]

    def _exceed(self, connection: Connection, decision: Decision) -> bool:
        """Whether ``decision`` is dearer than any that a server here can have taken."""
        rate_e4 = markup_rate(decision.lines)
        if rate_e4 and rate_e4 > most_markup_of(connection, decision.account):
            return True
        return exceed(decision.lines, self._setting(self._dearest, connection))

    def _check_payer(self, connection: Connection, account: int) -> str:
        """The kind of ``account``; Rejected ``bad-fields`` unless it is a person's or shared."""
        found = connection.execute(
            "SELECT kind FROM account WHERE id = ? AND kind IN ('personal', 'shared')", (account,)
        ).fetchone()
        if found is None:
            raise Rejected("bad-fields", "no such account")
        return str(found[0])

    @staticmethod
    def _stands(connection: Connection, ours: Decision, carried: Decision | None) -> bool:
        """Whether our own answer is the one that its asker took.

        What it took from the part of our history that a restore has lost counts as it was.
        """
        if carried is None:
            return True
        return carried.decider == APPLICATION and not (
            carried != ours and is_lost(connection, carried.position)
        )

    def _owned(
        self, connection: Connection, decision: Decision, completion: Completion
    ) -> Decision:
        """``decision`` with who pays, where it names nobody or what a restore has lost."""
        user, account = decision.user, decision.account
        if account is not None and not self._exists(connection, "account", account):
            if user is not None and self._exists(connection, "user", user):
                # The person is known, so the account was one they chose: nobody else's.
                return attrs.evolve(decision, account=None)
            user = account = None
        if user is not None:
            return decision
        person = self._directory.find_person(connection, completion.user_name)
        if account is not None:
            # A site let a shared account pay for somebody whom it did not know.
            return decision if person is None else attrs.evolve(decision, user=person.id)
        if person is None:
            return attrs.evolve(decision, user=None, account=None)
        return attrs.evolve(decision, user=person.id, account=person.account)

    @staticmethod
    def _exists(connection: Connection, table: str, row: int) -> bool:
        return (
            connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (row,)).fetchone() is not None
        )

    def _final_lines(
        self, connection: Connection, completion: Completion, decision: Decision
    ) -> tuple[tuple[PriceLine, ...], list[str]]:
        """The lines to charge and what is to be listed about them."""
        listed: list[str] = []
        prices = self.prices(connection, decision.price_version)
        if not are_possible(decision.lines, SIDES_MAX):
            raise Rejected("bad-fields", "a negative amount, or more than can be printed")
        if not completion.document.analysed:
            prices = prices or self.prices_now(connection)
            who = (decision.printer, decision.user)
            grey = price_for(connection, "", ONE_PAGE, prices, *who)[0]
            counted = PriceLine("counted by the printer", completion.pages or 0, grey.unit_e4)
            return with_markup((counted,), markup_of(connection, decision.account)), listed
        pages, set_aside = correct_pages(total_pages(decision.lines), completion.pages)
        if is_run(completion.step):
            # A run's reservation is no analysis: what came out is what the device counted.
            pages, set_aside = completion.pages or 0, False
            if pages > total_pages(decision.lines) + RUN_EXCESS_PAGES:
                listed.append("beyond-reservation")
        if set_aside:
            listed.append("count-set-aside")
        return reprice_pages(decision.lines, pages), listed

    def _dearest(self, connection: Connection) -> Dearest:
        most = Dearest()
        for (version,) in connection.execute("SELECT version FROM price").fetchall():
            prices = self.prices(connection, version)
            most = most if prices is None else most.with_(prices.dearest)
        return most

    def _pay(
        self,
        connection: Connection,
        account: int,
        amount_e4: int,
        completion: Completion,
        decision: Decision,
        entry: Entry,
    ) -> tuple[bool, dict[int, int]]:
        """Pay what was printed, from the decider's escrow where it decided so; whether forced,
        and what purses gave.

        Under STRICT pages beyond the reservation are paid as far as the account admits,
        the rest by nobody (design 4.4).
        """
        if not decision.allowance or decision.user is None:
            return False, self._accounts.pay(connection, account, REVENUE, amount_e4, entry)
        within_e4 = min(amount_e4, decision.amount_e4)
        paid_e4 = 0
        given: Counter[int] = Counter()
        if self._is_own_stream(connection, decision.decider, completion.provider):
            paid_e4, lent = self._allowances.settle(
                connection, decision.decider, decision.user, within_e4, entry
            )
            given.update(lent)
        if paid_e4 < within_e4 or not amount_e4:
            forced = attrs.evolve(entry, forced=paid_e4 < within_e4)
            rest_e4 = within_e4 - paid_e4
            given.update(self._accounts.pay(connection, account, REVENUE, rest_e4, forced))
        excess_e4 = amount_e4 - within_e4
        if excess_e4 > 0:
            funds = self._accounts.funds(connection, account)
            own_e4 = min(excess_e4, max(0, funds.spendable_e4)) if funds.restricted else excess_e4
            entry = attrs.evolve(entry, reason="excess")
            given.update(self._accounts.pay(connection, account, REVENUE, own_e4, entry))
            if own_e4 < excess_e4:
                rest_e4 = excess_e4 - own_e4
                self._accounts.transfer(connection, UNCOLLECTED, REVENUE, rest_e4, entry)
                self.list_item(
                    connection, "uncollected", entry.key, entry.who, "beyond an allowance", rest_e4
                )
        return paid_e4 < within_e4, dict(given)

    @staticmethod
    def _is_own_stream(connection: Connection, stream: str, owner: str) -> bool:
        """Whether ``stream`` is of a site at which the job's owner stands or stood."""
        found = connection.execute(
            "SELECT site.name FROM stream JOIN site ON site.id = stream.site WHERE stream.id = ?",
            (stream,),
        ).fetchone()
        try:
            check_spoken_for(connection, "" if found is None else found[0], owner)
        except Rejected:
            return False
        return True

    def _note_use(self, connection: Connection, owner: str, user: int) -> None:
        """Somebody printed or copied: a STRICT site of the owner should hold some of theirs."""
        site = self._setting(site_of_owner, connection, owner)
        if site is None:
            return
        if self._setting(read_strict, connection, site).holds_for(connection, user):
            self._allowances.note_use(connection, user, site)
            self.refill(connection, user)

    def refill(self, connection: Connection, user: int) -> None:
        """Grant what the STRICT sites of the person's last uses should hold."""
        try:
            prices = self.prices_now(connection)
        except Rejected:
            # Nothing has a price yet, so nobody has used a printer.
            return
        self._allowances.refill(connection, user, prices.grey_a4_e4, prices.version)

    def _already(self, connection: Connection, completion: Completion, source: Source) -> Receipt:
        found = connection.execute(
            "SELECT amount_e4, pages FROM charge WHERE charge_id = ?", (completion.key,)
        ).fetchone()
        amount_e4, pages = found or (0, 0)
        if completion.pages is not None and completion.pages != pages:
            detail = f"again with {completion.pages} pages, {pages} stand"
            self.list_item(connection, "repeated-complete", completion.key, source.who, detail)
        return Receipt("already", amount_e4, pages)

    def _settle_without_paper(
        self,
        connection: Connection,
        completion: Completion,
        stored: Stored | None,
        decision: Decision,
        source: Source,
    ) -> None:
        if stored is not None and stored.state == "open":
            self.void(connection, completion.key)
        self.log_job(connection, completion, decision, source, ended=completion.outcome)
        self._settle(connection, completion, stored, decision)

    def _settle(
        self,
        connection: Connection,
        completion: Completion,
        stored: Stored | None,
        decision: Decision,
    ) -> None:
        key = completion.key
        if stored is None:
            self._store(
                *(connection, key, completion.provider, completion.job_uuid, decision),
                *("settled", None, 0),
            )
        else:
            connection.execute("UPDATE decision SET state = 'settled' WHERE key = ?", (key,))
            askers.release_all(connection, key)
            if stored.state == "open":
                self._log.touch("reservation", key, *_was(stored))
        # Sites hear of it with or without a charge: what they reserved for the key is free.
        self._log.charged(key, completion.provider)

    def _store(
        self,
        connection: Connection,
        key: str,
        provider: str,
        job_uuid: str,
        decision: Decision,
        state: str,
        transfer: int | None,
        reserved_e4: int,
    ) -> None:
        row = decision_row(
            *(key, provider, job_uuid, decision, state, transfer, reserved_e4, self._log.number)
        )
        insert_rows(connection, DECISION, [row])
        if state == "open":
            self._log.touch("reservation", key)

    def _write_charge(
        self,
        connection: Connection,
        completion: Completion,
        decision: Decision,
        lines: tuple[PriceLine, ...],
        account: int,
        forced: bool,
        source: Source,
    ) -> None:
        charge_id = completion.key
        user = decision.user
        if user is not None:
            user = heir_of_user(connection, "", user)
        if self.ignore_unique_key:
            (before,) = connection.execute(
                "SELECT COUNT(*) FROM charge WHERE key = ?", (completion.key,)
            ).fetchone()
            charge_id += f"#{before + 1}" if before else ""
        whose = (user, account, forced, source, self._wall_s(), self._log.number)
        row = charge_row(charge_id, completion, decision, lines, *whose)
        insert_rows(connection, CHARGE, [row])

    @staticmethod
    def _flags(forced: bool, completion: Completion, owner_known: bool) -> list[str]:
        flags = {"forced": forced, "assumed": completion.assumed, "uncollected": not owner_known}
        return [kind for kind, applies in flags.items() if applies]

"""A site's own decisions, taken from replica and journal, each a step of the journal's
transaction (design 4.1 to 4.4, 4.10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import msgspec

from papercutd.domain.account_choice import Settled, settle
from papercutd.domain.account_mode import Mode, parse_mode
from papercutd.domain.capabilities import lacking
from papercutd.domain.decision import (
    Decision,
    Policy,
    Reason,
    Verdict,
    available_cut_e4,
    decide_cut,
)
from papercutd.domain.document import correct_pages
from papercutd.domain.job import (
    Completion,
    Receipt,
    Request,
    SessionRef,
    is_run,
)
from papercutd.domain.new_user import Start
from papercutd.domain.policy import Effective, UnknownUsers
from papercutd.domain.pricing import (
    PagePrice,
    PriceLine,
    PriceList,
    fit_lines,
    reprice_pages,
    total_e4,
    total_pages,
    with_markup,
)
from papercutd.errors import NotFound, Rejected
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.policies import read_effective
from papercutd.storage.engine import Connection
from papercutd.storage.jobs import askers, runs
from papercutd.storage.jobs.naming import added_by, with_naming
from papercutd.storage.jobs.priced import price_for
from papercutd.storage.money.purses_shown import shown_here
from papercutd.storage.money.shared_access import choose
from papercutd.storage.people.people import find_user, has_expired, heir_of_user, merged_users
from papercutd.storage.replication.records import (
    ALLOWANCE,
    CANCELED,
    CARD_CLAIM,
    COMPLETED,
    REFUSED,
    SUPERSEDED,
    Linked,
    Record,
    Total,
    encode_record,
)
from papercutd.storage.replication.scope import check_printer, check_step
from papercutd.storage.site import allowances_here, claims_here, replica
from papercutd.storage.site.overlay import read_overlay
from papercutd.storage.site.promises import read_promised, with_promised
from papercutd.storage.site.site_journal import append_body, current_stream, read_mark
from papercutd.storage.site.users_met_here import decide_met, keep_met, start_here
from papercutd.storage.site.vouchers_here import with_vouchers
from papercutd.storage.values import Purse

#: Users of one record of totals.
TOTALS_MAX = 100
_ENCODE = msgspec.json.Encoder().encode
_DECODE_DECISION = msgspec.json.Decoder(Decision).decode
_DECODE_REQUEST = msgspec.json.Decoder(Request).decode


class Deciding:
    """What a site answers, and what it keeps of it."""

    def __init__(
        self, wall_s: Callable[[], float], is_anchored: Callable[[], bool] = lambda: True
    ) -> None:
        """Without an anchor allowances are not spent: a restore could spend them twice."""
        self._wall_s = wall_s
        #: The clock of what is dated: prices and promises (design 4.10).
        self.dated_s = wall_s
        self._is_anchored = is_anchored

    def stored(
        self, connection: Connection, asker: SessionRef, request: Request
    ) -> Decision | None:
        askers.check_session(connection, asker)
        found = connection.execute(
            "SELECT provider, state, body FROM decision WHERE key = ?", (request.key,)
        ).fetchone()
        if found is None:
            other = connection.execute(
                "SELECT 1 FROM decision WHERE key > ? AND key < ? AND provider <> ? LIMIT 1",
                (f"{request.job}/", f"{request.job}0", request.provider),
            ).fetchone()
            if other is not None:
                raise Rejected("not-yours")
            return None
        if found[0] != request.provider:
            raise Rejected("not-yours")
        if found[1] in ("voided", "settled"):
            raise Rejected(found[1])
        if found[1] == "open":
            askers.hold(connection, request.key, asker)
        return _DECODE_DECISION(found[2])

    def decide(self, connection: Connection, request: Request) -> Decision:
        """This site's own answer (design 4.10); nothing is written."""
        identity = connection.execute("SELECT site, stream FROM identity").fetchone()
        waits = check_printer(connection, "replica.", request, None)
        position = replica.read_position(connection)
        prices, capable = prices_in_force(connection, self.dated_s())
        user = find_user(connection, "replica.", request.user_name)
        decision = Decision(
            verdict=Verdict.HOLD,
            reason=Reason.UNKNOWN_USER,
            decider=identity[1],
            user=None,
            account=None,
            printer=request.printer,
            price_version=prices.version,
            lines=price_for(
                connection, "replica.", request.document, prices, request.printer, user
            ),
            position="" if position is None else position.text,
        )
        person = connection.execute(
            "SELECT id, account, disabled, expires_at, account_mode, needs FROM replica.user"
            " WHERE id = ?",
            (user,),
        ).fetchone()
        policy = read_effective(connection, identity[0], user, prices.grey_a4_e4)
        start: Start | None = None
        if not capable or not policy.can_decide:
            return attrs.evolve(decision, reason=Reason.CAPABILITY)
        if person is None:
            if not policy.creates_unknown or waits:
                return _decide_unknown(decision, policy, waits)
            start = start_here(connection, request, self._wall_s())
            if start is None:
                return decision
            person = (None, None, 0, None, *start.mode)
        settled = _settle(request, policy, person[4], person[5])
        is_own_choice = request.account is not None
        chosen = choose(
            *(connection, "replica.", settled.shared, person[0], self.dated_s()), is_own_choice
        )
        refusal, lines = chosen.refusal, with_markup(decision.lines, added_by(settled, chosen))
        account = _payer(connection, person[1], settled.payer)
        decision = attrs.evolve(decision, user=person[0], account=account, lines=lines)
        if person[2] or has_expired(person[3], self.dated_s()):
            return attrs.evolve(decision, reason=Reason.CLOSED)
        if refusal is not Reason.NONE:
            # The account that was chosen cannot be charged: nobody else is charged instead.
            return attrs.evolve(decision, account=None, reason=refusal)
        decision = with_naming(decision, settled, chosen, request.invoice)
        if waits:
            return attrs.evolve(decision, reason=Reason.RELEASE)
        if settled.verdict is not None and policy.policy is not Policy.CLOSED:
            ask = False if settled.asks else None
            return attrs.evolve(decision, verdict=settled.verdict, reason=settled.reason, ask=ask)
        if account is None:
            # Of somebody met here, who pays with their own.
            assert start is not None
            return decide_met(connection, decision, request, policy, start)
        overlay = read_overlay(connection, account)
        if overlay is None:
            return decision
        money = policy.money(overlay.unsettled_e4)
        promised = read_promised(connection, account, self.dated_s())
        decision = attrs.evolve(decision, promise=promised.due.text)
        overlay = with_promised(overlay, promised, money.policy)
        overlay = with_vouchers(connection, overlay, account, money.policy)
        is_strict = money.policy is Policy.STRICT and overlay.funds.restricted
        # A shared account is nobody's: no stream is granted anything of it.
        if is_strict and account == person[1] and self._is_anchored():
            held_e4 = allowances_here.available_e4(connection, person[0])
            money = attrs.evolve(money, allowance_e4=held_e4)
        if is_strict and not request.document.analysed:
            # What it costs is known when it is printed: too late for who spends only what is there.
            return attrs.evolve(decision, reason=Reason.FUNDS)
        if is_run(request.step):
            available_e4 = available_cut_e4(overlay.funds, money)
            decision = attrs.evolve(decision, lines=fit_lines(decision.lines, available_e4))
        verdict, reason = decide_cut(overlay.funds, money, decision.amount_e4)
        is_paid = verdict is Verdict.ALLOW and is_strict and decision.amount_e4 > 0
        return attrs.evolve(decision, verdict=verdict, reason=reason, allowance=is_paid)

    def keep(
        self,
        connection: Connection,
        asker: SessionRef,
        request: Request,
        decision: Decision,
        origin: str,
    ) -> None:
        state = "open" if decision.allowed else "refused"
        number = 0
        # That a job waits for its person is no news for the job log.
        is_waiting = decision.reason is Reason.RELEASE or decision.ask is not None
        is_news = not decision.allowed and not is_waiting
        if is_news and origin == "own":
            number = self._append(
                connection,
                Record(REFUSED, request.key, *self._now(connection), None, request, decision),
            )
        escrow_e4 = decision.amount_e4 if decision.allowance else 0
        met = ""
        if decision.allowed and decision.user is None and origin == "own":
            policy = read_policy(connection, None, self.dated_s())
            if policy.creates_unknown:
                position, wall_s = self._now(connection)
                met = keep_met(connection, request, position, wall_s)
        connection.execute(
            "INSERT INTO decision (key, provider, job_uuid, user, account, reserved_e4, state,"
            " origin, body, request, number, decided_at, escrow_e4, met)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(request.key, request.provider, request.job_uuid, decision.user),
                *(decision.account, decision.amount_e4 if decision.allowed else 0, state, origin),
                *(_ENCODE(decision), _ENCODE(request), number, self._wall_s(), escrow_e4, met),
            ),
        )
        if escrow_e4 and decision.user is not None:
            allowances_here.reserve(connection, decision.user, escrow_e4)
        if decision.allowed:
            askers.hold(connection, request.key, asker)

    def complete(
        self, connection: Connection, asker: SessionRef, completion: Completion
    ) -> Receipt:
        askers.check_session(connection, asker)
        return self.settle(connection, completion)

    def settle(self, connection: Connection, completion: Completion) -> Receipt:
        """Journal what came out, whoever tells it."""
        key = completion.key
        check_step(completion.provider, completion.step)
        completion = runs.take_count(connection, completion)
        found = connection.execute(
            "SELECT provider, state, reserved_e4, pages, body FROM decision WHERE key = ?", (key,)
        ).fetchone()
        if found is not None and found[0] != completion.provider:
            raise Rejected("not-yours")
        if found is not None and found[1] == "settled":
            return Receipt("already", found[2], found[3], mark=read_mark(connection))
        decision = _DECODE_DECISION(found[4]) if found is not None else completion.decision
        if decision is None:
            raise Rejected("not-allowed", "a tracker's record is for the application server")
        if found is not None and found[1] != "open":
            # Its reservation was given back: what held the money holds it no more.
            decision = attrs.evolve(decision, allowance=False)
        completion = attrs.evolve(completion, decision=decision)
        record = Record(COMPLETED, key, *self._now(connection), completion)
        number = self._append(connection, record)
        lines = _final_lines(completion, decision)
        amount_e4, pages = total_e4(lines), total_pages(lines)
        escrow_e4 = min(amount_e4, decision.amount_e4) if decision.allowance else 0
        if found is None:
            connection.execute(
                "INSERT INTO decision (key, provider, job_uuid, user, account, reserved_e4,"
                " state, origin, body, request, pages, number, decided_at, escrow_e4)"
                " VALUES (?, ?, ?, ?, ?, ?, 'settled', 'own', ?, x'', ?, ?, ?, ?)",
                (
                    *(key, completion.provider, completion.job_uuid, decision.user),
                    *(decision.account, amount_e4, _ENCODE(decision), pages, number),
                    *(self._wall_s(), escrow_e4),
                ),
            )
            allowances_here.spend_unreserved(connection, decision, escrow_e4)
        else:
            if decision.allowance:
                allowances_here.resolve(connection, decision, escrow_e4)
            connection.execute(
                "UPDATE decision SET state = 'settled', reserved_e4 = ?, pages = ?, number = ?,"
                " escrow_e4 = ? WHERE key = ?",
                (amount_e4, pages, number, escrow_e4, key),
            )
            askers.release_all(connection, key)
        return Receipt("journalled", amount_e4, pages, mark=read_mark(connection))

    def void(self, connection: Connection, key: str) -> None:
        """Nobody holds ``key`` here: it reserves no more, and the application server is told."""
        found = connection.execute(
            "SELECT request, body FROM decision WHERE key = ? AND state = 'open'", (key,)
        ).fetchone()
        if found is None:
            return
        runs.forget(connection, key)
        record = Record(
            CANCELED,
            key,
            *self._now(connection),
            None,
            _DECODE_REQUEST(found[0]),
            _DECODE_DECISION(found[1]),
        )
        number = self._append(connection, record)
        decision = _DECODE_DECISION(found[1])
        if decision.allowance:
            allowances_here.resolve(connection, decision, 0)
        connection.execute(
            "UPDATE decision SET state = 'voided', number = ?, escrow_e4 = 0 WHERE key = ?",
            (number, key),
        )

    def claim_card(self, connection: Connection, id: str, user: int, number: str) -> str:
        """``user`` links a card here: ``claimed``, or ``already``; raises as check_claim does."""
        claim = claims_here.check_claim(connection, id, user, number)
        if claim is None:
            return "already"
        card = Linked(claim.hash, claim.user)
        record = Record(CARD_CLAIM, claim.id, *self._now(connection), card=card)
        claims_here.keep_claim(connection, claim, self._append(connection, record))
        return "claimed"

    def give_back(self, connection: Connection, users: Sequence[int], amount_e4: int) -> int:
        totals = allowances_here.give_back(connection, users, amount_e4)
        return self._tell(connection, totals) if totals else 0

    def give_back_unneeded(self, connection: Connection) -> int:
        given_e4 = 0
        for user in allowances_here.holders(connection):
            if self._is_strict(connection, user):
                continue
            users = merged_users(connection, "replica.", user)
            held_e4 = allowances_here.available_e4(connection, user)
            if held_e4 > 0 and self.give_back(connection, users, held_e4):
                given_e4 += held_e4
        return given_e4

    def tell_allowances(self, connection: Connection) -> bool:
        position = replica.read_position(connection)
        (told,) = connection.execute("SELECT reported_timeline FROM identity").fetchone()
        if position is None or position.timeline <= told:
            return False
        totals = allowances_here.read_totals(connection)
        while len(totals) > TOTALS_MAX:
            self._tell(connection, totals[:TOTALS_MAX])
            totals = totals[TOTALS_MAX:]
        self._tell(connection, totals, position.timeline)
        connection.execute("UPDATE identity SET reported_timeline = ?", (position.timeline,))
        return True

    def _is_strict(self, connection: Connection, user: int) -> bool:
        heir = heir_of_user(connection, "replica.", user)
        return read_policy(connection, heir, self.dated_s()).policy is Policy.STRICT

    def _tell(self, connection: Connection, totals: Sequence[Total], timeline: int = 0) -> int:
        stream = current_stream(connection)
        record = Record(ALLOWANCE, stream, *self._now(connection))
        record = attrs.evolve(record, totals=tuple(totals), timeline=timeline)
        return self._append(connection, record)

    def note_link(self, connection: Connection, identity: str, kind: str) -> None:
        """An asker's session ended here, or has told all it retained: for the statement."""
        self._append(connection, Record(kind, identity, *self._now(connection)))

    def supersede(self, connection: Connection, key: str, answer: Decision) -> None:
        if answer.allowed:
            self._append(connection, Record(SUPERSEDED, key, *self._now(connection)))

    def _now(self, connection: Connection) -> tuple[str, float]:
        position = replica.read_position(connection)
        return ("" if position is None else position.text, self._wall_s())

    def _append(self, connection: Connection, record: Record) -> int:
        return append_body(connection, encode_record(record), self._wall_s())


def prices_in_force(connection: Connection, dated_s: float) -> tuple[PriceList, bool]:
    """The version in force and whether this release can evaluate it.

    Where none is, the application server's clock was wrong when it was heard last: then the
    first one, for no printing stops for a clock.
    """
    found = connection.execute(
        "SELECT version, body, needs FROM replica.price ORDER BY effective_from > ?,"
        " CASE WHEN effective_from > ?1 THEN effective_from ELSE -version END, version LIMIT 1",
        (dated_s,),
    ).fetchone()
    if found is None:
        raise Rejected("unavailable", "the replica holds no price list")
    if not lacking(found[2].split()):
        return decode_prices(found[1]), True
    # Held whatever it says: what else is in a newer release's prices is not for us to read.
    return PriceList(found[0], 0.0, "", (), PagePrice("", 0, 0)), False


def _payer(connection: Connection, personal: int | None, chosen: int | None) -> int | None:
    """Whose account it is; None: of somebody who has none here yet."""
    if chosen is not None or personal is None:
        return chosen
    found = connection.execute(
        "SELECT merged_into FROM replica.account WHERE id = ?", (personal,)
    ).fetchone()
    return personal if found is None or found[0] is None else int(found[0])


def _settle(request: Request, policy: Effective, own_mode: str, needs: str) -> Settled:
    """Who is to pay, by what the replica says of the person and the rules."""
    try:
        mode = _parsed_mode(policy, own_mode, needs)
    except ValueError:
        return Settled(None, Verdict.HOLD, Reason.CAPABILITY)
    return settle(request, mode, policy.account)


def _parsed_mode(policy: Effective, own_mode: str, needs: str) -> Mode | None:
    """None: nobody has set any. Raises ValueError for what only a newer release knows."""
    if lacking(needs.split()):
        raise ValueError(needs)
    return parse_mode(own_mode) if own_mode else policy.account_mode


def read_mode_here(policy: Effective, own_mode: str, needs: str) -> Mode | None:
    """A person's mode of account selection by the replica; None: a newer release has set it."""
    try:
        return _parsed_mode(policy, own_mode, needs) or Mode()
    except ValueError:
        return None


def _decide_unknown(held: Decision, policy: Effective, waits: bool) -> Decision:
    """Of somebody whom this replica does not know; ``held`` is the answer that holds it.

    Where jobs wait for their person it is held: nothing proves who comes for it.
    """
    if policy.policy is Policy.CLOSED:
        return attrs.evolve(held, reason=Reason.CLOSED)
    if not policy.can_decide_unknown:
        return attrs.evolve(held, reason=Reason.CAPABILITY)
    if policy.unknown_users is UnknownUsers.DENY:
        return attrs.evolve(held, verdict=Verdict.DENY)
    if policy.unknown_users is UnknownUsers.UNCOLLECTED and not waits:
        return attrs.evolve(held, verdict=Verdict.ALLOW, reason=Reason.NONE)
    return held


def read_policy(connection: Connection, user: int | None, dated_s: float) -> Effective:
    """What holds at this site for ``user``; None: for anybody in no group."""
    (site,) = connection.execute("SELECT site FROM identity").fetchone()
    prices, _ = prices_in_force(connection, dated_s)
    return read_effective(connection, site, user, prices.grey_a4_e4)


def _final_lines(completion: Completion, decision: Decision) -> tuple[PriceLine, ...]:
    """What the application server will charge for this record, as far as a site can tell."""
    if is_run(completion.step):
        return reprice_pages(decision.lines, completion.pages or 0)
    if not completion.document.analysed:
        return (PriceLine("counted by the printer", completion.pages or 0, 0),)
    pages, _ = correct_pages(total_pages(decision.lines), completion.pages)
    return reprice_pages(decision.lines, pages)


def read_purse(connection: Connection, account: int, dated_s: float) -> Purse:
    """What an account holds, shown by a site, and what the site may allow of it by itself."""
    overlay = read_overlay(connection, account)
    if overlay is None:
        raise NotFound("account", str(account))
    funds = overlay.funds
    (user,) = connection.execute(
        "SELECT user FROM replica.account WHERE id = ?", (account,)
    ).fetchone()
    policy = read_policy(connection, user, dated_s)
    held_e4 = allowances_here.available_of_account(connection, account)
    money = attrs.evolve(policy.money(overlay.unsettled_e4), allowance_e4=held_e4)
    promised = read_promised(connection, account, dated_s)
    here = with_promised(overlay, promised, money.policy)
    here = with_vouchers(connection, here, account, money.policy)
    cut_e4 = available_cut_e4(here.funds, money) if policy.can_decide else 0
    spendable_e4 = funds.spendable_e4 + overlay.escrow_e4 if funds.restricted else None
    balance_e4 = funds.balance_e4 + overlay.escrow_e4
    purses = shown_here(connection, account, balance_e4, overlay.settled_e4)
    return Purse(balance_e4, spendable_e4, cut_e4, promised.amount_e4, purses)

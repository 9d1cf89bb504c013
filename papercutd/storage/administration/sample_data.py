"""A large installation that never was: people, cards, printers, and years of priced jobs.

Everything is what the server itself would have written: transfers that add up, charges with
their decisions, sealed entries of the change log. The same numbers and dice give the same data.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import attrs
import msgspec

from papercutd.domain.card import hash_card
from papercutd.domain.decision import APPLICATION, Decision, Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.pricing import PriceLine, PriceList, price_document, total_e4, total_pages
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.administration.directory import Directory, decode_prices
from papercutd.storage.engine import Connection
from papercutd.storage.history.monthly_bulk import make_sums
from papercutd.storage.money.accounts import ADJUSTMENT, REVENUE, Accounts
from papercutd.storage.people.groups import Groups
from papercutd.storage.people.people import CARD_KEY, read_secret
from papercutd.storage.proof.seals import Seal
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.timeline import next_id
from papercutd.storage.sqlite.bulk_load import Entries, Load, seal_of

USERS_MAX, JOBS_MAX = 10_000_000, 100_000_000
YEAR_S = 365 * 86_400
GROUPS = 20
#: Jobs of one entry of the change log, about as many as one group commit holds.
_ENTRY = 200
_TRANSACTION = 20_000
_TABLES = (
    *("account", "user", "user_name", "card", "group_member", "charge", "decision", "transfer"),
    *("member_span", "monthly", "change_log"),
)
_FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Iris", "Jan", "Kim", "Lea")
_LAST = ("Adler", "Berg", "Clark", "Diaz", "Ekman", "Fischer", "Garcia", "Hansen", "Ito", "Jones")
_TITLES = ("Lecture notes", "Timetable", "Invoice", "Thesis draft", "Exercise sheet", "Letter")
_ENCODE = msgspec.json.Encoder().encode
Progress = Callable[[str, int, int], None]
T = TypeVar("T")


class Dice(Protocol):
    """What of ``random.Random`` is thrown here."""

    def random(self) -> float: ...
    def choice(self, seq: Sequence[T]) -> T: ...
    def getrandbits(self, k: int, /) -> int: ...


@attrs.frozen
class Plan:
    """What is to be made."""

    users: int
    jobs: int
    sites: int = 4
    printers: int = 200
    years: int = 2

    def check(self) -> None:
        """Raises InvalidValue."""
        bounds = {
            **{"users": (1, USERS_MAX), "jobs": (0, JOBS_MAX), "sites": (0, 500)},
            **{"printers": (1, 20_000), "years": (1, 10)},
        }
        for field, (least, most) in bounds.items():
            if not least <= getattr(self, field) <= most:
                raise InvalidValue(field, f"is not between {least} and {most}")


@attrs.frozen
class _Paper:
    """One kind of job, priced."""

    lines: tuple[PriceLine, ...]
    text: str
    amount_e4: int
    pages: int
    sheets: int


def why_not(connection: Connection, may_hold_data: bool) -> str:
    """Why this database cannot take sample data; empty: it can."""
    for table in ("stream", "asker"):
        if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None:
            return "a site, print provider or device has been connected to it"
    if connection.execute("SELECT 1 FROM \"user\" WHERE source = 'sample' LIMIT 1").fetchone():
        return "it holds sample data already"
    for table in ("user", "charge", "site", "provider"):
        if (
            not may_hold_data
            and connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone() is not None
        ):
            return "it is not empty (--not-empty adds to what is there)"
    return ""


class SampleData:
    """Fills a database that nobody else writes."""

    def __init__(
        self,
        load: Load,
        plan: Plan,
        rng: Dice,
        now_s: float,
        progress: Progress,
    ) -> None:
        """``rng``: seeded, so that the same data is made again."""
        plan.check()
        self._load = load
        self._connection = load.connection
        self._plan = plan
        self._now_s = float(int(now_s))
        self._progress = progress
        self._rng = rng
        self._since_s = self._now_s - plan.years * YEAR_S
        self._spent = array("q", bytes(8 * plan.users))
        self._next_transfer = 0

    def fill(self, card_key: str) -> None:
        """``card_key``: for an installation that has none yet."""
        with self._load.piece():
            self._make_places(card_key)
        self._prices = self._read_prices()
        self._next_transfer = next_id(self._connection, "transfer")
        self._first_user = next_id(self._connection, "user")
        self._first_account = next_id(self._connection, "account")
        self._opening_e4 = self._reckon_opening()
        self._load.begin(_TABLES)
        self._entries = Entries(self._load)
        self._make_users()
        self._make_jobs()
        self._make_accounts()
        self._sum_months()
        self._load.finish(lambda done, of: self._progress("indexes", done, of))

    def _make_places(self, card_key: str) -> None:
        """The few objects, as an administrator makes them."""
        connection, plan = self._connection, self._plan
        log = ChangeLog(lambda: self._since_s)
        directory = Directory(log, Accounts(log))
        groups = Groups(log, directory)
        log.begin(connection)
        directory.ensure_secret(connection, CARD_KEY, card_key)
        sites = [f"site-{number:03}" for number in range(1, plan.sites + 1)]
        for site in sites:
            directory.add_site(connection, site)
        providers = []
        for number in range(max(1, len(sites))):
            providers.append(f"print-server-{number + 1:03}")
            beside = sites[number] if sites else None
            directory.add_provider(connection, providers[-1], beside)
        self._printers: list[tuple[int, str]] = []
        for number in range(plan.printers):
            provider = providers[number % len(providers)]
            name, uri = f"printer-{number + 1:05}", "socket://192.0.2.1:9100"
            printer = directory.add_printer(connection, name, provider, uri)
            self._printers.append((printer, provider))
        self._groups = [groups.add(connection, f"group-{n:02}") for n in range(1, GROUPS + 1)]
        # The first seals are those of all rows: from now on every row has to bring its own.
        connection.execute("UPDATE account SET name = name WHERE id = ?", (REVENUE,))
        log.seal(connection)

    def _read_prices(self) -> PriceList:
        found = self._connection.execute(
            "SELECT body FROM price WHERE effective_from <= ? ORDER BY version DESC LIMIT 1",
            (self._now_s,),
        ).fetchone()
        if found is None:
            raise NotFound("price list in force in", "this installation")
        return decode_prices(found[0])

    def _kinds(self) -> list[_Paper]:
        """Kinds of jobs, the short ones more often."""
        kinds = []
        for pages in (1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12, 20):
            for colour, duplex in ((0, True), (0, False), (0, True), (1, False)):
                document = Document((PageGroup("A4", pages, colour * pages),), duplex=duplex)
                lines = price_document(document, self._prices)
                kinds.append(
                    _Paper(
                        *(lines, _ENCODE(lines).decode(), total_e4(lines), total_pages(lines)),
                        -(-pages // 2) if duplex else pages,
                    )
                )
        return kinds

    def _reckon_opening(self) -> int:
        """What everybody is given: four times what a person spends on average, and then 20.00."""
        kinds = self._kinds()
        mean_e4 = sum(kind.amount_e4 for kind in kinds) / len(kinds)
        dearest_e4 = max(kind.amount_e4 for kind in kinds)
        per_user = self._plan.jobs / self._plan.users
        return 200_000 + dearest_e4 + int(4 * per_user * mean_e4) // 10_000 * 10_000

    def _make_users(self) -> None:
        """Users with names, cards, groups, and the transfer that gave them their money."""
        rng, entries = self._rng, self._entries
        key = read_secret(self._connection, "", CARD_KEY) or ""
        users, names, cards, members, spans, transfers = [], [], [], [], [], []
        seals: list[Seal] = []
        at = self._since_s
        count = self._plan.users
        for number in range(count):
            user, account = self._first_user + number, self._first_account + number
            name = f"sample{number + 1:08}"
            full = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
            users.append(
                (user, name, name, full, account, 0, 0, None, "", "sample", "", None, None, "", ""),
            )
            names.append((name, user, entries.number, None))
            cards.append((hash_card(f"C{number + 1:09}", key), user, at))
            group = self._groups[number % GROUPS]
            members.append((f"{group}.{user}", group, user))
            spans.append((user, group, entries.number, None))
            transfer = self._transfer(ADJUSTMENT, account, self._opening_e4, "", 0, at, "")
            transfers.append(transfer)
            seals.append(seal_of("transfer", transfer[0], transfer))
            is_last = number + 1 == count
            if len(seals) == _ENTRY or is_last:
                entries.add(seals, at)
                seals = []
            if len(users) == _TRANSACTION or is_last:
                self._write(
                    {
                        **{"user": users, "user_name": names, "card": sorted(cards)},
                        **{"group_member": sorted(members), "member_span": spans},
                        "transfer": transfers,
                    }
                )
                cards.clear()
                members.clear()
                spans.clear()
                self._progress("users", number + 1, count)

    def _make_jobs(self) -> None:
        """In the order of time, which is that of their keys."""
        rng, entries, plan = self._rng, self._entries, self._plan
        kinds, version = self._kinds(), self._prices.version
        step_s = plan.years * YEAR_S / max(plan.jobs, 1)
        draw, spent, opening_e4 = rng.random, self._spent, self._opening_e4
        charges, decisions, transfers = [], [], []
        seals: list[Seal] = []
        for number in range(plan.jobs):
            at = self._since_s + (number + draw()) * step_s
            kind = kinds[int(draw() * len(kinds))]
            # Some print much more than others, nobody more than they have.
            place = int(draw() ** 2 * plan.users)
            while spent[place] + kind.amount_e4 > opening_e4:
                place = int(draw() * plan.users)
            spent[place] += kind.amount_e4
            user, account = self._first_user + place, self._first_account + place
            name = f"sample{place + 1:08}"
            printer, provider = self._printers[int(draw() * len(self._printers))]
            key = f"{_job_id(at, rng)}/submit-1"
            change = entries.number
            decision = Decision(
                *(Verdict.ALLOW, Reason.NONE, APPLICATION, user, account, printer, version),
                kind.lines,
                f"{entries.timeline}.{change}",
            )
            row = (
                *(key, provider, "", user, account, kind.amount_e4, "settled", None),
                *(_ENCODE(decision), change),
            )
            title = _TITLES[number % len(_TITLES)]
            charge = (
                *(key, key, provider, printer, user, name, account, APPLICATION, "", 0, version),
                *(kind.text, kind.pages, kind.sheets, kind.amount_e4, 0, 0, "completed", title),
                *(at, at + 1.0, change, None, None),
            )
            place_text = f"printer:{printer}"
            transfer = self._transfer(
                *(account, REVENUE, kind.amount_e4, key, version, at, place_text),
                f"provider:{provider}",
            )
            charges.append(charge)
            decisions.append(row)
            transfers.append(transfer)
            seals.append(seal_of("charge", key, charge))
            seals.append(seal_of("decision", key, row))
            seals.append(seal_of("transfer", transfer[0], transfer))
            is_last = number + 1 == plan.jobs
            if len(seals) >= 3 * _ENTRY or is_last:
                entries.add(seals, at + 1.0)
                seals = []
            if len(charges) == _TRANSACTION or is_last:
                self._write({"charge": charges, "decision": decisions, "transfer": transfers})
                self._progress("jobs", number + 1, plan.jobs)

    def _write(self, rows: dict[str, list[Any]]) -> None:
        with self._load.piece():
            for table, new in rows.items():
                self._load.insert(table, new)
                new.clear()
            self._entries.write()

    def _make_accounts(self) -> None:
        """With what the transfers moved."""
        connection, entries, count = self._connection, self._entries, self._plan.users
        given_e4, spent_e4 = count * self._opening_e4, sum(self._spent)
        with self._load.piece():
            for account, column, more_e4 in (
                (REVENUE, "credits_e4", spent_e4),
                (ADJUSTMENT, "debits_e4", given_e4),
            ):
                connection.execute(
                    f"UPDATE account SET {column} = {column} + ? WHERE id = ?", (more_e4, account)
                )
        seals = [
            seal_of("account", row[0], row)
            for row in connection.execute(
                "SELECT * FROM account WHERE id IN (?, ?)", (REVENUE, ADJUSTMENT)
            )
        ]
        rows: list[tuple[Any, ...]] = []
        for number in range(count):
            account, user = self._first_account + number, self._first_user + number
            name = f"sample{number + 1:08}"
            row = (
                *(account, "personal", name, user, None, None, 1, 0, self._opening_e4),
                *(self._spent[number], 0, 0, None, 0, None, 0, 0, None),
            )
            rows.append(row)
            seals.append(seal_of("account", account, row))
            is_last = number + 1 == count
            if len(seals) >= _ENTRY or is_last:
                entries.add(seals, self._now_s)
                seals = []
            if len(rows) == _TRANSACTION or is_last:
                self._write({"account": rows})
                self._progress("accounts", number + 1, count)

    def _sum_months(self) -> None:
        self._progress("monthly sums", 0, self._plan.jobs)
        with self._load.piece():
            make_sums(self._connection)
        self._progress("monthly sums", self._plan.jobs, self._plan.jobs)

    def _transfer(
        self,
        debit: int,
        credit: int,
        amount_e4: int,
        key: str,
        version: int,
        at: float,
        place: str,
        who: str = "administrator",
    ) -> tuple[Any, ...]:
        number = self._next_transfer
        self._next_transfer += 1
        return (
            *(number, "direct", None, debit, credit, amount_e4, key, version, who, place),
            *(at, at + 1.0, 0, "", self._entries.number),
        )


def _job_id(at: float, rng: Dice) -> str:
    """A UUIDv7 of that time."""
    ms, bits = int(at * 1000), rng.getrandbits(74)
    return (
        f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{bits & 0xFFF:03x}"
        f"-{0x8000 | bits >> 12 & 0x3FFF:04x}-{bits >> 26:012x}"
    )

"""STRICT money: what streams hold of people's money in escrow, at the application server.

An allowance belongs to (stream, user). What is granted leaves the personal account for an
escrow account; from there it pays what the stream decided, or goes back. Always, for each of
them: granted = escrow + settled + returned (design 4.10). Each method is one step of a
transaction. People who were merged keep their rows; what is paid, returned or looked for
goes by all rows of the person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import attrs

from papercutd.domain.allowance import target_e4
from papercutd.domain.decision import APPLICATION
from papercutd.errors import Rejected
from papercutd.storage.administration.listed import list_item
from papercutd.storage.administration.policies import MAY_BE_STRICT, is_strict
from papercutd.storage.engine import Connection
from papercutd.storage.money import purse_lent
from papercutd.storage.money.accounts import Accounts, Entry
from papercutd.storage.people.people import heir_of_user, merged_users
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.records import Total
from papercutd.storage.replication.timeline import next_id


@attrs.frozen
class Allowance:
    """One row, with what its escrow account holds."""

    id: str
    stream: str
    user: int
    account: int
    granted_e4: int
    returned_e4: int
    settled_e4: int
    ahead_e4: int
    told_e4: int

    @property
    def escrow_e4(self) -> int:
        return self.granted_e4 - self.returned_e4 - self.settled_e4


@attrs.frozen
class Shortage:
    """A reservation wants more than the account has, and some of the rest is at sites."""

    missing_e4: int
    #: The person, and those merged into it.
    users: tuple[int, ...]
    #: Identities of connected sites that hold some of it.
    sites: tuple[str, ...]


#: Users of one transaction in which a whole site is granted what it lacks.
USERS_AT_ONCE = 500
_ROW = (
    "SELECT id, stream, user, account, granted_e4, returned_e4, settled_e4, ahead_e4, told_e4"
    " FROM allowance"
)


class Allowances:
    """The application server's side of every allowance."""

    def __init__(self, log: ChangeLog, accounts: Accounts, wall_s: Callable[[], float]) -> None:
        self._log = log
        self._accounts = accounts
        self._wall_s = wall_s

    # What there is.

    def escrow_of(self, connection: Connection, account: int) -> int:
        """What sites hold of the money of the person whose personal account that is."""
        users = self._users_of(connection, account)
        return sum(row.escrow_e4 for row in self._rows(connection, users)) if users else 0

    def shortage(self, connection: Connection, account: int, missing_e4: int) -> Shortage | None:
        """What is missing of a reservation, where a connected site may give some of it back."""
        users = self._users_of(connection, account)
        held = {row.stream for row in self._rows(connection, users) if row.escrow_e4 > 0}
        if not held:
            return None
        places = ", ".join("?" * len(held))
        sites = connection.execute(
            "SELECT asker.identity FROM stream JOIN asker ON asker.journal = stream.id"
            f" WHERE stream.id IN ({places}) AND stream.state = 'live' AND asker.connected = 1"
            " AND asker.identity LIKE 'site:%' ORDER BY asker.identity",
            sorted(held),
        ).fetchall()
        if not sites:
            return None
        return Shortage(missing_e4, tuple(users), tuple(row[0] for row in sites))

    # What moves it.

    def note_use(self, connection: Connection, user: int, site: int) -> None:
        """The person printed or copied at ``site``."""
        connection.execute(
            "INSERT INTO last_use VALUES (?1, ?2, NULL) ON CONFLICT (user) DO UPDATE"
            " SET before = CASE WHEN last_use.site = ?2 THEN last_use.before"
            " ELSE last_use.site END, site = ?2",
            (heir_of_user(connection, "", user), site),
        )

    def refill(self, connection: Connection, user: int, page_e4: int, price_version: int) -> None:
        """Grant what the sites of the person's last uses should hold, where they have little left.

        ``page_e4``: the price of a grey A4 page.
        """
        user = heir_of_user(connection, "", user)
        found = connection.execute(
            "SELECT account, last_use.site, before FROM user JOIN last_use ON last_use.user = id"
            " WHERE id = ? AND disabled = 0 AND deleted_at IS NULL",
            (user,),
        ).fetchone()
        if found is None:
            return
        account, *sites = found
        funds = self._accounts.funds(connection, account)
        if not funds.restricted:
            return
        rows = self._rows(connection, merged_users(connection, "", user))
        balance_e4 = funds.balance_e4 + sum(row.escrow_e4 for row in rows)
        for place, site in enumerate(site for site in sites if site is not None):
            wanted_e4 = target_e4(balance_e4, page_e4, place)
            stream = self._stream_to_grant(connection, site) if wanted_e4 > 0 else None
            if stream is None or not is_strict(connection, site, user):
                continue
            held_e4 = sum(row.escrow_e4 for row in rows if row.stream == stream)
            # Not with every page printed: once half of it is gone.
            if 2 * held_e4 < wanted_e4:
                spendable_e4 = self._accounts.funds(connection, account).spendable_e4
                amount_e4 = min(wanted_e4 - held_e4, spendable_e4)
                if amount_e4 > 0:
                    self._grant(connection, stream, user, amount_e4, price_version)

    def settle(
        self,
        connection: Connection,
        stream: str,
        user: int,
        amount_e4: int,
        entry: Entry,
    ) -> tuple[int, dict[int, int]]:
        """Pay ``amount_e4`` of what ``stream`` decided for ``user``; how much it had, and what of
        that purses had lent, by kind.

        The rest is the caller's to charge. A stream that has not told its totals since a
        restore may have been granted more than we remember: then it is made up for later.
        """
        lent: Counter[int] = Counter()

        def pay(row: Allowance, part_e4: int) -> None:
            lent.update(purse_lent.pay(connection, self._accounts, row, part_e4, entry))

        paid_e4 = self._spend(connection, stream, user, amount_e4, "settled_e4", pay)
        if paid_e4 < amount_e4 and self._is_unreported(connection, stream):
            row = self._row(connection, stream, user) or self._new_row(connection, stream, user)
            connection.execute(
                "UPDATE allowance SET ahead_e4 = ahead_e4 + ? WHERE id = ?",
                (amount_e4 - paid_e4, row.id),
            )
        return paid_e4, dict(lent)

    def take_totals(
        self,
        connection: Connection,
        stream: str,
        totals: Iterable[Total],
        timeline: int,
        entry: Entry,
    ) -> None:
        """What a stream says it was granted and has returned; with ``timeline`` that is all.

        Raises Rejected ``bad-fields`` for more than it was granted, unless a restore may
        have lost the granting: then it is booked again, forced. One that is its site's no
        more spends nothing, and what a restore has lost of its grants stays with the person.
        """
        is_open = self._is_unreported(connection, stream)
        is_live = self._is_live(connection, stream)
        for total in totals:
            if not is_live:
                total = self._as_known(connection, stream, total)
            if not 0 <= total.returned_e4 <= total.granted_e4:
                raise Rejected("bad-fields", "more returned than granted")
            row = self._row(connection, stream, total.user)
            missing_e4 = total.granted_e4 - (0 if row is None else row.granted_e4)
            if missing_e4 > 0:
                if not is_open or not self._exists(connection, total.user):
                    raise Rejected("bad-fields", "more than was granted")
                version = entry.price_version
                self._grant(connection, stream, total.user, missing_e4, version, forced=True)
                row = self._row(connection, stream, total.user)
            if row is not None and total.returned_e4 > row.told_e4:
                back_e4 = total.returned_e4 - row.told_e4
                connection.execute(
                    "UPDATE allowance SET told_e4 = ? WHERE id = ?", (total.returned_e4, row.id)
                )
                self._give_back(connection, stream, total.user, back_e4, entry)
            if is_open:
                self._make_up(connection, stream, total.user, entry)
        if timeline:
            connection.execute(
                "UPDATE stream SET reported_timeline = MAX(reported_timeline, ?) WHERE id = ?",
                (timeline, stream),
            )

    def retire(self, connection: Connection, stream: str, entry: Entry) -> int:
        """Give back all that ``stream`` holds; how much that was."""
        given_e4 = 0
        for row in self._select(connection, "stream = ?", [stream]):
            if row.escrow_e4 > 0:
                given_e4 += self._give_back(connection, stream, row.user, row.escrow_e4, entry)
        return given_e4

    def can_grant(self, connection: Connection, site: str) -> bool:
        """Whether the site called so is STRICT, connected, and has told its totals."""
        found = connection.execute("SELECT id FROM site WHERE name = ?", (site,)).fetchone()
        return found is not None and self._stream_to_grant(connection, found[0]) is not None

    def users_after(self, connection: Connection, site: str, after: int) -> list[int]:
        """Whose last uses were at the STRICT ``site``: the next ones with greater ids."""
        return [
            row[0]
            for row in connection.execute(
                "SELECT user FROM last_use JOIN site ON site.id IN (last_use.site, before)"
                f" WHERE site.name = ? AND {MAY_BE_STRICT} AND user > ? ORDER BY user LIMIT ?",
                (site, after, USERS_AT_ONCE),
            )
        ]

    # Parts of the above.

    def _grant(
        self,
        connection: Connection,
        stream: str,
        user: int,
        amount_e4: int,
        price_version: int,
        forced: bool = False,
    ) -> None:
        now = self._wall_s()
        entry = Entry(
            key=f"allowance/{stream}/{user}",
            price_version=price_version,
            who=APPLICATION,
            place=f"stream:{stream}",
            claimed_at=now,
            received_at=now,
            forced=forced,
            reason="granted",
        )
        row = self._row(connection, stream, user) or self._new_row(connection, stream, user)
        personal = self._owner(connection, user)
        given = self._accounts.pay(connection, personal, row.account, amount_e4, entry)
        purse_lent.lend(connection, row.id, given)
        self._count(connection, row, "granted_e4", amount_e4)
        if forced:
            list_item(
                *(connection, self._log.number, now, "granted-again", "", f"stream:{stream}"),
                *(f"user {user}: granted before a restore", amount_e4),
            )

    def _give_back(
        self, connection: Connection, stream: str, user: int, amount_e4: int, entry: Entry
    ) -> int:
        entry = attrs.evolve(entry, key=f"allowance/{stream}/{user}", reason="returned")
        owner = self._owner(connection, user)

        def back(row: Allowance, part_e4: int) -> None:
            purse_lent.give_back(connection, self._accounts, row, owner, part_e4, entry)

        return self._spend(connection, stream, user, amount_e4, "returned_e4", back)

    def _make_up(self, connection: Connection, stream: str, user: int, entry: Entry) -> None:
        """What the person paid while we did not know of the granting was the stream's to pay."""
        entry = attrs.evolve(
            entry, key=f"allowance/{stream}/{user}", reason="paid before", forced=True
        )
        owner = self._owner(connection, user)

        def back(row: Allowance, part_e4: int) -> None:
            purse_lent.give_back(connection, self._accounts, row, owner, part_e4, entry)

        for row in self._rows_at(connection, stream, user):
            made_up_e4 = self._spend(connection, stream, user, row.ahead_e4, "settled_e4", back)
            connection.execute(
                "UPDATE allowance SET ahead_e4 = ahead_e4 - ? WHERE id = ?", (made_up_e4, row.id)
            )

    def _spend(
        self,
        connection: Connection,
        stream: str,
        user: int,
        amount_e4: int,
        column: str,
        move: Callable[[Allowance, int], None],
    ) -> int:
        """Take ``amount_e4`` from the person's rows at ``stream``, ``user``'s own first; how much
        there was."""
        rows = self._rows_at(connection, stream, user)
        rows.sort(key=lambda row: (row.user != user, row.user))
        left_e4 = amount_e4
        for row in rows:
            part_e4 = min(left_e4, row.escrow_e4)
            if part_e4 > 0:
                move(row, part_e4)
                self._count(connection, row, column, part_e4)
                left_e4 -= part_e4
        return amount_e4 - left_e4

    def _count(self, connection: Connection, row: Allowance, column: str, amount_e4: int) -> None:
        """The totals of the row and of its stream go on with the transfer."""
        connection.execute(
            f"UPDATE allowance SET {column} = {column} + ? WHERE id = ?", (amount_e4, row.id)
        )
        connection.execute(
            f"UPDATE stream SET {column} = {column} + ? WHERE id = ?", (amount_e4, row.stream)
        )
        self._log.touch("allowance", row.id)
        self._log.touch("stream", row.stream)

    def _new_row(self, connection: Connection, stream: str, user: int) -> Allowance:
        account = next_id(connection, "account")
        connection.execute(
            "INSERT INTO account (id, kind, name, user, stream) VALUES (?, 'escrow', ?, ?, ?)",
            (account, f"{stream}/{user}", user, stream),
        )
        row = f"{stream}/{user}"
        connection.execute(
            "INSERT INTO allowance (id, stream, user, account) VALUES (?, ?, ?, ?)",
            (row, stream, user, account),
        )
        self._log.touch("allowance", row)
        return Allowance(row, stream, user, account, 0, 0, 0, 0, 0)

    def _stream_to_grant(self, connection: Connection, site: int) -> str | None:
        """The connected stream of a STRICT site that has told its totals, if there is one."""
        found = connection.execute(
            "SELECT stream.id FROM stream JOIN site ON site.id = stream.site"
            " JOIN asker ON asker.journal = stream.id AND asker.identity = 'site:' || site.name"
            f" WHERE site.id = ? AND {MAY_BE_STRICT} AND site.removed = 0"
            " AND stream.state = 'live' AND asker.connected = 1"
            " AND stream.reported_timeline = (SELECT timeline FROM head)",
            (site,),
        ).fetchone()
        return None if found is None else str(found[0])

    def _is_unreported(self, connection: Connection, stream: str) -> bool:
        """Whether a restore may have lost what the stream was granted: never in timeline 1."""
        found = connection.execute(
            "SELECT 1 FROM stream WHERE id = ? AND state = 'live'"
            " AND reported_timeline < (SELECT timeline FROM head WHERE timeline > 1)",
            (stream,),
        ).fetchone()
        return found is not None

    @staticmethod
    def _is_live(connection: Connection, stream: str) -> bool:
        found = connection.execute("SELECT state FROM stream WHERE id = ?", (stream,)).fetchone()
        return bool(found == ("live",))

    def _as_known(self, connection: Connection, stream: str, total: Total) -> Total:
        row = self._row(connection, stream, total.user)
        known_e4 = 0 if row is None else row.granted_e4
        return Total(total.user, min(total.granted_e4, known_e4), min(total.returned_e4, known_e4))

    @staticmethod
    def _owner(connection: Connection, user: int) -> int:
        """The personal account of ``user``, or of whom it was merged into."""
        found = connection.execute(
            "SELECT account FROM user WHERE id = ?", (heir_of_user(connection, "", user),)
        ).fetchone()
        return int(found[0])

    @staticmethod
    def _exists(connection: Connection, user: int) -> bool:
        query = "SELECT 1 FROM user WHERE id = ?"
        return connection.execute(query, (user,)).fetchone() is not None

    def _users_of(self, connection: Connection, account: int) -> list[int]:
        """Who has that personal account, with all merged into them; nobody for a shared one."""
        found = connection.execute(
            "SELECT user FROM account WHERE id = ? AND kind = 'personal'", (account,)
        ).fetchone()
        return [] if found is None else merged_users(connection, "", found[0])

    def _rows(self, connection: Connection, users: list[int]) -> list[Allowance]:
        return self._select(connection, f"user IN ({', '.join('?' * len(users)) or 'NULL'})", users)

    def _rows_at(self, connection: Connection, stream: str, user: int) -> list[Allowance]:
        users = merged_users(connection, "", heir_of_user(connection, "", user))
        return [row for row in self._rows(connection, users) if row.stream == stream]

    def _row(self, connection: Connection, stream: str, user: int) -> Allowance | None:
        rows = self._select(connection, "id = ?", [f"{stream}/{user}"])
        return rows[0] if rows else None

    @staticmethod
    def _select(
        connection: Connection, condition: str, values: list[int] | list[str]
    ) -> list[Allowance]:
        found = connection.execute(f"{_ROW} WHERE {condition} ORDER BY id", values)
        return [Allowance(*row) for row in found.fetchall()]


def verify_allowances(connection: Connection) -> list[str]:
    """Escrow accounts that do not hold what was granted and neither settled nor returned."""
    return [
        f"ledger: the allowance {row[0]} should hold {row[1]}, its account holds {row[2]}"
        for row in connection.execute(
            "SELECT allowance.id, granted_e4 - returned_e4 - settled_e4,"
            " credits_e4 - debits_e4 FROM allowance"
            " JOIN account ON account.id = allowance.account"
            " WHERE granted_e4 - returned_e4 - settled_e4 <> credits_e4 - debits_e4"
        )
    ]

"""What administrators look at, as rows with names: read-only queries of the application server."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from papercutd.domain.flags import with_flags
from papercutd.domain.user_fields import DETAILS
from papercutd.errors import NotFound
from papercutd.storage.engine import Connection
from papercutd.storage.money.purses_shown import shown_at_centre
from papercutd.storage.people.account_modes import read_shown
from papercutd.storage.people.people import merged_users
from papercutd.storage.replication.lost_edits import count_lost_edits

#: Rows of one page of a list.
PAGE_ROWS = 500
#: What STRICT sites hold of a user's money: it is theirs, and part of what they have.
AT_SITES = (
    "COALESCE((SELECT SUM(granted_e4 - returned_e4 - settled_e4) FROM allowance"
    " WHERE allowance.user = user.id OR allowance.user IN"
    " (SELECT id FROM user AS former WHERE former.merged_into = user.id)), 0)"
)
_USER = (
    "SELECT user.id, user.name, full_name, restricted, disabled, administrator,"
    " expires_at,"
    f" credits_e4 - debits_e4 + purses_e4 + {AT_SITES} AS balance_e4, {AT_SITES} AS at_sites_e4,"
    " pending_e4, -floor_e4 AS overdraft_e4"
    " FROM user JOIN account ON account.id = user.account"
)
Row = dict[str, Any]


def rows(connection: Connection, query: str, *values: object) -> list[Row]:
    """The rows of ``query``, each by its columns' names, to be shown."""
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [with_flags(dict(zip(names, row, strict=True))) for row in cursor]


def read_users_after(connection: Connection, folded: str) -> list[Row]:
    query = (
        f"{_USER} WHERE folded > ? AND user.merged_into IS NULL AND deleted_at IS NULL"
        f" ORDER BY folded LIMIT {PAGE_ROWS}"
    )
    return rows(connection, query, folded)


def read_user(connection: Connection, user: int) -> Row:
    """One user with names, who was merged into it, and the last charges; raises NotFound."""
    found = rows(connection, f"{_USER} WHERE user.id = ?", user)
    if not found:
        raise NotFound("user", str(user))
    mine = merged_users(connection, "", user)
    places = ", ".join("?" * len(mine))
    (account,) = connection.execute("SELECT account FROM user WHERE id = ?", (user,)).fetchone()
    found[0]["purses"] = [
        {"name": name, "balance_e4": amount_e4}
        for name, amount_e4 in shown_at_centre(connection, account, found[0]["balance_e4"])
    ]
    found[0]["deleted"] = _is_deleted(connection, user)
    found[0].update(read_details(connection, user))
    found[0]["account_mode"] = read_shown(connection, user)
    found[0]["merged"] = _column(
        connection, f"SELECT name FROM user WHERE id IN ({places}) AND id <> ?", *mine, user
    )
    found[0]["former_names"] = _column(
        connection, f"SELECT folded FROM former_name WHERE user IN ({places})", *mine
    )
    found[0]["groups"] = _column(
        connection,
        "SELECT name FROM user_group WHERE removed = 0 AND id IN"
        " (SELECT user_group FROM group_member WHERE user = ?)",
        user,
    )
    found[0]["groups_of_merged"] = _column(
        connection,
        "SELECT name FROM user_group WHERE removed = 0 AND id IN"
        f" (SELECT user_group FROM group_member WHERE user IN ({places}))"
        " AND id NOT IN (SELECT user_group FROM group_member WHERE user = ?)",
        *(*mine, user),
    )
    columns = "key, title, pages, amount_e4, decider, forced, claimed_at"
    # One condition with OR would have PostgreSQL go through all charges.
    newest = f"SELECT * FROM (SELECT {columns}, received_at FROM charge WHERE {{}}"
    newest += " ORDER BY received_at DESC LIMIT 20) AS newest"
    assigned = f"charge_id IN (SELECT charge_id FROM assigned WHERE user IN ({places}))"
    found[0]["charges"] = rows(
        connection,
        f"SELECT {columns} FROM ({newest.format(f'user IN ({places})')}"
        f" UNION {newest.format(assigned)}) AS found ORDER BY received_at DESC LIMIT 20",
        *mine,
        *mine,
    )
    return found[0]


def _column(connection: Connection, query: str, *values: object) -> list[str]:
    return sorted(row[0] for row in connection.execute(query, values))


def read_details(connection: Connection, user: int) -> Row:
    """What is kept of a person beside money and names, empty where nothing was set."""
    query = f"SELECT {', '.join(DETAILS)} FROM user_detail WHERE user = ?"
    found = rows(connection, query, user)
    return found[0] if found else dict.fromkeys(DETAILS, "")


def _is_deleted(connection: Connection, user: int) -> bool:
    query = "SELECT deleted_at FROM user WHERE id = ?"
    return connection.execute(query, (user,)).fetchone()[0] is not None


def read_sites(connection: Connection) -> list[Row]:
    found = rows(connection, "SELECT * FROM site ORDER BY name")
    groups = dict(connection.execute("SELECT id, name FROM user_group").fetchall())
    for site in found:
        del site["scope_since"]
        within = [groups.get(int(group), group) for group in site["scope"].split(",") if group]
        site["scope"] = within or "everybody"
    return found


def read_providers(connection: Connection) -> list[Row]:
    return rows(
        connection,
        "SELECT provider.id, provider.name, site.name AS site, preferred FROM provider"
        " LEFT JOIN site ON site.id = provider.site ORDER BY provider.name",
    )


def read_printers(connection: Connection) -> list[Row]:
    return rows(
        connection,
        "SELECT printer.id, printer.name, provider.name AS provider, uri, when_alone, release,"
        ' pull_group AS "group", held_max_s AS held_for_s FROM printer'
        " JOIN provider ON provider.id = printer.provider ORDER BY printer.name",
    )


def read_devices(connection: Connection) -> list[Row]:
    return rows(
        connection,
        "SELECT device.id, device.name, site.name AS site, printer.name AS printer, functions,"
        " logins, idle_s FROM device JOIN printer ON printer.id = device.printer"
        " LEFT JOIN site ON site.id = device.site WHERE device.removed = 0 ORDER BY device.name",
    )


def read_site_states(connection: Connection) -> list[Row]:
    """Each site with its live stream and when it was last seen."""
    return rows(
        connection,
        "SELECT site.name, policy, stream.id AS stream, stream.number AS records,"
        " asker.position AS position, asker.seen_at AS seen_at,"
        " COALESCE((SELECT event FROM link_event WHERE identity = 'site:' || site.name"
        " AND link_event.drill = 1 ORDER BY id DESC LIMIT 1), '') = 'down' AS drill FROM site"
        " LEFT JOIN stream ON stream.site = site.id AND stream.state = 'live'"
        " LEFT JOIN asker ON asker.identity = 'site:' || site.name"
        " WHERE site.removed = 0 ORDER BY site.name",
    )


def read_counts(connection: Connection) -> dict[str, int]:
    """How many there are of what other systems charge for, and of what wants a look."""

    def count(query: str) -> int:
        return int(connection.execute(f"SELECT COUNT(*) FROM {query}").fetchone()[0])

    return {
        "users": count("user WHERE merged_into IS NULL AND deleted_at IS NULL"),
        "points_of_print": count("printer WHERE removed = 0"),
        "providers": count("provider WHERE removed = 0"),
        "devices": count("device WHERE removed = 0"),
        "open_reservations": count("decision WHERE state = 'open'"),
        "charges": count("charge"),
        "parked": count("parked"),
        "lost_edits": count_lost_edits(connection),
        "listed": count("listed"),
    }


def compare_with_provider(connection: Connection, provider: str, printed: Set[str]) -> list[str]:
    """Keys that a provider's journal has as printed and the ledger has not, and the reverse.

    Of what a journal before this one printed only that knew, and of what an administrator
    settled for it nobody does.
    """
    charged = _keys(connection, "charge", provider)
    lost = sorted(printed - charged - _keys(connection, "job_log", provider))
    return [
        *(f"provider {provider}: {key} was printed and is not charged" for key in lost),
        *(
            f"provider {provider}: {key} is charged and was not printed"
            for key in sorted(_its_own(connection, provider) - printed)
        ),
    ]


def _its_own(connection: Connection, provider: str) -> set[str]:
    """Charged keys that the provider's present journal must know."""
    found = connection.execute(
        "SELECT key FROM charge WHERE provider = ?1 AND received_at > (SELECT"
        " COALESCE(MAX(replaced_at), 0) FROM old_journal WHERE identity = 'provider:' || ?1)"
        " AND key NOT IN (SELECT key FROM listed WHERE kind = 'assumed'"
        " AND who = 'administrator')",
        (provider,),
    )
    return {row[0] for row in found}


def _keys(connection: Connection, table: str, provider: str) -> set[str]:
    found = connection.execute(f"SELECT key FROM {table} WHERE provider = ?", (provider,))
    return {row[0] for row in found}


def read_lag(connection: Connection) -> dict[str, float | None]:
    """At a site: how late its last thousand batches were applied."""
    lags = sorted(
        1000 * (row[0] or 0)
        for row in connection.execute(
            "SELECT applied_at - committed_at FROM replica.applied ORDER BY number DESC LIMIT 1000"
        )
    )
    if not lags:
        return {"replica_lag_ms_p50": None, "replica_lag_ms_p99": None}
    return {
        "replica_lag_ms_p50": round(lags[len(lags) // 2], 1),
        "replica_lag_ms_p99": round(lags[min(len(lags) - 1, len(lags) * 99 // 100)], 1),
    }


def read_parked(connection: Connection, count_max: int) -> list[Row]:
    """Records of sites that were not applied, with the site and why; the newest first."""
    cursor = connection.execute(
        "SELECT COALESCE(site.name, '') AS site, parked.stream, parked.number, parked.reason,"
        " parked.body, parked.at FROM parked LEFT JOIN stream ON stream.id = parked.stream"
        " LEFT JOIN site ON site.id = stream.site ORDER BY parked.at DESC, parked.number DESC"
        " LIMIT ?",
        (count_max,),
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]

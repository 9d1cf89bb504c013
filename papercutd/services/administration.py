"""What administrators do, as named operations: the one layer under the command and the pages."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from papercutd import __version__
from papercutd.domain.money import parse_amount_e4, show_amount
from papercutd.domain.pricing import PagePrice, PriceList
from papercutd.errors import InvalidValue, NotFound
from papercutd.services.application_server import ApplicationServer
from papercutd.services.site_server import SiteServer
from papercutd.storage.application_store import ApplicationStore
from papercutd.storage.directory import CAP_DEFAULT, CAP_NONE
from papercutd.storage.site_store import verify_journal
from papercutd.storage.statement import make_statement

Progress = Callable[[dict[str, Any]], None]
Operation = Callable[[dict[str, Any], Progress], Awaitable[Any]]
MakeToken = Callable[[str, str], Awaitable[str]]


def take(arguments: dict[str, Any], *required: str, **optional: Any) -> dict[str, Any]:
    """The arguments of an operation; raises InvalidValue for one missing, unknown or mistyped."""
    unknown = set(arguments) - set(required) - set(optional)
    if unknown:
        raise InvalidValue(sorted(unknown)[0], "is not an argument of this operation")
    found = {}
    for name in (*required, *optional):
        value = arguments.get(name, optional.get(name))
        if value is None and name in required:
            raise InvalidValue(name, "is needed")
        wanted = type(optional[name]) if optional.get(name) is not None else str
        if value is not None and not isinstance(value, wanted):
            raise InvalidValue(name, f"is not {wanted.__name__}")
        found[name] = value
    return found


def _rows(connection: Any, query: str, *values: object) -> list[dict[str, Any]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


class StoreOperations:
    """Operations that need the store alone: they work before the first start too."""

    def __init__(self, store: ApplicationStore) -> None:
        self.store = store

    def all(self) -> dict[str, Operation]:
        """Every operation by its name."""
        return {
            "user.add": self.user_add,
            "user.list": self.user_list,
            "user.show": self.user_show,
            "user.adjust": self.user_adjust,
            "user.import": self.user_import,
            "price.set": self.price_set,
            "price.show": self.price_show,
            "site.add": self.site_add,
            "site.set": self.site_set,
            "site.list": self.site_list,
            "provider.add": self.provider_add,
            "provider.list": self.provider_list,
            "printer.add": self.printer_add,
            "printer.list": self.printer_list,
            "verify": self.verify,
            "statement": self.statement,
            "backup": self.backup,
            "revoke": self.revoke,
        }

    async def user_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a user with a personal account."""
        given = take(
            arguments,
            "name",
            full_name="",
            balance="0",
            overdraft="0",
            restricted=True,
            administrator=False,
        )
        user = await self.store.add_user(
            given["name"],
            full_name=given["full_name"],
            balance_e4=parse_amount_e4(given["balance"], field="balance"),
            overdraft_e4=parse_amount_e4(given["overdraft"], field="overdraft"),
            restricted=given["restricted"],
            administrator=given["administrator"],
        )
        return {"user": user, "name": given["name"]}

    async def user_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Users after a name, at most 500."""
        given = take(arguments, after="")
        query = _USER + " WHERE folded > ? ORDER BY folded LIMIT 500"
        return await self.store.read(lambda c: [_shown(r) for r in _rows(c, query, given["after"])])

    async def user_show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """One user with balance and the last charges."""
        name = take(arguments, "name")["name"]

        def show(connection: Any) -> Any:
            person = self.store.directory.find_person(connection, name)
            if person is None:
                raise NotFound("user", name)
            found = _shown(_rows(connection, _USER + " WHERE user.id = ?", person.id)[0])
            found["charges"] = _rows(
                connection,
                "SELECT key, title, pages, amount_e4, decider, forced, claimed_at FROM charge"
                " WHERE user = ? ORDER BY received_at DESC LIMIT 20",
                person.id,
            )
            return found

        return await self.store.read(show)

    async def user_adjust(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Credit or debit a user's account."""
        given = take(arguments, "name", "amount", reason="")
        amount_e4 = parse_amount_e4(given["amount"])
        await self.store.adjust(given["name"], amount_e4, given["reason"])
        return await self.user_show({"name": given["name"]}, progress)

    async def user_import(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add those of ``users`` who are not there yet: all of them, or nobody."""
        given = take(arguments, users=[])

        def add(connection: Any) -> int:
            added = 0
            for user in given["users"]:
                if self.store.directory.find_person(connection, user["name"]) is None:
                    self.store.directory.add_user(
                        connection,
                        user["name"],
                        full_name=user.get("full_name", ""),
                        restricted=user.get("restricted", True),
                        source=user.get("source", "import"),
                        entry=self.store.admin_entry(),
                    )
                    added += 1
            return added

        progress({"doing": f"adding {len(given['users'])} users"})
        return {"added": await self.store.write(add), "of": len(given["users"])}

    async def price_set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A new version of the prices: ``{"A4": ["0.05", "0.20"], "*": [...]}``."""
        given = take(arguments, prices={}, currency="EUR", effective_from=0.0)
        lines = {}
        for paper, pair in given["prices"].items():
            if not isinstance(pair, list) or len(pair) != 2:
                raise InvalidValue(paper, "needs a grey and a colour price")
            lines[paper] = PagePrice(paper, *(parse_amount_e4(str(p), field=paper) for p in pair))
        other = lines.pop("*", None)
        if other is None:
            raise InvalidValue("prices", "need a line * for all other sizes")
        prices = PriceList(
            0, given["effective_from"], given["currency"], tuple(lines.values()), other
        )
        return {"version": await self.store.add_prices(prices)}

    async def price_show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All versions of the prices."""
        take(arguments)
        query = "SELECT version, effective_from, body FROM price ORDER BY version"
        return await self.store.read(lambda c: _rows(c, query))

    async def site_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a site."""
        given = take(arguments, "name", host="", port=9195)
        directory = self.store.directory
        site = await self.store.write(
            lambda c: directory.add_site(c, given["name"], given["host"], given["port"])
        )
        return {"site": site, "name": given["name"]}

    async def site_set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Change a site: its address, its policy while cut, its cap for each user."""
        port, deny = arguments.get("port"), arguments.get("deny_beyond_cap")
        given = take(
            {k: v for k, v in arguments.items() if k not in ("port", "deny_beyond_cap")},
            "name",
            host=None,
            policy=None,
            cap=None,
        )
        columns: dict[str, Any] = {k: given[k] for k in ("host", "policy") if given[k] is not None}
        if given["policy"] not in (None, "capped", "closed"):
            raise InvalidValue("policy", "is capped or closed")
        if given["cap"] is not None:
            words = {"default": CAP_DEFAULT, "none": CAP_NONE}
            cap = words.get(given["cap"])
            columns["cap_user_e4"] = (
                parse_amount_e4(given["cap"], field="cap") if cap is None else cap
            )
            if cap is None and columns["cap_user_e4"] < 0:
                raise InvalidValue("cap", "is negative")
        if isinstance(port, int):
            columns["port"] = port
        if isinstance(deny, bool):
            columns["deny_beyond_cap"] = int(deny)

        def change(connection: Any) -> None:
            site = self.store.directory.id_of(connection, "site", given["name"])
            for column, value in columns.items():
                connection.execute(f"UPDATE site SET {column} = ? WHERE id = ?", (value, site))
            self.store.log.touch("site", site)

        await self.store.write(change)
        return {"name": given["name"], **columns}

    async def site_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All sites."""
        take(arguments)
        return await self.store.read(lambda c: _rows(c, "SELECT * FROM site ORDER BY name"))

    async def provider_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a print provider, beside a site or without one."""
        given = take(arguments, "name", site=None)
        provider = await self.store.write(
            lambda c: self.store.directory.add_provider(c, given["name"], given["site"])
        )
        return {"provider": provider, "name": given["name"]}

    async def provider_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All print providers."""
        take(arguments)
        query = (
            "SELECT provider.id, provider.name, site.name AS site, preferred FROM provider"
            " LEFT JOIN site ON site.id = provider.site ORDER BY provider.name"
        )
        return await self.store.read(lambda c: _rows(c, query))

    async def printer_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a printer of a provider."""
        given = take(arguments, "name", "provider", "uri", when_alone="print-and-log-later")
        modes = ("print-and-log-later", "hold", "print-unlogged")
        if given["when_alone"] not in modes:
            raise InvalidValue("when-alone", f"is one of {', '.join(modes)}")
        if not given["uri"].startswith(("socket://", "ipp://", "cups:")):
            raise InvalidValue("uri", "is socket://HOST:PORT, ipp://HOST/PATH or cups:QUEUE")
        printer = await self.store.write(
            lambda c: self.store.directory.add_printer(
                c, given["name"], given["provider"], given["uri"], given["when_alone"]
            )
        )
        return {"printer": printer, "name": given["name"]}

    async def printer_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All printers."""
        take(arguments)
        query = (
            "SELECT printer.id, printer.name, provider.name AS provider, uri, when_alone"
            " FROM printer JOIN provider ON provider.id = printer.provider ORDER BY printer.name"
        )
        return await self.store.read(lambda c: _rows(c, query))

    async def verify(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Check chains, totals and charges; with journals of providers, charges against them."""
        given = take(arguments, provider_journals=[])
        progress({"doing": "chains and books"})
        problems = await self.store.verify()
        for path in given["provider_journals"]:
            progress({"doing": f"charges against {path}"})
            problems += await self.store.read(partial(_against_provider, path))
        return {"ok": not problems, "problems": problems}

    async def statement(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """The statement of the last outage, or of a span of time."""
        given = take(arguments, since=None, until=None)
        since, until = (None if v is None else float(v) for v in given.values())
        return await self.store.read(lambda c: make_statement(c, since, until))

    async def backup(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A copy of the database, made while the server works."""
        path = take(arguments, "path")["path"]
        if os.path.exists(path):
            raise InvalidValue("path", "exists already, a backup overwrites nothing")
        progress({"doing": "copying"})
        await self.store.read(lambda c: c.execute("VACUUM INTO ?", (path,)))
        return {"path": path, "bytes": os.path.getsize(path)}

    async def revoke(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Revoke the certificates of a site or provider; its sessions end."""
        given = take(arguments, "role", "name")
        serials = await self.store.revoke(given["role"], given["name"])
        return {"revoked": len(serials), "role": given["role"], "name": given["name"]}


class ApplicationOperations(StoreOperations):
    """Operations of a running application server."""

    def __init__(self, server: ApplicationServer, make_token: MakeToken) -> None:
        super().__init__(server.store)
        self._server = server
        self._make_token = make_token

    def all(self) -> dict[str, Operation]:
        return {**super().all(), "token": self.token, "status": self.status}

    async def token(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A join token for a site or provider that exists."""
        given = take(arguments, "role", "name")
        if given["role"] not in ("site", "provider"):
            raise InvalidValue("role", "is site or provider")
        await self.store.read(lambda c: self.store.directory.id_of(c, given["role"], given["name"]))
        return {"token": await self._make_token(given["role"], given["name"])}

    async def status(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """How everything stands."""
        take(arguments)
        server = self._server
        found = await self.store.read(_counts)
        sites = await self.store.read(
            lambda c: _rows(
                c,
                "SELECT site.name, policy, stream.id AS stream, stream.number AS records,"
                " asker.position AS position, asker.seen_at AS seen_at FROM site"
                " LEFT JOIN stream ON stream.site = site.id AND stream.state = 'live'"
                " LEFT JOIN asker ON asker.identity = 'site:' || site.name"
                " WHERE site.removed = 0 ORDER BY site.name",
            )
        )
        for site in sites:
            session = server.sites.get(f"site:{site['name']}")
            site["connected"] = session is not None
            behind = (
                None if session is None else server.feed.behind(session, server.position.number)
            )
            site["changes_to_send"] = behind
        return {
            "role": "application",
            "version": __version__,
            "position": server.position.text,
            "sites": sites,
            "providers_connected": server.providers.identities(),
            "fighting": sorted(server.providers.fighting | server.sites.fighting),
            **found,
        }

    async def health(self) -> dict[str, Any]:
        """For monitoring: ok, and each check."""
        found = await self.store.read(_counts)
        names = await self.store.read(
            lambda c: [r[0] for r in c.execute("SELECT name FROM site WHERE removed = 0")]
        )
        missing = [n for n in names if self._server.sites.get(f"site:{n}") is None]
        checks = [
            {"name": "database", "ok": True, "detail": ""},
            {"name": "sites", "ok": not missing, "detail": ", ".join(missing)},
            {"name": "parked", "ok": found["parked"] == 0, "detail": str(found["parked"])},
        ]
        return {"ok": all(check["ok"] for check in checks), "checks": checks}


class SiteOperations:
    """Operations of a running site server."""

    def __init__(self, server: SiteServer) -> None:
        self._server = server

    def all(self) -> dict[str, Operation]:
        return {"status": self.status, "verify": self.verify}

    async def status(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """How this site stands: online or cut, and what waits to be forwarded."""
        take(arguments)
        server = self._server
        identity = await server.store.identity()
        lag = await server.store.read(_lag)
        return {
            "role": "site",
            "version": __version__,
            "site": identity.site,
            "state": "cut" if server.link.suspect else "online",
            "connected": server.link.session is not None,
            "stream": identity.stream,
            "records": identity.mark.number,
            "waiting_records": identity.mark.number - identity.acked.number,
            "position": None if identity.position is None else identity.position.text,
            "providers_connected": server.providers.identities(),
            "streams_taken": server.uplink.streams_taken,
            **lag,
        }

    async def verify(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Check the journal's chain."""
        take(arguments)
        problems = await self._server.store.read(verify_journal)
        return {"ok": not problems, "problems": problems}

    async def health(self) -> dict[str, Any]:
        """For monitoring: a cut site is not well, though it serves."""
        server = self._server
        checks = [
            {"name": "application server", "ok": not server.link.suspect, "detail": ""},
            {"name": "replica", "ok": server.position is not None, "detail": ""},
        ]
        return {"ok": all(check["ok"] for check in checks), "checks": checks}


_USER = (
    "SELECT user.id, user.name, full_name, restricted, disabled, administrator,"
    " credits_e4 - debits_e4 AS balance_e4, pending_e4, -floor_e4 AS overdraft_e4"
    " FROM user JOIN account ON account.id = user.account"
)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "balance": show_amount(row["balance_e4"])}


def _counts(connection: Any) -> dict[str, Any]:
    def count(query: str) -> int:
        return int(connection.execute(query).fetchone()[0])

    return {
        "users": count("SELECT COUNT(*) FROM user"),
        "points_of_print": count("SELECT COUNT(*) FROM printer WHERE removed = 0"),
        "providers": count("SELECT COUNT(*) FROM provider WHERE removed = 0"),
        "open_reservations": count("SELECT COUNT(*) FROM decision WHERE state = 'open'"),
        "charges": count("SELECT COUNT(*) FROM charge"),
        "parked": count("SELECT COUNT(*) FROM parked"),
        "listed": count("SELECT COUNT(*) FROM listed"),
    }


def _lag(connection: Any) -> dict[str, Any]:
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


def _against_provider(path: str, connection: Any) -> list[str]:
    """Paper that a provider's journal knows and the ledger does not, and the reverse."""
    import sqlite3

    if not os.path.exists(path):
        raise InvalidValue("provider-journal", f"{path} does not exist")
    journal = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (provider,) = journal.execute("SELECT name FROM identity").fetchone()
        printed = {
            row[0]
            for row in journal.execute(
                "SELECT key FROM taken WHERE completion IS NOT NULL AND parked = ''"
            )
        }
    finally:
        journal.close()
    charged = {
        row[0]
        for row in connection.execute("SELECT key FROM charge WHERE provider = ?", (provider,))
    }
    logged = {
        row[0]
        for row in connection.execute("SELECT key FROM job_log WHERE provider = ?", (provider,))
    }
    lost = sorted(printed - charged - logged)
    invented = sorted(charged - printed)
    return [
        *(f"provider {provider}: {key} was printed and is not charged" for key in lost),
        *(f"provider {provider}: {key} is charged and was not printed" for key in invented),
    ]

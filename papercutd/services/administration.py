"""What administrators do, as named operations: the one layer under the command and the pages."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import attrs
from twisted.internet.task import deferLater

from papercutd import __version__
from papercutd.domain.flags import with_flags
from papercutd.domain.money import parse_amount_e4, parse_sum_e4, show_amount
from papercutd.domain.user_fields import parse_until
from papercutd.errors import InvalidValue, NotFound, Rejected
from papercutd.identity.verifiers import Verifiers
from papercutd.services.adjust_operations import AdjustOperations
from papercutd.services.allowance_operations import AllowanceOperations
from papercutd.services.application_server import ApplicationServer
from papercutd.services.audit_operations import AuditOperations
from papercutd.services.drill import DrillOperations
from papercutd.services.group_operations import GroupOperations
from papercutd.services.held_operations import HeldOperations
from papercutd.services.import_operations import ImportOperations
from papercutd.services.invoice_operations import InvoiceOperations
from papercutd.services.job_log_operations import JobLogOperations
from papercutd.services.lockout_operations import LockoutOperations
from papercutd.services.lost_edit_operations import LostEditOperations, lost_edits_check
from papercutd.services.new_user_operations import (
    NewUserOperations,
    names_of_groups,
    unknown_users_check,
)
from papercutd.services.operation import Operation, Progress, interruptible, take, uninterrupted
from papercutd.services.parked_operations import ParkedOperations, parked_of_site
from papercutd.services.peer_versions import refused_by, versions_check, versions_status
from papercutd.services.policy_operations import (
    PolicyOperations,
    SitePolicyOperations,
    site_alarms,
)
from papercutd.services.price_operations import PriceFileOperations, QuoteOperations
from papercutd.services.purse_operations import PurseOperations
from papercutd.services.quota_operations import QuotaOperations
from papercutd.services.refund_operations import RefundOperations
from papercutd.services.reports import ReportOperations
from papercutd.services.reserved_operations import ReservedOperations
from papercutd.services.scope_operations import ScopeOperations
from papercutd.services.sessions import Sessions
from papercutd.services.shared_account_operations import SharedAccountOperations
from papercutd.services.site_looks import SiteLookOperations
from papercutd.services.site_server import SiteServer
from papercutd.services.statements import Statements
from papercutd.services.transaction_operations import TransactionOperations
from papercutd.services.user_operations import UserOperations, shown_user
from papercutd.storage.administration.directory import CAP_WORDS
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.replication.other_journals import read_printed
from protocols.codes import Code
from protocols.endpoint import Session
from protocols.errors import SessionLost

#: How often, and how many times, it is looked whether a site was sent everything; then how
#: long what was sent may take.
TOLD_LOOK_S, TOLD_LOOKS = 0.1, 50
TOLD_S = 0.5
#: Ports at which others reach a site.
_SITE_PORTS = ("port", "device_port", "https_port")
VerifyBooks = Callable[[Progress], Awaitable[list[str]]]
MakeToken = Callable[[str, str], Awaitable[str]]


def check_printer_uri(uri: str) -> None:
    """Raises InvalidValue unless a direct adapter, or CUPS, can print at ``uri``."""
    if re.fullmatch(r"cups:[^\s/#?]{1,127}", uri):
        return
    try:
        parts = urlsplit(uri)
        is_usable = parts.scheme in ("socket", "ipp") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or len(uri) > 1023:
        raise InvalidValue(
            "uri", "is none of socket://HOST[:PORT], ipp://HOST[:PORT]/PATH, cups:QUEUE"
        )


class StoreOperations:
    """Operations that need the store alone: they work before the first start too."""

    def __init__(
        self,
        store: IApplicationStore,
        statements: Statements | None = None,
        imports: ImportOperations | None = None,
    ) -> None:
        """Without ``statements`` or ``imports`` there are no operations on them."""
        self.store = store
        self.imports = imports
        self.statements = statements
        #: How the books are verified; a running server does it beside its work.
        self.verify_books: VerifyBooks = store.verify

    def all(self) -> dict[str, Operation]:
        """Every operation by its name."""
        return {
            "user.add": self.user_add,
            "user.list": self.user_list,
            "user.show": self.user_show,
            "user.adjust": self.user_adjust,
            "user.import": self.user_import,
            "user.merge": self.user_merge,
            "user.rename": self.user_rename,
            "user.delete": self.user_delete,
            "user.undelete": self.user_undelete,
            **ParkedOperations(self.store).all(),
            **ReservedOperations(self.store).all(),
            **LostEditOperations(self.store).all(),
            "uncollected.list": self.uncollected_list,
            "uncollected.assign": self.uncollected_assign,
            "site.add": self.site_add,
            "site.set": self.site_set,
            "site.list": self.site_list,
            "site.remove": self.site_remove,
            "provider.add": self.provider_add,
            "provider.set": self.provider_set,
            "provider.list": self.provider_list,
            "printer.add": self.printer_add,
            "printer.set": self.printer_set,
            "user.card": self.user_card,
            "device.add": self.device_add,
            "device.set": self.device_set,
            "device.list": self.device_list,
            "printer.list": self.printer_list,
            **ParkedOperations(self.store).all(),
            "verify": self.verify,
            **({} if self.statements is None else self.statements.all()),
            "revoke": self.revoke,
            **GroupOperations(self.store.rules).all(),
            **PolicyOperations(self.store.rules).all(),
            **AllowanceOperations(self.store).all(),
            **PurseOperations(self.store).all(),
            **QuotaOperations(self.store).all(),
            **NewUserOperations(self.store).all(),
            **AdjustOperations(self.store).all(),
            **RefundOperations(self.store).all(),
            **PriceFileOperations(self.store).all(),
            **QuoteOperations(self.store).all(),
            **ReportOperations(self.store).all(),
            **AuditOperations(self.store).all(),
            **JobLogOperations(self.store).all(),
            **InvoiceOperations(self.store).all(),
            **TransactionOperations(self.store).all(),
            **ScopeOperations(self.store).all(),
            **SharedAccountOperations(self.store, self.imports).all(),
            **UserOperations(self.store, self.user_show).all(),
            **({} if self.imports is None else self.imports.all()),
        }

    async def user_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a user with a personal account; what is not given is as the rules for new users
        say."""
        restricted = arguments.get("restricted")
        given = take(
            {k: v for k, v in arguments.items() if k != "restricted"},
            "name",
            full_name="",
            balance=None,
            overdraft=None,
            groups=[],
            administrator=False,
            until="never",
            now=False,
        )
        if restricted is not None and not isinstance(restricted, bool):
            raise InvalidValue("restricted", "is yes or no")
        amounts = {
            f"{field}_e4": parse_sum_e4(given[field], field=field)
            for field in ("balance", "overdraft")
            if given[field] is not None
        }
        user = await self.store.add_user(
            given["name"],
            full_name=given["full_name"],
            **amounts,
            restricted=restricted,
            groups=names_of_groups(given["groups"]),
            administrator=given["administrator"],
            expires_at=parse_until(given["until"]),
            now=given["now"],
        )
        return {"user": user, "name": given["name"]}

    async def user_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Users after a name, at most 500."""
        given = take(arguments, after="")
        return [shown_user(row) for row in await self.store.users_after(given["after"])]

    async def user_show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """One user with balance and the last charges."""
        return shown_user(await self.store.user(take(arguments, "name")["name"]))

    async def user_adjust(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Credit or debit a user's account."""
        given = take(arguments, "name", "amount", reason="", purse="")
        amount_e4 = parse_sum_e4(given["amount"])
        await self.store.adjust(given["name"], amount_e4, given["reason"], given["purse"])
        return await self.user_show({"name": given["name"]}, progress)

    async def user_merge(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A user becomes another one, for ever; the heir is shown."""
        given = take(arguments, "name", "into")
        await self.store.merge_users(given["name"], given["into"])
        return await self.user_show({"name": given["into"]}, progress)

    async def user_rename(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Another name; the one before still finds this user."""
        given = take(arguments, "name", "new_name", now=False)
        await self.store.rename_user(given["name"], given["new_name"], given["now"])
        return {"name": given["new_name"], "was": given["name"]}

    async def user_delete(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A user prints no more; what comes in late still posts."""
        name = take(arguments, "name")["name"]
        return {"name": name, "left_e4": await self.store.delete_user(name)}

    async def user_undelete(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A deleted user is back."""
        name = take(arguments, "name")["name"]
        await self.store.undelete_user(name)
        return await self.user_show({"name": name}, progress)

    async def uncollected_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Charges that nobody pays yet, at most 500, beyond the key ``after``."""
        return await self.store.uncollected(take(arguments, after="")["after"])

    async def uncollected_assign(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A user pays an uncollected charge."""
        given = take(arguments, "key", "name")
        amount_e4 = await self.store.assign(given["key"], given["name"])
        return {"key": given["key"], "name": given["name"], "amount_e4": amount_e4}

    async def user_import(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add those of ``users`` who are not there yet: all of them, or nobody."""
        given = take(arguments, users=[])
        users = [
            {
                "name": user["name"],
                "full_name": user.get("full_name", ""),
                "restricted": user.get("restricted"),
                "source": user.get("source", "import"),
                "groups": names_of_groups(list(user.get("groups", ()))),
            }
            for user in given["users"]
        ]
        progress({"doing": f"adding {len(users)} users"})
        return {"added": await self.store.import_users(users), "of": len(users)}

    async def site_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a site."""
        given = take(arguments, "name", host="", port=9195, device_port=9193, https_port=9192)
        site = await self.store.add_site(given["name"], given["host"], given["port"])
        usual = {"device_port": 9193, "https_port": 9192}
        ports = {name: given[name] for name in usual if given[name] != usual[name]}
        if ports:
            await self.store.set_site(given["name"], ports)
        return {"site": site, "name": given["name"]}

    async def site_set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Change a site: its address, its policy while cut, its cap for each user."""
        deny = arguments.get("deny_beyond_cap")
        ports = {k: v for k, v in arguments.items() if k in _SITE_PORTS}
        given = take(
            {k: v for k, v in arguments.items() if k not in (*ports, "deny_beyond_cap")},
            "name",
            host=None,
            policy=None,
            cap=None,
        )
        columns: dict[str, Any] = {k: given[k] for k in ("host", "policy") if given[k] is not None}
        if given["policy"] not in (None, "capped", "strict", "closed"):
            raise InvalidValue("policy", "is capped, strict or closed")
        if given["cap"] is not None:
            cap = {word: code for code, word in CAP_WORDS.items()}.get(given["cap"])
            columns["cap_user_e4"] = (
                parse_amount_e4(given["cap"], field="cap") if cap is None else cap
            )
            if cap is None and columns["cap_user_e4"] < 0:
                raise InvalidValue("cap", "is negative")
        for name, port in ports.items():
            if not isinstance(port, int) or not 0 < port < 65_536:
                raise InvalidValue(name, "is a number from 1 to 65535")
            columns[name] = port
        if isinstance(deny, bool):
            columns["deny_beyond_cap"] = int(deny)

        await self.store.set_site(given["name"], columns)
        return {"name": given["name"], **_site_shown(columns)}

    async def site_remove(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Take a site away; who of its providers has not been told yet is named.

        Each provider turns to the application server with all it retained of that site.
        """
        name = take(arguments, "name")["name"]
        # One that is not there would never hear of it: it is let in no more afterwards.
        is_there = await self.until_there(name)
        providers = await self.store.remove_site(name)
        is_told = is_there and await self.until_told(name)
        with suppress(NotFound):
            # It never joined: there is nothing to revoke.
            await self.store.revoke("site", name)
        # What its streams hold goes back to its owners, once all have told what they retained.
        held = {stream.escrow_e4 for stream in await self.store.ended_streams(name)}
        not_told = self.not_connected(providers)
        result = {"name": name, "site_told": is_told, "providers": providers, "not_told": not_told}
        return {**result, "retire_later": True} if any(held) else result

    def not_connected(self, providers: list[str]) -> list[str]:
        """Offline nobody is."""
        return providers

    async def until_there(self, site: str) -> bool:
        """Offline nobody is."""
        return False

    async def until_told(self, site: str) -> bool:
        """Offline nobody is told."""
        return False

    async def site_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All sites."""
        take(arguments)
        return [_site_shown(site) for site in await self.store.sites()]

    async def provider_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a print provider, beside a site or without one."""
        given = take(arguments, "name", site=None)
        provider = await self.store.add_provider(given["name"], given["site"])
        return {"provider": provider, "name": given["name"]}

    async def provider_set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Who a provider asks first, and its site."""
        given = take(arguments, "name", preferred=None, site=None)
        await self.store.set_provider(given["name"], given["preferred"], given["site"])
        return {"name": given["name"]}

    async def provider_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All print providers."""
        take(arguments)
        return await self.store.providers()

    async def printer_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a printer of a provider."""
        given = take(
            arguments,
            *("name", "provider", "uri"),
            when_alone="print-and-log-later",
            release="immediate",
            group="",
            held_for_s=86_400,
        )
        modes = ("print-and-log-later", "hold", "print-unlogged")
        if given["when_alone"] not in modes:
            raise InvalidValue("when-alone", f"is one of {', '.join(modes)}")
        check_printer_uri(given["uri"])
        printer = await self.store.add_printer(
            *(given["name"], given["provider"], given["uri"], given["when_alone"]),
            release=given["release"],
            group=given["group"],
            held_max_s=given["held_for_s"],
        )
        return {"printer": printer, "name": given["name"]}

    async def printer_set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """How jobs of a printer are released from now on; what is not given stays."""
        words = ("release", "group", "held_for_s")
        name = str(arguments.get("name"))
        is_now = {row["name"]: row for row in await self.store.printers()}.get(name)
        if is_now is None:
            raise NotFound("printer", name[:80])
        given = take(arguments, "name", **{word: is_now[word] for word in words})
        await self.store.set_release(name, *(given[word] for word in words))
        return {word: given[word] for word in ("name", *words)}

    async def user_card(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Link a card to a user, or with ``remove`` to nobody."""
        given = take(arguments, *("name", "number"), remove=False)
        if given["remove"]:
            await self.store.remove_card(given["number"])
        else:
            await self.store.add_card(given["name"], given["number"])
        return {"name": given["name"], "linked": not given["remove"]}

    async def device_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a device at a printer, beside a site or without one."""
        given = take(
            arguments,
            *("name", "printer"),
            site=None,
            functions="copy release",
            logins="card password",
            idle_s=60,
        )
        device = await self.store.add_device(
            *(given["name"], given["printer"], given["site"]),
            functions=given["functions"],
            logins=given["logins"],
            idle_s=given["idle_s"],
        )
        return {"device": device, "name": given["name"]}

    async def device_set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Change a device; its next connection finds it so."""
        given = take(
            arguments, "name", site=None, printer=None, functions=None, logins=None, idle_s=None
        )
        columns = {k: v for k, v in given.items() if k != "name" and v is not None}
        await self.store.set_device(given["name"], columns)
        return {"name": given["name"], **columns}

    async def device_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All devices."""
        take(arguments)
        return await self.store.devices()

    async def printer_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All printers."""
        take(arguments)
        return await self.store.printers()

    @interruptible
    async def verify(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Check chains, totals and charges; with journals of providers, charges against them."""
        given = take(arguments, provider_journals=[])
        problems = list(await self.verify_books(progress))
        for path in given["provider_journals"]:
            progress({"doing": f"charges against {path}"})
            provider, printed = read_printed(path)
            problems += await self.store.compare_with_provider(provider, printed)
        found: dict[str, Any] = {"ok": not problems, "problems": problems}
        missing = (await self.store.statement(None, None))["missing"] if problems else []
        if missing:
            # What is printed there is on its way here.
            found["not_reported_yet"] = missing
        return found

    async def revoke(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Revoke the certificates of a site or provider; its sessions end."""
        given = take(arguments, "role", "name")
        serials = await self.store.revoke(given["role"], given["name"])
        return {"revoked": len(serials), "role": given["role"], "name": given["name"]}


class ApplicationOperations(StoreOperations):
    """Operations of a running application server."""

    def __init__(
        self,
        server: ApplicationServer,
        make_token: MakeToken,
        verifiers: Verifiers,
        statements: Statements,
    ) -> None:
        imports = ImportOperations(server.store, server.env, verifiers)
        super().__init__(server.store, statements, imports)
        self._verifiers = verifiers
        self._server = server
        self._lockouts = LockoutOperations(server.devices)
        self._make_token = make_token

    def not_connected(self, providers: list[str]) -> list[str]:
        connected = self._server.providers
        return [name for name in providers if connected.get(f"provider:{name}") is None]

    async def until_there(self, site: str) -> bool:
        """Whether it is connected, waiting for one that a restart of ours put out just now."""
        sites = self._server.sites
        return await self._until(lambda: sites.get(f"site:{site}") is not None)

    async def until_told(self, site: str) -> bool:
        """Let a connected site hear that it is none any more: it sends its devices away."""
        server = self._server
        session = server.sites.get(f"site:{site}")
        if session is None:
            return False

        def is_sent() -> bool:
            return server.feed.behind(session, server.position.number) == 0

        if not await self._until(lambda: session.is_over or is_sent()) or not is_sent():
            return False
        # What was sent is on its way: it takes no longer than an answer does.
        await deferLater(server.env.clock, TOLD_S, lambda: None)
        return True

    async def _until(self, condition: Callable[[], bool]) -> bool:
        for _ in range(TOLD_LOOKS):
            if condition():
                return True
            await deferLater(self._server.env.clock, TOLD_LOOK_S, lambda: None)
        return False

    def all(self) -> dict[str, Operation]:
        server = self._server
        held = HeldOperations(server.env, server.held, self.store.printer_id)
        return {
            **super().all(),
            **held.all(),
            **self._lockouts.all(),
            **server.vouchers.all(),
            **AllowanceOperations(self.store, self._call_back, self._pause).all(),
            **AdjustOperations(self.store, server.recalls.recall).all(),
            "token": self.token,
            "user.secret": self.user_secret,
            "status": self.status,
        }

    def _call_back(self, identity: str) -> None:
        """Let somebody connected come again, telling all it retained."""
        server = self._server
        for sessions in (server.providers, server.device_sessions, server.sites):
            sessions.end(identity, Code.UNAVAILABLE)

    async def _pause(self, pause_s: float) -> None:
        await deferLater(self._server.env.clock, pause_s, lambda: None)

    async def user_secret(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Set a user's password or PIN; an empty one is none: nobody logs in with it."""
        given = take(arguments, *("name", "kind"), secret="")
        if given["kind"] not in ("password", "pin"):
            raise InvalidValue("kind", "is password or pin")
        verifier = await self._verifiers.make(given["secret"]) if given["secret"] else ""
        await self.store.set_verifier(given["name"], given["kind"], verifier)
        return {"name": given["name"], "set": bool(verifier)}

    async def token(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A join token for a site or provider that exists."""
        given = take(arguments, "role", "name")
        if given["role"] not in ("site", "provider", "device"):
            raise InvalidValue("role", "is site, provider or device")
        await self.store.id_of(given["role"], given["name"])
        return {"token": await self._make_token(given["role"], given["name"])}

    async def status(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """How everything stands."""
        take(arguments)
        server = self._server
        found = await self.store.counts()
        sites = await self.store.site_states()
        for site in sites:
            session = server.sites.get(f"site:{site['name']}")
            site["connected"] = session is not None
            behind = (
                None if session is None else server.feed.behind(session, server.position.number)
            )
            site["changes_to_send"] = behind
            site["cannot_evaluate"] = [] if session is None else await self._beyond(session)
        now = server.env.wall_s()
        away_s = {
            s["name"]: now - s["seen_at"] for s in sites if not s["connected"] and s["seen_at"]
        }
        alarms = await site_alarms(self.store.rules, away_s)
        for site in sites:
            site["alarms"] = alarms.get(site["name"], [])
        return {
            "role": "application",
            "version": __version__,
            "position": server.position.text,
            "sites": sites,
            "providers_connected": server.providers.identities(),
            "devices_connected": server.device_sessions.identities(),
            "open_runs": server.runs.count,
            "counts_that_fell": dict(server.runs.fallen),
            "fighting": sorted(self._fighting()),
            **versions_status(*self._registries()),
            "journals_turned_away": server.journal_turns.turned_away,
            "snapshots_turned_away": server.snapshots.places.turned_away,
            "recalls": server.recalls.sent,
            "recalls_late": server.recalls.late,
            "quotas_waiting": await self.store.quotas_waiting(),
            **self._lockouts.status(),
            **found,
        }

    async def _beyond(self, session: Session) -> list[str]:
        """Rules that a connected site cannot evaluate: it holds what they are about."""
        assert session.hello is not None
        found = await self.store.lacking(session.hello.capabilities, session.version)
        return [f"{row['table']} {row['key']} needs {row['needs']}" for row in found]

    def _registries(self) -> tuple[Sessions, ...]:
        return self._server.sites, self._server.providers, self._server.device_sessions

    def _fighting(self) -> set[str]:
        server = self._server
        return server.providers.fighting | server.sites.fighting | server.device_sessions.fighting

    async def health(self) -> dict[str, Any]:
        """For monitoring: ok, and each check."""
        found = await self.store.counts()
        names = [site["name"] for site in await self.store.site_states()]
        missing = [n for n in names if self._server.sites.get(f"site:{n}") is None]
        waiting = await self.store.quotas_waiting()
        checks = [
            {"name": "database", "ok": True, "detail": ""},
            {"name": "sites", "ok": not missing, "detail": ", ".join(missing)},
            {"name": "parked", "ok": found["parked"] == 0, "detail": str(found["parked"])},
            lost_edits_check(found["lost_edits"]),
            {"name": "quotas", "ok": not waiting, "detail": ", ".join(waiting)},
            unknown_users_check((await self.store.new_users.unknown()).is_alarmed),
            versions_check(*self._registries()),
            *self._lockouts.checks(self._fighting()),
        ]
        return {"ok": all(check["ok"] for check in checks), "checks": checks}


class SiteOperations:
    """Operations of a running site server."""

    def __init__(self, server: SiteServer) -> None:
        self._server = server
        self._lockouts = LockoutOperations(server.devices)
        #: As of ``StoreOperations``.
        self.verify_books: VerifyBooks = server.store.verify

    def all(self) -> dict[str, Operation]:
        server = self._server
        held = HeldOperations(server.env, server.held, server.store.printer_id)
        own = {"status": self.status, "verify": self.verify, "parked.list": self.parked}
        policy = SitePolicyOperations(server)
        drill = DrillOperations(server.drill)
        reserved = ReservedOperations(server.store)
        quotes = QuoteOperations(server.store)
        looks = SiteLookOperations(server)
        of_all = (held, self._lockouts, server.vouchers, policy, drill, reserved, quotes, looks)
        return {**{name: op for one in of_all for name, op in one.all().items()}, **own}

    async def status(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """How this site stands: online or cut, and what waits to be forwarded."""
        take(arguments)
        server = self._server
        identity = await server.store.identity()
        lag, refused = await server.store.lag(), server.uplink.journal_refused
        return {
            "role": "site",
            "version": __version__,
            "site": identity.site,
            "state": "drill" if server.drill.is_on and not server.is_cut else server.state,
            "connected": server.link.session is not None,
            "stream": identity.stream,
            "records": identity.mark.number,
            "waiting_records": identity.mark.number - identity.acked.number,
            "position": None if identity.position is None else identity.position.text,
            "providers_connected": server.providers.identities(),
            "devices_connected": server.device_sessions.identities(),
            "open_runs": server.runs.count,
            "counts_that_fell": dict(server.runs.fallen),
            "fighting": sorted(self._fighting()),
            **self._versions(),
            **self._lockouts.status(),
            **await server.policy.status(),
            "streams_taken": server.uplink.streams_taken,
            "journal_refused": None if refused is None else attrs.asdict(refused),
            "compared": None if server.repair.last is None else attrs.asdict(server.repair.last),
            "anchored": server.store.is_anchored,
            **await server.drill.status(),
            "cannot_evaluate": [
                f"{row['table']} {row['key']} needs {row['needs']}: upgrade this site"
                for row in await server.store.lacking()
            ],
            "revoked": await server.store.revocations(),
            **lag,
        }

    def _versions(self) -> dict[str, Any]:
        server = self._server
        found = versions_status(
            *(server.providers, server.device_sessions),
            refused=refused_by(server.link, "the application server"),
        )
        return {**found, "application_speaks": server.link.speaks}

    def _fighting(self) -> set[str]:
        return self._server.providers.fighting | self._server.device_sessions.fighting

    async def parked(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Records of this site that the application server could not apply."""
        take(arguments)
        return await parked_of_site(self._server.link)

    @interruptible
    async def verify(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Check journal and replica; with ``repair`` against the application server, and mend."""
        given = take(arguments, repair=False)
        problems = await self.verify_books(progress)
        if not given["repair"]:
            return {"ok": not problems, "problems": problems}
        progress({"doing": "comparing with the application server"})
        try:
            found = await uninterrupted(self._server.repair.run())
        except SessionLost:
            raise Rejected("unreachable", "repairing needs the application server") from None
        left = await self.verify_books(progress)
        told = {"problems": problems, **attrs.asdict(found), "problems_left": left}
        return {"ok": not left and found.damaged_rows == found.repaired_rows, **told}

    async def health(self) -> dict[str, Any]:
        """For monitoring: a cut site is not well, though it serves."""
        server = self._server
        refused = server.uplink.journal_refused
        checks = [
            {"name": "application server", "ok": not server.is_cut, "detail": server.state},
            {"name": "replica", "ok": server.position is not None, "detail": ""},
            {"name": "anchor", "ok": server.store.is_anchored, "detail": ""},
            server.drill.check(),
            versions_check(
                *(server.providers, server.device_sessions),
                refused=refused_by(server.link, "the application server"),
            ),
            *await server.policy.checks(),
            {"name": "journal", "ok": refused is None, "detail": refused.code if refused else ""},
            *self._lockouts.checks(self._fighting()),
        ]
        return {"ok": all(check["ok"] for check in checks), "checks": checks}


def _site_shown(columns: dict[str, Any]) -> dict[str, Any]:
    """With the cap as it is written: what stands for `default` and `none` is no amount."""
    shown = with_flags({k: v for k, v in columns.items() if k != "cap_user_e4"})
    if "cap_user_e4" in columns:
        cap_e4 = columns["cap_user_e4"]
        shown["cap"] = CAP_WORDS.get(cap_e4) or show_amount(cap_e4)
    return shown

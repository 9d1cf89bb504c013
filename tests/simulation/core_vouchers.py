"""F69: a voucher redeemed at two cut sites at once, and perhaps at the application server too."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Collection
from typing import Any

from papercutd.domain.voucher import hash_serial
from papercutd.storage.site.overlay import replicated_mark
from tests.simulation.core_nodes import (
    APPLICATION,
    SITES,
    USERS,
    VOUCHER_E4,
    VOUCHERS,
    CoreInstallation,
)
from tests.simulation.stage import End, Fault, Stage


class VoucherFaults:
    """Makes this fault and judges it. ``VoucherFaults(stage, installation, rng).register()``."""

    def __init__(self, stage: Stage, installation: CoreInstallation, rng: random.Random) -> None:
        self._stage = stage
        self._world = stage.world
        self._in = installation
        self._rng = rng
        #: Of each serial that was tried: where it was redeemed, under which id.
        self._tried: dict[str, dict[str, str]] = {}

    def register(self) -> None:
        self._stage.logic["F69"] = self._redeem_twice

    def _redeem_twice(self, fault: Fault) -> End:
        """At two sites that hear nothing of each other, by two people or one."""
        if len(self._tried) == len(VOUCHERS):
            return lambda: False
        links, rng = self._world.network.links, self._rng
        heals = [links.cut_both(APPLICATION, site) for site in SITES]
        serial = VOUCHERS[len(self._tried)]
        done: dict[str, str] = {}
        self._tried[serial] = done
        people = rng.choices(sorted(USERS), k=len(SITES) + 1)
        for site, user in zip(SITES, people, strict=False):
            self._world.later(rng.uniform(0.1, 2.0), self._at_site, site, serial, user, done)
        if rng.random() < 0.4:
            self._world.later(rng.uniform(0.1, 4.0), self._at_centre, serial, people[-1], done)

        def end() -> bool:
            for heal in heals:
                heal()
            return len(done) > 1

        return end

    def _at_site(self, site: str, serial: str, user: str, done: dict[str, str]) -> None:
        node, server = self._world.nodes[site], self._in.sites.get(site)
        if node.clock is None or server is None:
            return

        def redeem() -> None:
            id = server.env.new_id()

            def redeemed(found: Any) -> None:
                done[site] = id
                server.uplink.journal_grew()

            server.store.redeem_voucher(id, serial, user).addCallbacks(
                redeemed, lambda failure: None
            )

        node.clock.callLater(0, redeem)

    def _at_centre(self, serial: str, user: str, done: dict[str, str]) -> None:
        node, server = self._world.nodes[APPLICATION], self._in.application
        if node.clock is None or server is None:
            return

        def redeem() -> None:
            server.store.money.redeem_voucher(serial, user).addCallbacks(
                lambda found: done.setdefault(APPLICATION, ""), lambda failure: None
            )

        node.clock.callLater(0, redeem)

    # The end.

    def check_end(self, struck: Collection[str]) -> None:
        """I26: each is credited once net, to whom it stands for; the others' is taken back.

        ``struck``: nodes that were restored; a site may have lost what it had forwarded to nobody.
        """
        centre = self._world.nodes[APPLICATION].disk.connection("application.db")
        assert centre is not None
        for serial, done in self._tried.items():
            self._world.findings.checked["I26"] += 1
            self._check(centre, serial, done, struck)
        for site in SITES if self._tried else ():
            journal = self._world.nodes[site].disk.connection("journal.db")
            if journal is not None:
                self._check_site(journal, site)

    def _check(
        self,
        centre: sqlite3.Connection,
        serial: str,
        done: dict[str, str],
        struck: Collection[str],
    ) -> None:
        found = centre.execute(
            "SELECT batch, place, user FROM voucher WHERE hash = ?", (hash_serial(serial),)
        ).fetchone()
        batch, place, owner = found
        arrived = dict(
            centre.execute(
                "SELECT id, outcome FROM voucher_claim WHERE hash = ?", (hash_serial(serial),)
            ).fetchall()
        )
        by_site = {site: id for site, id in done.items() if id}
        for site, id in by_site.items():
            if id not in arrived and site not in struck:
                text = f"the redemption {id} of {site} did not arrive"
                self._world.find("I26", text, APPLICATION)
                return
        credits, forced = centre.execute(
            "SELECT COALESCE(SUM(CASE debit WHEN 2 THEN amount_e4 ELSE -amount_e4 END), 0),"
            " COALESCE(SUM(forced), 0) FROM transfer WHERE key = ?",
            (f"voucher:{batch}.{place}",),
        ).fetchone()
        # One redeemed at the application server may be lost with its disk.
        expected = VOUCHER_E4 if arrived or owner else 0
        losers = sum(outcome != "credited" for outcome in arrived.values())
        if credits != expected or forced != losers:
            text = f"voucher {place} gave {credits} and {forced} were taken back of {arrived}"
            self._world.find("I26", text, APPLICATION)
        if len(done) > 1:
            self._world.sometimes("a voucher redeemed twice stands once")
        for outcome in arrived.values():
            self._world.sometimes(f"a redemption was {outcome}")

    def _check_site(self, journal: sqlite3.Connection, site: str) -> None:
        (waiting,) = journal.execute(
            "SELECT COUNT(*) FROM voucher_here WHERE number > ?", (replicated_mark(journal),)
        ).fetchone()
        if waiting:
            self._world.find("I26", f"{waiting} vouchers are credit there still", site)

"""Devices on simulated machines: people copy while everything fails, and the engine counts."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from papercutd.device.device import Device
from papercutd.device.errors import DeviceError
from papercutd.device.journal import DeviceJournal
from papercutd.device.machine import Machine, MachineSettings
from papercutd.device.runs import Order
from papercutd.errors import PapercutError
from papercutd.storage.replication.asker_journal import create_journal
from protocols.provider.messages import ServerAddress
from tests.simulation.node import Node
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.core_nodes import CoreInstallation

DEVICE_PORT = 9193
#: Devices, and the site each stands at.
DEVICES = {"north-mfd": "north", "south-mfd": "south"}
VISITS = 30
#: Seconds within which somebody who came is logged in, or has given up.
LOGIN_S = 25.0
PAGES_MAX = 25


def card_of(user: str) -> str:
    return f"CARD{user.upper()}"


def boot_device(installation: CoreInstallation, node: Node, settings: Any) -> Device:
    """The device's process: its journal and its engine are on its disk."""
    assert node.clock is not None
    env = node.environment
    journal = node.disk.open_database("device.db", "device")
    create_journal(journal, node.name, env.new_id())
    node.disk.open_database("machine.db", "machine")
    machine = Machine(
        env,
        node.disk.writer("machine.db", node.clock),
        MachineSettings(pages_a_minute=120.0),
    )
    network = installation.world.network
    site = DEVICES[node.name]
    return Device(
        env,
        DeviceJournal(node.disk.writer("device.db", node.clock), env.wall_s),
        machine,
        [
            ServerAddress("site", site, site, DEVICE_PORT),
            ServerAddress("application", "application", "application", DEVICE_PORT),
        ],
        lambda address: network.endpoint(node, address.host, DEVICE_PORT),
        settings,
    )


class DeviceLoad:
    """People who come to a device, copy, and go."""

    def __init__(
        self, installation: CoreInstallation, rng: random.Random, users: list[str]
    ) -> None:
        self._in = installation
        self._world: World = installation.world
        self._rng = rng
        self._users = users

    def start(self, chaos_s: float) -> None:
        for _ in range(VISITS):
            self._world.later(self._rng.uniform(6.0, chaos_s), self._visit)

    def _visit(self) -> None:
        rng = self._rng
        name, user = rng.choice(sorted(DEVICES)), rng.choice(self._users)
        pages = [rng.randint(1, PAGES_MAX) for _ in range(rng.randint(1, 2))]
        is_counted, colour = rng.random() < 0.5, rng.random() < 0.2
        leaves_early = rng.random() < 0.2
        node, device = self._world.nodes[name], self._in.devices.get(name)
        if not node.is_up or node.clock is None or device is None:
            return
        self._world.count("visits")
        shared = self._in.shared
        account = None if shared is None else shared.choose(rng)
        given = {"colour": colour, "is_counted": is_counted, "account": account}
        orders = [Order("copy", n, **given) for n in pages]

        def begin() -> None:
            # RuntimeError: the device died, and what it did then went on in vain.
            Deferred.fromCoroutine(self._copy(device, user, orders, leaves_early)).addErrback(
                lambda failure: failure.trap(DeviceError, PapercutError, RuntimeError) and None
            )

        # The person stands at the device: what they do happens there.
        node.clock.callLater(0, begin)

    async def _copy(self, device: Device, user: str, orders: list[Order], early: bool) -> None:
        await device.log_in("card", card=card_of(user))
        self._world.count("log-ins")
        for order in orders:
            try:
                work = await device.begin(order)
            except DeviceError:
                break
            self._world.count("copies")
            if early:
                break
            await work.done
        if device.visit is not None:
            await device.log_out()


class DeviceChecks:
    """What must hold of devices."""

    def __init__(
        self,
        installation: CoreInstallation,
        open_database: Callable[[str, str], sqlite3.Connection | None],
    ) -> None:
        self._in = installation
        self._world: World = installation.world
        self._open = open_database

    def has_open(self, name: str, key: str, decider: str = "") -> bool:
        """Whether the device keeps that run; with ``decider`` one that it decided."""
        journal = self._open(name, "device.db")
        query = "SELECT grant_text FROM run WHERE key = ? AND state IN ('running', 'finished')"
        found = None if journal is None else journal.execute(query, (key,)).fetchone()
        if found is None or not decider:
            return found is not None
        grant = json.loads(base64.urlsafe_b64decode(found[0][64:]))
        return bool(grant["decision"]["decider"] == decider)

    def unsettled(self) -> list[str]:
        waiting = []
        for name in self._in.device_names:
            device = self._in.devices.get(name)
            if device is not None and device.visit is not None:
                waiting.append(f"{name}: somebody is logged in")
            connection = self._open(name, "device.db")
            if connection is None:
                continue
            for key, state in connection.execute(
                "SELECT key, state FROM run WHERE state IN ('running', 'finished')"
            ):
                waiting.append(f"{name}: {key} is {state}")
            for key, answer in connection.execute(
                "SELECT key, answer FROM run WHERE state = 'aside'"
            ):
                waiting.append(f"{name}: nobody takes {key}: {answer}")
        return waiting

    def check_end(self, charges: dict[str, list[tuple[int, str, int]]]) -> set[str]:
        """I3, I4: each run is charged once, by what the engine counted. The keys it knows."""
        known = set()
        for name in self._in.device_names:
            engine = self._open(name, "machine.db")
            journal = self._open(name, "device.db")
            assert engine is not None and journal is not None
            units = dict(journal.execute("SELECT key, unit_e4 FROM run").fetchall())
            for key, pages in engine.execute("SELECT key, pages FROM run").fetchall():
                known.add(key)
                self._world.count("pages copied")
                found = charges.get(key, [])
                if len(found) != 1:
                    text = f"{key}: {pages} pages, {len(found)} charges"
                    self._world.find("I3", text, name)
                elif found[0][0] != pages * units[key]:
                    text = f"{key}: {pages} pages at {units[key]}, charged {found[0][0]}"
                    self._world.find("I3", text, name)
        return known

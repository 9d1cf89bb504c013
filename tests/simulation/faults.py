"""The fault catalogue, by the numbers of docs/testing.md: how each begins and ends.

A beginner does the harm and returns what ends it. The end tells whether the fault had an
effect: only then does its ``sometimes`` counter go up, for a cut through which nobody
wanted to speak has tested nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from tests.simulation.faults_disk import leap, odd_year
from tests.simulation.links import Trouble
from tests.simulation.node import Crash
from tests.simulation.scheduler import Call
from tests.simulation.stage import End, Fault, Stage

Begin = Callable[[Stage, Fault], End]


@attrs.frozen
class FaultKind:
    """One kind of fault."""

    code: str
    title: str
    #: What it strikes: ``link``, ``site link``, ``asker link``, ``node``, ``server``,
    #: ``site``, ``provider``, ``application``; ``none``: the scenario chooses.
    target: str
    duration_s: tuple[float, float]
    #: None: the scenario makes it (Stage.logic).
    begin: Begin | None = None
    #: Values drawn evenly between bounds.
    values: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)


# Network.


def _both_ways(trouble: Callable[[Fault], Trouble], counter: str) -> Begin:
    def begin(stage: Stage, fault: Fault) -> End:
        a, b = fault.targets
        links = stage.network.links
        before = stage.held((a, b), (b, a), counter=counter)
        ends = [links.trouble(*ends, trouble(fault)) for ends in ((a, b), (b, a))]

        def end() -> bool:
            for one in ends:
                one()
            return stage.held((a, b), (b, a), counter=counter) > before

        return end

    return begin


def _one_way(reverse: bool) -> Begin:
    def begin(stage: Stage, fault: Fault) -> End:
        a, b = reversed(fault.targets) if reverse else fault.targets
        before = stage.held((a, b))
        heal = stage.network.links.cut(a, b)

        def end() -> bool:
            heal()
            return stage.held((a, b)) > before

        return end

    return begin


def _flap(stage: Stage, fault: Fault) -> End:
    """Cut and healed in turn, 1 to 20 s each."""
    a, b = fault.targets
    before = stage.held((a, b), (b, a))
    state: list[Callable[[], None]] = []
    timer: list[Call] = []

    def turn() -> None:
        if state:
            state.pop()()
        else:
            state.append(stage.network.links.cut_both(a, b))
        timer[:] = [stage.world.later(stage.rng.uniform(1.0, 20.0), turn)]

    turn()

    def end() -> bool:
        timer[0].cancel()
        if state:
            state.pop()()
        return stage.held((a, b), (b, a)) > before

    return end


def _silent_reboot(stage: Stage, fault: Fault) -> End:
    """Cut, then one end loses power and comes back, then healed: the other end is half-open."""
    a, b = fault.targets
    struck = a if fault.values["end"] < 0.5 else b
    had_connections = bool(stage.network.connections(a, b))
    heal = stage.network.links.cut_both(a, b)
    node = stage.node(struck)
    if node.is_up:
        node.cut_power()
    stage.restart_after(struck, fault.duration_s * 0.6)

    def end() -> bool:
        heal()
        return had_connections

    return end


def _reset_under_way(stage: Stage, fault: Fault) -> End:
    """Resets a connection of the link as soon as something is under way in it."""
    a, b = fault.targets
    torn: list[bool] = []
    timer: list[Call] = []

    def look() -> None:
        for end, other in stage.network.connections(a, b):
            pipes = (end.pipe, other.pipe)
            if any(pipe is not None and pipe.is_moving for pipe in pipes):
                torn.append(stage.network.reset(end, other))
                if torn[-1]:
                    return
        timer[:] = [stage.world.later(stage.rng.uniform(0.001, 0.02), look)]

    look()

    def end() -> bool:
        if timer and timer[0].active():
            timer[0].cancel()
        return any(torn)

    return end


def _at_commit(act: Callable[[Stage, Fault], Callable[[], None]]) -> Begin:
    """At a commit of the server, before anybody hears of it, something happens to the link."""

    def begin(stage: Stage, fault: Fault) -> End:
        undo: list[Callable[[], None]] = []
        disk = stage.node(fault.targets[0]).disk
        after = round(fault.values["commits"])
        disarm = disk.at_commit(lambda: undo.append(act(stage, fault)), after)

        def end() -> bool:
            disarm()
            for one in undo:
                one()
            return bool(undo)

        return end

    return begin


def _reset_all(stage: Stage, fault: Fault) -> Callable[[], None]:
    # Not in the midst of the server's own code: in the very next event.
    def reset() -> None:
        for end, other in stage.network.connections(*fault.targets):
            stage.network.reset(end, other)

    stage.world.later(0, reset)
    return lambda: None


def _cut_answers(stage: Stage, fault: Fault) -> Callable[[], None]:
    server, asker = fault.targets
    return stage.network.links.cut(server, asker)


# Processes.


def _crash_at_commit(before: bool) -> Begin:
    def begin(stage: Stage, fault: Fault) -> End:
        (name,) = fault.targets
        how = Crash.KILLED if fault.values["how"] < 0.5 else Crash.RESET
        happened: list[bool] = []
        began_s = stage.world.now

        def act() -> None:
            happened.append(True)
            left_s = began_s + fault.duration_s - stage.world.now
            stage.restart_after(name, min(fault.values["down_s"], max(left_s, 0.0)))
            stage.node(name).crash_here(how)

        after = round(fault.values["commits"])
        disarm = stage.node(name).disk.at_commit(act, after, before)

        def end() -> bool:
            disarm()
            return bool(happened)

        return end

    return begin


def _pause(stage: Stage, fault: Fault) -> End:
    node = stage.node(fault.targets[0])
    paused = node.pause(frozen=fault.values["frozen"] < 0.5)

    def end() -> bool:
        had_effect = paused is not None and paused is node.clock and bool(paused.stalled)
        node.resume(paused)
        return had_effect

    return end


def _crash_loop(stage: Stage, fault: Fault) -> End:
    """Up for a moment, down for a moment, again and again."""
    (name,) = fault.targets
    crashes: list[bool] = []
    timer: list[Call] = []

    def turn() -> None:
        if stage.node(name).is_up:
            crashes.append(stage.crash(name, stage.rng.uniform(0.05, 1.0)))
        timer[:] = [stage.world.later(stage.rng.uniform(0.2, 4.0), turn)]

    turn()

    def end() -> bool:
        timer[0].cancel()
        return len(crashes) > 1

    return end


def _crash(how: Crash) -> Begin:
    def begin(stage: Stage, fault: Fault) -> End:
        was_up = stage.crash(fault.targets[0], fault.duration_s, how)
        return lambda: was_up

    return begin


# Disks and clocks.


def _disk_full(stage: Stage, fault: Fault) -> End:
    disk = stage.node(fault.targets[0]).disk
    before = disk.refused
    free = disk.fill()

    def end() -> bool:
        free()
        return disk.refused > before

    return end


def _disk_slow(stage: Stage, fault: Fault) -> End:
    disk = stage.node(fault.targets[0]).disk
    before = disk.delayed
    mend = disk.slow(fault.values["delay_s"])

    def end() -> bool:
        mend()
        return disk.delayed > before

    return end


def _step(stage: Stage, fault: Fault) -> End:
    node = stage.node(fault.targets[0])
    node.step_wall(fault.values["seconds"])

    def end() -> bool:
        node.step_wall(-fault.values["seconds"])
        return True

    return end


def _drift(stage: Stage, fault: Fault) -> End:
    node = stage.node(fault.targets[0])
    node.set_pace(fault.values["pace"])

    def end() -> bool:
        node.set_pace(1.0)
        return True

    return end


_LOSSY = _both_ways(lambda fault: Trouble(loss=fault.values["share"]), "lost")
_LATE = _both_ways(lambda fault: Trouble(delay_s=fault.values["delay_s"]), "delayed")
_TINY = _both_ways(lambda fault: Trouble(tiny=True), "split")
_SLOW = _both_ways(lambda fault: Trouble(bytes_per_s=8_000.0), "slowed")
_CUT = _both_ways(lambda fault: Trouble(is_cut=True), "held")
_VERY_LATE = _both_ways(
    lambda fault: Trouble(delay_min_s=fault.values["delay_s"], delay_s=fault.values["delay_s"] * 2),
    "delayed",
)
_COMMITS = {"commits": (1.0, 12.0)}
_ANCHORS = {"commits": (1.0, 4.0), "down_s": (0.05, 15.0)}
_ODD_YEARS = {"which": (0.0, 1.0), "start": (0.0, 1.0)}
_CRASHES = {"commits": (1.0, 25.0), "down_s": (0.05, 15.0), "how": (0.0, 1.0)}

KINDS: dict[str, FaultKind] = {
    kind.code: kind
    for kind in (
        FaultKind("F1", "packets lost", "link", (5, 40), _LOSSY, {"share": (0.02, 0.5)}),
        FaultKind("F2", "packets late", "link", (5, 40), _LATE, {"delay_s": (0.1, 3.0)}),
        FaultKind(
            "F3", "reset after commit", "asker link", (5, 40), _at_commit(_reset_all), _COMMITS
        ),
        FaultKind("F4", "bytes in small pieces", "link", (5, 40), _TINY),
        FaultKind("F5", "cut both ways", "link", (0.5, 60), _CUT),
        FaultKind("F6", "cut, server to asker", "link", (0.5, 40), _one_way(False)),
        FaultKind("F7", "cut, asker to server", "link", (0.5, 40), _one_way(True)),
        FaultKind(
            "F8", "silent reboot while cut", "link", (3, 40), _silent_reboot, {"end": (0, 1)}
        ),
        FaultKind("F9", "64 kbit/s", "link", (10, 60), _SLOW),
        FaultKind("F10", "flapping", "link", (20, 60), _flap),
        FaultKind(
            "F11",
            "answer lost after commit",
            "asker link",
            (3, 25),
            _at_commit(_cut_answers),
            _COMMITS,
        ),
        FaultKind("F12", "reset in mid-line", "link", (1, 20), _reset_under_way),
        FaultKind("F14", "crash before commit", "node", (5, 40), _crash_at_commit(True), _CRASHES),
        FaultKind("F15", "crash after commit", "node", (5, 40), _crash_at_commit(False), _CRASHES),
        FaultKind("F18", "pause", "node", (1, 60), _pause, {"frozen": (0, 1)}),
        FaultKind("F19", "crash loop", "node", (5, 30), _crash_loop),
        FaultKind("F21", "disk full", "node", (1, 30), _disk_full),
        FaultKind("F23", "lying fsync: some commits are lost", "site", (1, 4)),
        FaultKind("F25", "slow disk", "node", (5, 40), _disk_slow, {"delay_s": (0.2, 2.0)}),
        FaultKind("F26", "site database restored", "site", (10, 60)),
        FaultKind("F27", "site machine reverted", "site", (10, 60)),
        FaultKind("F28", "clone live together", "site", (10, 50)),
        FaultKind("F29", "clone ran, original comes back", "site", (10, 50)),
        FaultKind("F30", "application server restored", "application", (10, 60)),
        FaultKind("F31", "application server restored by verb", "application", (10, 60)),
        FaultKind("F33", "site disk lost", "site", (5, 40)),
        FaultKind("F34", "provider's journal lost", "provider", (5, 40)),
        FaultKind("F35", "wall clock wrong", "node", (10, 60), _step, {"seconds": (-600, 600)}),
        FaultKind(
            "F36", "wall clock an hour back", "node", (10, 60), _step, {"seconds": (-3600, -3600)}
        ),
        FaultKind("F37", "clocks drift", "node", (20, 90), _drift, {"pace": (0.98, 1.02)}),
        FaultKind("F42", "price change while cut", "none", (5, 40)),
        FaultKind("F44", "one job by both ways", "none", (5, 40)),
        FaultKind("F45", "denial, then a duplicate", "none", (5, 40)),
        FaultKind("F46", "given up while it is posted", "none", (5, 20)),
        FaultKind("F56", "paper out over a week-end", "none", (5, 60)),
        FaultKind(
            "F57", "provider restarts in mid-print", "provider", (0.5, 20), _crash(Crash.KILLED)
        ),
        FaultKind("F58", "released from two places", "none", (5, 20)),
        FaultKind(
            "F59", "hedged answer late", "asker link", (5, 30), _VERY_LATE, {"delay_s": (0.5, 1.1)}
        ),
        FaultKind("F61", "site box dead", "site", (2, 60), _crash(Crash.POWER)),
        FaultKind("F62", "provider reverted", "provider", (10, 50)),
        FaultKind("F63", "provider cloned", "provider", (10, 50)),
        FaultKind("F16", "crash before the anchor", "site", (5, 40), None, _ANCHORS),
        FaultKind("F24", "bits of a replica flip", "site", (3, 20)),
        FaultKind("F32", "centre restored, site cloned", "site link", (20, 60)),
        FaultKind("F38", "leap second, summer time", "node", (5, 60), leap, {"which": (0, 1)}),
        FaultKind("F40", "poison record", "site", (1, 10)),
        FaultKind("F43", "user deleted while cut", "none", (5, 40)),
        FaultKind("F47", "policy changes", "site", (10, 60), None, {"cut": (0, 1)}),
        FaultKind("F60", "recall races a cut", "site link", (10, 40)),
        FaultKind("F49", "revoked, and comes back", "provider", (10, 60)),
        FaultKind("F20", "rolling upgrade", "none", (10, 60)),
        FaultKind("F53", "quota run while cut", "site link", (61, 80)),
        FaultKind("F54", "card claimed at two sites", "none", (5, 40)),
        FaultKind("F55", "user merged, renamed, name reused", "none", (5, 40)),
        FaultKind("F64", "site dies after forwarding", "site link", (5, 40)),
        FaultKind("F65", "no space for the anchor", "site", (3, 40)),
        FaultKind("F66", "1970 or 2099 at a handshake", "link", (5, 60), odd_year, _ODD_YEARS),
        FaultKind("F67", "a held document vanishes", "none", (1, 10)),
        FaultKind("F68", "cupsd killed", "none", (1, 15)),
        FaultKind("F69", "voucher redeemed at two cut sites", "none", (5, 40)),
    )
}

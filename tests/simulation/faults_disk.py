"""Faults of small files and of clocks: F16, F38, F65 and F66."""

from __future__ import annotations

from papercutd.storage.proof.anchor import ANCHOR
from tests.simulation.node import Crash
from tests.simulation.stage import End, Fault, Stage

HOUR_S = 3_600.0
#: 1970-01-01 00:05 and 2099-12-31.
YEAR_1970_S, YEAR_2099_S = 300.0, 4_102_358_400.0


def crash_before_anchor(stage: Stage, fault: Fault) -> End:
    """F16: the journal is committed, its anchor is not written."""
    (name,) = fault.targets
    began_s = stage.world.now
    happened: list[bool] = []

    def act() -> None:
        happened.append(True)
        left_s = began_s + fault.duration_s - stage.world.now
        stage.restart_after(name, min(fault.values["down_s"], max(left_s, 0.0)))
        stage.node(name).crash_here(Crash.KILLED)

    after = round(fault.values["commits"])
    disarm = stage.node(name).disk.at_commit(act, after, True, f"file {ANCHOR}")

    def end() -> bool:
        disarm()
        return bool(happened)

    return end


def anchor_full(stage: Stage, fault: Fault) -> End:
    """F65: no small file can be written; databases can."""
    disk = stage.node(fault.targets[0]).disk
    before = disk.refused
    free = disk.fill_files()

    def end() -> bool:
        free()
        return disk.refused > before

    return end


def leap(stage: Stage, fault: Fault) -> End:
    """F38: summer time taken for UTC, or a second that comes twice."""
    node = stage.node(fault.targets[0])
    step_s = HOUR_S if fault.values["which"] < 0.5 else -1.0
    node.step_wall(step_s)

    def end() -> bool:
        node.step_wall(-step_s)
        return True

    return end


def odd_year(stage: Stage, fault: Fault) -> End:
    """F66: the asker's clock has an odd year, and it must shake hands in it."""
    server, asker = fault.targets
    node = stage.node(asker)
    year_s = YEAR_1970_S if fault.values["which"] < 0.5 else YEAR_2099_S
    step_s = year_s - node.wall_s()
    node.step_wall(step_s)
    for end, other in stage.network.connections(server, asker):
        stage.network.reset(end, other)
    # It finds the clock so at a start, as a machine without a battery does.
    if fault.values["start"] < 0.5:
        stage.crash(asker, 0.5)

    def over() -> bool:
        node.step_wall(-step_s)
        return bool(stage.network.connections(server, asker))

    return over

"""The network comes and goes, answers are lost, telemetryd is killed: nothing is missing."""

from __future__ import annotations

from sim.drills.drill import STAND_IN_NOTE, Drill, DrillOptions, Report, robot
from sim.drills.ledger import account_for_everything, drain, held
from sim.faults import Component, Kind

CYCLES = 12
OFFLINE_S = 20.0
ONLINE_S = 5.0
SILENT_S = 8.0


def run(options: DrillOptions, report: Report) -> None:
    report.notes.append(STAND_IN_NOTE)
    cycles = max(2, round(CYCLES * options.scale))
    with robot(options) as it:
        armed_s = it.wait_armed()
        report.expect("the robot arms itself", armed_s is not None, armed_s)
        held_most = 0
        for cycle in range(cycles):
            it.fleet.cut()
            it.lockstep.run(OFFLINE_S)
            held_most = max(held_most, held(it))
            it.fleet.mend()
            it.lockstep.run(ONLINE_S)
            options.say(f"cut {cycle + 1} of {cycles}: {held(it)} records held")
        report.expect("records waited while the network was away", held_most > 0, held_most)
        report.figures |= {"cuts": cycles, "held_most": held_most}
        it.fleet.answers = False  # frames arrive, their acknowledgements do not
        it.lockstep.run(SILENT_S)
        it.fleet.answers = True
        drain(it, report)
        account_for_everything(it, report)
        again = len(it.fleet.replayed)
        report.expect("what was sent late is marked as replayed", again > 0, again)
        restart(options, report)


def restart(options: DrillOptions, report: Report) -> None:
    """telemetryd dies with records on its disk; its successor sends them."""
    with robot(options) as it:
        it.wait_armed()
        it.fleet.cut()
        it.lockstep.run(OFFLINE_S)
        epoch, head = it.telemetry.journal.active.epoch, it.telemetry.journal.active.head
        it.lockstep.inject(Component.TELEMETRYD, Kind.OFF)
        it.lockstep.run(1.0)
        it.lockstep.clear(Component.TELEMETRYD)
        it.lockstep.run(ONLINE_S * 2)
        stored = it.fleet.stored.get(epoch)
        have = 0 if stored is None else sum(1 for seq in range(1, head + 1) if seq in stored)
        report.figures["held_by_the_killed_one"] = head
        report.expect("a killed telemetryd's records are sent by the next", have > 0, have)


DRILL = Drill(
    "telemetry_reconnect", "telemetry buffers, reconnects, and every number is there", run
)

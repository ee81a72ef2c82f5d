"""With the GPU gone the safety authority still stops the arm: e-stop, intruder, operator."""

from __future__ import annotations

from math import isfinite

import numpy as np

from runtime.agent.shared import Command, Verb
from runtime.shm import Mode, StopLevel, StopReason
from sim.drills.drill import Drill, DrillOptions, Report, Robot, robot
from sim.faults import Component, Kind
from sim.lockstep import Pictures

STANDSTILL_RAD_S = 0.02
STOP_TIMEOUT_S = 3.0


def is_still(it: Robot) -> bool:
    return bool(np.max(np.abs(it.state["qd"])) < STANDSTILL_RAD_S)


def run(options: DrillOptions, report: Report) -> None:
    with robot(options, Pictures.RENDERED) as it:
        armed_s = it.wait_armed()
        report.expect("the robot arms itself", armed_s is not None, armed_s)
        it.lockstep.inject(Component.GPU, Kind.OFF)
        gone = it.run_until(lambda: Mode.GPU_OFFLINE in it.modes, 10.0)
        report.figures["gpu_offline_after_s"] = "never" if gone is None else round(gone, 2)
        report.expect("the GPU's loss becomes a mode", gone is not None, gone)
        it.lockstep.run(5.0)
        estop(it, report)
        intruder(it, report)
        operator(it, report)
        cycles = int(it.state["cycle"])
        report.expect("Tier 1 missed no cycle", int(it.state["misses"]) == 0, it.state["misses"])
        report.figures["cycles"] = cycles


def estop(it: Robot, report: Report) -> None:
    it.lockstep.inject(Component.ESTOP, Kind.STUCK)
    reacted = it.run_until(lambda: it.stop_level is not StopLevel.NONE, STOP_TIMEOUT_S)
    still = it.run_until(lambda: is_still(it), STOP_TIMEOUT_S)
    reason = StopReason(int(it.state["stop_reason"]))
    report.figures["estop_still_after_s"] = "never" if still is None else round(still, 2)
    report.expect("the e-stop is obeyed", reacted is not None, reacted)
    report.expect("its reason is on record", reason is StopReason.ESTOP, reason.name)
    report.expect("the arm stands", still is not None, still)
    rearm(it, report, "with the button still pressed", armed=False)
    it.lockstep.clear(Component.ESTOP)
    it.lockstep.run(0.5)
    rearm(it, report, "with the button released", armed=True)


def intruder(it: Robot, report: Report) -> None:
    """Separation is a limit of speed: nobody has to re-arm after the person has gone."""
    it.lockstep.inject(Component.PERSON, Kind.WRONG)
    slowed = it.run_until(lambda: float(it.state["speed_limit_ratio"]) < 0.01 or stands(it), 40.0)
    separation = float(it.state["separation_m"])
    report.figures["intruder_separation_m"] = round(separation, 2) if isfinite(separation) else "-"
    report.expect("an intruder brings the arm to rest", slowed is not None, slowed)
    it.lockstep.clear(Component.PERSON)


def stands(it: Robot) -> bool:
    return it.stop_level is not StopLevel.NONE and is_still(it)


def operator(it: Robot, report: Report) -> None:
    it.agent.inbox.put(Command(Verb.STOP, level=StopLevel.HOLD))
    held = it.run_until(lambda: it.stop_level >= StopLevel.HOLD and is_still(it), STOP_TIMEOUT_S)
    report.figures["operator_hold_after_s"] = "never" if held is None else round(held, 2)
    report.expect("an operator's stop is obeyed", held is not None, held)


def rearm(it: Robot, report: Report, when: str, *, armed: bool) -> None:
    it.agent.inbox.put(Command(Verb.REARM))
    it.lockstep.run(0.3)
    found = it.stop_level
    wanted = "arms" if armed else "does not arm"
    report.expect(f"a re-arm {when} {wanted}", (found is StopLevel.NONE) == armed, found.name)


DRILL = Drill("safety_gpu_gone", "the safety override works with the GPU gone", run)

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
ABLE_TIMEOUT_S = 15.0
INTRUDER_TIMEOUT_S = 40.0
NO_SPEED = 0.01


def is_still(it: Robot) -> bool:
    return bool(np.max(np.abs(it.state["qd"])) < STANDSTILL_RAD_S)


def run(options: DrillOptions, report: Report) -> None:
    with robot(options, Pictures.RENDERED) as it:
        armed_s = it.wait_armed()
        report.expect("the robot arms itself", armed_s is not None, armed_s)
        it.lockstep.inject(Component.GPU, Kind.OFF)
        gone = it.run_until(lambda: Mode.GPU_OFFLINE in it.modes, 10.0)
        report.figures["gpu_offline_after_s"] = said(gone)
        report.expect("the GPU's loss becomes a mode", gone is not None, gone)
        for part in (estop, intruder, operator):
            part(it, report)
        held = Mode.GPU_OFFLINE in it.modes
        report.expect("the GPU was gone all the while", held, it.modes)
        misses = int(it.state["misses"])
        report.expect("Tier 1 missed no cycle", misses == 0, misses)
        report.figures["cycles"] = int(it.state["cycle"])


def estop(it: Robot, report: Report) -> None:
    report.expect("the arm is armed before the e-stop", wait_able(it), it.stop_level.name)
    it.lockstep.inject(Component.ESTOP, Kind.STUCK)
    reacted = it.run_until(lambda: it.stop_level is not StopLevel.NONE, STOP_TIMEOUT_S)
    still = it.run_until(lambda: is_still(it), STOP_TIMEOUT_S)
    reason = StopReason(int(it.state["stop_reason"]))
    report.figures["estop_reaction_s"] = said(reacted)
    report.figures["estop_still_after_s"] = said(still)
    report.expect("the e-stop is obeyed", reacted is not None, reacted)
    report.expect("its reason is on record", reason is StopReason.ESTOP, reason.name)
    report.expect("the arm stands", still is not None, still)
    rearm(it)
    it.lockstep.run(2.0)
    level = it.stop_level
    report.expect("pressed, no re-arm helps", level is not StopLevel.NONE, level.name)
    it.lockstep.clear(Component.ESTOP)
    it.lockstep.run(2.0)
    level = it.stop_level
    report.expect("released, the arm waits for a person", level is not StopLevel.NONE, level.name)
    report.expect("a person re-arms", wait_able(it, by_person=True), it.stop_level.name)


def intruder(it: Robot, report: Report) -> None:
    """Who comes close takes the speed; who cannot be placed for sure stops the arm."""
    report.expect("the arm is armed before the intruder", wait_able(it), it.stop_level.name)
    it.lockstep.inject(Component.PERSON, Kind.WRONG)
    rest = it.run_until(lambda: brought_to_rest(it), INTRUDER_TIMEOUT_S)
    separation = float(it.state["separation_m"])
    report.figures["intruder_rest_after_s"] = said(rest)
    report.figures["intruder_separation_m"] = round(separation, 2) if isfinite(separation) else "-"
    report.expect("an intruder brings the arm to rest", rest is not None, rest)
    it.lockstep.clear(Component.PERSON)


def operator(it: Robot, report: Report) -> None:
    report.expect("the arm is armed again", wait_able(it, by_person=True), it.stop_level.name)
    it.agent.inbox.put(Command(Verb.STOP, level=StopLevel.HOLD))
    held = it.run_until(lambda: it.stop_level >= StopLevel.HOLD and is_still(it), STOP_TIMEOUT_S)
    report.figures["operator_hold_after_s"] = said(held)
    report.expect("an operator's stop is obeyed", held is not None, held)


def brought_to_rest(it: Robot) -> bool:
    stopped = it.stop_level is not StopLevel.NONE
    return is_still(it) and (stopped or float(it.state["speed_limit_ratio"]) < NO_SPEED)


def wait_able(it: Robot, *, by_person: bool = False) -> bool:
    """Until the arm may move. Without a GPU doubt stops it now and then, and it goes on alone."""
    if by_person:
        it.run_until(lambda: not it.agent.lasting_causes, ABLE_TIMEOUT_S)
        rearm(it)
    return it.run_until(lambda: it.stop_level is StopLevel.NONE, ABLE_TIMEOUT_S) is not None


def rearm(it: Robot) -> None:
    it.agent.inbox.put(Command(Verb.REARM))
    it.lockstep.run(0.1)


def said(seconds: float | None) -> float | str:
    return "never" if seconds is None else round(seconds, 3)


DRILL = Drill("safety_gpu_gone", "the safety override works with the GPU gone", run)

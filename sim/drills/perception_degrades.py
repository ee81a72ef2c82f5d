"""The GPU falls behind: perception drops to level 1, margins widen, and all of it comes back."""

from __future__ import annotations

from runtime.shm import Levels, Mode
from sim.drills.drill import Drill, DrillOptions, Report, Robot, robot
from sim.faults import Component, Kind
from sim.lockstep import Pictures

OVERLOADED_S = 8.0
SETTLE_S = 1.0
RECOVERY_TIMEOUT_S = 30.0
GPU_MODES = Mode.GPU_OVERLOADED | Mode.GPU_OFFLINE


def runs(it: Robot) -> tuple[int, int, int]:
    """How often each level has run."""
    scene = it.scene
    assert scene is not None
    first, second, third = (int(count) for count in scene["runs"])
    return first, second, third


def run(options: DrillOptions, report: Report) -> None:
    with robot(options, Pictures.RENDERED) as it:
        armed_s = it.wait_armed()
        report.expect("the robot arms itself", armed_s is not None, armed_s)
        if armed_s is None:
            return
        it.lockstep.run(4.0)
        nominal = runs(it)
        report.figures["runs_nominal"] = str(nominal)
        report.expect("heavier levels run in nominal mode", sum(nominal[1:]) > 0, nominal)
        overload(it, report)
        recover(it, report)


def overload(it: Robot, report: Report) -> None:
    it.lockstep.inject(Component.GPU, Kind.SLOW)
    noticed = it.run_until(lambda: Mode.GPU_OVERLOADED in it.modes, 10.0)
    report.figures["noticed_after_s"] = "never" if noticed is None else round(noticed, 2)
    report.expect("the overload is noticed", noticed is not None, noticed)
    it.lockstep.run(SETTLE_S)
    before = runs(it)
    directive = it.directive
    it.lockstep.run(OVERLOADED_S)
    after = runs(it)
    grown = tuple(b - a for a, b in zip(before, after, strict=True))
    report.figures["runs_overloaded"] = str(grown)
    report.expect("level 1 goes on at its rate", grown[0] >= 25 * OVERLOADED_S, grown[0])
    report.expect("levels 2 and 3 rest", grown[1] == grown[2] == 0, grown[1:])
    margin, rate = float(directive["margin_multiplier"]), int(directive["policy_rate_hz"])
    report.expect("separation margins are half as wide again", margin == 1.5, margin)
    report.expect("the policy runs at half its rate", rate == 50, rate)
    levels = Levels(int(directive["allowed_levels"]))
    report.expect("only level 1 is allowed", levels == Levels.LEVEL1, levels)


def recover(it: Robot, report: Report) -> None:
    it.lockstep.clear(Component.GPU)
    back = it.run_until(lambda: not it.modes & GPU_MODES, RECOVERY_TIMEOUT_S)
    report.figures["back_after_s"] = "never" if back is None else round(back, 2)
    report.expect("the overload's mode is left again", back is not None, back)
    before = runs(it)
    it.lockstep.run(8.0)
    after = runs(it)
    report.expect("heavier levels run again", after[1] + after[2] > before[1] + before[2], after)


DRILL = Drill("perception_degrades", "GPU overloaded: level 1 only, and back", run)

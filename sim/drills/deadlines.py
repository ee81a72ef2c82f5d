"""No missed deadline: every cycle runs, no command goes stale, every challenge is answered.

Time is virtual, so this proves that the schedule fits together, not how fast a machine is; what the
cycle takes on this machine stands beside it as a figure. Real time is proven in the image's tests.
"""

from __future__ import annotations

import time

import numpy as np

from runtime.shm import Reject, Stage, StopLevel, StopReason
from sim.drills.drill import STAND_IN_NOTE, Drill, DrillOptions, Report, Robot, robot
from sim.lockstep import ControlCore

FULL_S = 1000.0  # a million cycles
MIN_S = 20.0


class TimedCore:
    """Passes cycles on and notes what each took on this machine."""

    def __init__(self, core: ControlCore) -> None:
        self._core = core
        self.took_ns: list[int] = []

    def cycle(self, now_ns: int) -> object:
        started = time.perf_counter_ns()
        result = self._core.cycle(now_ns)
        self.took_ns.append(time.perf_counter_ns() - started)
        return result


def run(options: DrillOptions, report: Report) -> None:
    report.notes += [STAND_IN_NOTE, "time is virtual; wall-clock figures are this machine's"]
    seconds = max(MIN_S, FULL_S * options.scale)
    with robot(options) as it:
        assert it.lockstep.core is not None
        timed = TimedCore(it.lockstep.core)
        it.lockstep.core = timed
        armed_s = it.wait_armed()
        report.expect("the robot arms itself", armed_s is not None, armed_s)
        before = it.state
        it.lockstep.run(seconds)
        judge(it, before, seconds, report)
        report.figures |= percentiles(timed.took_ns)
        done = it.count_events("task.done")
        report.figures["tasks_done"] = done


def judge(it: Robot, before: np.void, seconds: float, report: Report) -> None:
    after = it.state
    cycles = int(after["cycle"]) - int(before["cycle"])
    misses = int(after["misses"]) - int(before["misses"])
    rejected = after["rejected"] - before["rejected"]
    late = int(rejected[Reject.EXPIRED]) + int(rejected[Reject.OUT_OF_ORDER])
    reason = StopReason(int(after["stop_reason"]))
    report.figures |= {"cycles": cycles, "misses": misses, "late_commands": late}
    report.expect("every millisecond had its cycle", cycles == round(seconds * 1000), cycles)
    report.expect("no deadline was missed", misses == 0, misses)
    report.expect(
        "the miss ledger is empty", not it.state_reader.ledger(), len(it.state_reader.ledger())
    )
    report.expect("no command came late or out of order", late == 0, late)
    report.expect(
        "neither liveness nor a stale source stopped the arm",
        it.stop_level is StopLevel.NONE,
        reason.name.lower(),
    )


def percentiles(took_ns: list[int]) -> dict[str, float | int | str]:
    us = np.asarray(took_ns, dtype=np.float64) / 1000
    p50, p99, p999 = np.percentile(us, [50, 99, 99.9])
    return {
        "cycle_wall_p50_us": round(float(p50), 1),
        "cycle_wall_p99_us": round(float(p99), 1),
        "cycle_wall_p999_us": round(float(p999), 1),
        "cycle_wall_max_us": round(float(us.max()), 1),
        "stage": Stage.CYCLE.name.lower(),
    }


DRILL = Drill("deadlines", "a million cycles without a missed deadline", run)

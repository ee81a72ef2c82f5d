"""One hour without network: the robot works on, its telemetry waits on disk and arrives later."""

from __future__ import annotations

from runtime.shm import Mode, StopLevel
from sim.drills.drill import STAND_IN_NOTE, Drill, DrillOptions, Report, Robot, robot
from sim.drills.ledger import account_for_everything, drain, held

HOUR_S = 3600.0
MIN_OFFLINE_S = 60.0
SAY_EVERY_S = 300.0


def run(options: DrillOptions, report: Report) -> None:
    report.notes.append(STAND_IN_NOTE)
    offline_s = max(MIN_OFFLINE_S, HOUR_S * options.scale)
    with robot(options) as it:
        armed_s = it.wait_armed()
        report.expect("the robot arms itself with the network there", armed_s is not None, armed_s)
        if armed_s is None:
            return
        it.fleet.cut()
        offline = it.run_until(lambda: Mode.NETWORK_OFFLINE in it.modes, 30.0)
        report.expect("the loss of the network is noticed", offline is not None, offline)
        work(it, options, report, offline_s)
        it.fleet.mend()
        drain(it, report)
        account_for_everything(it, report)


def work(it: Robot, options: DrillOptions, report: Report, offline_s: float) -> None:
    """The offline time itself, in pieces, so that a person sees it go by."""
    done, stops = it.count_events("task.done"), it.count_events("agent.stop_requested")
    left_s, modes = offline_s, Mode.NETWORK_OFFLINE
    while left_s > 0:
        piece_s = min(SAY_EVERY_S, left_s)
        it.lockstep.run(piece_s)
        left_s -= piece_s
        modes |= it.modes
        finished = it.count_events("task.done") - done
        options.say(f"offline, {left_s:.0f} s to go: {finished} tasks done")
    finished = it.count_events("task.done") - done
    stopped = it.count_events("agent.stop_requested") - stops
    waiting = held(it)
    report.figures |= {
        "offline_s": offline_s,
        "tasks_done_offline": finished,
        "tasks_failed_offline": it.agent.duty.tally.failed,
        "misses": int(it.state["misses"]),
        "spooled_records": waiting,
        "spooled_mib": round(it.telemetry.journal.active.depth().used_bytes / 2**20, 2),
    }
    report.expect("tasks are done without network", finished > 0, finished)
    report.expect("only the network mode holds all the time", modes == Mode.NETWORK_OFFLINE, modes)
    report.expect("nothing stops the robot", stopped == 0, stopped)
    report.expect(
        "the arm is armed at the end", it.stop_level is StopLevel.NONE, it.stop_level.name
    )
    report.expect("telemetry waits on the robot's disk", waiting > 0, waiting)


DRILL = Drill("offline_hour", "one hour without network, then nothing is missing", run)

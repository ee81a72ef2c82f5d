"""Without network a cached skill runs and a new one is refused with the reason."""

from __future__ import annotations

from runtime.agent.duty import Request
from runtime.agent.shared import Command, Verb
from runtime.agent.task import TaskSource
from runtime.shm import Mode
from runtime.skills.refusal import RefusalReason, SkillRefusedError
from sim.drills.drill import STAND_IN_NOTE, Drill, DrillOptions, Report, Robot, robot

CACHED, NEW = "pick_place", "fold_towel"
TASK_TIMEOUT_S = 90.0


def run(options: DrillOptions, report: Report) -> None:
    report.notes.append(STAND_IN_NOTE)
    with robot(options) as it:
        armed_s = it.wait_armed()
        report.expect("the robot arms itself", armed_s is not None, armed_s)
        it.fleet.cut()
        offline = it.run_until(lambda: Mode.NETWORK_OFFLINE in it.modes, 30.0)
        report.expect("the loss of the network is noticed", offline is not None, offline)
        reason = refusal_of(it, NEW)
        report.figures["new_skill"] = reason
        report.expect(
            "a new skill is refused, and says why",
            reason == RefusalReason.NOT_CACHED_OFFLINE.value,
            reason,
        )
        refused = refusal_of(it, CACHED)
        report.expect("a cached skill is accepted", refused == "none", refused)
        before = it.agent.duty.tally.done
        it.agent.inbox.put(Command(Verb.SUBMIT, request=Request(CACHED, TaskSource.API)))
        took = it.run_until(lambda: it.agent.duty.tally.done >= before + 2, TASK_TIMEOUT_S)
        report.figures["cached_skill_done_after_s"] = "never" if took is None else round(took, 1)
        report.expect("the cached skill does its task offline", took is not None, took)
        report.expect("still offline at the end", Mode.NETWORK_OFFLINE in it.modes, it.modes)


def refusal_of(it: Robot, skill: str) -> str:
    """As the local API asks: new skills only where the modes that hold allow them."""
    allowed = it.agent.accepts_new_skills
    try:
        it.agent.shelf.obtain(skill, online=allowed)
    except SkillRefusedError as error:
        return error.reason.value
    return "none"


DRILL = Drill("skill_cache", "offline: a cached skill runs, a new one is refused", run)

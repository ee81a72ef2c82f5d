"""What the local API says: one model a reply, made from the agent's snapshot."""

from math import isfinite
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from conf.schema.modes import Behaviour, Capabilities
from runtime.agent.shared import ControlSummary, Snapshot
from runtime.agent.task import Task
from runtime.health.check import Finding
from runtime.modes import names_of


class Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModeReply(Reply):
    modes: list[str]
    causes: list[str] = Field(description="why the robot stands; empty unless in safe_stop")
    lasting: list[str] = Field(description="those of the causes that no re-arm clears yet")
    capabilities: Capabilities
    behaviour: Behaviour


class ControlReply(Reply):
    age_ms: float
    cycle: int
    exec_state: str
    stop_level: str
    stop_reason: str
    source: str
    realtime: str
    misses: int
    speed_limit_ratio: float
    separation_m: float | None = Field(description="null: nobody near, or not known")


class TaskReply(Reply):
    task_id: int
    skill: str
    source: str
    state: str
    stage: str | None = Field(description="of the running task")
    attempts: int
    reason: str
    detail: str
    high_value: bool
    object_id: int | None
    created_wall_ns: int
    finished_wall_ns: int | None


class TasksReply(Reply):
    running: TaskReply | None
    queue: list[TaskReply]
    recent: list[TaskReply]
    done: int
    failed: int
    cancelled: int
    refused_writes: int = Field(description="rows that the disk would not take")


class FindingReply(Reply):
    check: str
    state: str
    value: float | None
    unit: str
    age_s: float
    critical: bool
    note: str


class HealthReply(Reply):
    healthy: bool
    findings: list[FindingReply]


class SkillReply(Reply):
    name: str
    version: str
    digest: str


class SkillsReply(Reply):
    capacity: int
    skills: list[SkillReply]


class StateReply(Reply):
    robot_id: str
    artifact_name: str
    config_hash: str
    at_ns: int
    online: bool
    mode: ModeReply
    control: ControlReply | None
    running: TaskReply | None


class RearmReply(Reply):
    cleared: list[str]
    remaining: list[str] = Field(description="still present; empty: the robot is armed")


class StopReply(Reply):
    level: str


class DrillReply(Reply):
    drill: str
    command: str


TaskObject = Annotated[int, Field(ge=0, le=4_294_967_295)]


def mode_reply(snapshot: Snapshot) -> ModeReply:
    state = snapshot.mode_state
    return ModeReply(
        modes=[name.value for name in names_of(state.modes)],
        causes=sorted(cause.value for cause in state.causes),
        lasting=sorted(cause.value for cause in state.present_causes),
        capabilities=snapshot.effects.capabilities,
        behaviour=snapshot.effects.behaviour,
    )


def control_reply(control: ControlSummary) -> ControlReply:
    separation = control.separation_m
    return ControlReply(
        age_ms=round(control.age_ns / 1e6, 3),
        cycle=control.cycle,
        exec_state=control.exec_state,
        stop_level=control.stop_level,
        stop_reason=control.stop_reason,
        source=control.source,
        realtime=control.realtime,
        misses=control.misses,
        speed_limit_ratio=control.speed_limit_ratio,
        separation_m=separation if separation is not None and isfinite(separation) else None,
    )


def task_reply(task: Task, stage: str | None = None) -> TaskReply:
    return TaskReply(
        task_id=task.task_id,
        skill=task.skill,
        source=task.source.value,
        state=task.state.value,
        stage=stage,
        attempts=task.attempts,
        reason=task.reason.value,
        detail=task.detail,
        high_value=task.high_value,
        object_id=task.object_id,
        created_wall_ns=task.created_wall_ns,
        finished_wall_ns=task.finished_wall_ns,
    )


def running_reply(snapshot: Snapshot) -> TaskReply | None:
    run = snapshot.running
    return None if run is None else task_reply(run.task, run.stage.value)


def tasks_reply(snapshot: Snapshot) -> TasksReply:
    return TasksReply(
        running=running_reply(snapshot),
        queue=[task_reply(task) for task in snapshot.queue],
        recent=[task_reply(task) for task in snapshot.recent],
        done=snapshot.tally.done,
        failed=snapshot.tally.failed,
        cancelled=snapshot.tally.cancelled,
        refused_writes=snapshot.refused_writes,
    )


def finding_reply(finding: Finding) -> FindingReply:
    return FindingReply(
        check=finding.check,
        state=finding.state.value,
        value=finding.value,
        unit=finding.unit,
        age_s=round(finding.age_ns / 1e9, 3),
        critical=finding.critical,
        note=finding.note,
    )

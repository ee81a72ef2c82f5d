"""What a task is, from request to result, and the words for how it can end."""

from dataclasses import dataclass, replace
from enum import StrEnum


class TaskState(StrEnum):
    QUEUED = "queued"
    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        match self:
            case TaskState.QUEUED | TaskState.ACTIVE:
                return False
            case TaskState.DONE | TaskState.FAILED | TaskState.CANCELLED:
                return True


class TaskSource(StrEnum):
    DUTY = "duty"  # the robot gave it to itself
    API = "api"
    FLEET = "fleet"


class FailReason(StrEnum):
    """Why an attempt, or the task, failed. NONE while nothing did."""

    NONE = "none"
    NO_PART_SEEN = "no_part_seen"
    OBJECT_NOT_SEEN = "object_not_seen"
    TRAY_FULL = "tray_full"
    GRASP_MISSED = "grasp_missed"
    PART_DROPPED = "part_dropped"
    POLICY_FAILED = "policy_failed"
    PICK_TIMEOUT = "pick_timeout"
    PLACE_TIMEOUT = "place_timeout"
    PLACE_NOT_SEEN = "place_not_seen"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"  # the agent ended while the task ran
    SKILL_REFUSED = "skill_refused"


@dataclass(frozen=True)
class Task:
    """One pick and place. `task_id` 0 is never a task: the goal of an idle robot carries it."""

    task_id: int
    skill: str
    source: TaskSource
    created_wall_ns: int
    object_id: int | None = None  # None: the next part that is seen
    high_value: bool = False
    state: TaskState = TaskState.QUEUED
    attempts: int = 0
    reason: FailReason = FailReason.NONE
    detail: str = ""
    finished_wall_ns: int | None = None

    def finished(
        self, state: TaskState, wall_ns: int, reason: FailReason = FailReason.NONE, detail: str = ""
    ) -> "Task":
        return replace(self, state=state, finished_wall_ns=wall_ns, reason=reason, detail=detail)

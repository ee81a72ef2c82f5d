"""Which task is worked on: the queue, the running execution, the goal it publishes.

The decisions of one task are in execution.py; this file holds the list around it and tells the rest
of the robot and the fleet what became of each.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from runtime.agent.execution import Execution, Rules, SeenPart, Stage, View, advance, begin
from runtime.agent.journeys import Journeys
from runtime.agent.look import Look
from runtime.agent.store import TaskStore
from runtime.agent.task import FailReason, Task, TaskSource, TaskState
from runtime.hal.clock import Clock
from runtime.shm import Phase
from runtime.telemetry.client import Severity, TelemetryClient

log = logging.getLogger(__name__)

RECENT_MAX = 50
QUEUE_MAX = 1000
DUTY_PAUSE_NS = 2_000_000_000
"""After a duty that found nothing to do, the next look waits this long."""


class QueueFullError(RuntimeError):
    pass


@dataclass(frozen=True)
class Request:
    """A task somebody wants; the skill has been verified before it gets here."""

    skill: str
    source: TaskSource
    object_id: int | None = None
    high_value: bool = False


@dataclass(frozen=True)
class Accepted:
    """A task in the queue, and whether it is on disk yet."""

    task: Task
    saved: "Future[bool]"


@dataclass(frozen=True)
class Tally:
    done: int = 0
    failed: int = 0
    cancelled: int = 0


def phase_of(stage: Stage) -> Phase:
    match stage:
        case Stage.OBSERVE | Stage.VERIFY:
            return Phase.OBSERVE
        case Stage.PICK:
            return Phase.PICK
        case Stage.PLACE:
            return Phase.PLACE
        case Stage.RETREAT:
            return Phase.RETREAT
        case Stage.DONE | Stage.FAILED:
            return Phase.IDLE


class Duty:
    """Owned by the agent's step; nothing else touches it."""

    def __init__(
        self,
        store: TaskStore,
        rules: Rules,
        clock: Clock,
        telemetry: TelemetryClient,
        hash_of: Callable[[str], int | None],
        auto_skill: str | None,
        journeys: Journeys,
    ) -> None:
        self.tally = Tally()
        self.running: Execution | None = None
        self.recent: list[Task] = []
        self.queue: list[Task] = []
        self._store = store
        self._rules = rules
        self._clock = clock
        self._telemetry = telemetry
        self._hash_of = hash_of
        self._auto_skill = auto_skill
        self._journeys = journeys
        self._auto_from_ns = 0
        self._unseen: tuple[SeenPart, ...] = ()
        self._next_id = 1
        self._recover()
        self._verify_skills()

    def submit(self, request: Request) -> "Accepted":
        """Whoever asked waits for the disk, not this loop."""
        if len(self.queue) >= QUEUE_MAX:
            raise QueueFullError(f"{QUEUE_MAX} tasks are waiting; nothing was added")
        task = Task(
            task_id=self._next_id,
            skill=request.skill,
            source=request.source,
            created_wall_ns=self._clock.wall_ns(),
            object_id=request.object_id,
            high_value=request.high_value,
        )
        self._next_id += 1
        self.queue.append(task)
        self._journeys.submitted(task)
        return Accepted(task, self._store.save(task))

    def cancel_waiting(self) -> int:
        waiting, self.queue = self.queue, []
        for task in waiting:
            self._close(task.finished(TaskState.CANCELLED, self._clock.wall_ns()))
        return len(waiting)

    def step(self, now_ns: int, view: View, look: Look) -> None:
        if self.running is None:
            self._start_next(now_ns, view, look)
        if self.running is None:
            return
        before = self.running
        after = advance(before, view, now_ns, self._rules)
        self.running = after
        self._journeys.stepped(after, view, look, now_ns)
        if after.attempt != before.attempt:
            self._attempt_failed(after)
        if after.stage.is_final:
            self._finish(after, now_ns)

    def goal_fields(self) -> dict[str, object]:
        run = self.running
        if run is None:
            return {"phase": int(Phase.IDLE)}
        fields: dict[str, object] = {
            "task_id": run.task.task_id,
            "skill_hash": self._hash_of(run.task.skill) or 0,
            "phase": int(Phase.IDLE if run.stopped_since_ns else phase_of(run.stage)),
            "high_value": int(run.task.high_value),
            "attempt": run.attempt,
        }
        if run.target is not None and run.place_m is not None:
            fields["object_id"] = run.target.object_id
            fields["target_pos"] = run.target.position_m
            fields["place_pos"] = run.place_m
        return fields

    def _recover(self) -> None:
        """What waited still waits; what ran when the agent ended has used up an attempt."""
        for task in self._store.load():
            self._next_id = max(self._next_id, task.task_id + 1)
            match task.state:
                case TaskState.QUEUED:
                    self.queue.append(task)
                case TaskState.ACTIVE:
                    self._resume(task)
                case TaskState.DONE | TaskState.FAILED | TaskState.CANCELLED:
                    self.recent = [task, *self.recent][:RECENT_MAX]
                    self._count(task)

    def _verify_skills(self) -> None:
        """Before the first step: verifying a skill takes longer than Tier 1 waits for an answer."""
        wanted = {task.skill for task in self.queue} | {self._auto_skill}
        for skill in sorted(name for name in wanted if name is not None):
            self._hash_of(skill)

    def _resume(self, task: Task) -> None:
        """A task that somebody asked for is tried again; the robot's own duty starts afresh."""
        again = replace(task, attempts=task.attempts + 1, reason=FailReason.INTERRUPTED)
        if task.source is TaskSource.DUTY:
            self._end_interrupted(again, TaskState.CANCELLED)
        elif again.attempts < self._rules.attempts_max:
            self.queue.insert(0, replace(again, state=TaskState.QUEUED))
            self._store.save(self.queue[0])
        else:
            self._end_interrupted(again, TaskState.FAILED)

    def _end_interrupted(self, task: Task, state: TaskState) -> None:
        wall_ns = self._clock.wall_ns()
        self._close(task.finished(state, wall_ns, FailReason.INTERRUPTED))

    def _start_next(self, now_ns: int, view: View, look: Look) -> None:
        if not view.may_move:
            return
        task = self.queue.pop(0) if self.queue else self._own_task(now_ns, view)
        if task is None:
            return
        if self._hash_of(task.skill) is None:
            reason = FailReason.SKILL_REFUSED
            self._close(task.finished(TaskState.FAILED, self._clock.wall_ns(), reason))
            self._auto_from_ns = now_ns + DUTY_PAUSE_NS
            return
        active = replace(task, state=TaskState.ACTIVE)
        self._store.save(active)
        self.running = begin(active, now_ns, self._unseen)
        self._journeys.started(self.running, look)
        self._tell("task.started", Severity.INFO, active)

    def _own_task(self, now_ns: int, view: View) -> Task | None:
        """The demonstration duty works as long as there is something to pick."""
        skill = self._auto_skill
        if skill is None or now_ns < self._auto_from_ns or view.scene is None:
            return None
        pickable = any(self._rules.is_pickable(part) for part in view.scene.parts)
        if not pickable:
            return None
        self.submit(Request(skill, TaskSource.DUTY))
        return self.queue.pop()

    def _attempt_failed(self, run: Execution) -> None:
        self.running = replace(run, task=replace(run.task, attempts=run.attempt - 1))
        self._tell("task.attempt_failed", Severity.WARNING, run.task, run)

    def _finish(self, run: Execution, now_ns: int) -> None:
        self.running, self._unseen = None, run.unseen
        task = replace(run.task, attempts=run.attempt)
        wall_ns = self._clock.wall_ns()
        if run.stage is Stage.DONE:
            self._close(task.finished(TaskState.DONE, wall_ns), run)
            return
        self._auto_from_ns = now_ns + DUTY_PAUSE_NS
        self._close(task.finished(TaskState.FAILED, wall_ns, run.reason, run.detail), run)

    def _close(self, task: Task, run: Execution | None = None) -> None:
        self._store.save(task)
        self._journeys.ended(task)
        self._count(task)
        self.recent = [task, *self.recent][:RECENT_MAX]
        match task.state:
            case TaskState.DONE:
                self._tell("task.done", Severity.INFO, task, run)
            case TaskState.FAILED:
                self._tell("task.failed", Severity.WARNING, task, run)
            case TaskState.CANCELLED | TaskState.QUEUED | TaskState.ACTIVE:
                self._tell("task.cancelled", Severity.INFO, task, run)

    def _count(self, task: Task) -> None:
        tally = self.tally
        match task.state:
            case TaskState.DONE:
                self.tally = replace(tally, done=tally.done + 1)
            case TaskState.FAILED:
                self.tally = replace(tally, failed=tally.failed + 1)
            case TaskState.CANCELLED:
                self.tally = replace(tally, cancelled=tally.cancelled + 1)
            case TaskState.QUEUED | TaskState.ACTIVE:
                pass

    def _tell(
        self, event: str, severity: Severity, task: Task, run: Execution | None = None
    ) -> None:
        reason = task.reason if run is None or task.state.is_final else run.reason
        duration_s = (self._clock.wall_ns() - task.created_wall_ns) / 1e9
        log.info("%s %d (%s) %s", event, task.task_id, task.skill, reason.value)
        self._telemetry.event(
            event,
            severity,
            {
                "task_id": task.task_id,
                "skill": task.skill,
                "source": task.source.value,
                "attempt": task.attempts if run is None else run.attempt,
                "stage": "" if run is None else run.stage.value,
                "reason": reason.value,
                "detail": task.detail if run is None else run.detail,
                "fallback": run is not None and run.fallback,
                "duration_s": round(duration_s, 3),
                "done_total": self.tally.done,
                "failed_total": self.tally.failed,
            },
        )

"""Hands in the journeys of tasks: those that are sampled at once, others when they go wrong.

What was done is told as events too, of every task: a log is not sampled.
A task outlives the agent, so its own times come from the wall clock, and its trace from what is on
disk of it: after a restart the same journey goes on.
"""

from dataclasses import dataclass

from conf.schema.telemetry import Traces
from runtime.agent.actions import actions_of
from runtime.agent.execution import Execution, View
from runtime.agent.journey import Journey, ended, follow, queued, started, submitted
from runtime.agent.look import Look
from runtime.agent.task import Task, TaskState
from runtime.hal.clock import Clock
from runtime.telemetry.client import TelemetryClient
from runtime.telemetry.span import Span, Status, hand_in, is_sampled, trace_id_of

HELD_SPANS_MAX = 200  # of one task that is not sampled; what is older is given up
HELD_TASKS_MAX = 1000


@dataclass(frozen=True)
class Whose:
    site: str
    robot_id: str


class Journeys:
    """Owned by the agent's step; nothing else touches it."""

    def __init__(
        self, whose: Whose, policy: Traces, clock: Clock, telemetry: TelemetryClient
    ) -> None:
        self._whose = whose
        self._policy = policy
        self._clock = clock
        self._telemetry = telemetry
        self._began_ns = clock.now_ns()
        self._running: Journey | None = None
        self._held: dict[int, list[Span]] = {}
        self._told: set[int] = set()  # not sampled, but something went wrong

    def submitted(self, task: Task) -> None:
        now_ns = self._clock.now_ns()
        self._tell(task, [submitted(self._trace(task), task, self._since_ns(task, now_ns))], now_ns)

    def started(self, run: Execution, look: Look) -> None:
        now_ns, trace_id = self._clock.now_ns(), self._trace(run.task)
        since_ns = self._since_ns(run.task, now_ns)
        if run.task.attempts:  # it was at work before the agent was started again
            since_ns = max(since_ns, self._began_ns)
        waited = queued(trace_id, run.task, since_ns, now_ns)
        self._running, attempt = started(trace_id, run, look, run.stage_since_ns)
        self._tell(run.task, [waited, attempt], now_ns)

    def stepped(self, run: Execution, view: View, look: Look, now_ns: int) -> None:
        if self._running is None or self._running.task_id != run.task.task_id:
            return
        attempt = self._running.attempt
        self._running, spans = follow(self._running, run, view, look, now_ns)
        for action in actions_of(run.task, attempt, spans):
            self._telemetry.event(action.name, action.severity, action.fields)
        self._tell(run.task, spans, now_ns)

    def ended(self, task: Task) -> None:
        now_ns, trace_id = self._clock.now_ns(), self._trace(task)
        since_ns = self._since_ns(task, now_ns)
        spans = [ended(trace_id, task, since_ns, now_ns)]
        if self._running is not None and self._running.task_id == task.task_id:
            self._running = None
        elif not task.attempts:  # it never was begun
            spans.insert(0, queued(trace_id, task, since_ns, now_ns))
        self._tell(task, spans, now_ns)
        self._held.pop(task.task_id, None)
        self._told.discard(task.task_id)

    def _tell(self, task: Task, spans: list[Span], now_ns: int) -> None:
        if not spans:
            return
        if task.task_id in self._told or is_sampled(spans[0].trace_id, self._policy.share_ratio):
            hand_in(self._telemetry, spans, now_ns)
            return
        if not self._policy.failed:
            return
        held = [*self._held.pop(task.task_id, []), *spans][-HELD_SPANS_MAX:]
        if _went_wrong(task, spans):
            self._told.add(task.task_id)
            hand_in(self._telemetry, held, now_ns)
            return
        self._held[task.task_id] = held
        while len(self._held) > HELD_TASKS_MAX:
            del self._held[next(iter(self._held))]

    def _trace(self, task: Task) -> str:
        whose = self._whose
        return trace_id_of(whose.site, whose.robot_id, task.task_id, task.created_wall_ns)

    def _since_ns(self, task: Task, now_ns: int) -> int:
        """When it was asked for, on the monotonic clock, which may not have run then."""
        return now_ns - max(0, self._clock.wall_ns() - task.created_wall_ns)


def _went_wrong(task: Task, spans: list[Span]) -> bool:
    return task.state is TaskState.FAILED or any(span.status is Status.ERROR for span in spans)

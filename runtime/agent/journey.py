"""A task's journey in spans: what an execution went through, as a pure function of its looks.

    task ─ queue
         └ attempt 1 ─ select ─ pick ─ inference, safety_check, command
                     └ place … retreat, verify
         └ attempt 2 …

A bar begins and ends with the agent's looks, 50 ms apart; the figures on it are those that the
policy and Tier 1 count themselves. Nothing is asked of either: they have no part in this.
"""

from dataclasses import dataclass, replace

from runtime.agent.execution import Execution, Stage, View
from runtime.agent.look import Look
from runtime.agent.motion import Motion, watch
from runtime.agent.task import FailReason, Task, TaskState
from runtime.telemetry.client import Value
from runtime.telemetry.span import Span, Status, root_id_of, span_id_of

MOVING = frozenset({Stage.PICK, Stage.PLACE, Stage.RETREAT})


@dataclass(frozen=True)
class Journey:
    """Where the telling of a running task is."""

    trace_id: str
    task_id: int
    attempt: int
    attempt_since_ns: int
    stage: Stage
    stage_since_ns: int
    stage_number: int  # in the attempt: a stop may send it through a stage twice
    motion: Motion
    stopped_since_ns: int | None = None
    stopped_for: str = ""
    stops: int = 0
    interrupted: bool = False  # this stage was

    @property
    def attempt_id(self) -> str:
        return span_id_of(self.trace_id, "attempt", self.attempt)

    @property
    def stage_id(self) -> str:
        return span_id_of(self.trace_id, "attempt", self.attempt, "stage", self.stage_number)


def submitted(trace_id: str, task: Task, start_ns: int) -> Span:
    """The task itself, told when it is taken on, so that what belongs to it has a place."""
    return Span(
        trace_id=trace_id,
        span_id=root_id_of(trace_id),
        parent_id="",
        name="task",
        task_id=task.task_id,
        start_ns=start_ns,
        end_ns=None,
        attributes=_of_task(task),
    )


def ended(trace_id: str, task: Task, start_ns: int, now_ns: int) -> Span:
    status = {TaskState.DONE: Status.OK, TaskState.FAILED: Status.ERROR}
    told = submitted(trace_id, task, start_ns)
    more: dict[str, Value] = {"result": task.state.value, "attempts": task.attempts}
    if task.reason is not FailReason.NONE:
        more |= {"reason": task.reason.value, "detail": task.detail}
    return replace(
        told,
        end_ns=now_ns,
        status=status.get(task.state, Status.UNSET),
        attributes={**told.attributes, **more},
    )


def queued(trace_id: str, task: Task, start_ns: int, now_ns: int) -> Span:
    """From submission to selection; a task that is tried again after a restart waited twice."""
    return Span(
        trace_id=trace_id,
        span_id=span_id_of(trace_id, "queue", task.attempts),
        parent_id=root_id_of(trace_id),
        name="queue",
        task_id=task.task_id,
        start_ns=start_ns,
        end_ns=now_ns,
        status=Status.OK,
    )


def started(trace_id: str, run: Execution, look: Look, now_ns: int) -> tuple[Journey, Span]:
    journey = Journey(
        trace_id=trace_id,
        task_id=run.task.task_id,
        attempt=run.attempt,
        attempt_since_ns=now_ns,
        stage=run.stage,
        stage_since_ns=run.stage_since_ns,
        stage_number=1,
        motion=Motion(look),
    )
    return journey, _attempt_span(journey, None)


def follow(
    journey: Journey, run: Execution, view: View, look: Look, now_ns: int
) -> tuple[Journey, list[Span]]:
    """One look later: what has come to its end since the last one."""
    spans: list[Span] = []
    journey = _note_stop(journey, run, look, now_ns, spans)
    if journey.stage in MOVING:
        journey = replace(journey, motion=watch(journey.motion, journey.task_id, look, now_ns))
    same = (run.attempt, run.stage, run.stage_since_ns) == (
        journey.attempt,
        journey.stage,
        journey.stage_since_ns,
    )
    if same:
        return journey, spans
    retried = run.attempt != journey.attempt
    outcome = _outcome(journey, run)
    spans.extend(_motion_spans(journey))
    spans.append(_stage_span(journey, run, view, outcome, now_ns))
    if retried or run.stage.is_final:
        spans.append(_attempt_span(journey, now_ns, outcome, _why(run, outcome)))
    journey = replace(
        journey,
        stage=run.stage,
        stage_since_ns=run.stage_since_ns,
        stage_number=1 if retried else journey.stage_number + 1,
        motion=Motion(look),
        interrupted=False,
    )
    if retried:
        journey = replace(journey, attempt=run.attempt, attempt_since_ns=now_ns)
        spans.append(_attempt_span(journey, None))
    return journey, spans


def _outcome(journey: Journey, run: Execution) -> Status:
    if run.attempt != journey.attempt or run.stage is Stage.FAILED:
        return Status.ERROR
    return Status.UNSET if journey.interrupted else Status.OK


def _why(run: Execution, outcome: Status) -> dict[str, Value]:
    if outcome is not Status.ERROR:
        return {}
    return {"reason": run.reason.value, "detail": run.detail}


def _note_stop(
    journey: Journey, run: Execution, look: Look, now_ns: int, spans: list[Span]
) -> Journey:
    """A stop suspends the stage; it is told when it is over, or has lasted too long."""
    since_ns = journey.stopped_since_ns
    if run.stopped_since_ns is not None and since_ns is None:
        why = "" if look.control is None else look.control.stop_reason
        since_ns = run.stopped_since_ns
        journey = replace(journey, stopped_since_ns=since_ns, stopped_for=why, interrupted=True)
    if since_ns is None or (run.stopped_since_ns is not None and not run.stage.is_final):
        return journey
    spans.append(
        Span(
            trace_id=journey.trace_id,
            span_id=_under(journey, "stopped", journey.stops),
            parent_id=journey.stage_id,
            name="stopped",
            task_id=journey.task_id,
            start_ns=since_ns,
            end_ns=now_ns,
            status=Status.ERROR,
            attributes={"reason": journey.stopped_for},
        )
    )
    return replace(journey, stopped_since_ns=None, stops=journey.stops + 1)


def _motion_spans(journey: Journey) -> list[Span]:
    return [
        Span(
            trace_id=journey.trace_id,
            span_id=_under(journey, name),
            parent_id=journey.stage_id,
            name=name,
            task_id=journey.task_id,
            start_ns=part.first_ns,
            end_ns=part.last_ns,
            status=part.status,
            attributes={key: value for key, value in part.figures if key != "verdict_rank"},
        )
        for name, part in journey.motion.parts
        if part.first_ns is not None
    ]


def _stage_span(journey: Journey, run: Execution, view: View, outcome: Status, now_ns: int) -> Span:
    more: dict[str, Value] = _why(run, outcome)
    if journey.stage in (Stage.OBSERVE, Stage.VERIFY) and view.scene is not None:
        more["parts_seen"] = len(view.scene.parts)
        more["picture_age_ms"] = round((now_ns - view.scene.capture_ns) / 1e6, 3)
    if journey.stage is Stage.OBSERVE and run.target is not None:
        more |= {"object_id": run.target.object_id, "confidence": round(run.target.confidence, 3)}
    if journey.stage in MOVING:
        more["fallback"] = run.fallback
    return Span(
        trace_id=journey.trace_id,
        span_id=journey.stage_id,
        parent_id=journey.attempt_id,
        name="select" if journey.stage is Stage.OBSERVE else journey.stage.value,
        task_id=journey.task_id,
        start_ns=journey.stage_since_ns,
        end_ns=now_ns,
        status=outcome,
        attributes=more,
    )


def _attempt_span(
    journey: Journey,
    end_ns: int | None,
    status: Status = Status.UNSET,
    why: dict[str, Value] | None = None,
) -> Span:
    return Span(
        trace_id=journey.trace_id,
        span_id=journey.attempt_id,
        parent_id=root_id_of(journey.trace_id),
        name="attempt",
        task_id=journey.task_id,
        start_ns=journey.attempt_since_ns,
        end_ns=end_ns,
        status=status,
        attributes={"attempt": journey.attempt, **(why or {})},
    )


def _under(journey: Journey, *path: str | int) -> str:
    return span_id_of(journey.trace_id, journey.stage_id, *path)


def _of_task(task: Task) -> dict[str, Value]:
    known: dict[str, Value] = {
        "skill": task.skill,
        "asked_by": task.source.value,
        "high_value": task.high_value,
    }
    return known if task.object_id is None else {**known, "object_id": task.object_id}

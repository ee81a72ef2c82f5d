"""What a task's steps say as events: perception, decision, execution, feedback, recovery. Pure.

`latency_ms` stands where something was measured: the age of the picture that was acted on, and the
slowest answer of the policy. How long a motion took is `lasted_ms`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from runtime.agent.task import Task
from runtime.telemetry.client import Severity, Value
from runtime.telemetry.span import Span, Status

MOTIONS = frozenset({"pick", "place", "retreat"})


@dataclass(frozen=True)
class Action:
    name: str
    severity: Severity
    fields: Mapping[str, Value]


def actions_of(task: Task, attempt: int, spans: Iterable[Span]) -> Iterator[Action]:
    """In the order in which the steps came to their end."""
    own: dict[str, Value] = {"task_id": task.task_id, "skill": task.skill, "attempt": attempt}
    for span in spans:
        found = _action(span)
        if found is not None:
            yield Action(found.name, found.severity, {**own, **found.fields})


def _action(span: Span) -> Action | None:
    said, failed = dict(span.attributes), span.status is Status.ERROR
    severity = Severity.WARNING if failed else Severity.INFO
    if span.end_ns is None:
        return _begun(span)
    if span.name == "select":
        return Action("perception.looked", severity, {**_latency(said, "picture_age_ms"), **said})
    if span.name == "inference":
        return Action("decision.made", severity, {**_latency(said, "slowest_ms"), **said})
    if span.name == "verify":
        return Action("feedback.given", severity, {"good": not failed, **said})
    if span.name in MOTIONS and span.status is not Status.UNSET:
        lasted_ms = (span.end_ns - span.start_ns) / 1e6
        name = "action.failed" if failed else "action.done"
        return Action(name, severity, {"stage": span.name, "lasted_ms": lasted_ms, **said})
    return None


def _begun(span: Span) -> Action | None:
    number = span.attributes.get("attempt")
    if span.name != "attempt" or not isinstance(number, int) or number < 2:
        return None
    return Action("recovery.retried", Severity.INFO, {"attempt": number})


def _latency(said: dict[str, Value], name: str) -> dict[str, Value]:
    measured = said.pop(name, None)
    return {} if measured is None else {"latency_ms": measured}

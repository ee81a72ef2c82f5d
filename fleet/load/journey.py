"""The journey of a simulated robot's task, as the robot's own span records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from runtime.telemetry.client import Value
from runtime.telemetry.span import Span, Status, root_id_of, span_id_of


@dataclass(frozen=True)
class Attempt:
    """When each of its steps was over."""

    begun_ns: int
    looked_ns: int
    decided_ns: int
    over_ns: int
    reason: str  # why it failed, or ""


def journey(
    trace_id: str, task_id: int, skill: str, asked_ns: int, attempts: Sequence[Attempt]
) -> list[Span]:
    """All of a task that is over. Times are the robot's."""
    root_id, last = root_id_of(trace_id), attempts[-1]
    said: dict[str, Value] = {
        "skill": skill,
        "asked_by": "load",
        "result": "failed" if last.reason else "done",
        "attempts": len(attempts),
        **({"reason": last.reason} if last.reason else {}),
    }
    ways = (_attempt(trace_id, task_id, n, each) for n, each in enumerate(attempts, 1))
    task = Span(trace_id, root_id, "", "task", task_id, asked_ns, last.over_ns, _status(last), said)
    return [task, *chain.from_iterable(ways)]


def _attempt(trace_id: str, task_id: int, number: int, done: Attempt) -> Iterator[Span]:
    place = ("attempt", number)
    whole_id, pick_id = (span_id_of(trace_id, *place, *more) for more in ((), ("stage", 2)))

    def step(name: str, span_id: str, parent_id: str, begun_ns: int, over_ns: int, **said: Value):
        well = name in ("select", "inference") or not done.reason
        status = Status.OK if well else Status.ERROR
        return Span(trace_id, span_id, parent_id, name, task_id, begun_ns, over_ns, status, said)

    why = {"reason": done.reason} if done.reason else {}
    select_id, root_id = span_id_of(trace_id, *place, "stage", 1), root_id_of(trace_id)
    yield step("attempt", whole_id, root_id, done.begun_ns, done.over_ns, attempt=number, **why)
    yield step("select", select_id, whole_id, done.begun_ns, done.looked_ns)
    yield step("pick", pick_id, whole_id, done.looked_ns, done.over_ns, **why)
    for name, begun_ns, over_ns in (
        ("inference", done.looked_ns, done.decided_ns),
        ("safety_check", done.looked_ns, done.over_ns),
        ("command", done.decided_ns, done.over_ns),
    ):
        yield step(name, span_id_of(trace_id, pick_id, name), pick_id, begun_ns, over_ns)


def _status(done: Attempt) -> Status:
    return Status.ERROR if done.reason else Status.OK

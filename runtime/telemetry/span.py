"""One step of a task's journey: what a process writes down, and what of it travels.

A span goes the way of every record: durable in the spool, numbered, accounted for, sent again until
the fleet names its number. Ids are derived from what the step is, so that a step told twice is one
span. A line carries how long a step took and how long ago it ended, by the monotonic clock; the
line's own time says when that was, so that a clock that is set meanwhile bends no bar.

The message that carries spans carries their W3C trace contexts as MQTT user properties: with them
the fleet's own steps join the robot's.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.telemetry.client import TelemetryClient, Value
from runtime.telemetry.line import LineError, decode_line, plain_names, typed_names

MEASUREMENT = "span"
TRACEPARENT = "traceparent"
TRACES_MAX = 64  # named in one message; steps of more are stored all the same
ATTRIBUTES_MAX = 40
TEXT_MAX = 500
OPEN = -1.0  # for a step that has no end yet
US_MAX = 4e15  # 127 years

_IS_SPAN = b"span,"
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_TRACE_IN_LINE = re.compile(rb'[ ,]trace="([0-9a-f]{32})"')
_NAME = re.compile(r"[a-z][a-z0-9_. -]{0,63}")
_OWN = frozenset(
    {"epoch", "seq", "source", "trace", "span", "parent", "step", "status", "task_id"}
    | {"ended_ago_us", "lasted_us"}
)


class Status(StrEnum):
    UNSET = "unset"
    OK = "ok"
    ERROR = "error"


class SpanError(ValueError):
    """A line of the measurement `span` that is none, and why."""


@dataclass(frozen=True)
class Span:
    """A step, on the clock of whoever made it: monotonic on the robot, since 1970 on the fleet."""

    trace_id: str
    span_id: str
    parent_id: str  # "" for the task itself
    name: str
    task_id: int
    start_ns: int
    end_ns: int | None  # None: it goes on
    status: Status = Status.UNSET
    attributes: Mapping[str, Value] = field(default_factory=dict)
    source: str = ""  # which process told it: known when it is read


def trace_id_of(site: str, robot_id: str, task_id: int, created_wall_ns: int) -> str:
    """Of a task. Numbers of tasks begin again on a robot that was set up anew; times do not."""
    return _digest("trace", site, robot_id, str(task_id), str(created_wall_ns))[:32]


def span_id_of(trace_id: str, *path: str | int) -> str:
    """Of a step: the same for the same place in the same journey."""
    return _digest("span", trace_id, *(str(part) for part in path))[:16]


def root_id_of(trace_id: str) -> str:
    """Of the span that is the task itself, known to whoever knows the trace."""
    return span_id_of(trace_id, "task")


def is_sampled(trace_id: str, share_ratio: float) -> bool:
    """The same answer wherever it is asked: the trace id itself is the die."""
    return int(trace_id[16:], 16) < share_ratio * 2**64


def hand_in(client: TelemetryClient, spans: Iterable[Span], now_ns: int) -> None:
    for span in spans:
        client.metric(MEASUREMENT, fields_of(span, now_ns))


def fields_of(span: Span, now_ns: int) -> dict[str, Value]:
    """What goes into the record; `now_ns` is the clock of the span's times."""
    end_ns = now_ns if span.end_ns is None else span.end_ns
    return {
        **typed_names(dict(list(span.attributes.items())[:ATTRIBUTES_MAX])),
        "trace": span.trace_id,
        "span": span.span_id,
        "parent": span.parent_id,
        "step": span.name,
        "status": span.status.value,
        "task_id": float(span.task_id),
        "ended_ago_us": OPEN if span.end_ns is None else max(0, now_ns - end_ns) / 1000,
        "lasted_us": max(0, end_ns - span.start_ns) / 1000,
    }


def read_span(line: bytes) -> Span | None:
    """The span of a line, on the robot's wall clock; None for another measurement; SpanError."""
    if not line.startswith(_IS_SPAN):
        return None
    try:
        point = decode_line(line)
    except LineError as error:
        raise SpanError(f"no point: {error}") from error
    fields = point.fields
    ago_us, lasted_us = (_number(fields, name) for name in ("ended_ago_us", "lasted_us"))
    task_id = _number(fields, "task_id")
    timed = ago_us == OPEN or 0 <= ago_us <= US_MAX
    if not (timed and 0 <= lasted_us <= US_MAX and 0 <= task_id < 2**53):
        raise SpanError(f"times or task out of range: {ago_us}, {lasted_us}, {task_id}")
    end_ns = point.time_ns - round(max(0.0, ago_us) * 1000)
    start_ns = end_ns - round(lasted_us * 1000)
    if not 0 <= start_ns <= end_ns:
        raise SpanError(f"it begins before 1970: {start_ns}")
    status = fields.get("status")
    if status not in list(Status):
        raise SpanError(f"status {status!r:.40} is none of {', '.join(Status)}")
    return Span(
        trace_id=_matching(fields, "trace", _TRACE_ID),
        span_id=_matching(fields, "span", _SPAN_ID),
        parent_id="" if fields.get("parent") == "" else _matching(fields, "parent", _SPAN_ID),
        name=_matching(fields, "step", _NAME),
        task_id=int(task_id),
        start_ns=start_ns,
        end_ns=None if ago_us == OPEN else end_ns,
        status=Status(str(status)),
        attributes=_attributes(fields),
        source=str(fields.get("source", ""))[:TEXT_MAX],
    )


def contexts_of(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    """User properties for a message with these lines: each of its traces once, with its task."""
    traces: dict[str, None] = {}
    for line in lines:
        if line.startswith(_IS_SPAN):
            found = _TRACE_IN_LINE.search(line)
            if found is not None:
                traces[found[1].decode()] = None
    return [
        (TRACEPARENT, f"00-{trace_id}-{root_id_of(trace_id)}-01")
        for trace_id in list(traces)[:TRACES_MAX]
    ]


def _attributes(fields: Mapping[str, Value]) -> dict[str, Value]:
    more = {key: value for key, value in fields.items() if key not in _OWN}
    return {
        key[:64]: value[:TEXT_MAX] if isinstance(value, str) else value
        for key, value in list(plain_names(more).items())[:ATTRIBUTES_MAX]
    }


def _number(fields: Mapping[str, Value], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool | str) or value is None:
        raise SpanError(f"{name} is no number: {value!r:.40}")
    return float(value)


def _matching(fields: Mapping[str, Value], name: str, pattern: "re.Pattern[str]") -> str:
    value = fields.get(name)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise SpanError(f"{name} must match {pattern.pattern}, got {value!r:.40}")
    return value


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(("bedplate", *parts)).encode()).hexdigest()

"""What a line of telemetry says to the fleet's numbers. Pure; most lines say nothing."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from runtime.telemetry.client import Value


class Latency(StrEnum):
    INFERENCE = "inference"  # one look of the policy at the scene, sampled once a second
    PERCEPTION = "perception"  # level 1 of the cascade, sampled likewise
    ACTION = "action"  # from what was seen to the motors that follow it, sampled once a second
    TASK = "task"  # from request to end, each one


@dataclass(frozen=True)
class TaskEnd:
    task: str
    done: bool
    attempts: int
    reason: str
    duration_ms: float | None

    @property
    def errors(self) -> int:
        return self.attempts - int(self.done)


class Took(NamedTuple):  # made thousands of times a second
    kind: Latency
    milliseconds: float
    task: str = ""


@dataclass(frozen=True)
class Alive:
    """The robot was at work or ready for it; one that has stopped says nothing of the kind."""


Measure = TaskEnd | Took | Alive
Reader = Callable[[bytes], Sequence[Measure]]

UNNAMED = "unnamed"
NAME_MAX = 64
ATTEMPTS_MAX = 1000
_NUMBER = rb"=([-+0-9.eE]+)"
_INFERENCE = re.compile(rb"[ ,]inference_ms" + _NUMBER)
_PERCEPTION = re.compile(rb"[ ,]latency1_ms" + _NUMBER)
_OBSERVED = re.compile(rb"[ ,]observed_age_ms" + _NUMBER)
_STOP = re.compile(rb"[ ,]stop_level" + _NUMBER)
_ALIVE: list[Measure] = [Alive()]


def reader_of(measurement: bytes) -> Reader | None:
    """None: it says nothing to the numbers, or it is an event, which is parsed.

    Readers look at bytes: thousands of lines a second pass here.
    """
    return _READERS.get(measurement)


def _of_control(line: bytes) -> Sequence[Measure]:
    alive = _ALIVE if _number(_STOP, line) == 0.0 else []
    observed_ms = _number(_OBSERVED, line)
    return alive if observed_ms is None else [*alive, Took(Latency.ACTION, observed_ms)]


def _of_policy(line: bytes) -> Sequence[Measure]:
    return _took(Latency.INFERENCE, _number(_INFERENCE, line))


def _of_perception(line: bytes) -> Sequence[Measure]:
    return _took(Latency.PERCEPTION, _number(_PERCEPTION, line))


_READERS: dict[bytes, Reader] = {
    b"control": _of_control,
    b"policy": _of_policy,
    b"perception": _of_perception,
}


def time_of(line: bytes) -> int:
    """Nanoseconds since 1970, by the robot's clock; 0 where there is none."""
    try:
        return int(line[line.rfind(b" ") + 1 :])
    except ValueError:
        return 0


def measures_of_event(fields: Mapping[str, Value]) -> Sequence[Measure]:
    match fields.get("name"):
        case "task.done":
            return _task_end(fields, done=True)
        case "task.failed":
            return _task_end(fields, done=False)
        case _:
            return ()


def _task_end(fields: Mapping[str, Value], *, done: bool) -> list[Measure]:
    task = _name(fields.get("skill"))
    attempts = _float(fields.get("attempt"))
    tried = 1 if attempts is None else min(max(1, round(attempts)), ATTEMPTS_MAX)
    seconds = _float(fields.get("duration_s"))
    duration_ms = None if seconds is None else seconds * 1000
    reason = "" if done else _name(fields.get("reason"))
    end = TaskEnd(task, done, tried, reason, duration_ms)
    return [end, *_took(Latency.TASK, duration_ms, task)]


def _took(kind: Latency, milliseconds: float | None, task: str = "") -> list[Measure]:
    return [] if milliseconds is None else [Took(kind, milliseconds, task)]


def _name(value: Value | None) -> str:
    return value[:NAME_MAX].replace("\0", "\ufffd") if isinstance(value, str) and value else UNNAMED


def _number(pattern: "re.Pattern[bytes]", line: bytes) -> float | None:
    found = pattern.search(line)
    try:
        return None if found is None else _float(float(found[1]))
    except ValueError:
        return None


def _float(value: Value | None) -> float | None:
    """A plausible number that is not negative: a sum must not be spoilt by one robot's nonsense."""
    if isinstance(value, bool | str) or value is None or not 0.0 <= value < 1e9:
        return None
    return float(value)

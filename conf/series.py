"""The little language of rule tests: a series of samples, and the phases that are expected.

    71x10       the value 71, ten times          40~80x5   five values from 40 to 80
    ?x3         the robot says it is not known   -x2       two steps in which nothing comes
    @charging   from here on the robot charges; several as @busy+safe_stop; @ alone: not said

Phases are words with a count: `inactive x5 pending x2 firing x3`.
"""

import re
from dataclasses import dataclass
from typing import Final

from conf.schema.alerts import RobotMode

STEPS_MAX: Final = 100_000
PHASES: Final = ("inactive", "pending", "firing", "flapping", "no_data")
NUMBER: Final = r"[+-]?\d+(?:\.\d+)?"
TOKEN: Final = re.compile(
    rf"(?:(?P<one>{NUMBER})(?:~(?P<end>{NUMBER}))?|(?P<none>[?-]))x(?P<n>\d+)"
)


class SeriesError(ValueError):
    """What in a series or a list of phases cannot be read."""


@dataclass(frozen=True)
class Step:
    """At one time: a sample, or none; its value may be unknown."""

    is_sample: bool
    value: float | None = None
    modes: frozenset[RobotMode] = frozenset()


def parse_series(text: str) -> list[Step]:
    steps: list[Step] = []
    modes: frozenset[RobotMode] = frozenset()
    for word in text.split():
        if word.startswith("@"):
            modes = _modes(word)
            continue
        found = TOKEN.fullmatch(word)
        if found is None:
            raise SeriesError(f"{word!r} is no value with a count, such as 71x10, ?x3 or -x2")
        _room_for(len(steps), int(found["n"]), word)
        steps += [Step(*pair, modes) for pair in _values(found, int(found["n"]))]
    if not steps:
        raise SeriesError("it holds no step")
    return steps


def parse_phases(text: str) -> list[str]:
    """One word a step."""
    words = text.split()
    if not words or len(words) % 2:
        raise SeriesError("phases come with counts, such as `inactive x5 firing x3`")
    phases: list[str] = []
    for phase, count in zip(words[::2], words[1::2], strict=True):
        if phase not in PHASES:
            raise SeriesError(f"{phase!r} is none of {', '.join(PHASES)}")
        if re.fullmatch(r"x\d{1,6}", count) is None:
            raise SeriesError(f"{count!r} after {phase} is no count, such as x5")
        _room_for(len(phases), int(count[1:]), count)
        phases += [phase] * int(count[1:])
    return phases


def _room_for(so_far: int, count: int, word: str) -> None:
    if not 1 <= count <= STEPS_MAX - so_far:
        raise SeriesError(f"{word!r}: between 1 and {STEPS_MAX} steps in all")


def _modes(word: str) -> frozenset[RobotMode]:
    try:
        return frozenset(RobotMode(name) for name in word[1:].split("+") if name)
    except ValueError:
        known = ", ".join(mode.value for mode in RobotMode)
        raise SeriesError(f"{word!r} names no mode; there are {known}") from None


def _values(found: re.Match[str], count: int) -> list[tuple[bool, float | None]]:
    if found["none"]:
        return [(found["none"] == "?", None)] * count
    first = float(found["one"])
    last = float(found["end"]) if found["end"] else first
    ramp = max(1, count - 1)
    return [(True, first + (last - first) * index / ramp) for index in range(count)]

"""The fleet as a list: one line a robot, counted, filtered, sorted and cut into pages. Pure.

A line says what is known and nothing more: what is missing sorts last whichever way one looks, and
a robot of which nothing is known is never called healthy.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, assert_never

import orjson

from conf.schema.alerts import Severity
from fleet.robot import Freshness

TIER1_OLD_MS = 1500.0
PAGE_MAX = 200
CURSOR_MAX = 400


class Duty(StrEnum):
    """What a robot is doing, as far as anybody knows."""

    BUSY = "busy"
    IDLE = "idle"
    STOPPED = "stopped"  # stands on a stop that a person has to end
    MAINTENANCE = "maintenance"  # somebody has said so
    STALE = "stale"  # silent for a moment: what it did last is no longer known
    OFFLINE = "offline"


class SortKey(StrEnum):
    ROBOT = "robot"
    SITE = "site"
    DUTY = "duty"
    ALERTS = "alerts"
    SUCCESS = "success"
    DONE = "done"
    FAILED = "failed"
    CYCLE = "cycle"
    MISSES = "misses"
    BACKLOG = "backlog"
    HEARD = "heard"
    VERSION = "version"


@dataclass(frozen=True)
class Line:
    """One robot in the list. Numbers are its own, since its processes started."""

    robot_id: str
    site: str
    duty: Duty
    healthy: bool
    freshness: Freshness
    heard_s: float | None  # since 1970, by the fleet's clock
    modes: tuple[str, ...]
    stop: str | None
    task_id: int | None
    phase: str | None
    done: int | None
    failed: int | None
    cycle_p99_us: float | None
    misses: int | None
    backlog: int | None
    alerts: int
    worst: Severity | None
    artifact: str | None
    profile: str | None
    model: str | None

    @property
    def success_ratio(self) -> float | None:
        if self.done is None or self.failed is None or not self.done + self.failed:
            return None
        return self.done / (self.done + self.failed)


@dataclass(frozen=True)
class Wanted:
    """A question to the list."""

    search: str = ""
    duty: Duty | None = None
    healthy: bool | None = None
    site: str | None = None
    artifact: str | None = None
    sort: SortKey = SortKey.ROBOT
    descending: bool = False


@dataclass(frozen=True)
class Counts:
    robots: int = 0
    healthy: int = 0
    by_duty: dict[Duty, int] = field(default_factory=dict)


class CursorError(ValueError):
    """Not one of ours, or one of another question."""


def duty_of(freshness: Freshness, live: dict[str, Any] | None, *, in_maintenance: bool) -> Duty:
    match freshness:
        case _ if in_maintenance:
            return Duty.MAINTENANCE
        case Freshness.NEVER | Freshness.OFFLINE:
            return Duty.OFFLINE
        case Freshness.STALE:
            return Duty.STALE
        case Freshness.LIVE:
            return _live_duty(live)
    assert_never(freshness)


def _live_duty(live: dict[str, Any] | None) -> Duty:
    if live is None:
        return Duty.STALE
    control, goal = live["control"], live["goal"]
    if control is None or control["stop"]["level"] not in ("none", "controlled"):
        return Duty.STOPPED
    busy = goal is not None and goal.get("phase") not in (None, "idle")
    return Duty.BUSY if busy else Duty.IDLE


def is_healthy(duty: Duty, live: dict[str, Any] | None, worst: Severity | None) -> bool:
    """Heard now, Tier 1 speaks and is not stopped, and no alert asks for anybody."""
    if duty not in (Duty.BUSY, Duty.IDLE) or live is None:
        return False
    control = live["control"]
    speaks = control is not None and control["age_ms"] <= TIER1_OLD_MS
    return speaks and worst in (None, Severity.INFO)


def count(lines: Iterable[Line]) -> Counts:
    by_duty = dict.fromkeys(Duty, 0)
    robots = healthy = 0
    for line in lines:
        robots += 1
        healthy += line.healthy
        by_duty[line.duty] += 1
    return Counts(robots, healthy, by_duty)


def choose(lines: Iterable[Line], wanted: Wanted) -> list[Line]:
    """Those asked for, in order; equal ones by name, so that pages do not overlap."""
    found = sorted((line for line in lines if fits(line, wanted)), key=lambda line: line.robot_id)
    known = [line for line in found if _value(line, wanted.sort) is not None]
    missing = [line for line in found if _value(line, wanted.sort) is None]
    known.sort(key=lambda line: _value(line, wanted.sort), reverse=wanted.descending)
    return known + missing


def fits(line: Line, wanted: Wanted) -> bool:
    words = wanted.search.lower().split()
    text = " ".join(
        (line.robot_id, line.site, line.duty.value, line.artifact or "", *line.modes)
    ).lower()
    return (
        all(word in text for word in words)
        and wanted.duty in (None, line.duty)
        and wanted.healthy in (None, line.healthy)
        and wanted.site in (None, line.site)
        and wanted.artifact in (None, line.artifact)
    )


def page_after(
    lines: Sequence[Line], wanted: Wanted, cursor: str | None, limit: int
) -> tuple[list[Line], str | None]:
    """The lines after a place in the order, and the place where these end, if more follow.

    The place is a value and a name, not a number: robots that come and go move nothing.
    """
    ordered = choose(lines, wanted)
    if cursor is not None:
        after = read_cursor(cursor, wanted)
        ordered = [line for line in ordered if _is_after(line, after, wanted)]
    page = ordered[:limit]
    more = len(ordered) > len(page) and page
    return page, write_cursor(page[-1], wanted) if more else None


def write_cursor(line: Line, wanted: Wanted) -> str:
    place = [wanted.sort.value, wanted.descending, _value(line, wanted.sort), line.robot_id]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def read_cursor(cursor: str, wanted: Wanted) -> tuple[Any, str]:
    try:
        if len(cursor) > CURSOR_MAX:
            raise ValueError("too long")
        raw = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        sort, descending, value, robot_id = orjson.loads(raw)
    except (ValueError, TypeError, binascii.Error) as error:
        raise CursorError(f"{cursor[:40]!r} is no cursor of this list") from error
    if sort != wanted.sort or descending is not wanted.descending or not isinstance(robot_id, str):
        raise CursorError(f"{cursor[:40]!r} belongs to another order; begin without a cursor")
    sample = _KINDS[wanted.sort]
    if value is not None and (isinstance(value, bool) or not isinstance(value, sample)):
        raise CursorError(f"{cursor[:40]!r} is no cursor of this list")
    return value, robot_id


def _is_after(line: Line, after: tuple[Any, str], wanted: Wanted) -> bool:
    value, (then, robot_id) = _value(line, wanted.sort), after
    if value is None or then is None:
        return value is None and (then is not None or line.robot_id > robot_id)
    if value == then:
        return line.robot_id > robot_id
    return (value < then) if wanted.descending else (value > then)


_KINDS: dict[SortKey, type | tuple[type, ...]] = {
    SortKey.ROBOT: str,
    SortKey.SITE: str,
    SortKey.VERSION: str,
    **dict.fromkeys(
        (
            SortKey.DUTY,
            SortKey.ALERTS,
            SortKey.SUCCESS,
            SortKey.DONE,
            SortKey.FAILED,
            SortKey.CYCLE,
            SortKey.MISSES,
            SortKey.BACKLOG,
            SortKey.HEARD,
        ),
        (int, float),
    ),
}
_DUTY_RANK = {duty: rank for rank, duty in enumerate(Duty)}
_SEVERITY_RANK = {severity: rank + 1 for rank, severity in enumerate(Severity)}


def _value(line: Line, key: SortKey) -> Any:
    match key:
        case SortKey.ROBOT:
            return line.robot_id
        case SortKey.SITE:
            return line.site
        case SortKey.DUTY:
            return _DUTY_RANK[line.duty]
        case SortKey.ALERTS:  # the worst first, then how many
            return 0 if line.worst is None else _SEVERITY_RANK[line.worst] * 1000 + line.alerts
        case SortKey.SUCCESS:
            return line.success_ratio
        case SortKey.DONE:
            return line.done
        case SortKey.FAILED:
            return line.failed
        case _:
            return _more(line, key)


def _more(line: Line, key: SortKey) -> Any:
    values = {
        SortKey.CYCLE: line.cycle_p99_us,
        SortKey.MISSES: line.misses,
        SortKey.BACKLOG: line.backlog,
        SortKey.HEARD: line.heard_s,
        SortKey.VERSION: line.artifact,
    }
    return values[key]

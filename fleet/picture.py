"""The whole fleet at one moment: its list, its counts, its versions, what needs attention. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from conf.schema.alerts import Severity
from fleet.alerts import FLEET
from fleet.robot import Freshness, Robot
from fleet.roster import Counts, Duty, Line, count, duty_of, is_healthy

QUANTILES = (0.5, 0.95, 0.99)
ATTENTION_MAX = 1000


@dataclass(frozen=True)
class Alarm:
    """An alert that fires, as lists and pages show it; `since_s` is wall-clock."""

    name: str
    severity: Severity
    summary: str
    runbook: str
    since_s: float
    flapping: bool = False
    known: bool = True  # False: it fired when its subject was last heard


@dataclass(frozen=True)
class Attention:
    subject: str
    site: str
    alarm: Alarm
    silenced: bool = False  # of a robot that somebody works on


@dataclass(frozen=True)
class Version:
    """What some robots run, and how many; a part that they have not told is None."""

    artifact: str | None
    profile: str | None
    model: str | None
    robots: int


@dataclass(frozen=True)
class CycleTime:
    """Control cycles of all robots heard, since their processes started; upper bounds in µs."""

    cycles: int
    p50_us: float
    p95_us: float
    p99_us: float


@dataclass(frozen=True)
class Picture:
    at_ns: int
    lines: tuple[Line, ...]
    counts: Counts
    versions: tuple[Version, ...]
    cycle: CycleTime | None
    attention: tuple[Attention, ...]
    attention_in_all: int
    silenced: tuple[Attention, ...] = ()


def line_of(robot: Robot, alarms: Sequence[Alarm], now_ns: int, *, in_maintenance: bool) -> Line:
    """Numbers of a robot that is silent are its last; `freshness` says so beside them."""
    freshness, live = robot.freshness(now_ns), robot.live
    worst = max((alarm.severity for alarm in alarms), key=list(Severity).index, default=None)
    duty = duty_of(freshness, live, in_maintenance=in_maintenance)
    known: dict[str, Any] = {} if live is None else _known(live)
    return Line(
        robot_id=robot.robot_id,
        site=robot.site,
        duty=duty,
        healthy=is_healthy(duty, live, worst),
        freshness=freshness,
        heard_s=None if live is None else robot.live_wall_ns / 1e9,
        alerts=len(alarms),
        worst=worst,
        **{**_NOTHING, **known},
    )


_NOTHING: dict[str, Any] = {
    "modes": (),
    **dict.fromkeys(
        ("stop", "task_id", "phase", "done", "failed", "cycle_p99_us", "misses", "backlog")
    ),
    **dict.fromkeys(("artifact", "profile", "model")),
}


def _known(live: dict[str, Any]) -> dict[str, Any]:
    control, goal, mode, scene = live["control"], live["goal"], live["mode"], live["perception"]
    found: dict[str, Any] = {
        "done": live["tasks"]["done"],
        "failed": live["tasks"]["failed"],
        "backlog": sum(live["spool"]["records"].values()),
        "artifact": live["about"]["artifact_name"],
        "profile": live["about"]["config_hash"],
    }
    if control is not None:
        cycle = control["latency"]["cycle"]
        found["stop"] = control["stop"]["level"]
        found["misses"] = control["misses"]
        found["cycle_p99_us"] = None if cycle is None else cycle["p99_us"]
    if mode is not None:
        found["modes"] = tuple(str(name) for name in mode.get("modes") or ())
    if goal is not None and goal.get("phase") not in (None, "idle"):
        found["task_id"], found["phase"] = goal["task_id"], goal["phase"]
    if scene is not None and scene.get("model_hash"):
        found["model"] = str(scene["model_hash"])
    return found


def picture(
    robots: Iterable[tuple[Robot, Sequence[Alarm], Line]],
    now_ns: int,
    of_fleet: Sequence[Alarm] = (),
) -> Picture:
    together = list(robots)
    lines = tuple(line for _robot, _alarms, line in together)
    found = [Attention(FLEET, "", alarm) for alarm in of_fleet]
    found += [
        Attention(robot.robot_id, robot.site, alarm, line.duty is Duty.MAINTENANCE)
        for robot, alarms, line in together
        for alarm in alarms
    ]
    order = list(Severity)
    found.sort(key=lambda a: (-order.index(a.alarm.severity), a.alarm.since_s, a.subject))
    attention = [one for one in found if not one.silenced]
    heard = [robot for robot, _alarms, line in together if line.freshness is Freshness.LIVE]
    return Picture(
        at_ns=now_ns,
        lines=lines,
        counts=count(lines),
        versions=versions(lines),
        cycle=cycle_time(robot.live for robot in heard),
        attention=tuple(attention[:ATTENTION_MAX]),
        attention_in_all=len(attention),
        silenced=tuple(one for one in found if one.silenced)[:ATTENTION_MAX],
    )


def versions(lines: Iterable[Line]) -> tuple[Version, ...]:
    """Most robots first. Offline ones count with what they ran when they were last heard."""
    counted: dict[tuple[str | None, str | None, str | None], int] = {}
    for line in lines:
        key = (line.artifact, line.profile, line.model)
        counted[key] = counted.get(key, 0) + 1
    made = [Version(*key, robots) for key, robots in counted.items()]
    return tuple(sorted(made, key=lambda v: (-v.robots, str(v.artifact), str(v.profile))))


def cycle_time(lives: Iterable[dict[str, Any] | None]) -> CycleTime | None:
    """From the robots' histograms added up: percentiles of all cycles, not means of percentiles."""
    merged: dict[float, int] = {}
    for live in lives:
        control = None if live is None else live["control"]
        cycle = None if control is None else control["latency"]["cycle"]
        for upper, times in [] if cycle is None else cycle["bins"]:
            key = inf if upper is None else upper
            merged[key] = merged.get(key, 0) + times
    cycles = sum(merged.values())
    if not cycles:
        return None
    p50, p95, p99 = (_quantile(merged, cycles, ratio) for ratio in QUANTILES)
    return CycleTime(cycles, p50, p95, p99)


def _quantile(merged: dict[float, int], cycles: int, ratio: float) -> float:
    seen = 0
    for upper in sorted(merged):
        seen += merged[upper]
        if seen >= ratio * cycles:
            return upper
    return inf

"""What robots recorded while nobody heard them: from the store into the past of the alerts.

After an outage, or a time without this process, live values come first and the records behind
them. Once a robot has nothing left to send, what it recorded of the gap is read from the store in
the order of its time and given to the engine, which judges it as the past.
"""

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

from conf.schema.alerts import RobotMode, Signal
from fleet.alerts.news import News
from fleet.alerts.sample import Sample
from fleet.alerts.service import Alerts
from fleet.store.series import Query, SeriesStore, StoreUnavailableError
from runtime.telemetry.line import Point, plain_names

log = logging.getLogger(__name__)

CHUNK = 2000  # points a round: a day of one robot takes minutes, and the watch goes on meanwhile
DRAINED = 100
"""Records that a robot may hold and still count as up to date; it makes some ten a second."""
MISSES_WINDOW_NS: Final = 60_000_000_000
# Numbers as robots record them; a test holds them against runtime/shm/enums.py.
COLLISION, VETO, WORKSPACE_UNKNOWN = 4, 3, 0
MODES: Final = {
    1: RobotMode.NETWORK_OFFLINE,
    2: RobotMode.GPU_OVERLOADED,
    4: RobotMode.GPU_OFFLINE,
    8: RobotMode.SAFE_STOP,
}
MEASUREMENTS: Final = ("control", "joint", "people", "safety", "telemetry")
"""In this order: the first says in which mode the robot was while it recorded the others."""
SIGNALS: Final = frozenset(
    {
        Signal.CONTROL_AGE_MS,
        Signal.STOP_LEVEL,
        Signal.STOP_COLLISION,
        Signal.ESTOP,
        Signal.GRIPPER_PRESSURE_RATIO,
        Signal.MISSES_PER_MINUTE,
        Signal.MOTOR_TEMP_C,
        Signal.WORKSPACE_UNKNOWN,
        Signal.SAFETY_VETO,
        Signal.SPOOL_USED_RATIO,
        Signal.SPOOL_NOT_DURABLE,
        Signal.DISK_FREE_RATIO,
    }
)
"""What records can say. That a robot is silent or stuck is seen live or not at all."""
Values = Mapping[Signal, float | None]


@dataclass
class Past:
    """A gap of one robot that is being read."""

    robot_id: str
    from_ns: int
    until_ns: int
    news: News
    _next_ns: int = 0
    _measurement: int = 0
    _modes: list[tuple[int, frozenset[RobotMode]]] = field(
        default_factory=list[tuple[int, frozenset[RobotMode]]]
    )
    _misses: deque[tuple[int, float]] = field(default_factory=deque[tuple[int, float]])

    def __post_init__(self) -> None:
        self._next_ns = self.from_ns + 1

    @property
    def is_read(self) -> bool:
        return self._measurement >= len(MEASUREMENTS)

    def read(self, series: SeriesStore) -> list[Sample]:
        """The next portion, in the order of time; StoreUnavailableError, and then once more."""
        measurement = MEASUREMENTS[self._measurement]
        query = Query(
            measurement,
            self.robot_id,
            self._next_ns,
            self.until_ns - 1,
            limit=CHUNK,
            newest_first=False,
        )
        points = series.points(query)
        if len(points) < CHUNK:
            self._measurement += 1
            self._next_ns = self.from_ns + 1
        else:
            self._next_ns = points[-1].time_ns + 1
        return [one for point in points for one in self._samples(point)]

    def _samples(self, point: Point) -> Iterator[Sample]:
        fields, at_ns = plain_names(point.fields), point.time_ns
        if point.measurement == "control":
            self._note_mode(fields, at_ns)
        index = bisect_right(self._modes, at_ns, key=lambda one: one[0])
        modes = self._modes[index - 1][1] if index else frozenset[RobotMode]()
        for signal, value in self._values(point.measurement, fields, at_ns).items():
            yield from self.news.tell(self.robot_id, signal, value, at_ns, modes)

    def _note_mode(self, fields: Mapping[str, Any], at_ns: int) -> None:
        mask, level = number(fields.get("mode")), number(fields.get("stop_level"))
        found = {mode for bit, mode in MODES.items() if mask is not None and int(mask) & bit}
        if level is not None and level > 0:
            found.add(RobotMode.STOPPED)
        if not self._modes or self._modes[-1][1] != found:
            self._modes.append((at_ns, frozenset(found)))

    def _values(self, measurement: str, fields: Mapping[str, Any], at_ns: int) -> Values:
        match measurement:
            case "control":
                return self._control(fields, at_ns)
            case "joint":
                temps = [number(v) for name, v in fields.items() if name.startswith("temp")]
                known = [one for one in temps if one is not None]
                return {Signal.MOTOR_TEMP_C: max(known, default=None)}
            case "people":
                workspace = number(fields.get("workspace"))
                return {Signal.WORKSPACE_UNKNOWN: is_one(workspace, WORKSPACE_UNKNOWN)}
            case "safety":
                return {Signal.SAFETY_VETO: is_one(number(fields.get("verdict")), VETO)}
            case _:
                durable, full = number(fields.get("durable")), number(fields.get("disk_full"))
                known = durable is not None and full is not None
                return {
                    Signal.SPOOL_USED_RATIO: number(fields.get("used_ratio")),
                    Signal.SPOOL_NOT_DURABLE: float(not durable or bool(full)) if known else None,
                    Signal.DISK_FREE_RATIO: number(fields.get("disk_free_ratio")),
                }

    def _control(self, fields: Mapping[str, Any], at_ns: int) -> Values:
        level, reason = number(fields.get("stop_level")), number(fields.get("stop_reason"))
        pressure = number(fields.get("gripper_pressure_kpa"))
        full_kpa = self.news.rules.gripper_full_kpa
        return {
            Signal.CONTROL_AGE_MS: number(fields.get("age_ms")),
            Signal.STOP_LEVEL: level,
            Signal.STOP_COLLISION: is_one(reason, COLLISION) if level else level,
            Signal.ESTOP: number(fields.get("estop")),
            Signal.MISSES_PER_MINUTE: self._misses_per_minute(number(fields.get("misses")), at_ns),
            Signal.GRIPPER_PRESSURE_RATIO: None if pressure is None else abs(pressure) / full_kpa,
        }

    def _misses_per_minute(self, misses: float | None, at_ns: int) -> float | None:
        if misses is None:
            return None
        self._misses.append((at_ns, misses))
        while at_ns - self._misses[0][0] > MISSES_WINDOW_NS:
            self._misses.popleft()
        then_ns, before = self._misses[0]
        if then_ns == at_ns:
            return None
        return max(0.0, misses - before) * 60.0 / max((at_ns - then_ns) / 1e9, 10.0)


def number(value: object) -> float | None:
    """None for what is missing or none; flags count as 0 and 1."""
    if not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def is_one(value: float | None, wanted: int) -> float | None:
    return None if value is None else float(value == wanted)


class Recall:
    """One robot after the other, a portion a round."""

    def __init__(self, series: SeriesStore, alerts: Alerts) -> None:
        self._series = series
        self._alerts = alerts
        self._past: Past | None = None
        self._done: dict[str, int] = {}  # until when a robot's past has been read

    def look(self, heard: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """`heard` are the live messages of this moment."""
        if self._past is None:
            self._past = self._next(heard)
        if self._past is None:
            return
        try:
            self._alerts.observe(self._past.read(self._series))
        except StoreUnavailableError as error:
            log.warning("the past of %s cannot be read just now: %s", self._past.robot_id, error)
            return
        if self._past.is_read:
            log.info("the past of %s has been judged", self._past.robot_id)
            self._done[self._past.robot_id] = self._past.until_ns
            self._past = None

    def _next(self, heard: Sequence[tuple[str, Mapping[str, Any]]]) -> Past | None:
        waiting = self._alerts.with_gaps()
        for robot_id, live in heard if waiting else ():
            if robot_id not in waiting:
                continue
            gap = self._alerts.gap_of(robot_id, SIGNALS)
            if gap is None or self._done.get(robot_id, 0) >= gap[1]:
                continue
            if is_drained(live):
                return Past(robot_id, *gap, News(self._alerts.rules))
        return None


def is_drained(live: Mapping[str, Any]) -> bool:
    """Whether the robot has sent what it recorded while it was away; not known is not drained."""
    records = (live.get("spool") or {}).get("records")
    return isinstance(records, Mapping) and sum(records.values()) <= DRAINED

"""From what the fleet hears and counts to samples. Robots' clocks are believed within bounds."""

import shutil
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conf.schema.alerts import Alerts, RobotMode, Signal
from fleet.alerts.fold import Condition, judge
from fleet.alerts.news import News
from fleet.alerts.sample import FLEET, Sample, ns
from fleet.metrics.measure import Latency
from fleet.metrics.now import FleetNow
from fleet.metrics.query import Tally
from fleet.signals import Values, signals

HOUR_NS = 3_600_000_000_000
DROPS_KEPT = 1000


@dataclass(frozen=True)
class Heard:
    """The newest live message, and when it was heard; `live` None: never, or too long ago."""

    live: Mapping[str, Any] | None
    silent_s: float
    received_ns: int
    misses_before: tuple[float, int] | None = None
    was_heard: bool = True  # False: not by this process, so it is silent for at least that long


@dataclass
class RobotSource:
    """What must be remembered of one robot to make its samples."""

    robot_id: str
    rules: Alerts
    maintenance: bool = False
    heard_ns: int | None = None  # the event time of what was heard last
    _drops: deque[int] = field(default_factory=lambda: deque(maxlen=DROPS_KEPT))
    _online: bool = False
    _progress: tuple[object, ...] = ()
    _progress_ns: int | None = None
    _modes: frozenset[RobotMode] = frozenset()

    def __post_init__(self) -> None:
        self._news = News(self.rules)

    def note_presence(self, presence: str, now_ns: int) -> None:
        """A connection that was lost, not one that was closed in order."""
        if presence == "lost" and self._online:
            self._drops.append(now_ns)
        self._online = presence == "online"

    def samples(self, heard: Heard, now_ns: int) -> list[Sample]:
        """All times are wall-clock. What is not known of a robot that is heard is said to be so."""
        by_robot, by_server = self._by_robot(heard, now_ns), self._by_server(heard, now_ns)
        modes, found = self._now_in(), list[Sample]()
        at_ns = self._event_ns(heard, now_ns)
        if heard.live is not None:
            self.heard_ns = at_ns
        for values, when_ns in ((by_robot, at_ns), (by_server, now_ns)):
            for signal, value in values.items():
                found += self._news.tell(self.robot_id, signal, value, when_ns, modes)
        return found

    def _by_robot(self, heard: Heard, now_ns: int) -> Values:
        """Of a silent robot nothing is known but its silence."""
        if heard.live is None:
            return {}
        self._modes = self._modes_of(heard.live)
        return {
            **signals(heard.live, heard.misses_before),
            Signal.STUCK_S: self._stuck_s(heard.live, now_ns),
            Signal.GRIPPER_PRESSURE_RATIO: self._pressure(heard.live),
        }

    def _by_server(self, heard: Heard, now_ns: int) -> Values:
        silent_s: float | None = 0.0 if heard.live is not None else heard.silent_s
        if heard.live is None and not heard.was_heard and not self._is_silence(heard.silent_s):
            silent_s = None  # a silence that began earlier is not over for that
        drops = float(self._drops_within(now_ns))
        return {Signal.SILENT_S: silent_s, Signal.NETWORK_DROPS_PER_HOUR: drops}

    def _is_silence(self, silent_s: float) -> bool:
        """Whether a rule holds by it, or would go on holding."""
        sample = Sample(self.robot_id, Signal.SILENT_S, 0, silent_s)
        return any(
            judge(rule, sample, firing=True) is not Condition.CLEAR
            for rule in self.rules.rules.values()
            if rule.signal is Signal.SILENT_S
        )

    def _event_ns(self, heard: Heard, now_ns: int) -> int:
        wall_ns = None if heard.live is None else heard.live.get("wall_ns")
        if not isinstance(wall_ns, int) or isinstance(wall_ns, bool):
            return heard.received_ns
        off_ns = abs(wall_ns - heard.received_ns)
        believed = off_ns <= ns(self.rules.clock_skew_s) and wall_ns <= now_ns + HOUR_NS
        return wall_ns if believed else heard.received_ns

    def _now_in(self) -> frozenset[RobotMode]:
        return self._modes | {RobotMode.MAINTENANCE} if self.maintenance else self._modes

    def _modes_of(self, live: Mapping[str, Any]) -> frozenset[RobotMode]:
        said = (live.get("mode") or {}).get("modes", ())
        found = {_MODES[word] for word in said if word in _MODES}
        control = live.get("control")
        if control is not None and control["stop"]["level"] != "none":
            found.add(RobotMode.STOPPED)
        if control is not None:
            found.add(RobotMode.BUSY if _has_task(live) else RobotMode.IDLE)
        if (live.get("host") or {}).get("charging") is True and not _is_at_it(live):
            found.add(RobotMode.CHARGING)  # in the middle of a task a charger excuses nothing
        return frozenset(found)

    def _stuck_s(self, live: Mapping[str, Any], now_ns: int) -> float | None:
        goal, tasks = live.get("goal"), live.get("tasks") or {}
        if goal is None:
            return None
        progress = (
            *(goal.get(name) for name in ("task_id", "phase", "attempt", "object_id")),
            *(tasks.get(name) for name in ("done", "failed")),
        )
        if progress != self._progress or self._progress_ns is None or not _has_task(live):
            self._progress, self._progress_ns = progress, now_ns
        return (now_ns - self._progress_ns) / 1e9

    def _pressure(self, live: Mapping[str, Any]) -> float | None:
        control = live.get("control") or {}
        pressure = (control.get("gripper") or {}).get("pressure_kpa")
        return None if pressure is None else abs(pressure) / self.rules.gripper_full_kpa

    def _drops_within(self, now_ns: int) -> int:
        while self._drops and now_ns - self._drops[0] > HOUR_NS:
            self._drops.popleft()
        return len(self._drops)


_MODES = {mode.value: mode for mode in RobotMode}


@dataclass(frozen=True)
class Running:
    """What a robot runs; slots as its last boot reported them."""

    hardware: str
    version: str
    profile: str
    slot: str | None = None
    slot_expected: str | None = None


@dataclass(frozen=True)
class FleetFacts:
    """What the fleet's books say at one moment."""

    now: FleetNow
    by_robot: Mapping[str, Tally]
    missing: Mapping[str, int]
    running: Mapping[str, Running]
    offline: int
    robots: int
    disk_free_ratio: float | None


def fleet_samples(facts: FleetFacts, rules: Alerts) -> list[Sample]:
    now_ns, now = facts.now.now_ns, facts.now
    tally = now.tally
    of_fleet: dict[Signal, float | None] = {
        Signal.FLEET_SUCCESS_RATIO: _enough(tally, rules, tally.success_ratio),
        Signal.FLEET_ERROR_RATIO: _enough(tally, rules, tally.error_ratio),
        Signal.FLEET_LATENCY_P95_MS: now.latencies[Latency.ACTION].p95_ms,
        Signal.FLEET_OFFLINE_RATIO: facts.offline / facts.robots if facts.robots else None,
        Signal.SERVER_DISK_FREE_RATIO: facts.disk_free_ratio,
    }
    made = [Sample(FLEET, signal, now_ns, value) for signal, value in of_fleet.items()]
    usual = usual_of_kind(facts.running)
    for robot_id, running in facts.running.items():
        tally = facts.by_robot.get(robot_id, Tally())
        of_robot: dict[Signal, float | None] = {
            Signal.SUCCESS_RATIO: _enough(tally, rules, tally.success_ratio),
            Signal.RECORDS_MISSING: _count(facts.missing.get(robot_id)),
            Signal.SLOT_DRIFT: _slot_drift(running),
            Signal.VERSION_DRIFT: _version_drift(running, usual),
        }
        made += [Sample(robot_id, signal, now_ns, value) for signal, value in of_robot.items()]
    return made


def usual_of_kind(running: Mapping[str, Running]) -> dict[str, tuple[str, str]]:
    """For each board what more than half of its robots run; none where no half agrees."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for one in running.values():
        counts.setdefault(one.hardware, Counter())[one.version, one.profile] += 1
    found: dict[str, tuple[str, str]] = {}
    for hardware, counter in counts.items():
        (most, count), *_ = counter.most_common(1)
        if 2 * count > counter.total():
            found[hardware] = most
    return found


def disk_free_ratio(folder: Path) -> float | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None


def _enough(tally: Tally, rules: Alerts, value: float | None) -> float | None:
    return value if tally.ended >= rules.tasks_min else None


def _count(value: int | None) -> float | None:
    return None if value is None else float(value)


def _slot_drift(running: Running) -> float | None:
    if not running.slot or not running.slot_expected:
        return None
    return float(running.slot != running.slot_expected)


def _version_drift(running: Running, usual: Mapping[str, tuple[str, str]]) -> float | None:
    most = usual.get(running.hardware)
    return None if most is None else float((running.version, running.profile) != most)


def _has_task(live: Mapping[str, Any]) -> bool:
    return _is_at_it(live) or bool((live.get("tasks") or {}).get("waiting"))


def _is_at_it(live: Mapping[str, Any]) -> bool:
    return (live.get("goal") or {}).get("phase", "idle") != "idle"

"""What the fleet knows of one robot just now: the newest of each kind, and how fresh it is."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from conf.schema.alerts import Alerts
from fleet.alerts import Alert, AlertState, Phase, evaluate, firing
from fleet.signals import signals
from fleet.store.memory import Memory

TRAIL_POINTS = 160  # forty seconds of the tool's way
MISSES_WINDOW_NS = 60_000_000_000
LIVE_MAX_BYTES = 65_536
JPEG_START = b"\xff\xd8\xff"
SNAPSHOT_MAX_BYTES = 1_048_576


class Freshness(StrEnum):
    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"
    NEVER = "never"


@dataclass(frozen=True)
class Snapshot:
    jpeg: bytes
    number: int
    received_ns: int


@dataclass
class Robot:
    """Filled from the broker's messages; all times are this machine's monotonic clock."""

    site: str
    robot_id: str
    stale_ns: int
    offline_ns: int
    live: dict[str, Any] | None = None
    live_ns: int | None = None
    live_wall_ns: int = 0
    presence: str = "unknown"
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    trail: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=TRAIL_POINTS))
    alerts: dict[str, AlertState] = field(default_factory=dict)
    refused: int = 0  # messages that made no sense
    first_ns: int | None = None
    _misses: deque[tuple[int, int]] = field(default_factory=deque)

    def note_live(self, payload: bytes, now_ns: int, wall_ns: int) -> None:
        live = parse_live(payload)
        if live is None:
            self.refused += 1
            return
        self.live, self.live_ns, self.live_wall_ns = live, now_ns, wall_ns
        control = live.get("control")
        if control is not None:
            self._misses.append((now_ns, control["misses"]))
            x, y = control["tool_m"][0], control["tool_m"][1]
            if x is not None and y is not None:
                self.trail.append((x, y))
        while self._misses and now_ns - self._misses[0][0] > MISSES_WINDOW_NS:
            self._misses.popleft()

    def note_presence(self, payload: bytes) -> None:
        try:
            state = orjson.loads(payload)["state"]
        except (ValueError, KeyError, TypeError):
            self.refused += 1
            return
        self.presence = state if state in ("online", "offline", "lost") else "unknown"

    def note_snapshot(self, camera: str, payload: bytes, now_ns: int) -> None:
        if not payload.startswith(JPEG_START) or len(payload) > SNAPSHOT_MAX_BYTES:
            self.refused += 1
            return
        before = self.snapshots.get(camera)
        number = 1 if before is None else before.number + 1
        self.snapshots[camera] = Snapshot(payload, number, now_ns)

    def freshness(self, now_ns: int) -> Freshness:
        if self.live_ns is None:
            return Freshness.NEVER
        age_ns = now_ns - self.live_ns
        if age_ns >= self.offline_ns:
            return Freshness.OFFLINE
        if age_ns < self.stale_ns:
            return Freshness.LIVE
        return Freshness.OFFLINE if self.presence in ("offline", "lost") else Freshness.STALE

    def watch(self, rules: Alerts, now_ns: int) -> list[Alert]:
        """Evaluates the rules; a message is judged once it is here, never a replayed one."""
        if self.first_ns is None:
            self.first_ns = now_ns
        heard_ns = self.first_ns if self.live_ns is None else self.live_ns
        is_live = self.freshness(now_ns) is Freshness.LIVE
        values = signals(
            self.live if is_live else None, (now_ns - heard_ns) / 1e9, self.earlier_misses(now_ns)
        )
        if is_live:
            self.alerts = evaluate(rules, values, self.alerts, now_ns)
        else:  # of a silent robot nothing is known but its silence: the rest stays as it was
            known = {
                key: rule for key, rule in rules.rules.items() if values[rule.signal] is not None
            }
            silent = Alerts(name=rules.name, rules=known)
            self.alerts = {**self.alerts, **evaluate(silent, values, self.alerts, now_ns)}
        return firing(rules, self.alerts)

    def restore(self, memory: Memory, rules: Alerts) -> list[Alert]:
        """Goes on where a fleet process before this one ended, with the rules there are now."""
        kept = memory.states.items()
        self.alerts = {rule: state for rule, state in kept if rule in rules.rules}
        self.first_ns = memory.silent_ns
        return firing(rules, self.alerts)

    def memory(self, now_ns: int) -> Memory:
        """What must outlive this process. Of a robot that is heard, nothing about silence."""
        kept = self.alerts.items()
        lasting = {rule: state for rule, state in kept if state.phase is not Phase.INACTIVE}
        heard_ns = self.first_ns if self.live_ns is None else self.live_ns
        silent_ns = None if self.freshness(now_ns) is Freshness.LIVE else heard_ns
        return Memory(self.robot_id, self.site, lasting, silent_ns)

    def earlier_misses(self, now_ns: int) -> tuple[float, int] | None:
        if not self._misses:
            return None
        then_ns, misses = self._misses[0]
        return (now_ns - then_ns) / 1e9, misses


def parse_live(payload: bytes) -> dict[str, Any] | None:
    """A live message of our version, or None: whatever a robot sends must not break its page."""
    if len(payload) > LIVE_MAX_BYTES:
        return None
    try:
        live = orjson.loads(payload)
        if not isinstance(live, dict) or live["v"] != 1:
            return None
        _check_shape(live)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    return live


def _check_shape(live: Mapping[str, Any]) -> None:
    """Touches everything that the page and the rules count on; raises where it is not so."""
    about, spool = live["about"], live["spool"]
    _texts(about, "robot_id", "site", "title", "arm", "hardware", "artifact_name", "config_hash")
    _numbers(about, "epoch", "period_us")
    _numbers(spool, "used_bytes", "max_bytes", "committed")
    sum(int(value) for value in spool["records"].values())
    sum(int(value) for value in spool["counters"].values())
    _ = live["uplink"]["connected"], live["tasks"]["done"], live["tasks"]["failed"]
    control = live["control"]
    if control is not None:
        _numbers(control, "age_ms", "cycle", "misses")
        _texts(control["stop"], "level", "reason")
        sum(int(value) for value in control["interventions"].values())
        sum(int(value) for value in control["rejected"].values())
        for joint in control["joints"]:
            _ = joint["q_rad"], joint["qd_rad_s"], joint["tau_ext_nm"], joint["temp_c"]
        _ = control["tool_m"][1], control["gripper"]["holding"], control["latency"]["cycle"]
    for part, keys in (
        ("people", ("count", "age_ms")),
        ("perception", ("level", "age_ms")),
        ("verdict", ("age_ms",)),
        ("mode", ("age_ms",)),
        ("goal", ("task_id", "attempt")),
        ("policy", ("age_ms",)),
        ("plan", ("age_ms",)),
    ):
        if live[part] is not None:
            _numbers(live[part], *keys)


def _texts(part: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        if not isinstance(part[key], str):
            raise TypeError(f"{key} is no text")


def _numbers(part: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        if isinstance(part[key], bool) or not isinstance(part[key], int | float):
            raise TypeError(f"{key} is no number")

"""What the fleet knows of one robot just now: the newest of each kind, and how fresh it is."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

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
    first_ns: int  # when somebody began to listen
    live: dict[str, Any] | None = None
    live_ns: int | None = None
    live_wall_ns: int = 0
    presence: str = "unknown"
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    trail: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=TRAIL_POINTS))
    refused: int = 0  # messages that made no sense
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

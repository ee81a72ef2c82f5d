"""From live messages to the numbers that alert rules look at. None: not known."""

from collections.abc import Mapping
from typing import Any

from conf.schema.alerts import Signal

STOP_LEVELS = {"none": 0.0, "controlled": 1.0, "hold": 2.0, "power_off": 3.0}
PEOPLE_STALE_MS = 1000.0

Values = Mapping[Signal, float | None]


OF_ROBOT = (
    Signal.STOP_LEVEL,
    Signal.STOP_COLLISION,
    Signal.ESTOP,
    Signal.SAFETY_VETO,
    Signal.MISSES_PER_MINUTE,
    Signal.WORKSPACE_UNKNOWN,
    Signal.MOTOR_TEMP_C,
    Signal.SPOOL_USED_RATIO,
    Signal.SPOOL_NOT_DURABLE,
    Signal.DISK_FREE_RATIO,
    Signal.CONTROL_AGE_MS,
)


def signals(live: Mapping[str, Any], earlier: tuple[float, int] | None = None) -> Values:
    """What one live message says. `earlier` is (seconds ago, misses then)."""
    values: dict[Signal, float | None] = dict.fromkeys(OF_ROBOT)
    _control(live.get("control"), earlier, values)
    people, verdict, spool = live.get("people"), live.get("verdict"), live.get("spool")
    if people is not None:
        unknown = people["workspace"] == "unknown" or people["age_ms"] > PEOPLE_STALE_MS
        values[Signal.WORKSPACE_UNKNOWN] = float(unknown)
    if verdict is not None:
        values[Signal.SAFETY_VETO] = float(verdict["verdict"] == "veto")
    if spool is not None:
        values[Signal.SPOOL_USED_RATIO] = spool["used_bytes"] / max(1, spool["max_bytes"])
        values[Signal.SPOOL_NOT_DURABLE] = float(not spool["durable"] or spool["disk_full"])
    host = live.get("host")
    if host is not None:
        values[Signal.DISK_FREE_RATIO] = host.get("disk_free_ratio")
    return values


def _control(
    control: Mapping[str, Any] | None,
    earlier: tuple[float, int] | None,
    values: dict[Signal, float | None],
) -> None:
    if control is None:
        return
    stop = control["stop"]
    level = STOP_LEVELS.get(stop["level"])
    stopped = level is not None and level > 0
    values[Signal.CONTROL_AGE_MS] = control["age_ms"]
    values[Signal.STOP_LEVEL] = level
    values[Signal.STOP_COLLISION] = float(stopped and stop["reason"] == "collision")
    values[Signal.ESTOP] = float(control["estop"])
    temps = [joint["temp_c"] for joint in control["joints"] if joint["temp_c"] is not None]
    values[Signal.MOTOR_TEMP_C] = max(temps, default=None)
    if earlier is not None and earlier[0] > 0:
        more = max(0, control["misses"] - earlier[1])
        values[Signal.MISSES_PER_MINUTE] = more * 60.0 / max(earlier[0], 10.0)

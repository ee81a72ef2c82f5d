"""What the machine around the robot says of itself: room for data, and whether it is being charged.

In lock-step nothing is asked of the machine, which never says the same twice.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.daemon import Context
from runtime.paths import space_at
from runtime.telemetry.client import MemorySink
from runtime.telemetry.reading import Readings, number

LOOK_EVERY_NS = 5_000_000_000
STEP_RATIO = 0.001
"""A battery that has moved by less has said nothing: sensors tremble."""
STILL_NS = 600_000_000_000
"""One that has not moved for so long is neither charged nor drained, as far as anybody knows."""


@dataclass
class Charge:
    """Charging is what the battery's own level shows; no charger need say it."""

    is_charging: bool | None = None
    _ratio: float | None = None
    _moved_ns: int = 0

    def note(self, ratio: float | None, now_ns: int) -> bool | None:
        if ratio is None:
            self.is_charging = self._ratio = None
        elif self._ratio is None:
            self._ratio, self._moved_ns = ratio, now_ns
        elif abs(ratio - self._ratio) >= STEP_RATIO:
            self.is_charging = ratio > self._ratio
            self._ratio, self._moved_ns = ratio, now_ns
        elif now_ns - self._moved_ns >= STILL_NS:
            self.is_charging = None
        return self.is_charging


class HostWatch:
    def __init__(self, context: Context) -> None:
        lockstep = isinstance(context.telemetry.sink, MemorySink)
        self._data = None if lockstep else context.paths.data
        self._charge = Charge()
        self._free_ratio: float | None = None
        self._looked_ns: int | None = None

    def live(self, readings: Readings) -> dict[str, Any]:
        """For the live message; what is not known is null."""
        state = readings.state
        battery = None if state is None else number(state["battery_ratio"], 6)
        return {
            "disk_free_ratio": self._disk(readings.at_ns),
            "charging": self._charge.note(battery, readings.at_ns),
        }

    def fields(self, now_ns: int) -> dict[str, float]:
        """For the records; what is not known is left out."""
        ratio = self._disk(now_ns)
        return {} if ratio is None else {"disk_free_ratio": ratio}

    def _disk(self, now_ns: int) -> float | None:
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._looked_ns = now_ns
            self._free_ratio = None if self._data is None else free_ratio(self._data)
        return self._free_ratio


def free_ratio(folder: Path) -> float | None:
    """None: it cannot be asked."""
    try:
        found = space_at(folder)
    except OSError:
        return None
    if found.is_read_only:
        return 0.0
    return round(found.free_bytes / found.size_bytes, 4) if found.size_bytes else None

"""Time as an argument: the one place that reads the machine's clocks.

Every message time is CLOCK_MONOTONIC in integer nanoseconds, in every process of one machine. Wall
time is for people and databases only: it may jump both ways and no decision is taken on it.
"""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000

# A fixed instant at which virtual wall time begins, so that recorded runs compare byte for byte.
VIRTUAL_WALL_EPOCH_NS = 1_700_000_000 * NS_PER_S


class Clock(Protocol):
    """What every process gets instead of `time`."""

    def now_ns(self) -> int:
        """Monotonic time; the time base of all messages."""
        ...

    def wall_ns(self) -> int:
        """Time since 1970 for records that people and databases read."""
        ...


class SystemClock:
    """The machine's own clocks; in a guest too slow for a robot, the robot's runs slower by a whole
    number, so that every rate, life and time-out stretches alike."""

    def __init__(self, slow_motion: int = 1) -> None:
        self.slow_motion = slow_motion

    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // self.slow_motion

    def wall_ns(self) -> int:
        return time.time_ns()


class VirtualClock:
    """Time that moves only when it is told to: lock-step runs and tests."""

    def __init__(
        self, start_ns: int = NS_PER_S, *, wall_start_ns: int = VIRTUAL_WALL_EPOCH_NS
    ) -> None:
        if start_ns < 0:
            raise ValueError(f"virtual clock: start_ns got {start_ns}, must be 0 or more")
        self._now_ns = start_ns
        self._wall_offset_ns = wall_start_ns - start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def wall_ns(self) -> int:
        return self._now_ns + self._wall_offset_ns

    def advance(self, step_ns: int) -> int:
        """Move time on and return the new instant; monotonic time never goes back."""
        if step_ns < 0:
            raise ValueError(f"virtual clock: step_ns got {step_ns}, must be 0 or more")
        self._now_ns += step_ns
        return self._now_ns

    def jump_wall(self, step_ns: int) -> None:
        """Make wall time jump either way, as a clock set by hand or by the network does."""
        self._wall_offset_ns += step_ns


def sleep_until(deadline_ns: int) -> None:
    """Sleep to an instant of CLOCK_MONOTONIC; returns at once when it has passed."""
    while (left_ns := deadline_ns - time.clock_gettime_ns(time.CLOCK_MONOTONIC)) > 0:
        time.sleep(left_ns / NS_PER_S)

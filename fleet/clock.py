"""The fleet's clocks, as an argument. Robots have their own, which may be wrong."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Monotonic: for ages and time-outs."""
        ...

    def wall_ns(self) -> int:
        """Since 1970: for what people read."""
        ...


class SystemClock:
    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

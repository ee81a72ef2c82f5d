"""Stand-ins for Tier 1 in tests of the simulator."""

import math
from pathlib import Path

from runtime.hal.clock import NS_PER_S
from runtime.shm import Shm


class SwingingCore:
    """Moves the first joint slowly to and fro through the actuator slot."""

    def __init__(self, _control: Path, shm: Path, home_rad: tuple[float, ...] = ()) -> None:
        self._writer = Shm(shm).writer("hal.actuators")
        self._sensors = Shm(shm).reader("hal.sensors")
        self._home: list[float] | None = list(home_rad) or None
        self._start_ns: int | None = None
        self.power = True
        self.gripper = 0.0
        self.swing_rad = 0.3

    def cycle(self, now_ns: int) -> None:
        sensors = self._sensors.latest()
        if sensors is None:
            return
        if self._home is None:
            self._home = [float(value) for value in sensors["q"]]
        if self._start_ns is None:
            self._start_ns = now_ns
        phase = 2.0 * (now_ns - self._start_ns) / NS_PER_S
        record = self._writer.new()
        record["created_ns"] = now_ns
        record["q_des"][: len(self._home)] = self._home
        record["q_des"][0] += self.swing_rad * math.sin(phase)
        record["qd_des"][0] = 2.0 * self.swing_rad * math.cos(phase)
        record["power"], record["gripper"] = self.power, self.gripper
        self._writer.write(record)

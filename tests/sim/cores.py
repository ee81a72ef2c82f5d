"""Stand-ins for Tier 1 in tests of the simulator, and a context for one process."""

import math
from pathlib import Path

from conf.schema import Config
from runtime.daemon import Context
from runtime.hal.clock import NS_PER_S, VirtualClock
from runtime.paths import Paths
from runtime.shm import Shm
from runtime.telemetry.client import MemorySink, TelemetryClient


def make_context(config: Config, folder: Path) -> Context:
    paths = Paths(folder / "run", folder / "data")
    for path in (paths.run, paths.data, paths.run / "shm"):
        path.mkdir(parents=True, exist_ok=True)
    clock = VirtualClock()
    return Context(config, paths, clock, Shm(paths.shm), TelemetryClient(MemorySink(), "t", clock))


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

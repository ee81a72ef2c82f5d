"""The robot in lock-step: what each step takes, and how long a picture takes to the motors.

Step times are this machine's. The way from camera to motor command is told in virtual time:
declared latencies and the grid of rates, without the machine's noise.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from conf.load import compose
from runtime.daemon import Context, Process
from runtime.paths import Paths
from runtime.processes import find_process
from sim.bench.figures import Figures, spread_of
from sim.lockstep import DAEMONS, Builder, LockStep, Pictures, Setup
from sim.supplies import ROOT, install_skill

TIER_2_BUDGET_MS = 120


class Timed:
    """A process and a note of what each of its steps took."""

    def __init__(self, process: Process, taken_ns: list[int]) -> None:
        self._process = process
        self._taken_ns = taken_ns
        self.rate_hz = process.rate_hz

    def step(self, now_ns: int) -> None:
        started = time.perf_counter_ns()
        self._process.step(now_ns)
        self._taken_ns.append(time.perf_counter_ns() - started)

    def close(self) -> None:
        self._process.close()


@dataclass
class CameraToMotor:
    """For each new result of perception, when the drives first got a command that knew it."""

    lockstep: LockStep
    taken_ns: list[int] = field(default_factory=list)
    _capture_ns: int = 0
    _result_ns: int = 0

    def __post_init__(self) -> None:
        shm = self.lockstep.shm
        self._scene, self._command = shm.reader("scene"), shm.reader("command.policy")

    def look(self, now_ns: int) -> None:
        scene, command = self._scene.latest(), self._command.latest()
        if (
            scene is not None
            and int(scene["capture_ns"]) > self._capture_ns
            and not self._result_ns
        ):
            self._capture_ns = int(scene["capture_ns"])
            self._result_ns = int(scene["created_ns"])
        if command is None or not self._result_ns:
            return
        if int(command["created_ns"]) >= self._result_ns:
            # The control cycle of this millisecond has already run: the next one commands it.
            self.taken_ns.append(now_ns + 1_000_000 - self._capture_ns)
            self._result_ns = 0


def measure_steps(seconds: float, seed: int) -> dict[str, object]:
    taken: dict[str, list[int]] = {name: [] for name in DAEMONS}
    config = compose().config
    with tempfile.TemporaryDirectory(prefix="bedplate-bench-") as home:
        paths = Paths(run=Path(home) / "run", data=Path(home) / "data")
        install_skill(config, paths, ROOT / "var")
        builders = {name: _timed(name, taken[name]) for name in DAEMONS}
        setup = Setup(pictures=Pictures.RENDERED, builders=builders)
        with LockStep(config, paths.run, paths.data, seed, setup=setup) as lockstep:
            way = CameraToMotor(lockstep)
            lockstep.add_hook(0.001, way.look)
            started = time.monotonic()
            lockstep.run(seconds)
            wall_s = time.monotonic() - started
    steps: dict[str, Figures] = {name: spread_of(samples) for name, samples in taken.items()}
    return {
        "seconds_virtual": seconds,
        "seconds_wall": round(wall_s, 1),
        "step": steps,
        "camera_to_motor_command_virtual": spread_of(way.taken_ns),
        "camera_to_motor_budget_ms": {"typical": TIER_2_BUDGET_MS, "p95": 250, "p99": 500},
    }


def _timed(name: str, taken_ns: list[int]) -> Builder:
    module = find_process(name).module
    assert module is not None

    def build(context: Context) -> Process:
        made: Process = importlib.import_module(module).build(context)
        return Timed(made, taken_ns)

    return build

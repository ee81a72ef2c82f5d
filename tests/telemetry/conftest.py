"""A robot in lock-step as far as telemetry sees it: a virtual clock and no other process."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conf.load import compose
from conf.schema import Config
from runtime.daemon import Context
from runtime.hal.clock import VirtualClock
from runtime.paths import Paths
from runtime.shm import Shm
from runtime.telemetry.client import MemorySink, TelemetryClient
from runtime.telemetry.telemetryd import Telemetry
from runtime.telemetry.uplink import MemoryUplink


@pytest.fixture(scope="session")
def config() -> Config:
    return compose().config


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in RAM: where durability is not what is tested, flushes need not cost time."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="bedplate-test-", dir=shared))
    yield folder
    shutil.rmtree(folder)


@dataclass
class Robot:
    clock: VirtualClock
    context: Context
    process: Telemetry
    uplink: MemoryUplink

    @property
    def client(self) -> TelemetryClient:
        return self.context.telemetry

    def run(self, seconds: float, work: Callable[[], None] | None = None) -> None:
        """Steps telemetryd at its rate; `work` is what the rest of the robot does each step."""
        period_ns = round(1e9 / self.process.rate_hz)
        for _ in range(round(seconds * self.process.rate_hz)):
            if work is not None:
                work()
            self.process.step(self.clock.advance(period_ns))


@pytest.fixture
def make_robot(config: Config, memory_folder: Path) -> Iterator[Callable[..., Robot]]:
    made: list[Robot] = []

    def make(name: str = "a", uplink: MemoryUplink | None = None) -> Robot:
        paths = Paths(run=memory_folder / name / "run", data=memory_folder / name / "data")
        (paths.run / "shm").mkdir(parents=True, exist_ok=True)
        clock = VirtualClock()
        client = TelemetryClient(MemorySink(), "telemetryd", clock)
        context = Context(config, paths, clock, Shm(paths.shm), client)
        uplink = uplink or MemoryUplink(keeps=True)
        robot = Robot(clock, context, Telemetry(context, uplink), uplink)
        made.append(robot)
        return robot

    yield make
    for robot in made:
        robot.process.close()

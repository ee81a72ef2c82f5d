"""A robot's readings made by hand, and a clock that stands still."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from runtime.hal.clock import VirtualClock
from runtime.health.check import Sources
from runtime.shm import DTYPES
from runtime.uplink import Uplink


def state_record(**fields: object) -> np.void:
    record = np.zeros((), DTYPES["state"])
    record["joints"] = 7
    record["motor_temp_c"][:7] = 35.0
    record["battery_ratio"] = 0.8
    record["created_ns"] = 1_000_000_000
    for name, value in fields.items():
        record[name] = value
    return record[()]


def gpu_record(**fields: object) -> np.void:
    record = np.zeros((), DTYPES["hal.gpu"])
    record["present"], record["temp_c"], record["created_ns"] = 1, 55.0, 1_000_000_000
    for name, value in fields.items():
        record[name] = value
    return record[()]


@dataclass
class Bench:
    """What a probe is given; tests change the parts."""

    clock: VirtualClock = field(default_factory=lambda: VirtualClock(1_000_000_000))
    data_dir: Path = Path()
    state: np.void | None = None
    gpu: np.void | None = None
    uplink: Uplink | None = None

    @property
    def sources(self) -> Sources:
        return Sources(
            clock=self.clock,
            data_dir=self.data_dir,
            state=lambda: self.state,
            gpu=lambda: self.gpu,
            uplink=lambda: self.uplink,
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(data_dir=tmp_path, state=state_record(), gpu=gpu_record())


@pytest.fixture
def state_of():
    return state_record


@pytest.fixture
def gpu_of():
    return gpu_record

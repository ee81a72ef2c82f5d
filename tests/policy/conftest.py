"""The default profile's arm, and real files of shared memory to step policyd against."""

from pathlib import Path

import numpy as np
import pytest

from conf.control import control_bytes
from conf.load import compose
from conf.schema import Config
from runtime.policy.kinematics import Kinematics, open_kinematics


@pytest.fixture(scope="session")
def config() -> Config:
    return compose(hardware="sim_x86", facility="osaka").config


@pytest.fixture(scope="session")
def kinematics(config: Config) -> Kinematics:
    return open_kinematics(control_bytes(config))


@pytest.fixture(scope="session")
def home(config: Config) -> np.ndarray:
    return np.array(config.robot.home_rad)


@pytest.fixture(scope="session")
def panda_folder() -> Path:
    return Path(__file__).parents[2] / "models" / "policy" / "panda"

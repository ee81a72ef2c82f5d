"""The default profile's arm, its geometry, and the planner's and the fallback's rules."""

import numpy as np
import pytest

from conf.control import control_bytes
from conf.load import compose
from runtime.planning.plannerd import fallback_rules, planner_rules
from runtime.policy.kinematics import open_kinematics


@pytest.fixture(scope="session")
def config():
    return compose(hardware="sim_x86", facility="osaka").config


@pytest.fixture(scope="session")
def kinematics(config):
    return open_kinematics(control_bytes(config))


@pytest.fixture(scope="session")
def rules(config):
    return planner_rules(config)


@pytest.fixture(scope="session")
def cautious(config):
    return fallback_rules(config)


@pytest.fixture(scope="session")
def home(config):
    return np.array(config.robot.home_rad)

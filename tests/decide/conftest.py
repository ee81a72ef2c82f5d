"""Skips what needs the compiled module where it is not built."""

import importlib.util

import pytest

from sim.robot_model import Arm
from tests.decide.arms import Twin, twin

if importlib.util.find_spec("runtime.shm._native") is None:
    collect_ignore = ["test_dynamics.py", "test_estimator.py"]


@pytest.fixture(scope="module", params=list(Arm))
def arm(request: pytest.FixtureRequest) -> Twin:
    return twin(request.param)

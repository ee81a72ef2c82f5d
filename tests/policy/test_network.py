"""The shipped networks: any finite observation gives a finite answer inside the limits."""

import hashlib

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.policy.law import CHUNK_STEPS, Law
from runtime.policy.observation import Observed, build_observation, observation_size
from runtime.skills.verify import open_session
from sim.robot_model import ARMS, Arm

LIMIT_RAD_S = Law().joint_velocity_rad_s * 1.05
ROLES = ("primary", "backup")


def sessions(panda_folder):
    return [open_session((panda_folder / f"{role}.onnx").read_bytes()) for role in ROLES]


@pytest.fixture(scope="module")
def networks(panda_folder):
    return sessions(panda_folder)


@given(
    observation=arrays(
        np.float32,
        observation_size(7),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_any_finite_observation_gives_a_finite_answer_within_limits(networks, observation):
    for session in networks:
        chunk = np.asarray(session.run(["chunk"], {"observation": observation[None]})[0])[0]
        assert chunk.shape == (CHUNK_STEPS, 8)
        assert np.all(np.isfinite(chunk))
        assert np.all(np.abs(chunk[:, :7]) <= LIMIT_RAD_S + 1e-6)
        assert np.all((chunk[:, 7] >= 0.0) & (chunk[:, 7] <= 1.0))


def test_chunk_begins_near_the_present_velocity(networks, home):
    """No jerk at the seam between two chunks, whatever the network thinks of the rest."""
    seen = Observed(
        q_rad=home,
        qd_rad_s=np.zeros(7),
        tip_m=np.array([0.28, 0.0, 0.42]),
        tool_axis=np.array([0.0, 0.0, -1.0]),
        goal_m=np.array([0.47, -0.24, 0.05]),
        stage=0,
        gripper=np.float64(0),
        contact=np.float64(0),
        holding=np.float64(0),
    )
    observation = build_observation(seen).astype(np.float32)
    for session in networks:
        chunk = np.asarray(session.run(["chunk"], {"observation": observation[None]})[0])[0]
        assert np.max(np.abs(chunk[0, :7])) < 0.12


@pytest.mark.parametrize("arm", list(Arm))
def test_card_states_the_files_that_are_there(panda_folder, arm):
    folder = panda_folder.parent / arm.value
    card = yaml.safe_load((folder / "card.yaml").read_text())
    for role in ROLES:
        content = (folder / f"{role}.onnx").read_bytes()
        assert card[role]["sha256"] == hashlib.sha256(content).hexdigest()
        assert card[role]["bytes"] == len(content)
        assert len(content) < 2_000_000


@pytest.mark.parametrize("arm", list(Arm))
def test_networks_of_one_arm_differ(panda_folder, arm):
    folder = panda_folder.parent / arm.value
    first, second = ((folder / f"{role}.onnx").read_bytes() for role in ROLES)
    assert first != second


@pytest.mark.parametrize("arm", list(Arm))
def test_observation_has_the_size_that_is_declared(arm):
    joints = len(ARMS[arm].home_rad)
    seen = Observed(
        np.zeros(joints),
        np.zeros(joints),
        np.zeros(3),
        np.array([0, 0, -1.0]),
        np.zeros(3),
        1,
        np.float64(0),
        np.float64(0),
        np.float64(0),
    )
    assert build_observation(seen).shape == (observation_size(joints),)


def test_training_and_robot_build_the_same_observation():
    jnp = pytest.importorskip("jax.numpy", reason="needs the train group")
    rng = np.random.default_rng(5)
    seen = Observed(
        rng.normal(size=7),
        rng.normal(size=7),
        rng.normal(size=3),
        rng.normal(size=3),
        rng.normal(size=3),
        2,
        np.float64(1),
        np.float64(0),
        np.float64(1),
    )
    assert np.allclose(build_observation(seen), build_observation(seen, jnp), atol=1e-5)

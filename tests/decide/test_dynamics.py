"""Tier 1's rigid-body functions against MuJoCo's, on random states of two arms."""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from runtime.shm import dynamics
from tests.decide.arms import Array, Twin

STATES = 1_000
RELATIVE = 1e-8


@pytest.fixture(scope="module")
def ours(arm: Twin) -> dynamics.RobotModel:
    return dynamics.RobotModel(arm.control_json())


def random_states(arm: Twin) -> Iterator[tuple[mujoco.MjData, Array, Array, Array]]:
    rng = np.random.default_rng(7)
    data = mujoco.MjData(arm.model)
    low, high = arm.model.jnt_range.T
    for _ in range(STATES):
        q = rng.uniform(low, high)
        qd = rng.normal(scale=2.0, size=arm.joints)
        qdd = rng.normal(scale=10.0, size=arm.joints)
        data.qpos[:], data.qvel[:], data.qacc[:] = q, qd, qdd
        mujoco.mj_inverse(arm.model, data)
        yield data, q, qd, qdd


def test_inverse_dynamics_agree_with_mujoco(arm: Twin, ours: dynamics.RobotModel) -> None:
    worst = 0.0
    for data, q, qd, qdd in random_states(arm):
        error = np.abs(ours.inverse_dynamics(q, qd, qdd) - data.qfrc_inverse).max()
        worst = max(worst, error / np.abs(data.qfrc_inverse).max())
    assert worst <= RELATIVE


def test_comparison_notices_a_mass_that_is_a_millionth_off(arm: Twin) -> None:
    control = arm.control | {"model": arm.control["model"] | {}}
    links = [dict(link) for link in control["model"]["links"]]
    links[2]["mass_kg"] *= 1 + 1e-6
    wrong = dynamics.RobotModel(
        Twin(
            arm.arm, arm.model, control | {"model": control["model"] | {"links": links}}
        ).control_json()
    )
    data, q, qd, qdd = next(random_states(arm))
    error = np.abs(wrong.inverse_dynamics(q, qd, qdd) - data.qfrc_inverse).max()
    assert error > RELATIVE * np.abs(data.qfrc_inverse).max()


def test_tool_pose_and_jacobian_agree_with_mujoco(arm: Twin, ours: dynamics.RobotModel) -> None:
    site = arm.model.site("suction_tip").id
    linear, angular = np.zeros((3, arm.joints)), np.zeros((3, arm.joints))
    quat = np.zeros(4)
    for data, q, _, _ in random_states(arm):
        mujoco.mj_jacSite(arm.model, data, linear, angular, site)
        mujoco.mju_mat2Quat(quat, data.site_xmat[site])
        position, orientation = ours.forward_kinematics(q)
        assert np.allclose(position, data.site_xpos[site], atol=1e-9)
        assert abs(np.dot(orientation, quat)) > 1 - 1e-12
        assert np.allclose(ours.jacobian(q), np.vstack([linear, angular]), atol=1e-9)


def test_spheres_move_with_their_links(arm: Twin, ours: dynamics.RobotModel) -> None:
    bodies = [int(body) for body in arm.model.jnt_bodyid]
    for count, (data, q, _, _) in enumerate(random_states(arm)):
        if count == 50:
            break
        centers, _ = ours.sphere_positions(q)
        for center, sphere in zip(centers, arm.control["model"]["spheres"], strict=True):
            body = bodies[sphere["link"]]
            there = data.xpos[body] + data.xmat[body].reshape(3, 3) @ sphere["center_m"]
            assert np.allclose(center, there, atol=1e-9)

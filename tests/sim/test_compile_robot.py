"""The committed rigid-body models are what the published arms give today."""

import functools
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

from sim import compile_robot
from sim.compile_robot import MODEL_FOLDER, to_yaml
from sim.robot_model import ARMS, TOOL_SITE, Arm, Meshes, load_arm

ARMS_UNDER_TEST = list(Arm)


@functools.cache
def compile_arm(arm: Arm) -> dict[str, Any]:
    return compile_robot.compile_arm(arm)


@pytest.mark.parametrize("arm", ARMS_UNDER_TEST)
def test_committed_model_equals_a_fresh_compile(arm: Arm) -> None:
    committed = (MODEL_FOLDER / f"{arm}.yaml").read_text(encoding="utf-8")
    assert committed == to_yaml(compile_arm(arm)), "run  python -m sim.compile_robot"


@pytest.mark.parametrize("arm", ARMS_UNDER_TEST)
def test_yaml_reads_back_to_the_same_numbers(arm: Arm) -> None:
    model = compile_arm(arm)
    assert yaml.safe_load(to_yaml(model)) == model


def chain(model: dict[str, Any], q: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each link's origin and rotation, by the compiled numbers alone."""
    origin, axes, frames = np.zeros(3), np.eye(3), []
    for link, angle in zip(model["links"], q, strict=True):
        turn, own = np.zeros(9), np.zeros(9)
        mujoco.mju_quat2Mat(turn, np.array(link["quat_wxyz"]))
        quat = np.zeros(4)
        mujoco.mju_axisAngle2Quat(quat, np.array(link["axis"]), float(angle))
        mujoco.mju_quat2Mat(own, quat)
        origin = origin + axes @ np.array(link["pos_m"])
        axes = axes @ turn.reshape(3, 3) @ own.reshape(3, 3)
        frames.append((origin, axes))
    return frames


@pytest.mark.parametrize("arm", ARMS_UNDER_TEST)
def test_compiled_chain_puts_the_tool_where_the_published_arm_has_it(arm: Arm) -> None:
    published = load_arm(arm, Meshes.COLLISION).compile()
    data = mujoco.MjData(published)
    model = compile_arm(arm)
    rng = np.random.default_rng(3)
    for _ in range(20):
        data.qpos[:] = rng.uniform(*published.jnt_range.T)
        mujoco.mj_kinematics(published, data)
        origin, axes = chain(model, data.qpos)[-1]
        tip = origin + axes @ np.array(model["tool"]["pos_m"])
        assert tip == pytest.approx(data.site(TOOL_SITE).xpos, abs=1e-9)


@pytest.mark.parametrize("arm", ARMS_UNDER_TEST)
def test_spheres_hold_every_moving_hull_and_stop_at_the_cup(arm: Arm) -> None:
    published = load_arm(arm, Meshes.COLLISION).compile()
    data = mujoco.MjData(published)
    data.qpos[:] = ARMS[arm].home_rad
    mujoco.mj_kinematics(published, data)
    model = compile_arm(arm)
    frames = chain(model, data.qpos)
    balls = [
        (frames[s["link"]][0] + frames[s["link"]][1] @ np.array(s["center_m"]), s["radius_m"])
        for s in model["spheres"]
    ]
    for geom in range(published.ngeom):
        moving = published.geom_contype[geom] == 1
        if published.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH or not moving:
            continue
        mesh = published.geom_dataid[geom]
        graph = published.mesh_graph[published.mesh_graphadr[mesh] :]
        start = published.mesh_vertadr[mesh]
        corners = published.mesh_vert[start + graph[2 + graph[0] : 2 + 2 * graph[0]]]
        world = data.geom_xpos[geom] + corners @ data.geom_xmat[geom].reshape(3, 3).T
        depth = np.min([np.linalg.norm(world - c, axis=1) - r for c, r in balls], axis=0)
        assert depth.max() <= 1e-6
    tip, axis = data.site(TOOL_SITE).xpos, data.site(TOOL_SITE).xmat.reshape(3, 3)[:, 2]
    reach = max(float((center - tip) @ axis) + radius for center, radius in balls[-6:])
    assert reach <= 1e-4


@pytest.mark.parametrize("arm", ARMS_UNDER_TEST)
def test_tool_mass_is_in_the_last_link(arm: Arm) -> None:
    published = load_arm(arm, Meshes.COLLISION).compile()
    total = sum(link["mass_kg"] for link in compile_arm(arm)["links"])
    first = published.body(published.jnt_bodyid[0]).id
    assert total == pytest.approx(published.body_subtreemass[first])

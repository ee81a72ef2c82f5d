"""Inverse kinematics for tests: the tool straight down at a point."""

import mujoco
import numpy as np

from sim.robot_model import TOOL_SITE
from sim.scene import Scene

DOWN = np.diag([1.0, -1.0, -1.0])


def reach(scene: Scene, point_m: np.ndarray) -> np.ndarray:
    """Joint positions that put the cup's rim at a point, pointing down."""
    model, data, n = scene.model, mujoco.MjData(scene.model), scene.joints
    data.qpos[:] = scene.data.qpos
    site = model.site(TOOL_SITE).id
    for _ in range(200):
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        jacobian = np.zeros((6, model.nv))
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        axes = data.site_xmat[site].reshape(3, 3)
        tilt = np.cross(axes[:, 2], DOWN[:, 2])
        error = np.concatenate([point_m - data.site_xpos[site], tilt])
        if np.linalg.norm(error) < 1e-5:
            break
        own = jacobian[:, :n]
        step = own.T @ np.linalg.solve(own @ own.T + 1e-3 * np.eye(6), error)
        data.qpos[:n] += np.clip(step, -0.15, 0.15)
    return data.qpos[:n].copy()


def go_to(scene: Scene, point_m: np.ndarray, milliseconds: int = 1200) -> None:
    """Move there smoothly and settle."""
    start, goal = scene.q.copy(), reach(scene, np.asarray(point_m))
    for step in range(milliseconds):
        s = step / milliseconds
        blend = s * s * (3 - 2 * s)
        scene.set_joint_targets(start + blend * (goal - start))
        scene.step_once()
    scene.set_joint_targets(goal)
    scene.step(200)

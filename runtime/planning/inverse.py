"""Joint poses for cup positions: damped least squares with the cup upright, inside the limits."""

import numpy as np

from runtime.policy.kinematics import Array, Kinematics

ROUNDS = 60
DAMPING = 0.03
REACHED_M = 0.003
STEP_MAX_RAD = 0.15
DOWN = np.array([0.0, 0.0, -1.0])


def solve_pose(
    kinematics: Kinematics, start_rad: Array, tip_m: Array, low_rad: Array, high_rad: Array
) -> Array | None:
    """A pose near `start_rad` whose cup is at `tip_m`; None where there is none."""
    q_rad = np.clip(start_rad, low_rad, high_rad)
    for _ in range(ROUNDS):
        tool = kinematics.tool(q_rad)
        error = tip_m - tool.tip_m
        tilt = np.cross(tool.axis, DOWN)
        if np.linalg.norm(error) < REACHED_M and np.linalg.norm(tilt) < 0.05:
            return q_rad
        jacobian = kinematics.jacobian(q_rad)
        twist = np.concatenate([error, tilt])
        gram = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
        change = jacobian.T @ np.linalg.solve(gram, twist)
        change = change / max(1.0, float(np.max(np.abs(change))) / STEP_MAX_RAD)
        q_rad = np.clip(q_rad + change, low_rad, high_rad)
    return None

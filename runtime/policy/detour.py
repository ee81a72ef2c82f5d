"""The planner's waypoint as a chunk: straight through joint space, until the policy may go on."""

import numpy as np

from runtime.policy.chunk import STEP_S, Chunk
from runtime.policy.kinematics import Array

DETOUR_STEPS = 8
GAIN_PER_S = 3.0


def detour_chunk(
    q_rad: Array,
    velocity_rad_s: Array,
    waypoint_rad: Array,
    *,
    velocity_limit_rad_s: float,
    acceleration_limit_rad_s2: float,
    suction: float,
) -> Chunk:
    """Velocities that lead towards the waypoint from the present velocity."""
    velocities = []
    for _ in range(DETOUR_STEPS):
        wanted = GAIN_PER_S * (waypoint_rad - q_rad)
        wanted = wanted / max(1.0, float(np.max(np.abs(wanted))) / velocity_limit_rad_s)
        change = acceleration_limit_rad_s2 * STEP_S
        velocity_rad_s = np.clip(wanted, velocity_rad_s - change, velocity_rad_s + change)
        q_rad = q_rad + velocity_rad_s * STEP_S
        velocities.append(velocity_rad_s)
    return Chunk(np.stack(velocities), np.full(DETOUR_STEPS, suction), DETOUR_STEPS)

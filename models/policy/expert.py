"""The scripted expert: a feedback law from what the policy observes to joint velocities.

It depends on the present observation alone (no clock, no phase counter), so a network that sees
the same can imitate it from any state, also from states that only a network's mistakes reach.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from models.policy.chain import Chain, Pose, forward
from models.policy.law import STEP_S, Law
from runtime.policy.observation import Stage

CONTROL_LAG_S = 0.05  # how quickly velocity follows the law: what keeps jerk low
DAMPING = 0.02  # of the least-squares inverse, in m and rad


class Situation(NamedTuple):
    """What the law reads beside the joints; arrays so that it can be mapped over."""

    goal_m: jax.Array
    stage: jax.Array
    contact: jax.Array
    gripper: jax.Array


def expert_step(
    chain: Chain, home_rad: np.ndarray, law: Law, q: jax.Array, qd: jax.Array, seen: Situation
) -> tuple[jax.Array, jax.Array]:
    """Joint velocity of the next step and the suction command (0 or 1)."""
    pose = forward(chain, q)
    velocity, gripper = _tool_velocity(law, pose.position_m, seen)
    wanted = _joint_velocity(chain, home_rad, law, q, pose, velocity)
    homing = _homing(home_rad, law, q)
    share = jnp.where(seen.stage == Stage.RETREAT, _smooth(pose.position_m[2], 0.10, 0.16), 0.0)
    wanted = (1 - share) * wanted + share * homing
    wanted = wanted / jnp.maximum(1.0, jnp.max(jnp.abs(wanted)) / law.joint_velocity_rad_s)
    limit = law.joint_acceleration_rad_s2
    change = jnp.clip((wanted - qd) / CONTROL_LAG_S, -limit, limit)
    return qd + change * STEP_S, gripper


def expert_chunk(
    chain: Chain,
    home_rad: np.ndarray,
    law: Law,
    q: jax.Array,
    qd: jax.Array,
    seen: Situation,
    steps: int,
) -> tuple[jax.Array, jax.Array]:
    """The next `steps` velocities and suction commands, gripper readings held as they are."""

    def advance(
        carry: tuple[jax.Array, jax.Array], _: None
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        q, qd = carry
        qd, gripper = expert_step(chain, home_rad, law, q, qd, seen)
        return (q + qd * STEP_S, qd), (qd, gripper)

    _, (velocities, grippers) = jax.lax.scan(advance, (q, qd), None, length=steps)
    return velocities, grippers


def _tool_velocity(law: Law, tip: jax.Array, seen: Situation) -> tuple[jax.Array, jax.Array]:
    error = seen.goal_m - tip
    lateral = jnp.linalg.norm(error[:2] + 1e-9)
    reach_v, reach_grip = _reach(law, tip, error, lateral, seen)
    carry_v, carry_grip = _carry(law, tip, error, lateral, seen)
    up = jnp.array([0.0, 0.0, law.lift_speed_m_s])
    velocity = jnp.where(seen.stage == Stage.REACH, reach_v, carry_v)
    velocity = jnp.where(seen.stage == Stage.RETREAT, up, velocity)
    gripper = jnp.where(seen.stage == Stage.REACH, reach_grip, carry_grip)
    return velocity, jnp.where(seen.stage == Stage.RETREAT, 0.0, gripper)


def _reach(
    law: Law, tip: jax.Array, error: jax.Array, lateral: jax.Array, seen: Situation
) -> tuple[jax.Array, jax.Array]:
    """Above the part, then down a funnel; slowly for the last centimetre, still once touching."""
    above = jnp.clip((lateral - law.funnel_m) * 3.0, 0.0, law.hover_m)
    sink = law.press_m * _smooth(-lateral, -2 * law.funnel_m, -law.funnel_m)
    height_error = error[2] + above - sink
    clearance = jnp.maximum(-error[2] - 0.006, 0.0)
    down = law.contact_speed_m_s + 3.0 * clearance
    vertical = jnp.clip(5.0 * height_error, -jnp.minimum(down, law.speed_m_s), law.lift_speed_m_s)
    free = _smooth(-height_error, -0.05, -0.02)
    velocity = jnp.append(_towards(error[:2], lateral, law.speed_m_s) * free, vertical)
    near = (lateral < 0.03) & (error[2] > -0.06)
    return velocity * jnp.where(seen.contact > 0.5, 0.0, 1.0), jnp.where(near, 1.0, 0.0)


def _carry(
    law: Law, tip: jax.Array, error: jax.Array, lateral: jax.Array, seen: Situation
) -> tuple[jax.Array, jax.Array]:
    """Up above the walls, across, and down a funnel to the release point."""
    room = jnp.maximum(law.transport_m - seen.goal_m[2], 0.03)
    above = jnp.clip((lateral - law.funnel_m) * 2.0, 0.0, room)
    height_error = error[2] + above
    down = 0.05 + 2.5 * jnp.maximum(-error[2] - 0.005, 0.0)
    vertical = jnp.clip(5.0 * height_error, -jnp.minimum(down, law.speed_m_s), law.lift_speed_m_s)
    free = _smooth(-height_error, -0.06, -0.025)
    velocity = jnp.append(_towards(error[:2], lateral, law.speed_m_s) * free, vertical)
    there = (lateral < 0.012) & (jnp.abs(error[2]) < 0.008)
    return velocity, jnp.where(there, 0.0, 1.0)


def _towards(error: jax.Array, distance: jax.Array, speed: float) -> jax.Array:
    return error / jnp.maximum(distance, 1e-6) * speed * jnp.tanh(5.0 * distance / speed)


def _joint_velocity(
    chain: Chain, home_rad: np.ndarray, law: Law, q: jax.Array, pose: Pose, linear: jax.Array
) -> jax.Array:
    """Damped least squares; the cup stays upright, spare motion drifts towards the home pose."""
    upright = forward(chain, jnp.asarray(home_rad, jnp.float32)).rotation
    turn = 0.5 * sum(jnp.cross(pose.rotation[:, axis], upright[:, axis]) for axis in range(3))
    twist = jnp.concatenate([linear, 3.0 * turn])
    jacobian = pose.jacobian
    gram = jacobian @ jacobian.T + DAMPING**2 * jnp.eye(6)
    spare = 0.8 * (home_rad - q)
    residual = twist - jacobian @ spare
    return spare + jacobian.T @ jnp.linalg.solve(gram, residual)


def _homing(home_rad: np.ndarray, law: Law, q: jax.Array) -> jax.Array:
    error = jnp.asarray(home_rad) - q
    distance = jnp.max(jnp.abs(error)) + 1e-9
    return error / distance * law.joint_velocity_rad_s * jnp.tanh(3.0 * distance)


def _smooth(value: jax.Array, low: float, high: float) -> jax.Array:
    share = jnp.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3 - 2 * share)

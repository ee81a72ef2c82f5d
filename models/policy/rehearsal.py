"""Rehearsals: thousands of kinematic picks at once, in which expert or student drives with noise.

Commanded joints move as Tier 1 moves them when nothing intervenes; the cup touches where the part
truly is, while everybody acts on a detected position that is off by some millimetres. Every state
that an inference starts from is labelled with the expert's answer to the same observation.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from models.policy.chain import Chain, forward
from models.policy.expert import Situation, expert_chunk
from models.policy.law import STEP_S, Law
from runtime.policy.observation import Observed, Stage, build_observation

CUP_REACH_M = 0.022  # lateral error at which the cup still seals on a part
TASK_STEPS_MAX = 1200


class Cell(NamedTuple):
    """Where tasks happen; low and high corners in the base frame."""

    pick_low_m: np.ndarray
    pick_high_m: np.ndarray
    place_low_m: np.ndarray
    place_high_m: np.ndarray


class Noise(NamedTuple):
    detection_m: float = 0.005
    jitter_m: float = 0.001
    velocity_rad_s: float = 0.08
    start_rad: float = 0.25


class World(NamedTuple):
    """One row an arm."""

    q: jax.Array
    qd: jax.Array
    stage: jax.Array
    gripper: jax.Array
    contact_steps: jax.Array
    release_steps: jax.Array
    vacuum_steps: jax.Array  # how long the cup takes to hold, drawn anew for each task
    top_m: jax.Array
    detected_m: jax.Array
    place_m: jax.Array
    steps: jax.Array
    push: jax.Array  # slowly varying disturbance of the joints


class Setting(NamedTuple):
    chain: Chain
    home_rad: np.ndarray
    home_tip_m: np.ndarray
    cell: Cell
    law: Law
    noise: Noise
    chunk_steps: int
    execute_steps: int


Answer = tuple[jax.Array, jax.Array]
Student = Callable[[jax.Array], Answer]


def start(setting: Setting, key: jax.Array) -> World:
    """A fresh task: mostly near home, sometimes from anywhere, sometimes on the way back."""
    keys = jax.random.split(key, 8)
    cell, joints = setting.cell, setting.chain.joints
    far = jax.random.bernoulli(keys[0], 0.25)
    spread = jnp.where(far, 2.0, 0.3) * setting.noise.start_rad
    q = jnp.asarray(setting.home_rad) + spread * jax.random.normal(keys[1], (joints,)).clip(-2, 2)
    top = jax.random.uniform(keys[2], (3,), minval=cell.pick_low_m, maxval=cell.pick_high_m)
    off = setting.noise.detection_m * jax.random.normal(keys[3], (3,)).clip(-2, 2)
    place = jax.random.uniform(keys[4], (3,), minval=cell.place_low_m, maxval=cell.place_high_m)
    homing = jax.random.bernoulli(keys[5], 0.08)
    return World(
        q=q.astype(jnp.float32),
        qd=jnp.zeros(joints),
        stage=jnp.where(homing, int(Stage.RETREAT), int(Stage.REACH)),
        gripper=jnp.zeros(()),
        contact_steps=jnp.zeros((), jnp.int32),
        release_steps=jnp.zeros((), jnp.int32),
        vacuum_steps=jax.random.randint(keys[6], (), 4, 25),
        top_m=top,
        detected_m=top + off,
        place_m=place,
        steps=jnp.zeros((), jnp.int32),
        push=jnp.zeros(joints),
    )


def observe(setting: Setting, world: World, key: jax.Array) -> tuple[jax.Array, Situation]:
    pose = forward(setting.chain, world.q)
    jitter = setting.noise.jitter_m * jax.random.normal(key, (3,))
    goal = jnp.where(world.stage == Stage.REACH, world.detected_m + jitter, world.place_m)
    goal = jnp.where(world.stage == Stage.RETREAT, setting.home_tip_m, goal)
    contact = jnp.where(world.stage == Stage.REACH, world.contact_steps > 2, world.stage == 1) * 1.0
    holding = (world.stage == Stage.CARRY) * 1.0
    seen = Observed(
        q_rad=world.q,
        qd_rad_s=world.qd,
        tip_m=pose.position_m,
        tool_axis=pose.rotation[:, 2],
        goal_m=goal,
        stage=world.stage,
        gripper=world.gripper,
        contact=contact,
        holding=holding,
    )
    observation = build_observation(seen, jnp)
    return observation, Situation(goal, world.stage, contact, world.gripper)


def move(setting: Setting, world: World, velocity: jax.Array, gripper: jax.Array) -> World:
    """One control step; the stage follows from what the gripper would report."""
    q = world.q + (velocity + world.push) * STEP_S
    tip = forward(setting.chain, q).position_m
    gripper = (gripper > 0.5) * 1.0
    lateral = jnp.linalg.norm(tip[:2] - world.top_m[:2])
    touching = (tip[2] <= world.top_m[2]) & (lateral < CUP_REACH_M) & (gripper > 0.5)
    reaching, carrying = world.stage == Stage.REACH, world.stage == Stage.CARRY
    contact = jnp.where(reaching & touching, world.contact_steps + 1, 0)
    release = jnp.where(carrying & (gripper < 0.5), world.release_steps + 1, 0)
    stage = jnp.where(reaching & (contact > world.vacuum_steps), int(Stage.CARRY), world.stage)
    stage = jnp.where(carrying & (release > world.vacuum_steps // 2), int(Stage.RETREAT), stage)
    return world._replace(
        q=q,
        qd=velocity,
        stage=stage,
        gripper=gripper,
        contact_steps=contact,
        release_steps=release,
        steps=world.steps + 1,
    )


def is_over(setting: Setting, world: World) -> jax.Array:
    home = jnp.max(jnp.abs(world.q - setting.home_rad)) < 0.02
    still = jnp.max(jnp.abs(world.qd)) < 0.03
    back = (world.stage == Stage.RETREAT) & home & still
    return back | (world.steps > TASK_STEPS_MAX) | ~jnp.all(jnp.isfinite(world.q))


def rehearse_block(
    setting: Setting, student: Student, share: jax.Array, world: World, key: jax.Array
) -> tuple[World, tuple[jax.Array, jax.Array, jax.Array]]:
    """One inference: label it, then execute a part of the student's or the expert's chunk."""
    keys = jax.random.split(key, 5)
    observation, seen = observe(setting, world, keys[0])
    label = expert_chunk(
        setting.chain, setting.home_rad, setting.law, world.q, world.qd, seen, setting.chunk_steps
    )
    answer = student(observation)
    drives = jax.random.bernoulli(keys[1], share)
    velocities = jnp.where(drives, answer[0], label[0])
    grippers = jnp.where(drives, answer[1], label[1])
    noise = setting.noise.velocity_rad_s * jax.random.normal(keys[2], world.push.shape)
    quiet = jax.random.bernoulli(keys[3], 0.5)
    world = world._replace(push=jnp.where(quiet, 0.0, 0.7 * world.push + 0.7 * noise))

    def advance(
        carry: tuple[World, jax.Array], step: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[World, jax.Array], None]:
        world, interrupted = carry
        after = move(setting, world, *step)
        changed = (after.stage != world.stage) | (after.contact_steps == 3)
        kept = jax.tree.map(lambda old, new: jnp.where(interrupted, old, new), world, after)
        return (kept, interrupted | changed), None

    chunk = (velocities[: setting.execute_steps], grippers[: setting.execute_steps])
    (world, _), _ = jax.lax.scan(advance, (world, jnp.array(False)), chunk)
    over = is_over(setting, world)
    fresh = start(setting, keys[4])
    world = jax.tree.map(lambda old, new: jnp.where(over, new, old), world, fresh)
    return world, (observation, label[0], label[1])


def rehearse(
    setting: Setting, student: Student, share: float, arms: int, blocks: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations, expert velocities and suction of arms × blocks inferences."""

    def run(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        first, rest = jax.random.split(key)
        world = jax.vmap(lambda k: start(setting, k))(jax.random.split(first, arms))

        def block(
            world: World, key: jax.Array
        ) -> tuple[World, tuple[jax.Array, jax.Array, jax.Array]]:
            keys = jax.random.split(key, arms)
            chance = jnp.full((arms,), share)
            return jax.vmap(lambda w, s, k: rehearse_block(setting, student, s, w, k))(
                world, chance, keys
            )

        return jax.lax.scan(block, world, jax.random.split(rest, blocks))[1]

    found = jax.jit(run)(jax.random.key(seed))
    observations, velocities, suctions = (np.asarray(a).reshape(-1, *a.shape[2:]) for a in found)
    return observations, velocities, suctions

"""Behaviour cloning: `python -m models.policy.train --arm panda` makes an arm's networks.

Demonstrations with physics and noise come first; then rehearsals in which the student drives and
the expert labels what the student's own mistakes lead to (dataset aggregation).
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from models.policy import network
from models.policy.card import file_facts, update_card
from models.policy.cell import make_setting
from models.policy.demonstrate import demonstrate
from models.policy.export import Figures, export_policy
from models.policy.rehearsal import Setting, Student, rehearse
from runtime.policy.observation import observation_size
from sim.robot_model import Arm

FOLDER = Path(__file__).parent
BATCH = 1024
LEARNING_RATE = 2e-3
VELOCITY_UNIT_RAD_S = 0.02  # errors below this count quadratically, above linearly
SUCTION_WEIGHT = 0.3
DEMONSTRATION_COPIES = 4  # physics is rarer than rehearsal, so it is shown more often

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Effort:
    """How much of everything; the defaults take about five minutes on two idle cores."""

    episodes: int = 120
    arms: int = 256
    blocks: int = 200
    round_steps: tuple[int, ...] = (1000, 1000, 7000)
    student_share: float = 0.8


@dataclass(frozen=True)
class Recipe:
    role: str
    hidden: tuple[int, ...]
    seed: int


# The backup differs in width, seed and data, so that one flaw is less likely to be in both.
RECIPES = (Recipe("primary", (256, 256, 256), 1), Recipe("backup", (192, 192, 192), 2))


def train_policy(arm: Arm, setting: Setting, recipe: Recipe, effort: Effort) -> Figures:
    started = time.monotonic()
    shape = _shape(setting, recipe)
    first, expert_success = demonstrate(arm, setting, effort.episodes, 10_000 * recipe.seed)
    rehearsal = _rehearse(setting, _idle(shape), 0.0, effort, recipe.seed)
    data = _join(rehearsal, *([first] * DEMONSTRATION_COPIES))
    parameters = network.make_parameters(shape, data[0], recipe.seed)
    loss = float("nan")
    for turn, steps in enumerate(effort.round_steps):
        parameters, loss = fit(shape, parameters, data, steps, recipe.seed + 10 * turn)
        print(f"{arm} {recipe.role} round {turn}: {len(data[0])} inferences, loss {loss:.4f}")
        if turn < len(effort.round_steps) - 1:
            seed = 100 * recipe.seed + turn
            student = _student(shape, parameters)
            data = _join(data, _rehearse(setting, student, effort.student_share, effort, seed))
    figures = Figures(
        role=recipe.role,
        seed=recipe.seed,
        hidden=recipe.hidden,
        parameters=network.count(parameters),
        demonstrations=effort.episodes,
        expert_success_ratio=expert_success,
        inferences=len(data[0]),
        loss=loss,
        training_s=round(time.monotonic() - started, 1),
    )
    path = export_policy(FOLDER / arm.value, shape, parameters, recipe.role)
    megaflop = round(2e-6 * figures.parameters, 3)
    facts = {**file_facts(path), **figures.as_card(), "megaflop_per_inference": megaflop}
    update_card(arm.value, recipe.role, facts)
    describe(arm, setting, shape, effort)
    return figures


def describe(arm: Arm, setting: Setting, shape: network.Shape, effort: Effort) -> None:
    """The card's sections that both networks share."""
    about = f"Pick and place with a suction cup for the {arm.value}: cloned from a scripted expert."
    observation = {
        "size": shape.observation_size,
        "holds": "commanded joints and velocities, tip, goal relative to the tip at three scales,"
        " goal, stage, suction, contact, holding; see runtime/policy/observation.py",
    }
    answer = {
        "steps": shape.chunk_steps,
        "step_ms": 10,
        "executed": setting.execute_steps,
        "holds": "joint velocities in rad/s, suction 0 to 1",
    }
    limits = (
        "Made for the cell of sim/layout.py: bin and tray where they stand there, tops of parts up"
        " to 0.12 m above the table. Says nothing about real parts or real suction."
    )
    update_card(arm.value, "about", about)
    update_card(arm.value, "observation", observation)
    update_card(arm.value, "answer", answer)
    update_card(arm.value, "data", _data_of(setting, effort))
    update_card(arm.value, "limits_of_use", limits)


def _data_of(setting: Setting, effort: Effort) -> dict[str, object]:
    noise = setting.noise
    return {
        "demonstrations": f"{effort.episodes} episodes with physics, looks of style train",
        "rehearsals": f"{len(effort.round_steps)} rounds of {effort.arms} arms and {effort.blocks}"
        f" inferences, kinematic; the student drives {effort.student_share:.0%} of the later ones",
        "detection_noise_m": noise.detection_m,
        "detection_jitter_m": noise.jitter_m,
        "joint_noise_rad_s": noise.velocity_rad_s,
    }


def fit(
    shape: network.Shape, parameters: network.Parameters, data: Data, steps: int, seed: int
) -> tuple[network.Parameters, float]:
    """Adam with a cosine schedule; returns the last losses' mean beside the parameters."""
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps, 0.02))
    learned = (parameters.weights, parameters.biases)
    state = optimizer.init(learned)

    def loss_of(learned: tuple, observation: jax.Array, velocity: jax.Array, suction: jax.Array):
        weights, biases = learned
        filled = parameters._replace(weights=weights, biases=biases)
        got, logits = network.apply(shape, filled, observation)
        motion = optax.huber_loss((got - velocity) / VELOCITY_UNIT_RAD_S)
        return (
            motion.mean()
            + SUCTION_WEIGHT * optax.sigmoid_binary_cross_entropy(logits, suction).mean()
        )

    @jax.jit
    def update(learned: tuple, state: optax.OptState, *batch: jax.Array):
        loss, gradient = jax.value_and_grad(loss_of)(learned, *batch)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(learned, change), state, loss

    rng = np.random.default_rng(seed)
    losses: list[jax.Array] = []
    for _ in range(steps):
        rows = rng.integers(0, len(data[0]), BATCH)
        learned, state, loss = update(learned, state, *(array[rows] for array in data))
        losses.append(loss)
    weights, biases = learned
    mean = float(jnp.mean(jnp.stack(losses[-200:])))
    return parameters._replace(weights=weights, biases=biases), mean


def _shape(setting: Setting, recipe: Recipe) -> network.Shape:
    joints = setting.chain.joints
    return network.Shape(
        joints=joints,
        observation_size=observation_size(joints),
        hidden=recipe.hidden,
        chunk_steps=setting.chunk_steps,
        velocity_limit_rad_s=setting.law.joint_velocity_rad_s * 1.05,
    )


def _student(shape: network.Shape, parameters: network.Parameters) -> Student:
    def answer(observation: jax.Array) -> tuple[jax.Array, jax.Array]:
        velocities, logits = network.apply(shape, parameters, observation)
        return velocities, jax.nn.sigmoid(logits)

    return answer


def _idle(shape: network.Shape) -> Student:
    still = (jnp.zeros((shape.chunk_steps, shape.joints)), jnp.zeros(shape.chunk_steps))
    return lambda _: still


def _rehearse(setting: Setting, student: Student, share: float, effort: Effort, seed: int) -> Data:
    return rehearse(setting, student, share, effort.arms, effort.blocks, seed)


def _join(*parts: Data) -> Data:
    columns = zip(*parts, strict=True)
    return tuple(np.concatenate(column) for column in columns)  # pyright: ignore[reportReturnType]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.policy.train", description=__doc__)
    parser.add_argument("--arm", type=Arm, choices=list(Arm), default=Arm.PANDA)
    parser.add_argument("--role", choices=[recipe.role for recipe in RECIPES])
    arguments = parser.parse_args()
    setting = make_setting(arguments.arm)
    for recipe in RECIPES:
        if arguments.role in {None, recipe.role}:
            print(train_policy(arguments.arm, setting, recipe, Effort()))


if __name__ == "__main__":
    main()

"""The policy network: an MLP that answers with changes of the present joint velocity."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

CLIP_SIGMA = 8.0  # standardised inputs beyond this say nothing the training knew


class Shape(NamedTuple):
    joints: int
    observation_size: int
    hidden: tuple[int, ...]
    chunk_steps: int
    velocity_limit_rad_s: float


class Parameters(NamedTuple):
    mean: jax.Array
    scale: jax.Array
    weights: list[jax.Array]
    biases: list[jax.Array]


def make_parameters(shape: Shape, observations: np.ndarray, seed: int) -> Parameters:
    """Orderly random weights; inputs standardised by the demonstrations."""
    sizes = (shape.observation_size, *shape.hidden, shape.chunk_steps * (shape.joints + 1))
    keys = jax.random.split(jax.random.key(seed), len(sizes))
    weights = [
        jax.random.normal(key, (rows, columns)) * np.sqrt(2.0 / rows)
        for key, rows, columns in zip(keys[:-1], sizes[:-1], sizes[1:], strict=True)
    ]
    weights[-1] = weights[-1] * 0.1
    biases = [jnp.zeros(columns) for columns in sizes[1:]]
    mean = jnp.asarray(observations.mean(0))
    scale = 1.0 / jnp.maximum(jnp.asarray(observations.std(0)), 1e-2)
    return Parameters(mean, scale, weights, biases)


def apply(shape: Shape, parameters: Parameters, observation: jax.Array) -> tuple[jax.Array, ...]:
    """Velocities (steps × joints) and suction logits (steps) for a batch of observations."""
    hidden = jnp.clip((observation - parameters.mean) * parameters.scale, -CLIP_SIGMA, CLIP_SIGMA)
    for weight, bias in zip(parameters.weights[:-1], parameters.biases[:-1], strict=True):
        hidden = jax.nn.silu(hidden @ weight + bias)
    out = hidden @ parameters.weights[-1] + parameters.biases[-1]
    out = out.reshape(*out.shape[:-1], shape.chunk_steps, shape.joints + 1)
    present = observation[..., None, shape.joints : 2 * shape.joints]
    limit = shape.velocity_limit_rad_s
    return jnp.clip(present + out[..., : shape.joints], -limit, limit), out[..., shape.joints]


def count(parameters: Parameters) -> int:
    return sum(int(a.size) for a in (*parameters.weights, *parameters.biases))

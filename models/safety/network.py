"""The safety network in JAX and as ONNX: a small MLP from command to expected error and torque."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import optax
from onnx import TensorProto, helper, numpy_helper

from runtime.safety.model import INPUT, OUTPUT

HIDDEN = (64, 64)
CLIP_SIGMA = 6.0
OPSET, IR_VERSION = 17, 10


class Weights(NamedTuple):
    mean: np.ndarray
    scale: np.ndarray
    layers: list[tuple[jax.Array, jax.Array]]


def start_weights(inputs: np.ndarray, outputs: int, seed: int) -> Weights:
    sizes = (inputs.shape[1], *HIDDEN, outputs)
    keys = jax.random.split(jax.random.key(seed), len(sizes))
    layers = [
        (jax.random.normal(key, (rows, columns)) * np.sqrt(2.0 / rows), jnp.zeros(columns))
        for key, rows, columns in zip(keys[:-1], sizes[:-1], sizes[1:], strict=True)
    ]
    return Weights(inputs.mean(0), 1.0 / np.maximum(inputs.std(0), 1e-2), layers)


def apply(weights: Weights, inputs: jax.Array) -> jax.Array:
    x = jnp.clip((inputs - weights.mean) * weights.scale, -CLIP_SIGMA, CLIP_SIGMA)
    for weight, bias in weights.layers[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = weights.layers[-1]
    return x @ weight + bias


def fit(
    inputs: np.ndarray, wanted: np.ndarray, *, steps: int, batch: int, seed: int
) -> tuple[Weights, float]:
    """Huber loss on errors in units of each output's spread: rare knocks must not lead."""
    weights = start_weights(inputs, wanted.shape[1], seed)
    unit = np.maximum(np.median(np.abs(wanted - np.median(wanted, 0)), 0) * 1.5, 0.05)
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps, 0.02))
    state = optimizer.init(weights.layers)

    def loss_of(layers: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        found = apply(weights._replace(layers=layers), x)
        return optax.huber_loss((found - y) / unit).mean()

    @jax.jit
    def update(layers: Any, state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, Any, jax.Array]:
        loss, gradient = jax.value_and_grad(loss_of)(layers, x, y)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(layers, change), state, loss

    rng, layers = np.random.default_rng(seed), weights.layers
    losses: list[jax.Array] = []
    for _ in range(steps):
        rows = rng.integers(0, len(inputs), batch)
        layers, state, loss = update(layers, state, inputs[rows], wanted[rows])
        losses.append(loss)
    return weights._replace(layers=layers), float(jnp.mean(jnp.stack(losses[-100:])))


def model_bytes(weights: Weights) -> bytes:
    """Half-precision weights, widened in the graph."""
    nodes: list[onnx.NodeProto] = []
    constants = [
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in (
            ("mean", weights.mean),
            ("scale", weights.scale),
            ("low", -CLIP_SIGMA),
            ("high", CLIP_SIGMA),
        )
    ]
    nodes.append(helper.make_node("Sub", [INPUT, "mean"], ["x0"]))
    nodes.append(helper.make_node("Mul", ["x0", "scale"], ["x1"]))
    nodes.append(helper.make_node("Clip", ["x1", "low", "high"], ["h0"]))
    last = len(weights.layers) - 1
    for index, (weight, bias) in enumerate(weights.layers):
        for name, value in ((f"w{index}", weight), (f"b{index}", bias)):
            constants.append(numpy_helper.from_array(np.asarray(value, np.float16), f"{name}_half"))
            nodes.append(
                helper.make_node("Cast", [f"{name}_half"], [name], to=int(TensorProto.FLOAT))
            )
        out = OUTPUT if index == last else f"g{index}"
        nodes.append(helper.make_node("Gemm", [f"h{index}", f"w{index}", f"b{index}"], [out]))
        if index < last:
            nodes.append(helper.make_node("Tanh", [out], [f"h{index + 1}"]))
    sizes = weights.mean.shape[0], weights.layers[-1][0].shape[1]
    value_in, value_out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
        for name, size in zip((INPUT, OUTPUT), sizes, strict=True)
    )
    graph = helper.make_graph(nodes, "next_state", [value_in], [value_out], constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def parameter_count(weights: Weights) -> int:
    return sum(int(weight.size + bias.size) for weight, bias in weights.layers)

"""The networks in JAX: prepared pixels in, raw heads out. Training only; the robot runs ONNX."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from models.perception.graph import (
    COLOR_SCALE,
    COLOR_SHIFT,
    DEPTH_MAX_M,
    Net,
    Op,
    Row,
    shapes,
)

Params = dict[str, dict[str, Any]]
MOMENTUM = 0.95
EPSILON = 1e-3


def prepare(
    net: Net,
    rgb: jax.Array,
    depth_m: jax.Array,
    ray_height: jax.Array,
    camera_height_m: jax.Array,
) -> jax.Array:
    """Camera pixels to the network's five channels: colour, depth, height over the floor."""
    step = net.step
    rgb, depth_m = rgb[:, ::step, ::step], depth_m[:, ::step, ::step]
    ray_height = ray_height[:, ::step, ::step]
    color = (rgb.astype(jnp.float32) - COLOR_SHIFT) * COLOR_SCALE
    depth = jnp.clip(depth_m, 0.0, DEPTH_MAX_M) * (2.0 / DEPTH_MAX_M) - 1.0
    height_m = depth_m * ray_height + camera_height_m[:, None, None]
    height = (jnp.clip(height_m, *net.height_range_m) - net.height_shift_m) * net.height_scale
    return jnp.concatenate([color, depth[..., None], height[..., None]], axis=-1)


def initialise(net: Net, seed: int) -> tuple[Params, Params]:
    """Weights, and the running statistics of the normalisation."""
    rng = np.random.default_rng(seed)
    sizes = shapes(net, 120, 160)
    params: Params = {}
    stats: Params = {}
    for row in net.rows:
        if row.op not in (Op.CONV, Op.DEPTHWISE):
            continue
        cin = sizes[row.src[0]].channels
        cout = row.channels if row.op is Op.CONV else cin
        fan_in = row.kernel**2 * (cin if row.op is Op.CONV else 1)
        group_in = cin if row.op is Op.CONV else 1
        gain = np.sqrt(2.0 / fan_in) if row.norm else 0.1 * np.sqrt(1.0 / fan_in)
        weight = rng.normal(0.0, gain, (row.kernel, row.kernel, group_in, cout))
        params[row.name] = {"w": jnp.asarray(weight, jnp.float32)}
        if row.norm:
            params[row.name] |= {"scale": jnp.ones(cout), "shift": jnp.zeros(cout)}
            stats[row.name] = {"mean": jnp.zeros(cout), "var": jnp.ones(cout)}
        else:
            # A heat map starts at one person in a hundred cells, so the first steps stay small.
            bias = -4.6 if row.name == "heat" else 0.0
            params[row.name]["b"] = jnp.full((cout,), bias)
    return params, stats


def unfold(
    net: Net, folded: dict[str, tuple[np.ndarray, np.ndarray]], pictures: jax.Array
) -> tuple[Params, Params]:
    """Folded weights as a network that normalises again, to train on from there: what each row
    gives on a few prepared pictures is normalised away and put back by its scale and shift."""
    params, stats = initialise(net, 0)
    for name, (weight, bias) in folded.items():
        params[name]["w"] = jnp.asarray(weight)
        if net.row(name).norm:
            params[name]["shift"] = jnp.asarray(bias)
            params[name]["scale"] = jnp.full(bias.shape, np.sqrt(1.0 + EPSILON))
        else:
            params[name]["b"] = jnp.asarray(bias)
    _, moments = forward(net, params, stats, pictures, train=False)
    for name, moment in moments.items():
        params[name]["scale"] = jnp.sqrt(moment["var"] + EPSILON)
        params[name]["shift"] += moment["mean"]
    return params, moments


def follow(stats: Params, moments: Params) -> Params:
    """Running statistics, a step towards a batch's."""
    return jax.tree.map(lambda old, new: MOMENTUM * old + (1 - MOMENTUM) * new, stats, moments)


def _depthwise(weight: jax.Array, x: jax.Array) -> jax.Array:
    """Nine shifted products: many times faster on a CPU than XLA's grouped convolution."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(
        padded[:, i : i + height, j : j + width] * weight[i, j, 0]
        for i in range(3)
        for j in range(3)
    )


def _convolve(row: Row, weight: jax.Array, x: jax.Array) -> jax.Array:
    if row.op is Op.DEPTHWISE:
        return _depthwise(weight, x)
    # Explicit padding: "SAME" pads stride 2 on the far side only, which ONNX would not do.
    pad = (row.kernel - 1) // 2
    return jax.lax.conv_general_dilated(
        x,
        weight,
        (row.stride, row.stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def forward(
    net: Net, params: Params, stats: Params, x: jax.Array, *, train: bool
) -> tuple[dict[str, jax.Array], Params]:
    """Raw heads by name, and the moments of every normalised row on these pictures."""
    values: dict[str, jax.Array] = {"in": x}
    moments: Params = {}
    for row in net.rows:
        src = values[row.src[0]]
        match row.op:
            case Op.CONV | Op.DEPTHWISE:
                y = _convolve(row, params[row.name]["w"], src)
                if row.norm:
                    moment = {"mean": y.mean(axis=(0, 1, 2)), "var": y.var(axis=(0, 1, 2))}
                    moments[row.name] = moment
                    y = _normalise(params[row.name], moment if train else stats[row.name], y)
                else:
                    y = y + params[row.name]["b"]
                values[row.name] = jax.nn.relu(y) if row.relu else y
            case Op.ADD:
                other = values[row.src[1]][:, : src.shape[1], : src.shape[2]]
                values[row.name] = jax.nn.relu(src + other)
            case Op.UPSAMPLE:
                values[row.name] = jnp.repeat(jnp.repeat(src, 2, axis=1), 2, axis=2)
            case Op.POOL:
                values[row.name] = src.mean(axis=(1, 2), keepdims=True)
    return {name: values[src] for name, src in net.heads.items()}, moments


def _normalise(
    param: dict[str, jax.Array], moment: dict[str, jax.Array], y: jax.Array
) -> jax.Array:
    scale = jax.lax.rsqrt(moment["var"] + EPSILON) * param["scale"]
    return (y - moment["mean"]) * scale + param["shift"]


def fold(net: Net, params: Params, stats: Params) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weights and biases with the normalisation multiplied in, as the shipped graph holds them."""
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for row in net.rows:
        if row.name not in params:
            continue
        weight = np.asarray(params[row.name]["w"])
        if row.norm:
            stat, param = stats[row.name], params[row.name]
            factor = np.asarray(param["scale"]) / np.sqrt(np.asarray(stat["var"]) + EPSILON)
            bias = np.asarray(param["shift"]) - np.asarray(stat["mean"]) * factor
            out[row.name] = (weight * factor, bias)
        else:
            out[row.name] = (weight, np.asarray(params[row.name]["b"]))
    return out

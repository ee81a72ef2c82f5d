"""Kinematics of a serial arm in JAX, so that thousands of demonstrations move at once."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np


class LinkFrame(Protocol):
    """What the compiled robot model says about a link; see conf/schema/robot.py."""

    @property
    def pos_m(self) -> tuple[float, float, float]: ...
    @property
    def quat_wxyz(self) -> tuple[float, float, float, float]: ...
    @property
    def axis(self) -> tuple[float, float, float]: ...


class ToolOffset(Protocol):
    @property
    def pos_m(self) -> tuple[float, float, float]: ...
    @property
    def quat_wxyz(self) -> tuple[float, float, float, float]: ...


class Chain(NamedTuple):
    """Fixed frames, one row a joint, and the tool's frame in the last link."""

    offsets_m: np.ndarray
    rotations: np.ndarray
    axes: np.ndarray
    tool_offset_m: np.ndarray
    tool_rotation: np.ndarray

    @property
    def joints(self) -> int:
        return len(self.offsets_m)


class Pose(NamedTuple):
    position_m: jax.Array
    rotation: jax.Array
    jacobian: jax.Array


def make_chain(links: Sequence[LinkFrame], tool: ToolOffset) -> Chain:
    return Chain(
        offsets_m=np.array([link.pos_m for link in links], np.float32),
        rotations=np.stack([_rotation_of(link.quat_wxyz) for link in links]),
        axes=np.array([link.axis for link in links], np.float32),
        tool_offset_m=np.array(tool.pos_m, np.float32),
        tool_rotation=_rotation_of(tool.quat_wxyz),
    )


def forward(chain: Chain, q: jax.Array) -> Pose:
    """Tool pose and geometric Jacobian (linear rows first) of one joint vector."""
    position, rotation = jnp.zeros(3), jnp.eye(3)
    origins, axes = [], []
    for joint in range(chain.joints):
        position = position + rotation @ chain.offsets_m[joint]
        rotation = rotation @ chain.rotations[joint]
        origins.append(position)
        axes.append(rotation @ chain.axes[joint])
        rotation = rotation @ _turn(chain.axes[joint], q[joint])
    position = position + rotation @ chain.tool_offset_m
    rotation = rotation @ chain.tool_rotation
    axis = jnp.stack(axes)
    linear = jnp.cross(axis, position - jnp.stack(origins))
    return Pose(position, rotation, jnp.concatenate([linear, axis], axis=1).T)


def _turn(axis: np.ndarray, angle: jax.Array) -> jax.Array:
    x, y, z = (float(value) for value in axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float32)
    return jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * (cross @ cross)


def _rotation_of(quat_wxyz: Sequence[float]) -> np.ndarray:
    w, x, y, z = np.asarray(quat_wxyz, np.float64) / np.linalg.norm(quat_wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        np.float32,
    )

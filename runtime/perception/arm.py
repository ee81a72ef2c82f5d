"""The arm's own shape from its joints, so that the eyes do not take it for someone."""

import numpy as np
from numpy.typing import NDArray

from conf.schema.robot import RigidBodyModel
from runtime.perception.geometry import Array, View

TOOL_RADIUS_M = 0.09  # the cup and whatever hangs on it
GROW_RATIO = 1.35
GROW_M = 0.04
BEHIND_M = 0.30


class ArmShape:
    """Balls that cover the arm, moved by forward kinematics."""

    def __init__(self, model: RigidBodyModel) -> None:
        self._origins = [np.array(link.pos_m) for link in model.links]
        self._turns = [_matrix(link.quat_wxyz) for link in model.links]
        self._axes = [_cross_matrix(np.array(link.axis)) for link in model.links]
        self._spheres = [
            (ball.link, np.array(ball.center_m), ball.radius_m) for ball in model.spheres
        ]
        self._tool = np.array(model.tool.pos_m)

    @property
    def joints(self) -> int:
        return len(self._origins)

    def balls(self, q_rad: Array) -> tuple[Array, Array]:
        """Centres [N, 3] in the base frame and radii [N]."""
        frames: list[tuple[Array, Array]] = []
        position, rotation = np.zeros(3), np.eye(3)
        for origin, turn, axis, angle in zip(
            self._origins, self._turns, self._axes, q_rad, strict=True
        ):
            position = position + rotation @ origin
            spin = np.eye(3) + np.sin(angle) * axis + (1.0 - np.cos(angle)) * (axis @ axis)
            rotation = rotation @ turn @ spin
            frames.append((position, rotation))
        centers = [frames[link][0] + frames[link][1] @ center for link, center, _ in self._spheres]
        radii = [radius for *_, radius in self._spheres]
        last_position, last_rotation = frames[-1]
        centers.append(last_position + last_rotation @ self._tool)
        radii.append(TOOL_RADIUS_M)
        return np.array(centers), np.array(radii)


class ArmMask:
    """Which pixels of a picture, read at every `step`-th pixel, show the arm."""

    def __init__(self, shape: ArmShape, view: View, step: int) -> None:
        self._shape = shape
        self._view = view
        self._step = step
        rows, columns = -(-view.height_px // step), -(-view.width_px // step)
        self._v = ((np.arange(rows) * step) + 0.5)[:, None]
        self._u = ((np.arange(columns) * step) + 0.5)[None, :]

    def paint(self, q_rad: Array, depth_m: NDArray[np.float32]) -> NDArray[np.bool_]:
        """True where the arm is; what stands clearly behind or before it stays visible."""
        mask = np.zeros(depth_m.shape, np.bool_)
        centers, radii = self._shape.balls(q_rad)
        pixels, ranges = self._view.project(centers)
        for (u, v), z, radius in zip(pixels, ranges, radii, strict=True):
            if z < 0.1:
                continue
            reach = (radius * GROW_RATIO + GROW_M) * self._view.focal_px / z
            rows = self._span(v, reach, self._v.shape[0])
            columns = self._span(u, reach, self._u.shape[1])
            seen = depth_m[rows, columns]
            disc = (self._v[rows] - v) ** 2 + (self._u[:, columns] - u) ** 2 < reach * reach
            near = (seen > z - radius - 2 * GROW_M) & (seen < z + radius + BEHIND_M)
            mask[rows, columns] |= disc & (near | (seen <= 0))
        return mask

    def _span(self, center: float, reach: float, size: int) -> slice:
        low = int((center - reach) // self._step)
        high = int((center + reach) // self._step) + 2
        return slice(max(0, min(low, size)), max(0, min(high, size)))


def _cross_matrix(axis: Array) -> Array:
    x, y, z = axis / np.linalg.norm(axis)
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _matrix(quat_wxyz: tuple[float, float, float, float]) -> Array:
    w, x, y, z = np.array(quat_wxyz) / np.linalg.norm(quat_wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )

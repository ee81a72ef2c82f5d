"""The arm's geometry for Tier 2, computed by the same compiled code that Tier 1 uses."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class NativeModel(Protocol):
    """runtime.shm._native.dynamics.RobotModel, as far as it is used here."""

    def forward_kinematics(self, q: list[float]) -> tuple[list[float], list[float]]: ...
    def jacobian(self, q: list[float]) -> list[list[float]]: ...
    def sphere_positions(self, q: list[float]) -> list[tuple[list[float], float]]: ...


class ToolPose(NamedTuple):
    tip_m: Array
    axis: Array  # unit vector out of the cup


class Kinematics:
    """NumPy on top of the compiled model."""

    def __init__(self, model: NativeModel) -> None:
        self._model = model

    def tool(self, q_rad: Array) -> ToolPose:
        position, (w, x, y, z) = self._model.forward_kinematics(q_rad.tolist())
        axis = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        return ToolPose(np.array(position), axis)

    def jacobian(self, q_rad: Array) -> Array:
        """6 × joints, linear rows first, base frame."""
        return np.array(self._model.jacobian(q_rad.tolist()))

    def spheres(self, q_rad: Array) -> tuple[Array, Array]:
        """Centres (n × 3) and radii (n) of the balls that cover the arm."""
        balls = self._model.sphere_positions(q_rad.tolist())
        return np.array([ball[0] for ball in balls]), np.array([ball[1] for ball in balls])


def open_kinematics(control: bytes) -> Kinematics:
    """From the control file's bytes, as Tier 1 reads it."""
    from runtime.shm import _native

    return Kinematics(_native.dynamics.RobotModel(control))

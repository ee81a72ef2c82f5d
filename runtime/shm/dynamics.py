"""The arm as the control process computes it: the same code, for tests, planning and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from runtime.shm import _native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Joints = Sequence[float] | NDArray[np.float64]


class RobotModel:
    """A serial arm of revolute joints, from a control file's bytes or its `model` in JSON."""

    def __init__(self, control: bytes) -> None:
        self._native = _native.dynamics.RobotModel(control)

    @property
    def joints(self) -> int:
        return self._native.joints

    def inverse_dynamics(self, q: Joints, qd: Joints, qdd: Joints) -> NDArray[np.float64]:
        """Torques that give these accelerations, without contacts and Coulomb friction."""
        return np.array(self._native.inverse_dynamics(q, qd, qdd))

    def mass_matrix(self, q: Joints) -> NDArray[np.float64]:
        return np.array(self._native.mass_matrix(q))

    def forward_kinematics(self, q: Joints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The tool's place and its direction (w, x, y, z) in the base frame."""
        pos, quat = self._native.forward_kinematics(q)
        return np.array(pos), np.array(quat)

    def jacobian(self, q: Joints) -> NDArray[np.float64]:
        """Shape (6, joints): linear, then angular velocity of the tool."""
        return np.array(self._native.jacobian(q))

    def sphere_positions(self, q: Joints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centres (n, 3) and radii (n) of the spheres that stand for the robot's volume."""
        spheres = self._native.sphere_positions(q)
        return np.array([center for center, _ in spheres]), np.array([r for _, r in spheres])

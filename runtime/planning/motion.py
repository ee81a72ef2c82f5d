"""Jerk-limited motion of all joints, on ruckig."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import ruckig

from runtime.policy.kinematics import Array

STEP_S = 0.01


@dataclass(frozen=True)
class MotionLimits:
    velocity_rad_s: Array
    acceleration_rad_s2: Array
    jerk_rad_s3: Array

    def slowed(self, scale: float) -> "MotionLimits":
        return MotionLimits(
            np.maximum(self.velocity_rad_s * scale, 1e-3),
            self.acceleration_rad_s2,
            self.jerk_rad_s3,
        )


@dataclass(frozen=True)
class Motion:
    """Position, velocity and acceleration of the commanded joints."""

    q_rad: Array
    qd_rad_s: Array
    qdd_rad_s2: Array


def at_rest(q_rad: Array) -> Motion:
    return Motion(q_rad.copy(), np.zeros_like(q_rad), np.zeros_like(q_rad))


class Mover:
    """Steps a motion towards a pose, or to a stand; each step respects all limits."""

    def __init__(self, joints: int) -> None:
        self._otg = ruckig.Ruckig(joints, STEP_S)
        self._output = ruckig.OutputParameter(joints)
        self._joints = joints

    def towards(self, motion: Motion, target_rad: Array, limits: MotionLimits) -> Motion | None:
        """One step; None where no trajectory exists (numbers that are not finite)."""
        request = self._request(motion, limits)
        request.target_position = target_rad.tolist()
        request.target_velocity = [0.0] * self._joints
        request.target_acceleration = [0.0] * self._joints
        return self._step(request)

    def to_stand(self, motion: Motion, limits: MotionLimits) -> Motion | None:
        request = self._request(motion, limits)
        request.control_interface = ruckig.ControlInterface.Velocity
        request.target_velocity = [0.0] * self._joints
        request.target_acceleration = [0.0] * self._joints
        return self._step(request)

    def preview(
        self, motion: Motion, target_rad: Array, limits: MotionLimits, times_s: Array
    ) -> list[Array] | None:
        """Poses at the given times on the way to the target."""
        request = self._request(motion, limits)
        request.target_position = target_rad.tolist()
        request.target_velocity = [0.0] * self._joints
        request.target_acceleration = [0.0] * self._joints
        trajectory = ruckig.Trajectory(self._joints)
        if not _is_finite(motion, target_rad):
            return None
        if not _succeeds(lambda: self._otg.calculate(request, trajectory)):
            return None
        return [np.array(trajectory.at_time(float(time))[0]) for time in times_s]

    def _request(self, motion: Motion, limits: MotionLimits) -> ruckig.InputParameter:
        request = ruckig.InputParameter(self._joints)
        request.current_position = motion.q_rad.tolist()
        request.current_velocity = motion.qd_rad_s.tolist()
        request.current_acceleration = motion.qdd_rad_s2.tolist()
        request.max_velocity = limits.velocity_rad_s.tolist()
        request.max_acceleration = limits.acceleration_rad_s2.tolist()
        request.max_jerk = limits.jerk_rad_s3.tolist()
        return request

    def _step(self, request: ruckig.InputParameter) -> Motion | None:
        numbers = [*request.current_position, *request.current_velocity, *request.target_position]
        if not np.all(np.isfinite(numbers)):
            return None
        if not _succeeds(lambda: self._otg.update(request, self._output)):
            return None
        out = self._output
        return Motion(
            np.array(out.new_position),
            np.array(out.new_velocity),
            np.array(out.new_acceleration),
        )


_GOOD = {ruckig.Result.Working, ruckig.Result.Finished}


def _succeeds(solve: Callable[[], ruckig.Result]) -> bool:
    """ruckig reports failure by a value, an exception, or a value that its binding cannot hold."""
    try:
        return solve() in _GOOD
    except (ValueError, ruckig.RuckigError):
        return False


def _is_finite(motion: Motion, target_rad: Array) -> bool:
    parts = (motion.q_rad, motion.qd_rad_s, motion.qdd_rad_s2, target_rad)
    return all(bool(np.all(np.isfinite(part))) for part in parts)

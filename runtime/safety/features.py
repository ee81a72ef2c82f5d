"""What the safety model reads and what it predicts; the same code for training and on the robot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP_NS = 10_000_000
# A prediction is compared with the state two steps later.
HORIZON_STEPS = 2
CONTACT_KPA = 10.0
# Outputs are of order one for an ordinary arm.
POSITION_UNIT_RAD = 1e-3
VELOCITY_UNIT_RAD_S = 1e-2
TORQUE_UNIT_NM = 1.0


@dataclass(frozen=True)
class Sample:
    """One control state, reduced to what the model speaks about."""

    created_ns: int
    q_cmd_rad: Array
    qd_cmd_rad_s: Array
    position_error_rad: Array
    velocity_error_rad_s: Array
    torque_nm: Array
    suction: float
    touching: bool

    @property
    def joints(self) -> int:
        return len(self.q_cmd_rad)


def input_size(joints: int) -> int:
    return 3 * joints + 2


def output_size(joints: int) -> int:
    return 3 * joints


def sample_of(state: Mapping[str, Any] | np.void, joints: int) -> Sample:
    n = joints
    q_cmd, qd_cmd = np.array(state["q_cmd"][:n]), np.array(state["qd_cmd"][:n])
    return Sample(
        created_ns=int(state["created_ns"]),
        q_cmd_rad=q_cmd,
        qd_cmd_rad_s=qd_cmd,
        position_error_rad=np.array(state["q"][:n]) - q_cmd,
        velocity_error_rad_s=np.array(state["qd"][:n]) - qd_cmd,
        torque_nm=np.array(state["tau_ext"][:n]),
        suction=float(state["gripper_cmd"]),
        touching=float(state["gripper_pressure_kpa"]) > CONTACT_KPA,
    )


def model_input(before: Sample, now: Sample) -> Array:
    """Command, its rates and the gripper.

    What the arm did is left out on purpose: a model that saw the error would predict that it stays,
    and never be surprised by it.
    """
    acceleration = (now.qd_cmd_rad_s - before.qd_cmd_rad_s) / (STEP_NS / 1e9)
    flags = np.array([float(now.suction > 0.5), float(now.touching)])
    return np.concatenate([now.q_cmd_rad, now.qd_cmd_rad_s, acceleration / 10.0, flags])


def measured(sample: Sample) -> Array:
    """What the model's output is compared with."""
    return np.concatenate(
        [
            sample.position_error_rad / POSITION_UNIT_RAD,
            sample.velocity_error_rad_s / VELOCITY_UNIT_RAD_S,
            sample.torque_nm / TORQUE_UNIT_NM,
        ]
    )

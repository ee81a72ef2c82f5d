"""The two arms as MuJoCo knows them, beside the control files that describe them to Tier 1."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from conf.control import control_section
from conf.load import compose
from sim.robot_model import Arm, Meshes, load_arm

Array = NDArray[np.float64]
FACILITY_OF = {Arm.PANDA: "osaka", Arm.UR5E: "gdansk"}


@dataclass(frozen=True)
class Twin:
    """One arm twice: MuJoCo's model, and the control section of a profile that uses it."""

    arm: Arm
    model: mujoco.MjModel
    control: dict[str, Any]

    @property
    def joints(self) -> int:
        return int(self.model.nv)

    def control_json(self) -> bytes:
        return json.dumps(self.control, sort_keys=True, separators=(",", ":")).encode()

    def write_control(self, path: Path) -> Path:
        line = self.control_json()
        path.write_bytes(hashlib.sha256(line).hexdigest().encode() + b"\n" + line + b"\n")
        return path


def twin(arm: Arm) -> Twin:
    """Without contacts, stops, drives and friction: what is left is the rigid bodies."""
    model = load_arm(arm, Meshes.COLLISION).compile()
    model.opt.timestep = 1e-3
    model.dof_frictionloss[:] = 0.0
    for bit in (
        mujoco.mjtDisableBit.mjDSBL_CONTACT,
        mujoco.mjtDisableBit.mjDSBL_LIMIT,
        mujoco.mjtDisableBit.mjDSBL_ACTUATION,
    ):
        model.opt.disableflags |= int(bit)
    return Twin(arm, model, control_section(compose(facility=FACILITY_OF[arm]).config))

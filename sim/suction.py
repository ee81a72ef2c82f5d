"""A suction cup: pressure rises only on a part, and a hold gives way when pulled too hard."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.robot_model import CUP_GEOM, CUP_RADIUS_M, TOOL_BODY, TOOL_SITE

# Under-pressure at which a regulator holds a sealed cup: well below what an arm's line bears.
LINE_PRESSURE_KPA = 55.0
OPEN_PRESSURE_KPA = 4.0  # what a pump reaches when the cup hangs in the air
GRIP_PRESSURE_KPA = 25.0  # below this a part is not carried
EVACUATE_S = 0.045
VENT_S = 0.020
IDLE_LOOK_STEPS = 10  # without vacuum, contact is only reported, so it is looked for less often
SEAL_ANGLE_COS = float(np.cos(np.radians(20.0)))
SEAL_OFFSET_M = 0.8 * CUP_RADIUS_M
CUP_AREA_M2 = float(np.pi) * CUP_RADIUS_M**2


@dataclass(frozen=True)
class Seal:
    part: int
    offset_m: float  # distance of the contact's middle from the cup's axis


class Suction:
    """The gripper's state over one model; `step` runs once per physics step, after it."""

    def __init__(self, model: mujoco.MjModel, parts: int) -> None:
        self._model = model
        self._cup = model.geom(CUP_GEOM).id
        self._tool = model.body(TOOL_BODY).id
        self._site = model.site(TOOL_SITE).id
        self._part_of_geom = {model.geom(f"part{i}_geom").id: i for i in range(parts)}
        self._part_body = [model.body(f"part{i}").id for i in range(parts)]
        self._weld = [model.equality(f"hold{i}").id for i in range(parts)]
        self.pressure_kpa = 0.0
        self.command = 0.0
        self.touching = False
        self.held: int | None = None
        self.leak_ratio = 0.0  # 1: the line is open, no pressure at all
        self.stuck_on = False
        self.evacuate_s = EVACUATE_S
        self._seal: Seal | None = None
        self._steps = 0

    def step(self, data: mujoco.MjData, step_s: float) -> None:
        vacuum = 1.0 if self.stuck_on else self.command
        self._steps += 1
        if self.held is not None:
            self._seal = None
        elif vacuum > 0.0 or self._steps % IDLE_LOOK_STEPS == 0:
            self._seal = self._find_seal(data)
        seal = self._seal
        self.touching = seal is not None or self.held is not None
        sealed = self.touching
        goal = vacuum * (LINE_PRESSURE_KPA if sealed else OPEN_PRESSURE_KPA)
        goal *= 1.0 - self.leak_ratio
        constant_s = self.evacuate_s if goal > self.pressure_kpa else VENT_S
        self.pressure_kpa += (goal - self.pressure_kpa) * min(1.0, step_s / constant_s)
        if self.held is None:
            if seal is not None and self.pressure_kpa >= GRIP_PRESSURE_KPA:
                self._take(data, seal.part)
        elif self.pressure_kpa < GRIP_PRESSURE_KPA or self._is_overloaded(data):
            self.release(data)

    def release(self, data: mujoco.MjData) -> None:
        if self.held is not None:
            data.eq_active[self._weld[self.held]] = 0
            self.held = None

    def _find_seal(self, data: mujoco.MjData) -> Seal | None:
        """The part on which the cup's face lies: near the axis, square to it, before the rim."""
        if data.ncon == 0:
            return None
        geoms = data.contact.geom
        rows = np.nonzero((geoms == self._cup).any(axis=1))[0]
        if len(rows) == 0:
            return None
        axis = data.site_xmat[self._site].reshape(3, 3)[:, 2]
        tip = data.site_xpos[self._site]
        points: dict[int, list[np.ndarray]] = {}
        for row in rows:
            first, second = geoms[row]
            part = self._part_of_geom.get(int(second if first == self._cup else first))
            normal = data.contact.frame[row][:3]
            if part is None or abs(float(normal @ axis)) < SEAL_ANGLE_COS:
                continue
            if float((data.contact.pos[row] - tip) @ axis) < -0.004:
                continue
            points.setdefault(part, []).append(data.contact.pos[row])
        seals = [Seal(p, self._offset(np.mean(c, axis=0) - tip, axis)) for p, c in points.items()]
        seals = [seal for seal in seals if seal.offset_m <= SEAL_OFFSET_M]
        return min(seals, key=lambda seal: seal.offset_m, default=None)

    @staticmethod
    def _offset(delta: np.ndarray, axis: np.ndarray) -> float:
        return float(np.linalg.norm(delta - (delta @ axis) * axis))

    def _take(self, data: mujoco.MjData, part: int) -> None:
        """Weld the part to the tool as it lies now."""
        model, body, weld = self._model, self._part_body[part], self._weld[part]
        inverse, relative = np.zeros(4), np.zeros(4)
        mujoco.mju_negQuat(inverse, data.xquat[self._tool])
        mujoco.mju_mulQuat(relative, inverse, data.xquat[body])
        offset = data.xmat[self._tool].reshape(3, 3).T @ (data.xpos[body] - data.xpos[self._tool])
        # Layout of a weld: anchor in body 2, then pose of body 2 in body 1, then torque scale.
        model.eq_data[weld, 0:3] = 0.0
        model.eq_data[weld, 3:6] = offset
        model.eq_data[weld, 6:10] = relative
        model.eq_data[weld, 10] = 1.0
        data.eq_active[weld] = 1
        self.held = part

    def _is_overloaded(self, data: mujoco.MjData) -> bool:
        """Whether the weld pulls harder than the present under-pressure can hold."""
        if data.ne < 3:
            return False  # taken in this step: the weld's force is known after the next one
        # Equality constraints come first in MuJoCo's rows, and at most one weld is active.
        x, y, z = data.efc_force[:3]
        return math.sqrt(x * x + y * y + z * z) > self.pressure_kpa * 1000.0 * CUP_AREA_M2

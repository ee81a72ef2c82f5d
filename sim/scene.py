"""One picking cell in motion: the arm, its parts, the people, and the truth about all of them.

The truth in here scores perception and skills and drives the simulated hardware; `runtime/` never
sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.appearance import Style
from sim.cell import CellSpec, build_cell
from sim.dressing import Look, apply_look, draw_look
from sim.layout import Array, CellLayout, Tub, Vec2, Vec3, camera_axes, intrinsics
from sim.people import LIMBS, PARKED_M, People, Stance, Walk, WalkEnd, stance_at
from sim.robot_model import ARMS, TOOL_SITE, Arm, Meshes
from sim.suction import Suction

FILL_TRIES = 20  # layouts tried before a crowded bin stays short of a part
POSE_STEPS = 20  # people, carts and parked parts are moved once in so many physics steps


class SegKind(IntEnum):
    """What a pixel shows."""

    BACKGROUND = 0
    ROBOT = 1
    TABLE = 2
    BIN = 3
    TRAY = 4
    PART = 5
    PERSON = 6
    DISTRACTOR = 7


@dataclass(frozen=True)
class PartTruth:
    index: int
    position_m: Vec3
    yaw_rad: float
    in_play: bool
    held: bool


class Scene:
    """A cell for one seed. Same seed and calls, same bytes."""

    def __init__(
        self,
        seed: int,
        arm: Arm | str = Arm.PANDA,
        style: Style | str = Style.TRAIN,
        *,
        people: int = 3,
        parts: int = 3,
        pool: int = 6,
        distractors: int = 3,
        meshes: Meshes | str = Meshes.COLLISION,
        layout: CellLayout | None = None,
        clutter: bool = False,
        home_rad: tuple[float, ...] | None = None,
    ) -> None:
        self.arm, self.style = Arm(arm), Style(style)
        self.spec = CellSpec(
            arm=self.arm,
            meshes=Meshes(meshes),
            people=people,
            parts=pool,
            distractors=distractors,
            layout=layout or CellLayout(),
        )
        self.model = build_cell(self.spec)
        self.joints = len(ARMS[self.arm].home_rad)
        self.home_rad = np.array(home_rad or ARMS[self.arm].home_rad, dtype=np.float64)
        self._tip = self.model.site(TOOL_SITE).id
        self._stiffness = np.array(ARMS[self.arm].stiffness_nm_rad, dtype=np.float64)
        self._damping = np.array(ARMS[self.arm].damping_nms_rad, dtype=np.float64)
        self._part_qpos = [int(self.model.joint(f"part{i}_free").qposadr[0]) for i in range(pool)]
        self._part_dof = [int(self.model.joint(f"part{i}_free").dofadr[0]) for i in range(pool)]
        self._limb_mocap = [
            [int(self.model.body(f"person{i}_{limb}").mocapid[0]) for limb in LIMBS]
            for i in range(people)
        ]
        self._distractor_mocap = [
            int(self.model.body(f"distractor{i}").mocapid[0]) for i in range(distractors)
        ]
        self.reset(seed, parts=parts, clutter=clutter)

    @property
    def layout(self) -> CellLayout:
        return self.spec.layout

    def reset(
        self,
        seed: int,
        *,
        parts: int = 3,
        style: Style | str | None = None,
        clutter: bool = False,
    ) -> None:
        """Begin anew with another seed; renderers of this scene stay valid."""
        if style is not None:
            self.style = Style(style)
        self.rng = np.random.default_rng([seed, list(Style).index(self.style)])
        self.look: Look = draw_look(self.rng, self.style, self.spec)
        apply_look(self.model, self.look)
        self.data = mujoco.MjData(self.model)
        self.people = People(self.look.people, self.layout.floor_z_m)
        self.suction_cup = Suction(self.model, self.spec.parts)
        self._distractor_walks: list[Walk | None] = [None] * self.spec.distractors
        self._in_play = [False] * self.spec.parts
        self._steps = 0
        self._q_des, self._qd_des = self.home_rad.copy(), np.zeros(self.joints)
        self._tau_ff: Array | None = None
        self.powered = True
        self.data.qpos[: self.joints] = self.home_rad
        self._scatter_distractors()
        self.fill_bin(parts, clutter=clutter)
        self._set_brakes()
        self._pose_bodies()
        mujoco.mj_forward(self.model, self.data)

    # Time and motion

    @property
    def time_s(self) -> float:
        return float(self.data.time)

    def step(self, count: int = 1) -> None:
        """Advance physics by `count` milliseconds."""
        for _ in range(count):
            self.step_once()

    def step_once(self) -> None:
        if self._steps % POSE_STEPS == 0:
            self._pose_bodies()
        data, n = self.data, self.joints
        if self.powered:
            feed_forward = data.qfrc_bias[:n] if self._tau_ff is None else self._tau_ff
            data.ctrl[:n] = (
                self._stiffness * self._q_des + self._damping * self._qd_des + feed_forward
            )
        mujoco.mj_step(self.model, data)
        self.suction_cup.step(data, self.model.opt.timestep)
        self._steps += 1

    def set_joint_targets(
        self,
        q_rad: Array,
        qd_rad_s: Array | None = None,
        tau_ff_nm: Array | None = None,
    ) -> None:
        """What the drives follow from now on; without a feed-forward, gravity is compensated."""
        self._q_des = np.array(q_rad, dtype=np.float64)
        self._qd_des = (
            np.zeros(self.joints) if qd_rad_s is None else np.array(qd_rad_s, dtype=np.float64)
        )
        self._tau_ff = None if tau_ff_nm is None else np.array(tau_ff_nm, dtype=np.float64)

    def set_power(self, on: bool) -> None:
        """Without power the drives give no torque and the brakes close."""
        if on == self.powered:
            return
        self.powered = on
        self._q_des, self._qd_des = self.q.copy(), np.zeros(self.joints)
        self._set_brakes()

    def suction(self, on: bool | float) -> None:
        self.suction_cup.command = float(on)

    def _set_brakes(self) -> None:
        """Closed brakes are dry friction at the joints; drives without power give no torque."""
        model, n, facts = self.model, self.joints, ARMS[self.arm]
        model.dof_frictionloss[:n] = 0.0 if self.powered else facts.brake_nm
        model.actuator_gainprm[:n, 0] = 1.0 if self.powered else 0.0
        model.actuator_biasprm[:n, 1] = -self._stiffness if self.powered else 0.0
        model.actuator_biasprm[:n, 2] = -self._damping if self.powered else 0.0

    # The robot's truth

    @property
    def q(self) -> Array:
        return self.data.qpos[: self.joints]

    @property
    def qd(self) -> Array:
        return self.data.qvel[: self.joints]

    @property
    def motor_torque_nm(self) -> Array:
        return self.data.actuator_force[: self.joints]

    def tool_pose(self) -> tuple[Array, Array]:
        """Position of the cup's tip and rotation (z out of the cup)."""
        rotation = self.data.site_xmat[self._tip].reshape(3, 3)
        return self.data.site_xpos[self._tip].copy(), rotation.copy()

    # Parts

    def fill_bin(self, count: int, *, clutter: bool = False) -> None:
        """Put the first `count` parts into the bin: lying apart, or dropped in a heap."""
        for _ in range(FILL_TRIES):
            for index in range(self.spec.parts):
                self.park_part(index)
            wanted = range(min(count, self.spec.parts))
            if all(self.spawn_part(index, self.layout.bin, clutter=clutter) for index in wanted):
                break
        if clutter and count:
            mujoco.mj_forward(self.model, self.data)
            self.step(700)
            self.data.time = 0.0
            self._steps = 0

    def spawn_part(self, index: int, tub: Tub, *, clutter: bool = False) -> bool:
        """Lay a part into a tub where there is room; False (and no change) where there is none."""
        look = self.look.parts[index]
        margin = look.reach_m + 0.028  # so that the tool's tube clears the wall
        half = np.array(tub.inner_m) / 2 - margin
        others = [
            (np.array(truth.position_m[:2]), self.look.parts[truth.index].reach_m)
            for truth in self.parts()
            if truth.in_play and truth.index != index
        ]
        for _ in range(200):
            spot = np.array(tub.center_m) + self.rng.uniform(-half, half)
            if clutter or all(
                np.linalg.norm(spot - other) > look.reach_m + reach + 0.01
                for other, reach in others
            ):
                drop = float(self.rng.uniform(0.03, 0.12)) if clutter else 0.0005
                height = tub.floor_m + look.half_height_m + drop
                yaw = float(self.rng.uniform(-np.pi, np.pi))
                self.place_part(index, (float(spot[0]), float(spot[1]), height), yaw)
                return True
        return False

    def place_part(self, index: int, position_m: Vec3, yaw_rad: float = 0.0) -> None:
        start, dof = self._part_qpos[index], self._part_dof[index]
        self.data.qpos[start : start + 3] = position_m
        self.data.qpos[start + 3 : start + 7] = [np.cos(yaw_rad / 2), 0, 0, np.sin(yaw_rad / 2)]
        self.data.qvel[dof : dof + 6] = 0.0
        self._in_play[index] = True

    def park_part(self, index: int) -> None:
        """Take a part out of the cell."""
        if self.suction_cup.held == index:
            self.suction_cup.release(self.data)
        self.place_part(index, (0.3 * index, 0.0, PARKED_M[2]))
        self._in_play[index] = False

    def parts(self) -> list[PartTruth]:
        return [self._part_truth(index) for index in range(self.spec.parts)]

    def _part_truth(self, index: int) -> PartTruth:
        start = self._part_qpos[index]
        x, y, z = (float(value) for value in self.data.qpos[start : start + 3])
        w, i, j, k = self.data.qpos[start + 3 : start + 7]
        yaw = float(np.arctan2(2 * (w * k + i * j), 1 - 2 * (j * j + k * k)))
        held = self.suction_cup.held == index
        return PartTruth(index, (x, y, z), yaw, self._in_play[index], held)

    # People and things that move by themselves

    def stances(self) -> list[Stance | None]:
        return [self.people.stance(i, self.time_s) for i in range(len(self.people))]

    def move_distractor(
        self,
        index: int,
        waypoints_m: tuple[Vec2, ...] | list[Vec2],
        speed_m_s: float = 0.6,
        *,
        start_s: float = 0.0,
        end: WalkEnd | str = WalkEnd.STAY,
    ) -> None:
        """Roll a box, cart or pillar along waypoints; two equal ends leave it standing."""
        walk = Walk(tuple(waypoints_m), speed_m_s, start_s, WalkEnd(end))
        self._distractor_walks[index] = walk

    def park_distractor(self, index: int) -> None:
        self._distractor_walks[index] = None

    def distractor_spot(self, index: int) -> Vec2 | None:
        """Where a distractor stands now; None when it is away."""
        walk = self._distractor_walks[index]
        stance = None if walk is None else stance_at(walk, self.time_s)
        return None if stance is None else stance.position_m

    def _scatter_distractors(self) -> None:
        for index in range(self.spec.distractors):
            if self.rng.random() < 0.5:
                spot = self.layout.clutter_area.sample(self.rng)
                self.move_distractor(index, [spot, (spot[0] + 1e-3, spot[1])])

    def _pose_bodies(self) -> None:
        data, time_s = self.data, self.time_s
        for person, mocaps in enumerate(self._limb_mocap):
            poses = self.people.poses(person, time_s)
            if poses is None:
                data.mocap_pos[mocaps] = PARKED_M
                continue
            for mocap, limb in zip(mocaps, LIMBS, strict=True):
                data.mocap_pos[mocap], data.mocap_quat[mocap] = poses[limb]
        for index, mocap in enumerate(self._distractor_mocap):
            walk = self._distractor_walks[index]
            stance = None if walk is None else stance_at(walk, time_s)
            if stance is None:
                data.mocap_pos[mocap] = PARKED_M
                continue
            data.mocap_pos[mocap] = [*stance.position_m, self.layout.floor_z_m]
            half = stance.heading_rad / 2
            data.mocap_quat[mocap] = [np.cos(half), 0.0, 0.0, np.sin(half)]
        for index, in_play in enumerate(self._in_play):
            if not in_play:
                self.place_part(index, (0.3 * index, 0.0, PARKED_M[2]))
                self._in_play[index] = False

    # What renderers and scorers need

    def camera_pose(self, name: str) -> tuple[Array, Array]:
        """Position and rotation in the base frame; columns: image right, image down, forward."""
        return camera_axes(self.layout.cameras[name])

    def intrinsics(self, name: str, size: tuple[int, int]) -> Array:
        return intrinsics(self.layout.cameras[name].fovy_deg, size)

    def geom_labels(self) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        """For each geometry: its SegKind and which one of that kind (-1: there is only one)."""
        kinds = np.zeros(self.model.ngeom, dtype=np.uint8)
        instances = np.full(self.model.ngeom, -1, dtype=np.int16)
        for geom in range(self.model.ngeom):
            kind, instance = _label(self.model, geom)
            kinds[geom], instances[geom] = kind, instance
        return kinds, instances

    def capture(self) -> Array:
        """All that another copy of this scene needs to look the same."""
        data = self.data
        return np.concatenate(
            [[data.time], data.qpos, data.mocap_pos.ravel(), data.mocap_quat.ravel()]
        )

    def restore(self, vector: Array) -> None:
        """Show a captured state; for drawing only (velocities and holds are not in it)."""
        data, model = self.data, self.model
        end_q, end_p = 1 + model.nq, 1 + model.nq + 3 * model.nmocap
        data.time = float(vector[0])
        data.qpos[:] = vector[1:end_q]
        data.mocap_pos[:] = vector[end_q:end_p].reshape(-1, 3)
        data.mocap_quat[:] = vector[end_p:].reshape(-1, 4)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)


_BODY_KINDS = {
    "part": SegKind.PART,
    "person": SegKind.PERSON,
    "distractor": SegKind.DISTRACTOR,
}


def _label(model: mujoco.MjModel, geom: int) -> tuple[SegKind, int]:
    body = model.body(model.geom_bodyid[geom]).name
    stem = body.split("_")[0].rstrip("0123456789")
    if stem in _BODY_KINDS and body != stem:
        digits = body.split("_")[0][len(stem) :]
        return _BODY_KINDS[stem], int(digits)
    if body == "bin":
        return SegKind.BIN, -1
    if body == "tray":
        return SegKind.TRAY, -1
    if body == "world":
        is_table = model.geom(geom).name.startswith("table")
        return (SegKind.TABLE if is_table else SegKind.BACKGROUND), -1
    return SegKind.ROBOT, -1

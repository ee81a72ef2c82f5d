"""Walking people: their bodies as moved capsules and ellipsoids, their gait, and where they go.

A person is a set of mocap bodies: nothing in the cell can push a person, but a person can push the robot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import mujoco
import numpy as np

from sim.appearance import PersonLook
from sim.layout import Array, Vec2

PARKED_M = (0.0, 0.0, -40.0)  # where the absent wait, out of every camera's sight
AVERAGE_STRIDE = 0.80  # of one's height, for two steps at ease


class Limb(StrEnum):
    TORSO = "torso"
    PELVIS = "pelvis"
    HEAD = "head"
    HAIR = "hair"
    ARM_LEFT = "arm_left"
    FOREARM_LEFT = "forearm_left"
    ARM_RIGHT = "arm_right"
    FOREARM_RIGHT = "forearm_right"
    THIGH_LEFT = "thigh_left"
    SHIN_LEFT = "shin_left"
    FOOT_LEFT = "foot_left"
    THIGH_RIGHT = "thigh_right"
    SHIN_RIGHT = "shin_right"
    FOOT_RIGHT = "foot_right"


LIMBS = tuple(Limb)
ELLIPSOIDS = {Limb.TORSO, Limb.PELVIS, Limb.HEAD, Limb.HAIR, Limb.FOOT_LEFT, Limb.FOOT_RIGHT}


class WalkEnd(StrEnum):
    LEAVE = "leave"
    STAY = "stay"
    REACH = "reach"  # stays with an arm stretched forward
    LOOP = "loop"


@dataclass(frozen=True)
class Walk:
    """Straight lines between waypoints at one speed; before its start the person is absent."""

    waypoints_m: tuple[Vec2, ...]
    speed_m_s: float = 1.2
    start_s: float = 0.0
    end: WalkEnd = WalkEnd.LEAVE
    pause_s: float = 0.0  # at each inner waypoint

    def __post_init__(self) -> None:
        if len(self.waypoints_m) < 2:
            raise ValueError(f"walk: got {len(self.waypoints_m)} waypoints, needs at least 2")
        if not self.speed_m_s > 0.0:
            raise ValueError(f"walk: speed_m_s got {self.speed_m_s}, must be above 0")


@dataclass(frozen=True)
class Stance:
    """Where a person is at one instant, feet on the floor."""

    position_m: Vec2
    heading_rad: float
    velocity_m_s: Vec2
    walked_m: float
    reaching: bool = False


def stance_at(walk: Walk, time_s: float) -> Stance | None:
    """The person's stance at a time, or None when absent."""
    elapsed = time_s - walk.start_s
    if elapsed < 0.0:
        return None
    points = np.asarray(walk.waypoints_m, dtype=np.float64)
    if walk.end is WalkEnd.LOOP:
        points = np.vstack([points, points[:1]])
    legs = np.diff(points, axis=0)
    lengths = np.linalg.norm(legs, axis=1)
    durations = lengths / walk.speed_m_s
    total = float(durations.sum()) + walk.pause_s * (len(legs) - 1)
    if walk.end is WalkEnd.LOOP:
        return _on_path(points, legs, durations, walk, elapsed % (total + walk.pause_s))
    if elapsed >= total:
        if walk.end is WalkEnd.LEAVE:
            return None
        heading = float(np.arctan2(legs[-1][1], legs[-1][0]))
        x, y = points[-1]
        return Stance((float(x), float(y)), heading, (0.0, 0.0), 0.0, walk.end is WalkEnd.REACH)
    return _on_path(points, legs, durations, walk, elapsed)


def _on_path(points: Array, legs: Array, durations: Array, walk: Walk, elapsed_s: float) -> Stance:
    walked = 0.0
    for index, duration in enumerate(durations):
        heading = float(np.arctan2(legs[index][1], legs[index][0]))
        if elapsed_s < duration:
            x, y = points[index] + legs[index] * (elapsed_s / duration)
            vx, vy = legs[index] / duration
            walked += elapsed_s * walk.speed_m_s
            return Stance((float(x), float(y)), heading, (float(vx), float(vy)), walked)
        elapsed_s -= float(duration)
        walked += float(duration) * walk.speed_m_s
        if elapsed_s < walk.pause_s:
            x, y = points[index + 1]
            return Stance((float(x), float(y)), heading, (0.0, 0.0), 0.0)
        elapsed_s -= walk.pause_s
    x, y = points[-1]
    return Stance((float(x), float(y)), heading, (0.0, 0.0), 0.0)


@dataclass(frozen=True)
class LimbPose:
    position_m: Array
    quat_wxyz: Array


def limb_sizes(look: PersonLook) -> dict[Limb, Array]:
    """MuJoCo geometry sizes: ellipsoid half axes, or capsule radius and half length."""
    h, b = look.height_m, look.build
    arm, forearm = (0.028 * h * b, 0.085 * h, 0.0), (0.022 * h * b, 0.105 * h, 0.0)
    thigh, shin = (0.044 * h * b, 0.115 * h, 0.0), (0.031 * h * b, 0.115 * h, 0.0)
    foot = (0.070 * h, 0.026 * h, 0.022 * h)
    sizes = {
        Limb.TORSO: (0.072 * h * b, 0.118 * h * b, 0.180 * h),
        Limb.PELVIS: (0.070 * h * b, 0.100 * h * b, 0.075 * h),
        Limb.HEAD: (0.055 * h, 0.046 * h, 0.068 * h),
        Limb.HAIR: (0.054 * h, 0.048 * h, 0.048 * h),
        Limb.ARM_LEFT: arm,
        Limb.ARM_RIGHT: arm,
        Limb.FOREARM_LEFT: forearm,
        Limb.FOREARM_RIGHT: forearm,
        Limb.THIGH_LEFT: thigh,
        Limb.THIGH_RIGHT: thigh,
        Limb.SHIN_LEFT: shin,
        Limb.SHIN_RIGHT: shin,
        Limb.FOOT_LEFT: foot,
        Limb.FOOT_RIGHT: foot,
    }
    return {limb: np.array(size) for limb, size in sizes.items()}


def limb_color(look: PersonLook, limb: Limb) -> tuple[float, float, float]:
    match limb:
        case Limb.TORSO | Limb.ARM_LEFT | Limb.ARM_RIGHT:
            return look.shirt
        case Limb.FOREARM_LEFT | Limb.FOREARM_RIGHT:
            return look.sleeves
        case Limb.HEAD:
            return look.skin
        case Limb.HAIR:
            return look.hair
        case Limb.PELVIS | Limb.THIGH_LEFT | Limb.THIGH_RIGHT | Limb.SHIN_LEFT | Limb.SHIN_RIGHT:
            return look.trousers
        case Limb.FOOT_LEFT | Limb.FOOT_RIGHT:
            return look.shoes


def limb_poses(look: PersonLook, stance: Stance, floor_z_m: float) -> dict[Limb, LimbPose]:
    """Where every limb is, from how far the person has walked."""
    h = look.height_m
    speed = float(np.hypot(*stance.velocity_m_s))
    phase = 2.0 * np.pi * stance.walked_m / (AVERAGE_STRIDE * look.stride * h)
    vigour = look.swing * min(1.0, speed / 1.2)
    frame = _Frame(stance, floor_z_m)
    hip_z = (0.515 + 0.008 * vigour * np.cos(2.0 * phase)) * h
    poses = {
        Limb.PELVIS: frame.upright(0.0, 0.0, hip_z + 0.01 * h),
        Limb.TORSO: frame.upright(0.01 * h, 0.0, hip_z + 0.19 * h),
        Limb.HEAD: frame.upright(0.02 * h, 0.0, hip_z + 0.415 * h),
        Limb.HAIR: frame.upright(0.005 * h, 0.0, hip_z + 0.443 * h),
    }
    poses |= _leg(frame, look, phase, vigour, hip_z, left=True)
    poses |= _leg(frame, look, phase + np.pi, vigour, hip_z, left=False)
    poses |= _arm(frame, look, phase + np.pi, vigour, hip_z, left=True, reaching=False)
    poses |= _arm(frame, look, phase, vigour, hip_z, left=False, reaching=stance.reaching)
    return poses


def _leg(
    frame: _Frame, look: PersonLook, phase: float, vigour: float, hip_z: float, *, left: bool
) -> dict[Limb, LimbPose]:
    h, side = look.height_m, (1.0 if left else -1.0)
    thigh = 0.42 * vigour * np.sin(phase)
    knee = vigour * (0.12 + 0.55 * max(0.0, np.cos(phase)))
    hip = np.array([0.0, side * 0.052 * h, hip_z - 0.02 * h])
    joint = hip + 0.235 * h * np.array([np.sin(thigh), 0.0, -np.cos(thigh)])
    ankle = joint + 0.235 * h * np.array([np.sin(thigh - knee), 0.0, -np.cos(thigh - knee)])
    toe = ankle + np.array([0.030 * h, 0.0, -0.006 * h])
    names = (
        (Limb.THIGH_LEFT, Limb.SHIN_LEFT, Limb.FOOT_LEFT)
        if left
        else (Limb.THIGH_RIGHT, Limb.SHIN_RIGHT, Limb.FOOT_RIGHT)
    )
    return {
        names[0]: frame.segment(hip, joint),
        names[1]: frame.segment(joint, ankle),
        names[2]: frame.upright(*toe, pitch_rad=0.5 * (knee - thigh)),
    }


def _arm(
    frame: _Frame,
    look: PersonLook,
    phase: float,
    vigour: float,
    hip_z: float,
    *,
    left: bool,
    reaching: bool,
) -> dict[Limb, LimbPose]:
    h, side = look.height_m, (1.0 if left else -1.0)
    swing = 1.35 if reaching else 0.45 * vigour * np.sin(phase)
    bend = 0.1 if reaching else 0.20 + 0.25 * vigour
    shoulder = np.array([0.0, side * 0.128 * h * look.build, hip_z + 0.30 * h])
    elbow = shoulder + 0.175 * h * np.array([np.sin(swing), side * 0.08, -np.cos(swing)])
    lower = swing + bend
    hand = elbow + 0.215 * h * np.array([np.sin(lower), 0.0, -np.cos(lower)])
    names = (Limb.ARM_LEFT, Limb.FOREARM_LEFT) if left else (Limb.ARM_RIGHT, Limb.FOREARM_RIGHT)
    return {names[0]: frame.segment(shoulder, elbow), names[1]: frame.segment(elbow, hand)}


class _Frame:
    """Turns positions in a person's own frame (x ahead, y left, z up from the floor) into world poses."""

    def __init__(self, stance: Stance, floor_z_m: float) -> None:
        self._origin = np.array([*stance.position_m, floor_z_m])
        self._cos, self._sin = np.cos(stance.heading_rad), np.sin(stance.heading_rad)
        self._heading = stance.heading_rad

    def upright(self, x: float, y: float, z: float, pitch_rad: float = 0.0) -> LimbPose:
        yaw, pitch = self._heading / 2.0, pitch_rad / 2.0
        quat = np.array(
            [
                np.cos(yaw) * np.cos(pitch),
                -np.sin(yaw) * np.sin(pitch),
                np.cos(yaw) * np.sin(pitch),
                np.sin(yaw) * np.cos(pitch),
            ]
        )
        return LimbPose(self._world(np.array([x, y, z])), quat)

    def segment(self, start: Array, end: Array) -> LimbPose:
        """A capsule's pose: its z axis runs from `start` to `end`."""
        first, last = self._world(start), self._world(end)
        quat = np.zeros(4)
        mujoco.mju_quatZ2Vec(quat, last - first)
        return LimbPose((first + last) / 2.0, quat)

    def _world(self, point: Array) -> Array:
        x, y, z = point
        return self._origin + np.array(
            [self._cos * x - self._sin * y, self._sin * x + self._cos * y, z]
        )


class People:
    """The people of a scene: who walks where, and their bodies at an instant."""

    def __init__(self, looks: list[PersonLook], floor_z_m: float) -> None:
        self.looks = looks
        self._floor_z_m = floor_z_m
        self._walks: list[Walk | None] = [None] * len(looks)

    def __len__(self) -> int:
        return len(self.looks)

    def walk(
        self,
        person: int,
        waypoints_m: tuple[Vec2, ...] | list[Vec2],
        speed_m_s: float = 1.2,
        *,
        start_s: float = 0.0,
        end: WalkEnd | str = WalkEnd.LEAVE,
        pause_s: float = 0.0,
    ) -> None:
        """Send a person along waypoints from a scene time on; replaces what that person did before."""
        self._walks[person] = Walk(tuple(waypoints_m), speed_m_s, start_s, WalkEnd(end), pause_s)

    def leave(self, person: int) -> None:
        self._walks[person] = None

    def stance(self, person: int, time_s: float) -> Stance | None:
        walk = self._walks[person]
        return None if walk is None else stance_at(walk, time_s)

    def is_busy(self, person: int, time_s: float) -> bool:
        """Whether a walk of this person is under way or still to begin."""
        walk = self._walks[person]
        return walk is not None and (time_s < walk.start_s or stance_at(walk, time_s) is not None)

    def poses(self, person: int, time_s: float) -> dict[Limb, LimbPose] | None:
        stance = self.stance(person, time_s)
        if stance is None:
            return None
        return limb_poses(self.looks[person], stance, self._floor_z_m)

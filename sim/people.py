"""Walking people: their bodies as moved capsules and ellipsoids, their gait, and where they go.

A person is a set of mocap bodies: nothing can push a person, but a person can push the robot.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import StrEnum

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
LEFT_LEG = (Limb.THIGH_LEFT, Limb.SHIN_LEFT, Limb.FOOT_LEFT)
RIGHT_LEG = (Limb.THIGH_RIGHT, Limb.SHIN_RIGHT, Limb.FOOT_RIGHT)
LEFT_ARM = (Limb.ARM_LEFT, Limb.FOREARM_LEFT)
RIGHT_ARM = (Limb.ARM_RIGHT, Limb.FOREARM_RIGHT)
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
    points = walk.waypoints_m
    if walk.end is WalkEnd.LOOP:
        points = (*points, points[0])
    lengths = [math.dist(first, last) for first, last in itertools.pairwise(points)]
    total = sum(lengths) / walk.speed_m_s + walk.pause_s * (len(lengths) - 1)
    if walk.end is WalkEnd.LOOP:
        return _on_path(points, lengths, walk, elapsed % (total + walk.pause_s))
    if elapsed < total:
        return _on_path(points, lengths, walk, elapsed)
    if walk.end is WalkEnd.LEAVE:
        return None
    heading = _heading(points[-2], points[-1])
    return Stance(points[-1], heading, (0.0, 0.0), 0.0, walk.end is WalkEnd.REACH)


def _heading(start: Vec2, end: Vec2) -> float:
    return math.atan2(end[1] - start[1], end[0] - start[0])


def _on_path(
    points: tuple[Vec2, ...], lengths: list[float], walk: Walk, elapsed_s: float
) -> Stance:
    walked = 0.0
    for (start, end), length in zip(itertools.pairwise(points), lengths, strict=True):
        duration, heading = length / walk.speed_m_s, _heading(start, end)
        if elapsed_s < duration:
            done, speed = elapsed_s / duration, walk.speed_m_s
            place = (start[0] + done * (end[0] - start[0]), start[1] + done * (end[1] - start[1]))
            velocity = (speed * math.cos(heading), speed * math.sin(heading))
            return Stance(place, heading, velocity, walked + elapsed_s * speed)
        elapsed_s -= duration
        walked += length
        if elapsed_s < walk.pause_s:
            return Stance(end, heading, (0.0, 0.0), 0.0)
        elapsed_s -= walk.pause_s
    return Stance(points[-1], _heading(points[-2], points[-1]), (0.0, 0.0), 0.0)


Point = tuple[float, float, float]
Quat = tuple[float, float, float, float]
LimbPose = tuple[
    Point, Quat
]  # plain floats: this runs for every limb of everyone, many times a second


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
    speed = math.hypot(*stance.velocity_m_s)
    phase = 2.0 * math.pi * stance.walked_m / (AVERAGE_STRIDE * look.stride * h)
    vigour = look.swing * min(1.0, speed / 1.2)
    frame = _Frame(stance, floor_z_m)
    hip_z = (0.515 + 0.008 * vigour * math.cos(2.0 * phase)) * h
    poses = {
        Limb.PELVIS: frame.upright(0.0, 0.0, hip_z + 0.01 * h),
        Limb.TORSO: frame.upright(0.01 * h, 0.0, hip_z + 0.19 * h),
        Limb.HEAD: frame.upright(0.02 * h, 0.0, hip_z + 0.415 * h),
        Limb.HAIR: frame.upright(0.005 * h, 0.0, hip_z + 0.443 * h),
    }
    for side, legs, arms in ((1.0, LEFT_LEG, LEFT_ARM), (-1.0, RIGHT_LEG, RIGHT_ARM)):
        own = phase if side > 0 else phase + math.pi
        poses |= zip(legs, _leg(frame, look, own, vigour, hip_z, side), strict=True)
        reaching = stance.reaching and side < 0
        poses |= zip(arms, _arm(frame, look, own, vigour, hip_z, side, reaching), strict=True)
    return poses


def _leg(
    frame: _Frame, look: PersonLook, phase: float, vigour: float, hip_z: float, side: float
) -> tuple[LimbPose, LimbPose, LimbPose]:
    h = look.height_m
    thigh = 0.42 * vigour * math.sin(phase)
    knee = vigour * (0.12 + 0.55 * max(0.0, math.cos(phase)))
    hip = (0.0, side * 0.052 * h, hip_z - 0.02 * h)
    joint = _swung(hip, 0.235 * h, thigh)
    ankle = _swung(joint, 0.235 * h, thigh - knee)
    foot = frame.upright(ankle[0] + 0.030 * h, ankle[1], ankle[2] - 0.006 * h, 0.5 * (knee - thigh))
    return frame.segment(hip, joint), frame.segment(joint, ankle), foot


def _arm(
    frame: _Frame,
    look: PersonLook,
    phase: float,
    vigour: float,
    hip_z: float,
    side: float,
    reaching: bool,
) -> tuple[LimbPose, LimbPose]:
    """An arm swings against the leg of its side."""
    h = look.height_m
    swing = 1.35 if reaching else -0.45 * vigour * math.sin(phase)
    bend = 0.1 if reaching else 0.20 + 0.25 * vigour
    shoulder = (0.0, side * 0.128 * h * look.build, hip_z + 0.30 * h)
    elbow = _swung(shoulder, 0.175 * h, swing, aside=side * 0.08)
    hand = _swung(elbow, 0.215 * h, swing + bend)
    return frame.segment(shoulder, elbow), frame.segment(elbow, hand)


def _swung(start: Point, length_m: float, angle_rad: float, aside: float = 0.0) -> Point:
    """The lower end of a limb that hangs down at angle 0 and points ahead at a quarter turn."""
    return (
        start[0] + length_m * math.sin(angle_rad),
        start[1] + length_m * aside,
        start[2] - length_m * math.cos(angle_rad),
    )


class _Frame:
    """Turns positions in a person's own frame (x ahead, y left, z up from the floor) into poses."""

    def __init__(self, stance: Stance, floor_z_m: float) -> None:
        self._x, self._y, self._z = *stance.position_m, floor_z_m
        self._cos, self._sin = math.cos(stance.heading_rad), math.sin(stance.heading_rad)
        self._heading = stance.heading_rad

    def upright(self, x: float, y: float, z: float, pitch_rad: float = 0.0) -> LimbPose:
        yaw, pitch = self._heading / 2.0, pitch_rad / 2.0
        cos_yaw, sin_yaw = math.cos(yaw), math.sin(yaw)
        cos_pitch, sin_pitch = math.cos(pitch), math.sin(pitch)
        quat = (cos_yaw * cos_pitch, -sin_yaw * sin_pitch, cos_yaw * sin_pitch, sin_yaw * cos_pitch)
        return self._world((x, y, z)), quat

    def segment(self, start: Point, end: Point) -> LimbPose:
        """A capsule's pose: its z axis runs from `start` to `end`."""
        x0, y0, z0 = self._world(start)
        x1, y1, z1 = self._world(end)
        dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        # The shortest turn of the z axis; a limb never points exactly down its own negative z.
        w = 1.0 - dz / length if dz < 0 else 1.0 + dz / length
        if dz < 0:  # draw it the other way round: a capsule looks the same from both ends
            dx, dy = -dx, -dy
        x, y = -dy / length, dx / length
        norm = math.sqrt(w * w + x * x + y * y)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2)
        return middle, (w / norm, x / norm, y / norm, 0.0)

    def _world(self, point: Point) -> Point:
        x, y, z = point
        return (
            self._x + self._cos * x - self._sin * y,
            self._y + self._sin * x + self._cos * y,
            self._z + z,
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
        """Send a person along waypoints from a scene time on, instead of any walk before."""
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

"""The reactive controller that needs neither GPU nor learning: it stands, sets down, goes home.

It is allowed to know little, so it does little: slow, jerk-limited, and standing as soon as the
situation is ambiguous. What a step should do is decided by pure functions; ruckig moves.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from runtime.planning.inverse import solve_pose
from runtime.planning.motion import Motion, MotionLimits, Mover, at_rest
from runtime.policy.kinematics import Array, Kinematics
from runtime.shm import Verdict, Workspace

ARRIVED_RAD = 0.01
LOST_RAD = 0.10
LOST_RAD_S = 0.5
TRANSPORT_M = 0.24
RELEASE_M = 0.06
RELEASE_NS = 400_000_000


class Aim(StrEnum):
    STAND = "stand"
    SET_DOWN = "set_down"
    HOME = "home"


class Ambiguity(StrEnum):
    """Why the controller stands; `none` is the only value in which it moves."""

    NONE = "none"
    POLICY_DRIVES = "policy_drives"
    PEOPLE_UNKNOWN = "people_unknown"
    PERSON_NEAR = "person_near"
    WORKSPACE = "workspace"
    VETOED = "vetoed"
    SPEED_ZERO = "speed_zero"


@dataclass(frozen=True)
class FallbackRules:
    moving: MotionLimits
    braking: MotionLimits
    people_distance_m: float
    people_stale_ns: int
    home_rad: Array
    low_rad: Array
    high_rad: Array
    place_m: tuple[float, float]


@dataclass(frozen=True)
class Surroundings:
    policy_allowed: bool
    people_age_ns: int | None
    nearest_m: float
    workspace: Workspace
    verdict: Verdict
    speed_scale: float
    holding: bool
    suction: float


def find_ambiguity(known: Surroundings, rules: FallbackRules) -> Ambiguity:
    """The first reason to stand still. A number that is not finite is a reason."""
    if known.policy_allowed:
        return Ambiguity.POLICY_DRIVES
    if known.people_age_ns is None or known.people_age_ns > rules.people_stale_ns:
        return Ambiguity.PEOPLE_UNKNOWN
    if not known.nearest_m >= rules.people_distance_m:
        return Ambiguity.PERSON_NEAR
    if known.workspace is not Workspace.CLEAR:
        return Ambiguity.WORKSPACE
    if known.verdict is Verdict.VETO:
        return Ambiguity.VETOED
    if not known.speed_scale > 0.0:
        return Ambiguity.SPEED_ZERO
    return Ambiguity.NONE


@dataclass(frozen=True)
class Errand:
    """Poses still to be reached; the suction is let go when the one marked has been reached."""

    aim: Aim
    poses: tuple[Array, ...]
    release_at: int = -1
    release_ns: int = 0


@dataclass(frozen=True)
class FallbackStep:
    motion: Motion
    suction: float
    aim: Aim
    ambiguity: Ambiguity


class Fallback:
    def __init__(self, kinematics: Kinematics, rules: FallbackRules) -> None:
        self._kinematics = kinematics
        self._rules = rules
        self._mover = Mover(len(rules.home_rad))
        self._motion: Motion | None = None
        self._errand: Errand | None = None
        self._suction = 0.0

    def rest(self) -> None:
        """Somebody else drives: the next step begins from where the arm is then."""
        self._motion, self._errand = None, None

    def step(
        self, q_cmd_rad: Array, qd_cmd_rad_s: Array, known: Surroundings, dt_ns: int
    ) -> FallbackStep | None:
        """One step of 10 ms; None when not even a stand can be computed."""
        motion = self._from(q_cmd_rad, qd_cmd_rad_s, known)
        ambiguity = find_ambiguity(known, self._rules)
        if ambiguity is Ambiguity.NONE:
            errand = self._errand or self._plan(motion, known)
            self._errand = self._onward(errand, motion, dt_ns)
            moved = self._move(motion, self._errand, known.speed_scale)
            aim = self._errand.aim
        else:
            self._errand, aim = None, Aim.STAND
            moved = self._mover.to_stand(motion, self._rules.braking)
        self._motion = moved
        return None if moved is None else FallbackStep(moved, self._suction, aim, ambiguity)

    def _from(self, q_rad: Array, qd_rad_s: Array, known: Surroundings) -> Motion:
        """Its own last step while Tier 1 follows it, else the commanded pose."""
        own = self._motion
        if own is None or not _is_followed(own, q_rad, qd_rad_s):
            self._errand, self._suction = None, 1.0 if known.holding else known.suction
            return replace(at_rest(q_rad), qd_rad_s=qd_rad_s.copy())
        return own

    def _plan(self, motion: Motion, known: Surroundings) -> Errand:
        """A held part is set down in the tray first; without a way there it is kept, standing."""
        rules = self._rules
        if not known.holding:
            return Errand(Aim.HOME, (*self._lift(motion), rules.home_rad))
        tip = self._kinematics.tool(motion.q_rad).tip_m
        x, y = rules.place_m
        spots = (
            np.array([tip[0], tip[1], max(TRANSPORT_M, float(tip[2]))]),
            np.array([x, y, TRANSPORT_M]),
            np.array([x, y, RELEASE_M]),
            np.array([x, y, TRANSPORT_M]),
        )
        poses = self._solve(motion.q_rad, spots)
        if poses is None:
            return Errand(Aim.STAND, ())
        return Errand(Aim.SET_DOWN, (*poses, rules.home_rad), release_at=2)

    def _lift(self, motion: Motion) -> tuple[Array, ...]:
        """Out of a bin straight up before going anywhere else."""
        tip = self._kinematics.tool(motion.q_rad).tip_m
        if tip[2] >= TRANSPORT_M - 0.05:
            return ()
        return self._solve(motion.q_rad, (np.array([tip[0], tip[1], TRANSPORT_M]),)) or ()

    def _solve(self, start_rad: Array, spots: tuple[Array, ...]) -> tuple[Array, ...] | None:
        poses: list[Array] = []
        rules = self._rules
        for spot in spots:
            before = poses[-1] if poses else start_rad
            pose = solve_pose(self._kinematics, before, spot, rules.low_rad, rules.high_rad)
            if pose is None:
                return None
            poses.append(pose)
        return tuple(poses)

    def _onward(self, errand: Errand, motion: Motion, dt_ns: int) -> Errand:
        """The errand without the pose that has been reached."""
        if not errand.poses or np.max(np.abs(motion.q_rad - errand.poses[0])) > ARRIVED_RAD:
            return errand
        if errand.release_at == 0:
            self._suction = 0.0
            if errand.release_ns < RELEASE_NS:
                return replace(errand, release_ns=errand.release_ns + dt_ns)
        if len(errand.poses) == 1:
            return errand
        return replace(errand, poses=errand.poses[1:], release_at=errand.release_at - 1)

    def _move(self, motion: Motion, errand: Errand, speed_scale: float) -> Motion | None:
        if not errand.poses:
            return self._mover.to_stand(motion, self._rules.braking)
        limits = self._rules.moving.slowed(min(speed_scale, 1.0))
        return self._mover.towards(motion, errand.poses[0], limits)


def _is_followed(own: Motion, q_rad: Array, qd_rad_s: Array) -> bool:
    near = float(np.max(np.abs(own.q_rad - q_rad))) <= LOST_RAD
    return near and float(np.max(np.abs(own.qd_rad_s - qd_rad_s))) <= LOST_RAD_S

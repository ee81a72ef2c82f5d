"""The local plan: go on, go on slowly, go around, draw back, or wait.

Each candidate is a jerk-limited motion looked at along the horizon against people who walk on. The
first that keeps the clearance wins; the order says what is preferred. Advice only: Tier 1 keeps the
distance to people whatever is planned here.
"""

from dataclasses import dataclass

import numpy as np

from runtime.planning.inverse import solve_pose
from runtime.planning.motion import Motion, MotionLimits, Mover
from runtime.planning.people import Crowd, clearance_m, nearest_m
from runtime.policy.kinematics import Array, Kinematics
from runtime.shm import PlanStatus

LOOKS = 7  # moments within the horizon
SPEEDS = (1.0, 0.5, 0.25)
DETOUR_UP_M = 0.18
DETOUR_BACK_M = 0.15
# Once slowed or blocked, this much more room is asked for before going on.
RELEASE_M = 0.08


@dataclass(frozen=True)
class PlannerRules:
    horizon_s: float
    clearance_m: float
    spread_m_s: float
    reach_m: float  # beyond this distance from the base nobody matters
    home_rad: Array
    low_rad: Array
    high_rad: Array
    limits: MotionLimits


@dataclass(frozen=True)
class Plan:
    status: PlanStatus
    speed_scale: float
    clearance_m: float
    waypoint_rad: Array | None = None

    @property
    def blocked(self) -> bool:
        return self.status is PlanStatus.BLOCKED


class LocalPlanner:
    def __init__(self, kinematics: Kinematics, rules: PlannerRules) -> None:
        self._kinematics = kinematics
        self._rules = rules
        self._mover = Mover(len(rules.home_rad))
        self._extra_m = 0.0

    def plan(
        self, motion: Motion, target_rad: Array, crowd: Crowd, age_s: float, margin: float
    ) -> Plan:
        """`age_s`: how long ago the people were seen; `margin` widens the clearance."""
        rules = self._rules
        near = nearest_m(crowd, rules.horizon_s + age_s, rules.spread_m_s)
        if near > rules.reach_m + rules.clearance_m * margin:
            self._extra_m = 0.0
            return Plan(PlanStatus.CLEAR, 1.0, near - rules.reach_m)
        wanted_m = rules.clearance_m * margin + self._extra_m
        plan = self._choose(motion, target_rad, crowd, age_s, wanted_m)
        self._extra_m = 0.0 if plan.speed_scale >= 1.0 else RELEASE_M
        return plan

    def _choose(
        self, motion: Motion, target_rad: Array, crowd: Crowd, age_s: float, wanted_m: float
    ) -> Plan:
        for speed in SPEEDS:
            room = self._room(motion, target_rad, speed, crowd, age_s)
            if room >= wanted_m:
                return Plan(PlanStatus.CLEAR, speed, room)
        for waypoint in self._waypoints(motion):
            room = self._room(motion, waypoint, SPEEDS[1], crowd, age_s)
            if room >= wanted_m:
                return Plan(PlanStatus.DETOUR, SPEEDS[1], room, waypoint)
        return self._draw_back(motion, crowd, age_s)

    def _draw_back(self, motion: Motion, crowd: Crowd, age_s: float) -> Plan:
        """Nothing keeps the clearance: towards home if that gains room at once, else wait."""
        rest = self._room(motion, motion.q_rad, 1.0, crowd, age_s)
        home = self._room(motion, self._rules.home_rad, SPEEDS[1], crowd, age_s)
        away = float(np.max(np.abs(motion.q_rad - self._rules.home_rad))) > 0.05
        if away and home > max(rest, 0.05):
            return Plan(PlanStatus.DETOUR, SPEEDS[1], home, self._rules.home_rad)
        return Plan(PlanStatus.BLOCKED, 0.0, rest)

    def _waypoints(self, motion: Motion) -> list[Array]:
        """Up, and up and back towards the base: out of reach, yet on the way."""
        tip = self._kinematics.tool(motion.q_rad).tip_m
        back = -tip[:2] / max(float(np.linalg.norm(tip[:2])), 1e-6) * DETOUR_BACK_M
        spots = (
            tip + np.array([0.0, 0.0, DETOUR_UP_M]),
            tip + np.array([back[0], back[1], DETOUR_UP_M]),
        )
        rules = self._rules
        poses = (
            solve_pose(self._kinematics, motion.q_rad, spot, rules.low_rad, rules.high_rad)
            for spot in spots
        )
        return [pose for pose in poses if pose is not None]

    def _room(
        self, motion: Motion, target_rad: Array, speed: float, crowd: Crowd, age_s: float
    ) -> float:
        """Smallest clearance on the way; minus infinity for a motion that does not exist."""
        rules = self._rules
        times = np.linspace(0.0, rules.horizon_s, LOOKS)
        poses = self._mover.preview(motion, target_rad, rules.limits.slowed(speed), times)
        if poses is None:
            return float("-inf")
        rooms = (
            clearance_m(crowd, *self._kinematics.spheres(pose), age_s + time, rules.spread_m_s)
            for pose, time in zip(poses, times.tolist(), strict=True)
        )
        return min(rooms)

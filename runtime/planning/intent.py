"""Where the arm is going, as far as the goal tells: the pose that the present stage ends in."""

from typing import Any

import numpy as np

from runtime.planning.inverse import solve_pose
from runtime.planning.local import PlannerRules
from runtime.policy.kinematics import Array, Kinematics
from runtime.shm import Phase

MOVED_M = 0.005


class IntentTracker:
    """Solves a goal's pose once and keeps it while the goal stays where it is."""

    def __init__(self, kinematics: Kinematics, rules: PlannerRules) -> None:
        self._kinematics = kinematics
        self._rules = rules
        self._spot_m: Array | None = None
        self._pose_rad: Array | None = None

    def target(self, goal: Any, q_rad: Array, *, holding: bool) -> Array:
        """Home at rest, the part before the grasp, the tray after it; where unreachable: here."""
        if goal is None or int(goal["phase"]) not in {Phase.PICK, Phase.PLACE}:
            return self._rules.home_rad
        spot = np.array(goal["place_pos"] if holding else goal["target_pos"])
        if not np.all(np.isfinite(spot)):
            return q_rad
        if self._spot_m is None or np.max(np.abs(spot - self._spot_m)) > MOVED_M:
            rules = self._rules
            self._spot_m = spot
            self._pose_rad = solve_pose(
                self._kinematics, rules.home_rad, spot, rules.low_rad, rules.high_rad
            )
        return q_rad if self._pose_rad is None else self._pose_rad

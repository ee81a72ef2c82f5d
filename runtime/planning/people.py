"""People as the planner sees them: upright columns that walk on as now, ever less surely."""

from dataclasses import dataclass

import numpy as np

from runtime.policy.kinematics import Array


@dataclass(frozen=True)
class Crowd:
    """Columns on the floor; one row a person. Empty arrays: nobody is seen."""

    position_m: Array  # n × 2
    velocity_m_s: Array  # n × 2
    radius_m: Array  # n
    seen_ns: int

    @property
    def count(self) -> int:
        return len(self.radius_m)


NOBODY = Crowd(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), 0)


def clearance_m(
    crowd: Crowd, centers_m: Array, radii_m: Array, ahead_s: float, spread_m_s: float
) -> float:
    """Smallest horizontal gap between arm and people `ahead_s` after they were seen; inf if nobody.

    Height is ignored on purpose: a hand may be anywhere above a person's feet.
    """
    if crowd.count == 0:
        return float("inf")
    reach = max(ahead_s, 0.0)
    places = crowd.position_m + crowd.velocity_m_s * reach
    grown = crowd.radius_m + spread_m_s * reach
    gaps = np.linalg.norm(centers_m[:, None, :2] - places[None], axis=2)
    return float(np.min(gaps - radii_m[:, None] - grown[None]))


def nearest_m(crowd: Crowd, horizon_s: float, spread_m_s: float) -> float:
    """How near to the robot's base anybody comes within the horizon; inf if nobody."""
    if crowd.count == 0:
        return float("inf")
    # The nearest point of each walked segment to the base.
    speed2 = np.maximum(np.sum(crowd.velocity_m_s**2, axis=1), 1e-9)
    along = -np.sum(crowd.position_m * crowd.velocity_m_s, axis=1) / speed2
    when = np.clip(along, 0.0, horizon_s)
    places = crowd.position_m + crowd.velocity_m_s * when[:, None]
    grown = crowd.radius_m + spread_m_s * horizon_s
    return float(np.min(np.linalg.norm(places, axis=1) - grown))

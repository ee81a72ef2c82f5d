"""The target while the arm approaches: newer pictures refine it until the arm hides it."""

from dataclasses import dataclass

import numpy as np

from runtime.policy.kinematics import Array

# Nearer than this the tool or the arm behind it may cover a part of the object from above.
CLEAR_VIEW_M = 0.15
# A detection further from the goal than this is another thing, or half covered.
REFINE_RADIUS_M = 0.015
SHARE_OF_NEW = 0.2


@dataclass(frozen=True)
class SeenPart:
    object_id: int
    position_m: Array


def refine_target(
    target_m: Array, goal_m: Array, object_id: int, parts: tuple[SeenPart, ...], tip_m: Array
) -> Array:
    """The target moved a little towards what a new picture shows."""
    if np.hypot(*(tip_m[:2] - target_m[:2])) < CLEAR_VIEW_M:
        return target_m
    for part in parts:
        near = np.linalg.norm(part.position_m - goal_m) <= REFINE_RADIUS_M
        if part.object_id == object_id and near:
            return (1 - SHARE_OF_NEW) * target_m + SHARE_OF_NEW * part.position_m
    return target_m

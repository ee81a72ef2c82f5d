"""What the policy's network sees: one definition for the robot and for training.

`xp` is numpy on the robot and jax.numpy in training.
"""

from enum import IntEnum
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

# Distances over which an offset is resolved: across the cell, above the part, at contact.
OFFSET_SCALES_M = (0.30, 0.05, 0.01)
STAGES = 3


class Stage(IntEnum):
    """Where in the task the arm is; known from what the gripper reports, not from time."""

    REACH = 0
    CARRY = 1
    RETREAT = 2


class Observed(NamedTuple):
    """Everything is either commanded (joints), measured (gripper) or detected (goal)."""

    q_rad: Any
    qd_rad_s: Any
    tip_m: Any
    tool_axis: Any  # unit vector out of the cup
    goal_m: Any  # of the present stage: the detected part's top, the release point, or home
    stage: Any
    gripper: Any
    contact: Any
    holding: Any


def observation_size(joints: int) -> int:
    return 2 * joints + 3 * len(OFFSET_SCALES_M) + 3 + 2 + 3 + STAGES + 3


def build_observation(seen: Observed, xp: ModuleType = np) -> Any:
    """One flat vector; every entry is of order one for states that occur."""
    offset = seen.goal_m - seen.tip_m
    stage = xp.equal(xp.arange(STAGES), seen.stage) * 1.0
    flags = xp.stack([seen.gripper * 1.0, seen.contact * 1.0, seen.holding * 1.0])
    return xp.concatenate(
        [
            seen.q_rad,
            seen.qd_rad_s,
            *(xp.tanh(offset / scale) for scale in OFFSET_SCALES_M),
            seen.tip_m,
            seen.tool_axis[:2],
            seen.goal_m,
            stage,
            flags,
        ]
    )

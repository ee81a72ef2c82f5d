"""Before each action: is the workspace clear, is it within limits, would the arm collide, is the
robot healthy, does the safety model agree? A pure function; the first check that fails is named.

This is advice given early, where it can still be acted on gracefully. Tier 1 enforces the same
limits, whatever comes out of here.
"""

from dataclasses import dataclass

import numpy as np

from runtime.policy.kinematics import Array
from runtime.shm import PolicyReason, StopLevel, Verdict, Workspace


@dataclass(frozen=True)
class Box:
    min_m: tuple[float, float, float]
    max_m: tuple[float, float, float]


@dataclass(frozen=True)
class ActionRules:
    """What the profile and the skill allow; the tighter of the two."""

    position_min_rad: Array
    position_max_rad: Array
    velocity_max_rad_s: Array
    workspace: Box
    keep_out: tuple[Box, ...]
    people_stale_ns: int
    motor_stop_c: float
    gripper_pressure_max_kpa: float


@dataclass(frozen=True)
class Action:
    """Where the arm would be when the action has been carried out."""

    q_rad: Array
    qd_rad_s: Array
    tip_m: Array
    sphere_centers_m: Array
    sphere_radii_m: Array


@dataclass(frozen=True)
class Conditions:
    """What is known now. Ages are of the newest message; None: there never was one."""

    workspace: Workspace
    people_age_ns: int | None
    stop_level: StopLevel
    motor_temp_c: float
    gripper_pressure_kpa: float
    verdict: Verdict


def check_action(action: Action, known: Conditions, rules: ActionRules) -> PolicyReason:
    """NONE when every check passes."""
    if not is_workspace_clear(known, rules):
        return PolicyReason.WORKSPACE_OCCUPIED
    if not is_within_limits(action, rules):
        return PolicyReason.OUTSIDE_LIMITS
    if would_collide(action, rules):
        return PolicyReason.COLLISION
    if not is_healthy(known, rules):
        return PolicyReason.UNHEALTHY
    if is_vetoed(known):
        return PolicyReason.VETOED
    return PolicyReason.NONE


def is_workspace_clear(known: Conditions, rules: ActionRules) -> bool:
    """Nobody seen, by somebody who looked just now: not knowing is not clear."""
    fresh = known.people_age_ns is not None and known.people_age_ns <= rules.people_stale_ns
    return fresh and known.workspace is Workspace.CLEAR


def is_within_limits(action: Action, rules: ActionRules) -> bool:
    # Written so that NaN fails each comparison.
    return bool(
        np.all(action.q_rad >= rules.position_min_rad)
        and np.all(action.q_rad <= rules.position_max_rad)
        and np.all(np.abs(action.qd_rad_s) <= rules.velocity_max_rad_s)
        and np.all(action.tip_m >= rules.workspace.min_m)
        and np.all(action.tip_m <= rules.workspace.max_m)
    )


def would_collide(action: Action, rules: ActionRules) -> bool:
    return any(_touches(action, box) for box in rules.keep_out)


def is_healthy(known: Conditions, rules: ActionRules) -> bool:
    """Motors and gripper report values inside their limits, and nothing has stopped the arm."""
    return (
        known.motor_temp_c < rules.motor_stop_c
        and known.gripper_pressure_kpa <= rules.gripper_pressure_max_kpa
        and known.stop_level is StopLevel.NONE
    )


def is_vetoed(known: Conditions) -> bool:
    """A veto holds until a newer opinion lifts it; a missing opinion is Tier 1's to restrict."""
    return known.verdict is Verdict.VETO


def _touches(action: Action, box: Box) -> bool:
    nearest = np.clip(action.sphere_centers_m, box.min_m, box.max_m)
    gap = np.sum((action.sphere_centers_m - nearest) ** 2, axis=1)
    # Not "any nearer": a position that is not a number counts as touching.
    return not np.all(gap >= action.sphere_radii_m**2)

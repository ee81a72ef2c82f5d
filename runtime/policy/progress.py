"""Where a task stands, as a pure function of what the gripper, the arm and the goal say."""

from dataclasses import dataclass, replace

import numpy as np

from runtime.policy.kinematics import Array
from runtime.policy.observation import Stage
from runtime.shm import Phase, PolicyReason


@dataclass(frozen=True)
class TaskRules:
    home_rad: Array
    task_timeout_ns: int
    # Long enough for the cup to be evacuated, short enough not to press on.
    hold_confirm_ns: int = 30_000_000
    grasp_timeout_ns: int = 1_500_000_000
    sunk_m: float = 0.004  # this far below the detected top the cup should have touched
    near_m: float = 0.02
    # Pushing this hard without a hold: the cup stands on an edge or on something else.
    push_max_nm: float = 10.0
    push_confirm_ns: int = 100_000_000
    home_rad_tolerance: float = 0.03
    # A held part that meets this much near its place stands on something: let it go there, at once.
    # Pressing on is felt by the part, by what it stands on, and by the safety model.
    landed_nm: float = 5.0
    landed_confirm_ns: int = 10_000_000
    release_above_m: float = 0.008
    release_shift_max_m: float = 0.02


@dataclass(frozen=True)
class GoalView:
    task_id: int
    attempt: int
    phase: Phase
    target_m: Array
    place_m: Array


@dataclass(frozen=True)
class ArmView:
    q_rad: Array
    speed_rad_s: float
    tip_m: Array
    suction: float
    holding: bool
    push_nm: float = 0.0  # largest external torque on a joint


@dataclass(frozen=True)
class Progress:
    """`stage` says which goal the arm moves to; `active_ns` counts time in which it may move."""

    key: tuple[int, int, bool]
    stage: Stage
    target_m: Array
    release_m: Array
    active_ns: int = 0
    holding_ns: int = 0
    sunk_ns: int = 0
    pushed_ns: int = 0
    released: bool = False
    at_home: bool = False
    failure: PolicyReason = PolicyReason.NONE

    @property
    def done(self) -> bool:
        return self.released and self.at_home and self.failure is PolicyReason.NONE

    @property
    def failed(self) -> bool:
        return self.failure is not PolicyReason.NONE

    @property
    def percent(self) -> int:
        if self.stage is Stage.REACH:
            return 20
        if self.stage is Stage.CARRY:
            return 50
        return 100 if self.at_home else 80


def key_of(goal: GoalView) -> tuple[int, int, bool]:
    """Another task, another attempt, or work instead of rest begins anew."""
    return goal.task_id, goal.attempt, goal.phase in {Phase.PICK, Phase.PLACE}


def begin(goal: GoalView, arm: ArmView) -> Progress:
    stage = Stage.RETREAT
    if key_of(goal)[2]:
        stage = Stage.CARRY if arm.holding else Stage.REACH
    release = goal.place_m + np.array([0.0, 0.0, TaskRules.release_above_m])
    return Progress(key_of(goal), stage, goal.target_m.copy(), release)


def advance(
    progress: Progress | None,
    goal: GoalView,
    arm: ArmView,
    dt_ns: int,
    rules: TaskRules,
    *,
    moving: bool,
) -> Progress:
    """One control step. `moving`: nothing slows the arm to a stand, so time counts."""
    if progress is None or _is_anew(progress, goal):
        progress = begin(goal, arm)
    if moving:
        progress = replace(progress, active_ns=progress.active_ns + dt_ns)
    match progress.stage:
        case Stage.REACH:
            progress = _reach(progress, goal, arm, dt_ns, rules, moving=moving)
        case Stage.CARRY:
            progress = _carry(progress, arm, dt_ns, rules)
        case Stage.RETREAT:
            progress = _retreat(progress, arm, rules)
    late = progress.active_ns > rules.task_timeout_ns and progress.stage is not Stage.RETREAT
    return _fail(progress, PolicyReason.TIMEOUT) if late else progress


def _is_anew(progress: Progress, goal: GoalView) -> bool:
    if progress.key == key_of(goal):
        return False
    # From placing to the retreat of the same attempt: the retreat goes on, and what it knows stays.
    same = progress.key[:2] == (goal.task_id, goal.attempt)
    return not (same and goal.phase is Phase.RETREAT and progress.stage is Stage.RETREAT)


def _reach(
    progress: Progress,
    goal: GoalView,
    arm: ArmView,
    dt_ns: int,
    rules: TaskRules,
    *,
    moving: bool,
) -> Progress:
    holding_ns = progress.holding_ns + dt_ns if arm.holding else 0
    if holding_ns >= rules.hold_confirm_ns:
        return _grasped(progress, goal, arm, rules)
    offset = progress.target_m - arm.tip_m
    sunk = bool(np.hypot(offset[0], offset[1]) < rules.near_m and offset[2] > rules.sunk_m)
    sunk_ns = progress.sunk_ns + (dt_ns if moving else 0) if sunk else 0
    pushed_ns = progress.pushed_ns + dt_ns if arm.push_nm > rules.push_max_nm else 0
    progress = replace(progress, holding_ns=holding_ns, sunk_ns=sunk_ns, pushed_ns=pushed_ns)
    in_vain = sunk_ns > rules.grasp_timeout_ns or pushed_ns > rules.push_confirm_ns
    if in_vain and not arm.holding:
        return _fail(progress, PolicyReason.GRASP_MISSED)
    return progress


def _grasped(progress: Progress, goal: GoalView, arm: ArmView, rules: TaskRules) -> Progress:
    """The touch measures the part's height better than the camera did; the release uses that."""
    shift = float(arm.tip_m[2] - progress.target_m[2])
    bound = rules.release_shift_max_m
    rise = rules.release_above_m + min(max(shift, -bound), bound)
    release = goal.place_m + np.array([0.0, 0.0, rise])
    return replace(progress, stage=Stage.CARRY, release_m=release, holding_ns=0, pushed_ns=0)


def _carry(progress: Progress, arm: ArmView, dt_ns: int, rules: TaskRules) -> Progress:
    if arm.holding:
        return _landing(progress, arm, dt_ns, rules)
    if arm.suction > 0.5:
        return _fail(progress, PolicyReason.PART_DROPPED)
    return replace(progress, stage=Stage.RETREAT, released=True)


def _landing(progress: Progress, arm: ArmView, dt_ns: int, rules: TaskRules) -> Progress:
    """The network lets go at the release point; a part that touches down before is let go here."""
    offset = progress.release_m - arm.tip_m
    near = float(np.hypot(offset[0], offset[1])) < rules.near_m
    pushed_ns = progress.pushed_ns + dt_ns if near and arm.push_nm > rules.landed_nm else 0
    if pushed_ns < rules.landed_confirm_ns:
        return replace(progress, pushed_ns=pushed_ns)
    return replace(progress, stage=Stage.RETREAT, released=True, pushed_ns=0)


def _retreat(progress: Progress, arm: ArmView, rules: TaskRules) -> Progress:
    away = float(np.max(np.abs(arm.q_rad - rules.home_rad)))
    # Leaving home takes twice the distance of arriving there, so that the flag does not flutter.
    tolerance = rules.home_rad_tolerance * (2.0 if progress.at_home else 1.0)
    at_home = away <= tolerance and (progress.at_home or arm.speed_rad_s < 0.05)
    return replace(progress, at_home=at_home)


def _fail(progress: Progress, reason: PolicyReason) -> Progress:
    """Whatever went wrong, the way out is the way home."""
    return replace(progress, stage=Stage.RETREAT, failure=reason, at_home=False)


def allows_suction(progress: Progress) -> bool:
    """The network takes and releases; on the way home the pump is off whatever it says."""
    return progress.stage is not Stage.RETREAT

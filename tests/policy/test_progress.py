"""A task from reach to home, and each way it can fail."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.policy import progress as tasks
from runtime.policy.observation import Stage
from runtime.policy.progress import ArmView, GoalView, TaskRules
from runtime.shm import Phase, PolicyReason

HOME = np.zeros(7)
RULES = TaskRules(home_rad=HOME, task_timeout_ns=20_000_000_000)
GOAL = GoalView(7, 1, Phase.PICK, np.array([0.5, -0.2, 0.05]), np.array([0.5, 0.2, 0.05]))
AWAY = ArmView(HOME + 0.5, 0.0, np.array([0.3, 0.0, 0.4]), suction=0.0, holding=False)
AT_PART = replace(AWAY, tip_m=np.array([0.5, -0.2, 0.047]), suction=1.0)
HOLDING = replace(AT_PART, holding=True)
STEP_NS = 10_000_000


def run(progress, arm, steps=1, goal=GOAL, *, moving=True):
    for _ in range(steps):
        progress = tasks.advance(progress, goal, arm, STEP_NS, RULES, moving=moving)
    return progress


def test_new_task_reaches_for_the_target():
    progress = run(None, AWAY)
    assert progress.stage is Stage.REACH
    assert progress.target_m.tolist() == [0.5, -0.2, 0.05]
    assert not progress.done
    assert not progress.failed


def test_idle_and_observe_go_home():
    for phase in (Phase.IDLE, Phase.OBSERVE, Phase.RETREAT):
        assert run(None, AWAY, goal=replace(GOAL, phase=phase)).stage is Stage.RETREAT


def test_hold_counts_when_it_lasts():
    progress = run(None, AWAY)
    assert run(progress, HOLDING, 2).stage is Stage.REACH
    assert run(progress, HOLDING, 3).stage is Stage.CARRY


def test_touch_corrects_the_release_height():
    progress = run(run(None, AWAY), HOLDING, 3)
    assert progress.release_m[2] == pytest.approx(0.05 + 0.008 - 0.003)


def test_release_leads_home_and_home_is_done():
    progress = run(run(None, AWAY), HOLDING, 3)
    progress = run(progress, replace(HOLDING, suction=0.0, holding=False))
    assert progress.stage is Stage.RETREAT
    assert not progress.done
    progress = run(progress, replace(AWAY, q_rad=HOME))
    assert progress.done
    assert progress.percent == 100


def test_agents_retreat_phase_keeps_the_finished_task():
    progress = run(run(None, AWAY), HOLDING, 3)
    progress = run(progress, replace(HOLDING, suction=0.0, holding=False))
    retreat = replace(GOAL, phase=Phase.RETREAT)
    progress = run(progress, replace(AWAY, q_rad=HOME), goal=retreat)
    assert progress.done


def test_a_part_that_touches_down_early_is_let_go_at_once():
    progress = run(run(None, AWAY), HOLDING, 3)
    over = replace(HOLDING, tip_m=np.array([0.5, 0.2, 0.08]))
    assert run(progress, over, 20).stage is Stage.CARRY
    landed = run(progress, replace(over, push_nm=9.0), 1)
    assert landed.stage is Stage.RETREAT
    assert landed.released
    assert not landed.failed
    assert not tasks.allows_suction(landed)


def test_load_far_from_the_place_lets_nothing_go():
    progress = run(run(None, AWAY), HOLDING, 3)
    wedged = replace(HOLDING, push_nm=9.0)
    assert run(progress, wedged, 20).stage is Stage.CARRY


def test_part_lost_on_the_way_fails_and_goes_home():
    progress = run(run(None, AWAY), HOLDING, 3)
    progress = run(progress, replace(HOLDING, holding=False))
    assert progress.failure is PolicyReason.PART_DROPPED
    assert progress.stage is Stage.RETREAT
    assert not tasks.allows_suction(progress)


def test_cup_below_the_part_without_hold_is_a_missed_grasp():
    sunk = replace(AT_PART, tip_m=np.array([0.5, -0.2, 0.04]))
    progress = run(run(None, AWAY), sunk, 149)
    assert not progress.failed
    assert run(progress, sunk, 3).failure is PolicyReason.GRASP_MISSED


def test_pushing_hard_without_a_hold_is_a_missed_grasp():
    pushing = replace(AT_PART, push_nm=20.0)
    progress = run(run(None, AWAY), pushing, 9)
    assert not progress.failed
    assert run(progress, pushing, 3).failure is PolicyReason.GRASP_MISSED


def test_short_knock_is_no_missed_grasp():
    progress = run(None, AWAY)
    for _ in range(10):
        progress = run(run(progress, replace(AT_PART, push_nm=20.0), 5), AT_PART)
    assert not progress.failed


def test_time_in_which_the_arm_may_not_move_is_not_counted():
    sunk = replace(AT_PART, tip_m=np.array([0.5, -0.2, 0.04]))
    assert not run(run(None, AWAY), sunk, 3000, moving=False).failed


def test_endless_reach_times_out():
    assert run(None, AWAY, 2005).failure is PolicyReason.TIMEOUT


def test_next_attempt_begins_anew():
    progress = run(None, AWAY, 2005)
    again = run(progress, AWAY, goal=replace(GOAL, attempt=2))
    assert again.stage is Stage.REACH
    assert not again.failed


def test_task_resumed_with_the_part_in_the_gripper_carries_on():
    assert run(None, HOLDING, goal=replace(GOAL, phase=Phase.PLACE)).stage is Stage.CARRY


@given(
    events=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.floats(-0.01, 0.01), st.booleans()), max_size=80
    )
)
def test_done_needs_a_hold_a_release_and_home(events):
    progress, held = None, False
    for holding, pumping, depth, home in events:
        arm = ArmView(
            HOME if home else HOME + 0.5,
            0.0,
            np.array([0.5, -0.2, 0.05 + depth]),
            suction=float(pumping),
            holding=holding,
        )
        progress = run(progress, arm)
        held = held or progress.stage is Stage.CARRY
        assert not (progress.done and progress.failed)
        if progress.done:
            assert held
            assert home

"""The local plan keeps its distance from where people will be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.planning.local import LOOKS, LocalPlanner
from runtime.planning.motion import Motion, Mover, at_rest
from runtime.planning.people import NOBODY, Crowd, clearance_m
from runtime.shm import PlanStatus

TRAY = np.array([0.5, 0.2, 0.1])


def crowd_of(*people):
    rows = np.array(people, dtype=float).reshape(-1, 4)
    return Crowd(rows[:, :2], rows[:, 2:], np.full(len(rows), 0.3), 0)


@pytest.fixture
def planner(kinematics, rules):
    return LocalPlanner(kinematics, rules)


@pytest.fixture(scope="module")
def over_tray(kinematics, rules, home):
    from runtime.planning.inverse import solve_pose

    pose = solve_pose(kinematics, home, TRAY, rules.low_rad, rules.high_rad)
    assert pose is not None
    return pose


def test_empty_cell_is_clear_at_full_speed(planner, home, over_tray):
    plan = planner.plan(at_rest(home), over_tray, NOBODY, 0.05, 1.0)
    assert plan.status is PlanStatus.CLEAR
    assert plan.speed_scale == 1.0


def test_far_walker_does_not_slow_the_arm(planner, home, over_tray):
    plan = planner.plan(at_rest(home), over_tray, crowd_of((3.5, 0, 0, 1.0)), 0.05, 1.0)
    assert plan.speed_scale == 1.0


def test_person_in_reach_of_everything_blocks_or_draws_back(planner, home, over_tray):
    plan = planner.plan(at_rest(over_tray), over_tray, crowd_of((0.75, 0.2, 0, 0)), 0.05, 1.0)
    assert plan.status in {PlanStatus.BLOCKED, PlanStatus.DETOUR}
    assert plan.speed_scale < 1.0


def test_walker_towards_the_arm_is_seen_before_arriving(planner, home, over_tray):
    """1.5 m/s from 2.5 m: within the horizon this person stands at the table."""
    calm = planner.plan(at_rest(over_tray), over_tray, crowd_of((2.5, 0.2, 0, 0)), 0.05, 1.0)
    coming = planner.plan(at_rest(over_tray), over_tray, crowd_of((2.5, 0.2, -1.5, 0)), 0.05, 1.0)
    assert calm.speed_scale == 1.0
    assert coming.speed_scale < 1.0


def test_wider_margin_is_never_more_permissive(kinematics, rules, home, over_tray):
    for x in np.linspace(0.8, 2.5, 12):
        crowd = crowd_of((x, 0.2, 0, 0))
        speeds = [
            LocalPlanner(kinematics, rules)
            .plan(at_rest(home), over_tray, crowd, 0.05, margin)
            .speed_scale
            for margin in (1.0, 1.5)
        ]
        assert speeds[1] <= speeds[0]


PLACE = st.tuples(st.floats(0.5, 2.5), st.floats(-1.5, 1.5), st.floats(-1, 1), st.floats(-1, 1))


@given(people=st.lists(PLACE, min_size=1, max_size=3), age_s=st.floats(0, 0.3))
def test_planned_motion_keeps_the_clearance_to_predicted_people(
    kinematics, rules, home, over_tray, people, age_s
):
    """Whatever is advised to go on keeps the distance at every moment looked at."""
    crowd = crowd_of(*people)
    plan = LocalPlanner(kinematics, rules).plan(at_rest(home), over_tray, crowd, age_s, 1.0)
    if plan.status is PlanStatus.BLOCKED:
        assert plan.speed_scale == 0.0
        return
    if plan.waypoint_rad is not None and np.array_equal(plan.waypoint_rad, rules.home_rad):
        # Drawing back is chosen for gaining room, not for having it.
        return
    target = over_tray if plan.waypoint_rad is None else plan.waypoint_rad
    times = np.linspace(0.0, rules.horizon_s, LOOKS)
    limits = rules.limits.slowed(plan.speed_scale)
    poses = Mover(7).preview(at_rest(home), target, limits, times)
    assert poses is not None
    for pose, time in zip(poses, times.tolist(), strict=True):
        room = clearance_m(crowd, *kinematics.spheres(pose), age_s + time, rules.spread_m_s)
        assert room >= rules.clearance_m - 1e-9


def test_motion_that_is_not_a_number_blocks(planner, home, over_tray):
    broken = Motion(np.full(7, np.nan), np.zeros(7), np.zeros(7))
    with_people = crowd_of((1.2, 0.2, 0, 0))
    plan = planner.plan(broken, over_tray, with_people, 0.05, 1.0)
    assert plan.status is PlanStatus.BLOCKED


def test_released_only_with_more_room_than_it_was_blocked_at(planner, home, over_tray):
    """Walking away from the table step by step: no flutter at the threshold."""
    speeds = [
        planner.plan(at_rest(over_tray), over_tray, crowd_of((x, 0.2, 0, 0)), 0.0, 1.0).speed_scale
        for x in np.linspace(1.0, 2.2, 120)
    ]
    changes = np.flatnonzero(np.diff(speeds))
    assert len(changes) <= 4
    assert speeds[-1] == 1.0

"""The reactive controller: slow, jerk-limited, and standing when it cannot be sure."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.planning.fallback import (
    Aim,
    Ambiguity,
    Fallback,
    Surroundings,
    find_ambiguity,
)
from runtime.planning.inverse import solve_pose
from runtime.planning.motion import STEP_S
from runtime.shm import Verdict, Workspace

SURE = Surroundings(
    policy_allowed=False,
    people_age_ns=50_000_000,
    nearest_m=3.0,
    workspace=Workspace.CLEAR,
    verdict=Verdict.OK,
    speed_scale=0.5,
    holding=False,
    suction=0.0,
)
STEP_NS = 10_000_000


@pytest.fixture
def fallback(kinematics, cautious):
    return Fallback(kinematics, cautious)


@pytest.fixture(scope="module")
def in_bin(kinematics, cautious, home):
    spot = np.array([0.47, -0.24, 0.06])
    pose = solve_pose(kinematics, home, spot, cautious.low_rad, cautious.high_rad)
    assert pose is not None
    return pose


def run(fallback, start, known, steps, velocity=None):
    """An arm that follows at once."""
    q_rad, qd_rad_s = start.copy(), np.zeros(7) if velocity is None else velocity
    seen = []
    for _ in range(steps):
        step = fallback.step(q_rad, qd_rad_s, known, STEP_NS)
        assert step is not None
        seen.append(step)
        q_rad, qd_rad_s = step.motion.q_rad, step.motion.qd_rad_s
    return seen


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Ambiguity.NONE),
        ({"policy_allowed": True}, Ambiguity.POLICY_DRIVES),
        ({"people_age_ns": None}, Ambiguity.PEOPLE_UNKNOWN),
        ({"people_age_ns": 400_000_000}, Ambiguity.PEOPLE_UNKNOWN),
        ({"nearest_m": 1.0}, Ambiguity.PERSON_NEAR),
        ({"nearest_m": float("nan")}, Ambiguity.PERSON_NEAR),
        ({"nearest_m": float("inf")}, Ambiguity.NONE),
        ({"workspace": Workspace.UNKNOWN}, Ambiguity.WORKSPACE),
        ({"workspace": Workspace.OCCUPIED}, Ambiguity.WORKSPACE),
        ({"verdict": Verdict.VETO}, Ambiguity.VETOED),
        ({"speed_scale": 0.0}, Ambiguity.SPEED_ZERO),
        ({"speed_scale": float("nan")}, Ambiguity.SPEED_ZERO),
    ],
)
def test_ambiguity_has_a_name(cautious, changes, reason):
    assert find_ambiguity(replace(SURE, **changes), cautious) is reason


def test_sure_and_empty_handed_it_goes_home_slowly(fallback, home, in_bin):
    seen = run(fallback, in_bin, SURE, 3000)
    assert seen[0].aim is Aim.HOME
    assert np.max(np.abs(seen[-1].motion.q_rad - home)) < 0.01
    fastest = max(float(np.max(np.abs(step.motion.qd_rad_s))) for step in seen)
    assert fastest <= 0.5 * 0.3 + 1e-6


def test_out_of_the_bin_it_goes_up_before_it_goes_home(fallback, kinematics, in_bin):
    seen = run(fallback, in_bin, SURE, 700)
    start = kinematics.tool(in_bin).tip_m
    for step in seen:
        tip = kinematics.tool(step.motion.q_rad).tip_m
        if tip[2] < 0.12:
            assert np.hypot(*(tip[:2] - start[:2])) < 0.05


def test_held_part_is_set_down_in_the_tray_and_let_go_there(fallback, kinematics, in_bin, home):
    holding = replace(SURE, holding=True, suction=1.0)
    q_rad, qd_rad_s, released = in_bin.copy(), np.zeros(7), None
    for _ in range(6000):
        known = holding if released is None else replace(SURE, holding=False)
        step = fallback.step(q_rad, qd_rad_s, known, STEP_NS)
        assert step is not None
        if released is None and step.suction == 0.0:
            released = kinematics.tool(step.motion.q_rad).tip_m
        q_rad, qd_rad_s = step.motion.q_rad, step.motion.qd_rad_s
    assert released is not None
    assert np.hypot(released[0] - 0.47, released[1] - 0.24) < 0.02
    assert released[2] < 0.09
    assert np.max(np.abs(q_rad - home)) < 0.02


def test_ambiguity_in_motion_brakes_to_a_stand_and_keeps_the_part(fallback, in_bin):
    holding = replace(SURE, holding=True, suction=1.0)
    moving = run(fallback, in_bin, holding, 200)
    assert np.max(np.abs(moving[-1].motion.qd_rad_s)) > 0.05
    last = moving[-1].motion
    unsure = replace(holding, workspace=Workspace.UNKNOWN)
    stopped = run(fallback, last.q_rad, unsure, 60, last.qd_rad_s)
    assert stopped[-1].aim is Aim.STAND
    assert np.max(np.abs(stopped[-1].motion.qd_rad_s)) < 1e-6
    assert stopped[-1].suction == 1.0


situations = st.builds(
    Surroundings,
    policy_allowed=st.booleans(),
    people_age_ns=st.one_of(st.none(), st.integers(0, 10**9)),
    nearest_m=st.floats(allow_nan=True),
    workspace=st.sampled_from(Workspace),
    verdict=st.sampled_from(Verdict),
    speed_scale=st.floats(0, 1),
    holding=st.booleans(),
    suction=st.floats(0, 1),
)


@given(script=st.lists(st.tuples(situations, st.integers(1, 40)), min_size=1, max_size=8))
def test_commands_are_jerk_limited_whatever_the_situation_does(
    kinematics, cautious, in_bin, script
):
    fallback = Fallback(kinematics, cautious)
    q_rad, qd_rad_s, qdd = in_bin.copy(), np.zeros(7), np.zeros(7)
    bound = np.maximum(cautious.braking.jerk_rad_s3, cautious.moving.jerk_rad_s3)
    for known, steps in script:
        for _ in range(steps):
            step = fallback.step(q_rad, qd_rad_s, known, STEP_NS)
            assert step is not None
            motion = step.motion
            assert np.all(np.abs(motion.qdd_rad_s2 - qdd) / STEP_S <= bound + 1e-6)
            if find_ambiguity(known, cautious) is not Ambiguity.NONE:
                assert step.aim is Aim.STAND
            q_rad, qd_rad_s, qdd = motion.q_rad, motion.qd_rad_s, motion.qdd_rad_s2


def test_arm_moved_by_somebody_else_is_taken_over_from_where_it_is(fallback, home, in_bin):
    run(fallback, in_bin, SURE, 100)
    step = fallback.step(home, np.zeros(7), SURE, STEP_NS)
    assert step is not None
    assert np.max(np.abs(step.motion.q_rad - home)) < 0.01

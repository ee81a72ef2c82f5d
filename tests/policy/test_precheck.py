"""The checks before each action, row by row, and in their order."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.policy.policyd import action_rules
from runtime.policy.precheck import Action, Box, Conditions, check_action
from runtime.shm import PolicyReason, StopLevel, Verdict, Workspace
from runtime.skills.manifest import SkillManifest

GOOD = Conditions(
    workspace=Workspace.CLEAR,
    people_age_ns=30_000_000,
    stop_level=StopLevel.NONE,
    motor_temp_c=40.0,
    gripper_pressure_kpa=60.0,
    verdict=Verdict.OK,
)
MANIFEST = SkillManifest.model_validate(
    {
        "format": 1,
        "name": "pick_place",
        "version": "1.0.0",
        "arm": "panda",
        "description": "x",
        "policy": {"file": "p.onnx", "observation_size": 1, "chunk_steps": 1, "joints": 7},
        "backup": None,
        "execute_steps": 1,
        "home_rad": [0.0] * 7,
        "limits": {
            "joint_velocity_rad_s": 1.1,
            "joint_acceleration_rad_s2": 4.0,
            "task_timeout_s": 20,
        },
        "preconditions": [],
        "postconditions": [],
        "card": "card.yaml",
    }
)


@pytest.fixture(scope="module")
def rules(config):
    return action_rules(config, MANIFEST)


@pytest.fixture(scope="module")
def still(kinematics, home):
    centers, radii = kinematics.spheres(home)
    return Action(home, np.zeros(7), kinematics.tool(home).tip_m, centers, radii)


def test_good_action_passes_every_check(still, rules):
    assert check_action(still, GOOD, rules) is PolicyReason.NONE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"workspace": Workspace.OCCUPIED}, PolicyReason.WORKSPACE_OCCUPIED),
        ({"workspace": Workspace.UNKNOWN}, PolicyReason.WORKSPACE_OCCUPIED),
        ({"people_age_ns": None}, PolicyReason.WORKSPACE_OCCUPIED),
        ({"people_age_ns": 301_000_000}, PolicyReason.WORKSPACE_OCCUPIED),
        ({"people_age_ns": 300_000_000}, PolicyReason.NONE),
        ({"stop_level": StopLevel.CONTROLLED}, PolicyReason.UNHEALTHY),
        ({"motor_temp_c": 85.0}, PolicyReason.UNHEALTHY),
        ({"motor_temp_c": float("nan")}, PolicyReason.UNHEALTHY),
        ({"gripper_pressure_kpa": 80.5}, PolicyReason.UNHEALTHY),
        ({"gripper_pressure_kpa": float("nan")}, PolicyReason.UNHEALTHY),
        ({"verdict": Verdict.VETO}, PolicyReason.VETOED),
        ({"verdict": Verdict.RESTRICT}, PolicyReason.NONE),
        ({"verdict": Verdict.UNKNOWN}, PolicyReason.NONE),
    ],
)
def test_condition_decides(still, rules, changes, reason):
    assert check_action(still, replace(GOOD, **changes), rules) is reason


@pytest.mark.parametrize("joint", range(7))
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 9.0, -9.0])
def test_position_outside_the_limits_is_refused(still, rules, joint, wrong):
    q_rad = still.q_rad.copy()
    q_rad[joint] = wrong
    action = replace(still, q_rad=q_rad)
    assert check_action(action, GOOD, rules) is PolicyReason.OUTSIDE_LIMITS


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.2, -1.2])
def test_velocity_above_the_skills_own_limit_is_refused(still, rules, wrong):
    action = replace(still, qd_rad_s=np.array([0.0] * 6 + [wrong]))
    assert check_action(action, GOOD, rules) is PolicyReason.OUTSIDE_LIMITS


def test_tool_outside_the_workspace_is_refused(still, rules):
    action = replace(still, tip_m=np.array([0.9, 0.0, 0.3]))
    assert check_action(action, GOOD, rules) is PolicyReason.OUTSIDE_LIMITS


def test_arm_in_the_table_is_refused(still, rules):
    sunk = still.sphere_centers_m - [0.0, 0.0, 0.5]
    action = replace(still, sphere_centers_m=sunk)
    assert check_action(action, GOOD, rules) is PolicyReason.COLLISION


def test_sphere_that_is_not_a_number_counts_as_touching(still, rules):
    centers = still.sphere_centers_m.copy()
    centers[0] = np.nan
    action = replace(still, sphere_centers_m=centers)
    assert check_action(action, GOOD, rules) is PolicyReason.COLLISION


def test_first_failing_check_names_the_reason(still, rules):
    everything = replace(
        GOOD, workspace=Workspace.OCCUPIED, motor_temp_c=99.0, verdict=Verdict.VETO
    )
    assert check_action(still, everything, rules) is PolicyReason.WORKSPACE_OCCUPIED
    rest = replace(everything, workspace=Workspace.CLEAR)
    assert check_action(still, rest, rules) is PolicyReason.UNHEALTHY


@given(
    center=st.tuples(*[st.floats(-2, 2)] * 3),
    radius=st.floats(0.01, 0.5),
    low=st.tuples(*[st.floats(-1, 0)] * 3),
    size=st.tuples(*[st.floats(0.01, 1)] * 3),
)
def test_collision_means_that_a_point_of_the_box_lies_inside_the_sphere(
    still, rules, center, radius, low, size
):
    high = tuple(a + b for a, b in zip(low, size, strict=True))
    action = replace(still, sphere_centers_m=np.array([center]), sphere_radii_m=np.array([radius]))
    only_box = replace(rules, keep_out=(Box(low, high),))
    grid = np.stack(
        np.meshgrid(*(np.linspace(a, b, 9) for a, b in zip(low, high, strict=True))), -1
    ).reshape(-1, 3)
    inside = np.min(np.linalg.norm(grid - np.array(center), axis=1)) < radius
    found = check_action(action, GOOD, only_box) is PolicyReason.COLLISION
    # A grid point inside the ball proves contact; without one the box may still be grazed.
    assert found or not inside

"""A skill's own conditions: each declared one is asked for, and what is not known does not hold."""

from dataclasses import replace

import pytest

from runtime.skills.conditions import Facts, unmet_postconditions, unmet_preconditions
from runtime.skills.manifest import Postcondition, Precondition

GOOD = Facts(gripper_empty=True, target_visible=True, workspace_clear=True, arm_at_home=True)
NOTHING = Facts(False, False, False, False)


@pytest.fixture
def demanding(workshop):
    manifest = workshop.cache().install(workshop.folder(), "panda").manifest
    return manifest.model_copy(
        update={"preconditions": tuple(Precondition), "postconditions": tuple(Postcondition)}
    )


def test_all_hold_when_all_is_well(demanding):
    assert unmet_preconditions(demanding, GOOD) == ()
    assert unmet_postconditions(demanding, GOOD) == ()


def test_nothing_known_meets_nothing(demanding):
    assert unmet_preconditions(demanding, NOTHING) == tuple(Precondition)
    assert unmet_postconditions(demanding, NOTHING) == tuple(Postcondition)


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        ("gripper_empty", Precondition.GRIPPER_EMPTY),
        ("target_visible", Precondition.TARGET_VISIBLE),
        ("workspace_clear", Precondition.WORKSPACE_CLEAR),
    ],
)
def test_missing_fact_names_its_precondition(demanding, missing, rule):
    assert unmet_preconditions(demanding, replace(GOOD, **{missing: False})) == (rule,)


def test_undeclared_condition_is_not_asked_for(demanding):
    modest = demanding.model_copy(update={"preconditions": (), "postconditions": ()})
    assert unmet_preconditions(modest, NOTHING) == ()
    assert unmet_postconditions(modest, NOTHING) == ()

"""Predicted people: columns that walk on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.planning.people import NOBODY, Crowd, clearance_m, nearest_m

NEAR = st.floats(-3, 3)
SPEED = st.floats(-2, 2)


def person(x, y, vx=0.0, vy=0.0, radius=0.3):
    return Crowd(np.array([[x, y]]), np.array([[vx, vy]]), np.array([radius]), 0)


BALL = np.array([[0.0, 0.0, 0.5]]), np.array([0.1])


def test_nobody_is_infinitely_far():
    assert clearance_m(NOBODY, *BALL, 1.0, 0.2) == float("inf")
    assert nearest_m(NOBODY, 1.0, 0.2) == float("inf")


def test_clearance_is_the_gap_between_surfaces():
    assert clearance_m(person(2.0, 0.0), *BALL, 0.0, 0.2) == pytest.approx(1.6)


def test_walker_comes_nearer_and_becomes_less_sure():
    found = clearance_m(person(2.0, 0.0, -1.0), *BALL, 1.0, 0.2)
    assert found == pytest.approx(2.0 - 1.0 - 0.3 - 0.2 - 0.1)


def test_height_does_not_help():
    high = np.array([[0.0, 0.0, 3.0]]), np.array([0.1])
    assert clearance_m(person(2.0, 0.0), *high, 0.0, 0.2) == pytest.approx(1.6)


@given(x=NEAR, y=NEAR, vx=SPEED, vy=SPEED, horizon=st.floats(0, 2), share=st.floats(0, 1))
def test_nearest_is_never_farther_than_any_moment_of_the_walk(x, y, vx, vy, horizon, share):
    crowd = person(x, y, vx, vy)
    moment = horizon * share
    point = np.zeros((1, 3)), np.zeros(1)
    assert nearest_m(crowd, horizon, 0.2) <= clearance_m(crowd, *point, moment, 0.2) + 1e-6

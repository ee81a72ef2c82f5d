"""ruckig as it is used here: every step inside velocity, acceleration and jerk."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.planning.motion import STEP_S, Motion, MotionLimits, Mover

LIMITS = MotionLimits(np.full(2, 0.3), np.full(2, 1.0), np.full(2, 10.0))
PAIR = st.lists(st.floats(-2, 2), min_size=2, max_size=2).map(np.array)
SLOW = st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=2).map(np.array)


@given(start=PAIR, velocity=SLOW, target=PAIR, turn=PAIR, steps=st.integers(1, 120))
def test_motion_is_jerk_limited_even_when_the_target_jumps(start, velocity, target, turn, steps):
    mover = Mover(2)
    motion = Motion(start, velocity, np.zeros(2))
    for step in range(steps + 60):
        after = mover.towards(motion, target if step < steps else turn, LIMITS)
        assert after is not None
        jerk = np.abs(after.qdd_rad_s2 - motion.qdd_rad_s2) / STEP_S
        assert np.all(jerk <= 10.0 + 1e-6)
        assert np.all(np.abs(after.qdd_rad_s2) <= 1.0 + 1e-6)
        assert np.all(np.abs(after.qd_rad_s) <= 0.3 + 0.06 + 1e-6)
        motion = after


@given(velocity=st.lists(st.floats(-2, 2), min_size=2, max_size=2).map(np.array))
def test_stand_is_reached_and_kept(velocity):
    mover = Mover(2)
    motion = Motion(np.zeros(2), velocity, np.zeros(2))
    for _ in range(400):
        after = mover.to_stand(motion, LIMITS)
        assert after is not None
        motion = after
    assert np.all(np.abs(motion.qd_rad_s) < 1e-9)
    again = mover.to_stand(motion, LIMITS)
    assert again is not None
    assert np.allclose(again.q_rad, motion.q_rad)


@given(
    start=st.lists(st.floats(), min_size=2, max_size=2).map(np.array),
    target=st.lists(st.floats(), min_size=2, max_size=2).map(np.array),
)
def test_any_numbers_give_a_finite_step_or_none(start, target):
    after = Mover(2).towards(Motion(start, np.zeros(2), np.zeros(2)), target, LIMITS)
    if after is not None:
        assert np.all(np.isfinite(after.q_rad))
        assert np.all(np.isfinite(after.qd_rad_s))

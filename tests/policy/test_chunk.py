"""The chunk player: on the path, never faster than asked, waiting for an arm that is held back."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.policy import chunk as playing
from runtime.policy.chunk import Chunk
from runtime.policy.detour import detour_chunk

JOINTS, STEPS = 3, 16


@st.composite
def chunks(draw):
    values = draw(st.lists(st.floats(-1, 1), min_size=JOINTS * STEPS, max_size=JOINTS * STEPS))
    return Chunk(np.array(values).reshape(STEPS, JOINTS), np.ones(STEPS), 8)


def play(chunk, paces, q_cmd=None):
    """References along a run whose arm follows at once, unless `q_cmd` says where it is."""
    playback = playing.load(playing.begin(np.zeros(JOINTS), 0.0), chunk)
    seen = [playback]
    for pace in paces:
        at = playback.reference.q_rad if q_cmd is None else q_cmd
        playback = playing.advance(playback, pace, at, 0.01)
        seen.append(playback)
    return seen


@given(chunk=chunks(), paces=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_reference_moves_by_velocity_times_pace(chunk, paces):
    seen = play(chunk, paces)
    for before, after in pairwise(seen):
        moved = after.reference.q_rad - before.reference.q_rad
        assert np.allclose(moved, after.velocity_rad_s * 0.01, atol=1e-12)
        assert np.all(np.abs(after.velocity_rad_s) <= 1.0 + 1e-12)


@given(chunk=chunks(), paces=st.lists(st.floats(allow_nan=True), min_size=1, max_size=40))
def test_pace_changes_gradually_whatever_is_asked(chunk, paces):
    seen = play(chunk, paces)
    for before, after in pairwise(seen):
        change = abs(after.reference.pace - before.reference.pace)
        assert change <= playing.PACE_SLEW_PER_S * 0.01 + 1e-12
        assert 0.0 <= after.reference.pace <= 1.0


@given(chunk=chunks())
def test_slow_play_passes_the_same_points_later(chunk):
    """Half the pace for twice the time ends where full pace ends, up to the grid of the steps."""
    fast = playing.load(playing.begin(np.zeros(JOINTS), 0.0), chunk)
    slow = fast
    fast = _at_pace(fast, 1.0)
    slow = _at_pace(slow, 0.5)
    for _ in range(8):
        fast = playing.advance(fast, 1.0, fast.reference.q_rad, 0.01)
    for _ in range(16):
        slow = playing.advance(slow, 0.5, slow.reference.q_rad, 0.01)
    assert slow.phase == pytest.approx(fast.phase)
    assert np.allclose(slow.reference.q_rad, fast.reference.q_rad, atol=0.006)


def _at_pace(playback, pace):
    return replace(playback, reference=replace(playback.reference, pace=pace))


def test_full_pace_stops_within_a_fifth_of_a_second():
    chunk = Chunk(np.ones((STEPS, JOINTS)), np.ones(STEPS), 8)
    seen = play(chunk, [1.0] * 30 + [0.0] * 20)
    assert seen[30].reference.pace == pytest.approx(1.0)
    assert seen[-1].reference.pace == pytest.approx(0.0)


def test_arm_held_back_is_waited_for():
    chunk = Chunk(np.ones((STEPS, JOINTS)), np.ones(STEPS), 1000)
    seen = play(chunk, [1.0] * 200, q_cmd=np.zeros(JOINTS))
    ahead = [float(np.max(np.abs(playback.reference.q_rad))) for playback in seen]
    assert ahead[-1] == ahead[-50]
    assert ahead[-1] < playing.LOST_RAD
    assert not playing.is_lost(seen[-1], np.zeros(JOINTS))


def test_arm_that_is_elsewhere_is_lost():
    playback = playing.begin(np.zeros(JOINTS), 0.0)
    assert playing.is_lost(playback, np.array([0.0, 0.3, 0.0]))
    assert playing.is_lost(playback, np.array([0.0, np.nan, 0.0]))


def test_without_chunk_the_reference_brakes_and_stands():
    chunk = Chunk(np.ones((STEPS, JOINTS)), np.ones(STEPS), 8)
    playback = play(chunk, [1.0] * 30)[-1]
    playback = replace(playback, chunk=None)
    for _ in range(25):
        playback = playing.advance(playback, 1.0, playback.reference.q_rad, 0.01)
    assert np.all(playback.velocity_rad_s == 0.0)


@given(
    start=st.lists(st.floats(-2, 2), min_size=JOINTS, max_size=JOINTS),
    velocity=st.lists(st.floats(-1, 1), min_size=JOINTS, max_size=JOINTS),
    goal=st.lists(st.floats(-2, 2), min_size=JOINTS, max_size=JOINTS),
)
def test_detour_keeps_to_its_acceleration(start, velocity, goal):
    chunk = detour_chunk(
        np.array(start),
        np.array(velocity),
        np.array(goal),
        velocity_limit_rad_s=0.6,
        acceleration_limit_rad_s2=4.0,
        suction=1.0,
    )
    steps = np.vstack([[velocity], chunk.velocities_rad_s])
    assert np.all(np.abs(np.diff(steps, axis=0)) <= 4.0 * 0.01 + 1e-9)
    assert np.all(chunk.suction == 1.0)

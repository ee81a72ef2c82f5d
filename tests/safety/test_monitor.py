"""From surprise to verdict: monotone, slow to forgive, and never sure without fresh history."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.safety.features import STEP_NS, Sample, input_size, measured, model_input, output_size
from runtime.safety.monitor import (
    HISTORY_FOR_OPINION,
    Calibration,
    Hysteresis,
    Monitor,
    grade,
    observe,
)
from runtime.shm import Verdict

JOINTS = 2
CALIBRATION = Calibration(np.ones(6), np.full(6, 2.0), restrict_above=4.0, veto_above=8.0)
RULE = Hysteresis(release_ns=400_000_000)


def silent(features):
    """Expects an arm without any error."""
    return np.zeros(output_size(JOINTS))


def sample(index, torque=0.0, *, touching=False):
    return Sample(
        created_ns=index * STEP_NS,
        q_cmd_rad=np.zeros(JOINTS),
        qd_cmd_rad_s=np.zeros(JOINTS),
        position_error_rad=np.zeros(JOINTS),
        velocity_error_rad_s=np.zeros(JOINTS),
        torque_nm=np.array([torque, 0.0]),
        suction=0.0,
        touching=touching,
    )


FRESH = Monitor()


def run(torques, start=FRESH, first=0):
    seen, monitor = [], start
    for index, torque in enumerate(torques, start=first):
        monitor = observe(monitor, sample(index, torque), silent, CALIBRATION, RULE)
        seen.append(monitor)
    return seen


def test_unknown_until_enough_has_been_seen():
    seen = run([0.0] * 40)
    verdicts = [monitor.verdict for monitor in seen]
    known = verdicts.index(Verdict.OK)
    assert known >= HISTORY_FOR_OPINION
    assert verdicts[:known] == [Verdict.UNKNOWN] * known


def test_lasting_surprise_vetoes_within_a_tenth_of_a_second():
    calm = run([0.0] * 40)[-1]
    verdicts = [monitor.verdict for monitor in run([20.0] * 10, calm, 40)]
    assert verdicts[-1] is Verdict.VETO


def test_single_noisy_sample_does_not():
    calm = run([0.0] * 40)[-1]
    seen = run([12.0, 0.0, 0.0, 0.0], calm, 40)
    assert all(monitor.verdict is Verdict.OK for monitor in seen)


def test_touching_allows_more():
    monitor = Monitor()
    for index in range(60):
        one = sample(index, 10.0, touching=True)
        monitor = observe(monitor, one, silent, CALIBRATION, RULE)
    assert monitor.surprise == pytest.approx(5.0, rel=0.02)
    assert monitor.verdict is Verdict.RESTRICT


def test_forgiven_only_after_calm_has_lasted():
    upset = run([20.0] * 40)[-1]
    assert upset.verdict is Verdict.VETO
    seen = run([0.0] * 120, upset, 40)
    verdicts = [monitor.verdict for monitor in seen]
    calm = next(i for i, m in enumerate(seen) if m.surprise <= CALIBRATION.restrict_above)
    milder, released = verdicts.index(Verdict.RESTRICT), verdicts.index(Verdict.OK)
    assert released - milder >= RULE.release_ns // STEP_NS
    assert released - calm >= RULE.release_ns // STEP_NS


@pytest.mark.parametrize("standing", [Verdict.VETO, Verdict.RESTRICT])
def test_gap_forgives_nothing(standing):
    upset = replace(run([0.0] * 40)[-1], verdict=standing)
    late = observe(upset, sample(1000), silent, CALIBRATION, RULE)
    assert late.verdict is standing


def test_gap_ends_an_approval():
    calm = run([0.0] * 40)[-1]
    assert observe(calm, sample(1000), silent, CALIBRATION, RULE).verdict is Verdict.UNKNOWN


def test_one_late_step_takes_no_approval_back():
    calm = run([0.0] * 40)[-1]
    for monitor in run([0.0] * 10, calm, 42):
        assert monitor.verdict is Verdict.OK


def test_steps_of_which_none_can_be_judged_end_an_approval():
    monitor = run([0.0] * 40)[-1]
    for index in range(42, 60, 2):
        monitor = observe(monitor, sample(index), silent, CALIBRATION, RULE)
    assert monitor.verdict is Verdict.UNKNOWN


def test_what_surprised_before_a_late_step_is_remembered_after_it():
    upset = run([20.0] * 6, run([0.0] * 40)[-1], 40)[-1]
    late = observe(upset, sample(48, 20.0), silent, CALIBRATION, RULE)
    assert late.surprise == upset.surprise
    assert run([20.0] * 6, late, 49)[-1].surprise > upset.surprise


def test_time_that_stands_still_or_goes_back_is_a_gap():
    calm = run([0.0] * 40)[-1]
    assert observe(calm, sample(3), silent, CALIBRATION, RULE).verdict is Verdict.UNKNOWN


@given(low=st.floats(0, 1e6), high=st.floats(0, 1e6))
def test_more_surprise_never_gives_a_milder_opinion(low, high):
    small, large = sorted((low, high))
    assert grade(small, CALIBRATION) <= grade(large, CALIBRATION)


def test_surprise_that_is_not_a_number_vetoes():
    assert grade(float("nan"), CALIBRATION) is Verdict.VETO


@given(torques=st.lists(st.floats(0, 30), min_size=20, max_size=60), more=st.floats(1.0, 5.0))
def test_stronger_disturbance_never_ends_milder(torques, more):
    mild = run(torques)
    strong = run([torque * more for torque in torques])
    for one, other in zip(mild, strong, strict=True):
        assert one.surprise <= other.surprise + 1e-9 or np.isnan(one.surprise)


@given(torques=st.lists(st.floats(allow_nan=True), min_size=1, max_size=40))
def test_any_numbers_give_a_verdict_and_a_bounded_surprise(torques):
    for monitor in run(torques):
        assert monitor.verdict in Verdict
        assert np.isnan(monitor.surprise) or 0.0 <= monitor.surprise <= 1e6


def test_nan_from_the_arm_is_never_ok():
    calm = run([0.0] * 40)[-1]
    assert run([float("nan")], calm, 40)[-1].verdict is Verdict.VETO


def test_sizes_agree():
    assert model_input(sample(0), sample(1)).shape == (input_size(JOINTS),)
    assert measured(sample(0)).shape == (output_size(JOINTS),)

"""The cascade's decision: which reasons call which level, and what its budgets hold."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema.perception import Triggers
from runtime.perception.cascade import (
    CALLS_FULL,
    CALLS_REFINED,
    Budget,
    Decision,
    Memory,
    Readings,
    Seen,
    decide,
    reasons,
    refund,
)
from runtime.perception.level import Level
from runtime.shm.enums import Levels, Trigger

ALL = Levels.LEVEL1 | Levels.LEVEL2 | Levels.LEVEL3
TRIGGERS = Triggers()
BUDGETS = {Level.REFINED: Budget(10.0), Level.FULL: Budget(5.0, burst=3)}
S = 1_000_000_000
FRAME = 33_333_333
RECENT = Memory(last_full_ns=0)

floats = st.floats(0, 10, allow_nan=False)
seen_things = st.builds(
    Seen,
    confidence=st.floats(0, 1),
    is_new=st.booleans(),
    speed_m_s=floats,
    in_workspace=st.booleans(),
    uncertainty_m=st.floats(0, 1),
    distance_m=floats,
    occlusion=st.floats(0, 1),
    measured=st.booleans(),
)
any_readings = st.builds(
    Readings,
    seen=st.lists(seen_things, max_size=4).map(tuple),
    change_px=st.none() | st.integers(0, 20_000),
    robot_speed_rad_s=st.none() | floats,
    high_value=st.booleans(),
)


def why(readings: Readings, memory: Memory = RECENT, now_ns: int = FRAME) -> Trigger:
    return reasons(TRIGGERS, readings, memory, now_ns)


def run(readings: Readings, memory: Memory = RECENT, allowed: Levels = ALL) -> Decision:
    return decide(TRIGGERS, BUDGETS, readings, memory, S, allowed)[0]


@pytest.mark.parametrize(
    ("seen", "trigger"),
    [
        (Seen(confidence=0.69), Trigger.CONFIDENCE),
        (Seen(confidence=1.0, is_new=True), Trigger.NEW_OBJECT),
        (Seen(confidence=1.0, speed_m_s=0.51), Trigger.VELOCITY),
        (Seen(confidence=1.0, in_workspace=True), Trigger.IN_WORKSPACE),
        (Seen(confidence=1.0, uncertainty_m=0.31), Trigger.UNCERTAINTY),
    ],
)
def test_each_sign_of_level_1_calls_level_2_alone(seen: Seen, trigger: Trigger) -> None:
    decision = run(Readings(seen=(seen,)))
    assert decision.triggers == trigger
    assert decision.run == {Level.REFINED}


@pytest.mark.parametrize(
    ("readings", "trigger"),
    [
        (Readings(seen=(Seen(confidence=1.0, distance_m=1.0),)), Trigger.HUMAN_NEARBY),
        (Readings(seen=(Seen(confidence=1.0, occlusion=0.51),)), Trigger.OCCLUSION),
        (Readings(seen=(Seen(confidence=1.0, measured=False),)), Trigger.DISAGREEMENT),
        (Readings(high_value=True), Trigger.HIGH_VALUE),
        (Readings(change_px=TRIGGERS.change_px), Trigger.DEPTH_CHANGE),
        (Readings(change_px=None), Trigger.DEPTH_CHANGE),
    ],
)
def test_each_sign_of_more_calls_level_3_alone(readings: Readings, trigger: Trigger) -> None:
    decision = run(readings)
    assert decision.triggers == trigger
    assert decision.run == {Level.FULL}


def test_somebody_known_is_looked_at_again_only_when_the_last_full_look_is_old() -> None:
    near = Readings(seen=(Seen(confidence=1.0, distance_m=1.0),))
    limit_ns = round(TRIGGERS.human_look_s * S)

    def looks(readings: Readings, now_ns: int) -> bool:
        decision, _ = decide(TRIGGERS, BUDGETS, readings, RECENT, now_ns, ALL)
        assert decision.triggers & Trigger.HUMAN_NEARBY  # told in either case
        return Level.FULL in decision.run

    assert not looks(near, limit_ns - 1)
    assert looks(near, limit_ns)
    # Nobody waits for that: a change that the known person does not explain is looked at now.
    assert looks(replace(near, change_px=TRIGGERS.change_px), FRAME)


def test_thresholds_of_the_specification_are_the_defaults() -> None:
    assert (TRIGGERS.confidence_below, TRIGGERS.velocity_above_m_s) == (0.7, 0.5)
    assert (TRIGGERS.uncertainty_above, TRIGGERS.occlusion_above) == (0.3, 0.5)
    assert TRIGGERS.full_look_s == 5.0


def test_quiet_scene_calls_nothing_until_the_last_full_look_is_five_seconds_old() -> None:
    assert why(Readings(), now_ns=5 * S) == Trigger(0)
    assert why(Readings(), now_ns=5 * S + 1) == Trigger.PERIODIC


def test_fast_robot_wants_a_younger_full_look() -> None:
    fast = Readings(robot_speed_rad_s=TRIGGERS.robot_speed_rad_s + 0.1)
    limit_ns = round(TRIGGERS.full_look_moving_s * S)
    assert why(fast, now_ns=limit_ns) == Trigger(0)
    assert why(fast, now_ns=limit_ns + 1) == Trigger.ROBOT_SPEED
    unknown = Readings(robot_speed_rad_s=None)
    assert why(unknown, now_ns=limit_ns + 1) == Trigger.ROBOT_SPEED


def test_level_that_may_not_run_does_not() -> None:
    loud = Readings(seen=(Seen(confidence=0.1, distance_m=0.1, occlusion=1.0),), change_px=None)
    assert run(loud, allowed=Levels.LEVEL1).run == frozenset()
    assert run(loud, allowed=Levels.LEVEL1 | Levels.LEVEL2).run == {Level.REFINED}


@given(any_readings)
def test_levels_run_only_for_a_reason_that_calls_them(readings: Readings) -> None:
    decision = run(readings)
    assert (Level.REFINED in decision.run) == bool(decision.triggers & CALLS_REFINED)
    assert (Level.FULL in decision.run) == bool(decision.triggers & CALLS_FULL)


@given(any_readings)
def test_losing_a_sense_never_takes_a_reason_away(readings: Readings) -> None:
    """Unknown is not clear: without the cue or the joints there are as many reasons or more."""
    memory = Memory(last_full_ns=-3 * S)
    assert why(readings, memory) | why(replace(readings, change_px=None), memory) == why(
        replace(readings, change_px=None), memory
    )
    blind = replace(readings, robot_speed_rad_s=None)
    assert why(readings, memory) | why(blind, memory) == why(blind, memory)


@given(st.lists(st.tuples(any_readings, st.integers(1, 3)), min_size=1, max_size=120))
def test_no_sequence_of_readings_makes_a_level_run_beyond_its_budget(
    steps: list[tuple[Readings, int]],
) -> None:
    memory, now_ns = Memory(), 0
    counts = dict.fromkeys(BUDGETS, 0)
    for readings, frames in steps:
        decision, memory = decide(TRIGGERS, BUDGETS, readings, memory, now_ns, ALL)
        for level in decision.run:
            counts[level] += 1
        now_ns += frames * FRAME
    for level, budget in BUDGETS.items():
        assert counts[level] <= budget.burst + now_ns / S * budget.rate_hz * 1.01 + 1e-6


@given(st.integers(1, 400))
def test_full_looks_never_lie_further_apart_than_the_period_and_a_picture(frames: int) -> None:
    memory, last_ns = Memory(), 0
    for frame in range(frames):
        now_ns = frame * FRAME
        decision, memory = decide(TRIGGERS, BUDGETS, Readings(), memory, now_ns, ALL)
        if Level.FULL in decision.run:
            memory = replace(memory, last_full_ns=now_ns)
            last_ns = now_ns
        assert now_ns - last_ns <= TRIGGERS.full_look_s * S + 2 * FRAME


def test_wanted_level_runs_at_its_rate() -> None:
    memory = Memory()
    looks = 0
    for frame in range(300):
        decision, memory = decide(
            TRIGGERS, BUDGETS, Readings(high_value=True), memory, frame * FRAME, ALL
        )
        looks += Level.FULL in decision.run
    assert 50 <= looks <= 53  # 10 s at 5 Hz, and what it had saved up


def test_first_decision_calls_a_full_look() -> None:
    decision, _ = decide(TRIGGERS, BUDGETS, Readings(), Memory(), 0, ALL)
    assert Level.FULL in decision.run


def test_refused_run_costs_nothing() -> None:
    _, memory = decide(TRIGGERS, BUDGETS, Readings(high_value=True), RECENT, FRAME, ALL)
    spent = memory.tokens[Level.FULL]
    assert refund(memory, BUDGETS, Level.FULL).tokens[Level.FULL] == spent + 1

"""Modes: what each reading leads to, how they end, and the rules that no table may break."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from conf.schema.modes import ModeName, Modes, PolicySource
from runtime.modes import (
    BIT_OF,
    NO_REARM,
    ControlReading,
    GpuReading,
    HealthReading,
    ModeState,
    PerceptionHealth,
    Reading,
    Readings,
    StopCause,
    WorkspaceReading,
    automatic_rearm,
    decide,
    effects_of,
    names_of,
)
from runtime.shm import Mode
from runtime.whatif import healthy

MS = 1_000_000
TABLE: Modes = compose().config.modes
ARMED = replace(
    ModeState(),
    **{
        name: replace(ModeState().network_offline, active=False)
        for name in ("network_offline", "gpu_overloaded", "gpu_offline")
    },
    causes=frozenset(),
)


def run(state: ModeState, change, for_ms: int, start_ms: int = 0, step_ms: int = 50) -> ModeState:
    for now_ms in range(start_ms, start_ms + for_ms + 1, step_ms):
        state = decide(state, change(healthy(now_ms * MS)), now_ms * MS, TABLE)
    return state


def offline(now: Readings) -> Readings:
    return replace(now, network_online=Reading(value=False, at_ns=now.network_online.at_ns))


def gpu(now: Readings, **changes) -> Readings:
    return replace(now, gpu=Reading(replace(now.gpu.value, **changes), now.gpu.at_ns))


def stopped_for(*causes: StopCause, lasting: bool = False):
    found = frozenset(causes)
    reading = ControlReading(found, found if lasting else frozenset())
    return lambda now: replace(now, control=Reading(reading, now.control.at_ns))


def test_a_robot_that_has_heard_nothing_is_fully_degraded():
    state = decide(ModeState(), Readings(), 0, TABLE)
    assert names_of(state.modes) == (
        ModeName.NETWORK_OFFLINE,
        ModeName.GPU_OFFLINE,
        ModeName.SAFE_STOP,
    )


def test_modes_all_readings_good_for_long_enough_leaves_only_the_boot_stop():
    state = run(ModeState(), lambda now: now, 5000)
    assert state.modes == Mode.SAFE_STOP
    assert state.causes == {StopCause.BOOT}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (offline, Mode.NETWORK_OFFLINE),
        (lambda now: gpu(now, slowdown=2.0), Mode.GPU_OVERLOADED),
        (lambda now: gpu(now, load_ratio=0.99), Mode.GPU_OVERLOADED),
        (lambda now: gpu(now, slowdown=float("nan")), Mode.GPU_OVERLOADED),
        (lambda now: gpu(now, present=False), Mode.GPU_OFFLINE),
        (lambda now: gpu(offline(now), present=False), Mode.GPU_OFFLINE | Mode.NETWORK_OFFLINE),
        (stopped_for(StopCause.COLLISION), Mode.SAFE_STOP),
        (lambda now: replace(now, control=None), Mode.SAFE_STOP),
        (lambda now: replace(now, operator_stop=True), Mode.SAFE_STOP),
    ],
)
def test_modes_a_bad_reading_leads_to_its_mode(change, expected):
    assert run(ARMED, change, 10_000).modes == expected


def test_network_offline_begins_only_after_its_time_and_ends_only_after_its_time():
    times = TABLE.hysteresis["network_offline"]
    before = run(ARMED, offline, times.enter_ms - 50)
    assert before.modes == Mode.NOMINAL
    entered = run(ARMED, offline, times.enter_ms)
    assert entered.modes == Mode.NETWORK_OFFLINE
    start = times.enter_ms + 50
    assert run(entered, lambda now: now, times.leave_ms - 50, start).modes == Mode.NETWORK_OFFLINE
    assert run(entered, lambda now: now, times.leave_ms, start).modes == Mode.NOMINAL


def test_network_that_comes_and_goes_faster_than_the_time_to_leave_stays_offline():
    state = run(ARMED, offline, 5000)
    for second in range(5, 30):
        change = offline if second % 2 else (lambda now: now)
        state = run(state, change, 950, second * 1000)
    assert state.modes == Mode.NETWORK_OFFLINE


def test_gpu_between_leave_and_enter_thresholds_keeps_whatever_holds():
    between = (TABLE.gpu.slowdown_enter + TABLE.gpu.slowdown_leave) / 2
    assert run(ARMED, lambda now: gpu(now, slowdown=between), 20_000).modes == Mode.NOMINAL
    slow = run(ARMED, lambda now: gpu(now, slowdown=9.0), 2000)
    after = run(slow, lambda now: gpu(now, slowdown=between), 20_000, 2000)
    assert after.modes == Mode.GPU_OVERLOADED


def test_gpu_offline_with_unknown_workspace_stops_and_asks_for_a_human():
    def change(now: Readings) -> Readings:
        return replace(
            gpu(now, present=False), workspace=Reading(WorkspaceReading.UNKNOWN, now.gpu.at_ns)
        )

    state = run(ARMED, change, 3000)
    assert StopCause.AMBIGUOUS in state.causes
    assert effects_of(state.modes, TABLE).behaviour.request_human


def test_an_old_workspace_counts_as_unknown():
    def change(now: Readings) -> Readings:
        old = now.gpu.at_ns - TABLE.fresh.workspace_ms * MS - 1
        return replace(gpu(now, present=False), workspace=Reading(WorkspaceReading.CLEAR, old))

    assert StopCause.AMBIGUOUS in run(ARMED, change, 3000).causes


def test_a_reading_from_the_future_is_not_believed():
    def change(now: Readings) -> Readings:
        return replace(now, control=Reading(now.control.value, now.control.at_ns + 1))

    assert StopCause.CONTROL_LOST in run(ARMED, change, 200).causes


@pytest.mark.parametrize("cause", [c for c in StopCause if c not in {StopCause.BOOT}])
def test_safe_stop_does_not_end_by_itself(cause):
    stopped = run(ARMED, stopped_for(cause), 200)
    assert Mode.SAFE_STOP in run(stopped, lambda now: now, 60_000, 250).modes


def test_rearm_does_not_clear_a_cause_that_is_still_there():
    change = stopped_for(StopCause.ESTOP, lasting=True)
    stopped = run(ARMED, change, 200)
    now_ns = 300 * MS
    again = decide(stopped, change(healthy(now_ns)), now_ns, TABLE, rearm=stopped.causes)
    assert again.causes == {StopCause.ESTOP}


def test_rearm_clears_what_is_past():
    stopped = run(ARMED, stopped_for(StopCause.COLLISION), 200)
    now_ns = 300 * MS
    armed = decide(stopped, healthy(now_ns), now_ns, TABLE, rearm=stopped.causes)
    assert armed.modes == Mode.NOMINAL


def test_rearm_during_an_operator_stop_does_nothing():
    def change(now: Readings) -> Readings:
        return replace(now, operator_stop=True)

    stopped = run(ARMED, change, 100)
    after = decide(stopped, change(healthy(200 * MS)), 200 * MS, TABLE, rearm=stopped.causes)
    assert after.causes == {StopCause.OPERATOR}


@pytest.mark.parametrize(
    ("cause", "automatic"),
    [
        (StopCause.BOOT, True),
        (StopCause.STALE_COMMAND, True),
        (StopCause.CONTROL_LOST, True),
        (StopCause.AMBIGUOUS, True),
        (StopCause.HEALTH, False),
        (StopCause.STALE_SENSORS, False),
        (StopCause.DEADLINE, False),
        (StopCause.OPERATOR, False),
        (StopCause.ESTOP, False),
        (StopCause.COLLISION, False),
        (StopCause.VETO, False),
        (StopCause.THERMAL, False),
        (StopCause.LIVENESS, False),
        (StopCause.FAULT, False),
    ],
)
def test_automatic_rearm_never_covers_what_a_person_must_see(cause, automatic):
    state = replace(ARMED, causes=frozenset({cause}))
    cleared = automatic_rearm(state, TABLE, auto_arm=True)
    assert cleared == (state.causes if automatic else NO_REARM)


def test_every_cause_is_in_the_table_above():
    covered = test_automatic_rearm_never_covers_what_a_person_must_see.pytestmark[0].args[1]
    assert {cause for cause, _ in covered} == set(StopCause)


def test_pauses_of_the_machine_need_no_person_where_real_time_is_not_required():
    state = replace(ARMED, causes=frozenset({StopCause.STALE_SENSORS, StopCause.DEADLINE}))
    assert automatic_rearm(state, TABLE, auto_arm=True, best_effort=True) == state.causes
    assert automatic_rearm(state, TABLE, auto_arm=True, best_effort=False) == NO_REARM


def test_automatic_rearm_clears_all_causes_or_none():
    state = replace(ARMED, causes=frozenset({StopCause.STALE_COMMAND, StopCause.COLLISION}))
    assert automatic_rearm(state, TABLE, auto_arm=True) == NO_REARM


def test_automatic_rearm_of_the_boot_needs_the_facility_to_allow_it():
    assert (
        automatic_rearm(replace(ARMED, causes=frozenset({StopCause.BOOT})), TABLE, auto_arm=False)
        == NO_REARM
    )


def test_boot_without_known_health_is_not_armed():
    def change(now: Readings) -> Readings:
        return replace(now, health=Reading(HealthReading.UNKNOWN, now.gpu.at_ns))

    state = run(ModeState(), change, 10_000)
    assert automatic_rearm(state, TABLE, auto_arm=True) == NO_REARM
    assert automatic_rearm(run(ModeState(), lambda now: now, 10_000), TABLE, auto_arm=True)


def test_health_that_becomes_unknown_stops_a_running_robot():
    def change(now: Readings) -> Readings:
        return replace(now, health=None)

    assert run(ARMED, change, 100).causes == {StopCause.HEALTH}


# What the specification lists, word for word.


def test_network_offline_does_what_the_specification_lists():
    effects = effects_of(Mode.NETWORK_OFFLINE, TABLE)
    assert effects.capabilities.model_dump(mode="json") == {
        "skill_execution": "cached",
        "perception_level_max": 2,
        "planning": "local",
        "training": False,
        "telemetry": "buffered",
    }
    nominal = effects_of(Mode.NOMINAL, TABLE).behaviour
    assert not effects.behaviour.new_skills
    assert effects.behaviour.complex_tasks == "decompose_locally"
    assert effects.behaviour.margin_multiplier == nominal.margin_multiplier  # safety unchanged
    assert effects.behaviour.speed_scale == nominal.speed_scale


def test_gpu_overloaded_does_what_the_specification_lists():
    effects = effects_of(Mode.GPU_OVERLOADED, TABLE)
    assert effects.capabilities.perception_level_max == 1
    assert effects.behaviour.perception_rate_hz == 30
    assert effects.behaviour.policy_rate_hz == 50
    assert effects.behaviour.margin_multiplier == 1.5


def test_gpu_offline_does_what_the_specification_lists():
    effects = effects_of(Mode.GPU_OFFLINE, TABLE)
    assert effects.capabilities.perception_level_max == 0
    assert effects.behaviour.stereo
    assert effects.behaviour.perception_rate_hz == 10
    assert effects.behaviour.policy_source is PolicySource.FALLBACK
    assert effects.behaviour.ambiguity == "stop"
    assert effects.behaviour.request_human


def strictness(modes: Mode) -> dict[str, float]:
    """Every effect as a number that grows with strictness."""
    effects = effects_of(modes, TABLE)
    able, acts = effects.capabilities, effects.behaviour

    def rank(member) -> int:
        return list(type(member)).index(member)

    return {
        "skills": rank(able.skill_execution),
        "levels": -able.perception_level_max,
        "planning": rank(able.planning),
        "training": not able.training,
        "telemetry": rank(able.telemetry),
        "new_skills": not acts.new_skills,
        "complex": rank(acts.complex_tasks),
        "source": rank(acts.policy_source),
        "policy": -acts.policy_rate_hz,
        "perception": -acts.perception_rate_hz,
        "margin": acts.margin_multiplier,
        "speed": -acts.speed_scale,
        "ambiguity": rank(acts.ambiguity),
        "human": acts.request_human,
    }


UNIONS = [Mode(bits) for bits in range(16) if bits & 6 != 6]


@pytest.mark.parametrize("modes", UNIONS, ids=lambda m: "+".join(names_of(m)))
def test_a_union_is_at_least_as_strict_as_each_of_its_modes(modes):
    whole = strictness(modes)
    for name in names_of(modes):
        part = strictness(BIT_OF[name])
        assert all(whole[key] >= part[key] for key in part)


def test_losing_the_gpu_is_at_least_as_strict_as_an_overloaded_one():
    """It has to be: readings that vanish lead from the one to the other."""
    weaker, stricter = strictness(Mode.GPU_OVERLOADED), strictness(Mode.GPU_OFFLINE)
    assert all(stricter[key] >= weaker[key] for key in weaker)


# Properties over any history.

TIMES = st.integers(0, 3000).map(lambda ms: ms * MS)


@st.composite
def readings_at(draw: st.DrawFn, now_ns: int) -> Readings:
    def maybe(values):
        if draw(st.integers(0, 5)) == 0:
            return None
        age = draw(st.sampled_from([0, 0, 0, 400 * MS, 6000 * MS, -MS]))
        return Reading(draw(values), now_ns - age)

    number = st.sampled_from([1.0, 1.3, 2.0, float("nan"), float("inf")])
    share = st.sampled_from([0.1, 0.9, 0.99, float("nan")])
    causes = st.frozensets(st.sampled_from(list(StopCause)), max_size=2)
    return Readings(
        network_online=maybe(st.booleans()),
        gpu=maybe(st.builds(GpuReading, st.booleans(), number, share)),
        perception=maybe(st.sampled_from(list(PerceptionHealth))),
        workspace=maybe(st.sampled_from(list(WorkspaceReading))),
        control=maybe(st.builds(lambda c: ControlReading(c, c & {StopCause.ESTOP}), causes)),
        health=maybe(st.sampled_from(list(HealthReading))),
        operator_stop=draw(st.booleans()),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, Readings]]:
    steps = draw(st.lists(TIMES, min_size=1, max_size=25))
    now_ns, found = 10_000 * MS, []
    for step in steps:
        now_ns += step
        found.append((now_ns, draw(readings_at(now_ns))))
    return found


@given(histories())
def test_safe_stop_is_never_left_without_a_rearm(history):
    states = [ModeState()]
    for now_ns, readings in history:
        states.append(decide(states[-1], readings, now_ns, TABLE))
    assert all(before.causes <= after.causes for before, after in pairwise(states))


@given(histories(), st.data())
def test_losing_a_reading_never_gives_more_freedom(history, data):
    state = ModeState() if data.draw(st.booleans()) else ARMED
    for now_ns, readings in history[:-1]:
        state = decide(state, readings, now_ns, TABLE, rearm=state.causes)
    now_ns, readings = history[-1]
    lost = data.draw(
        st.sampled_from(["network_online", "gpu", "perception", "workspace", "control", "health"])
    )
    rearm = state.causes if data.draw(st.booleans()) else NO_REARM
    having = decide(state, readings, now_ns, TABLE, rearm)
    losing = decide(state, replace(readings, **{lost: None}), now_ns, TABLE, rearm)
    with_it, without = strictness(having.modes), strictness(losing.modes)
    assert all(without[key] >= with_it[key] for key in with_it)


@given(histories())
def test_decide_depends_on_nothing_but_its_arguments(history):
    def walk() -> list[ModeState]:
        states = [ModeState()]
        for now_ns, readings in history:
            states.append(decide(states[-1], readings, now_ns, TABLE))
        return states

    assert walk() == walk()

"""Late, out of order, twice, or a day afterwards: what fires depends on what happened alone."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema.alerts import Alerts, Flap, NoData, RobotMode
from fleet.alerts.engine import Engine
from fleet.alerts.fold import Phase, Track, fold
from fleet.alerts.lane import Change, Turn
from fleet.alerts.sample import NS_PER_S, Sample
from fleet.alerts.state import StateError, read_lane, write_lane
from tests.fleet.alerts.made import SIGNAL, at, rule, rules, sample

SETS = [
    rules(
        rule(),
        rule(alert="test.held", for_s=4.0, clear=60.0, keep_firing_for_s=6.0),
        rule(alert="test.unknown", no_data=NoData.FIRE, for_s=2.0),
        rule(alert="test.flap", flap=Flap(changes=2, within_s=30.0)),
        rule(alert="test.mode", unless=(RobotMode.CHARGING,), below=50.0),
    ),
    rules(rule(for_s=3.0), lateness_s=20.0, gap_s=25.0),
]
VALUES = st.sampled_from([40.0, 55.0, 65.0, 75.0, 90.0, None])
MODES = st.sampled_from([(), (RobotMode.BUSY,), (RobotMode.CHARGING,)])
POINTS = st.tuples(st.integers(0, 200), VALUES, MODES)


def samples_of(points: list[tuple]) -> list[Sample]:
    """One sample for each time, in order."""
    found = {second: (value, modes) for second, value, modes in points}
    return [sample(second, value, *modes) for second, (value, modes) in sorted(found.items())]


def shuffled(samples: list[Sample], bound_s: float, draw: random.Random) -> list[Sample]:
    """An order in which none comes more than the bound behind a newer one."""
    delays = {one.at_ns: draw.random() * bound_s * NS_PER_S * 0.999 for one in samples}
    return sorted(samples, key=lambda one: one.at_ns + delays[one.at_ns])


def run(made: Alerts, samples: list[Sample]) -> tuple[Engine, list[tuple[str, Change]]]:
    engine = Engine(made)
    return engine, [change for one in samples for change in engine.observe([one])]


@pytest.mark.parametrize("made", SETS)
@given(points=st.lists(POINTS, max_size=60), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_order_within_the_lateness_bound_does_not_matter(made, points, seed) -> None:
    samples = samples_of(points)
    mixed = shuffled(samples, made.lateness_s, random.Random(seed))
    (first, said), (second, said_too) = run(made, samples), run(made, mixed)
    assert first.lanes == second.lanes
    assert said == said_too


@pytest.mark.parametrize("made", SETS)
@given(points=st.lists(POINTS, max_size=60), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_duplicates_change_nothing(made, points, seed) -> None:
    draw = random.Random(seed)
    once = shuffled(samples_of(points), made.lateness_s, draw)
    twice = [copy for one in once for copy in (one, *draw.choices(once, k=2))]
    seen: set[int] = set()
    again = []
    for one in twice:  # a copy never comes before its original
        if one.at_ns in seen or one is once[len(seen)]:
            seen.add(one.at_ns)
            again.append(one)
    (first, said), (second, said_too) = run(made, once), run(made, again)
    assert first.lanes == second.lanes
    assert said == said_too


@given(st.lists(st.tuples(st.integers(0, 10), VALUES), min_size=2, max_size=8))
def test_two_words_about_one_time_are_one_whichever_comes_first(points) -> None:
    made = SETS[0]
    samples = [replace(sample(0, value), at_ns=at(t % 3)) for t, value in points]
    first, _ = run(made, samples)
    second, _ = run(made, samples[::-1])
    assert first.lanes == second.lanes


@pytest.mark.parametrize("made", SETS)
@given(points=st.lists(POINTS, max_size=50), cut=st.integers(0, 50), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_engine_taken_apart_at_any_sample_goes_on_as_if_it_had_not_been(
    made, points, cut, seed
) -> None:
    draw = random.Random(seed)
    samples = shuffled(samples_of(points), made.lateness_s * 3, draw)  # some are late, too
    whole, said = run(made, samples)
    before, said_before = run(made, samples[:cut])
    after = Engine(made)
    for place, lane in before.lanes.items():
        after.lanes[place] = read_lane(write_lane(lane), made.rules)
    said_after = [change for one in samples[cut:] for change in after.observe([one])]
    assert after.lanes == whole.lanes
    assert said_before + said_after == said
    assert list(after.views(at(230))) == list(whole.views(at(230)))


@given(points=st.lists(POINTS, max_size=60), seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_state_is_what_folding_all_samples_in_order_gives(points, seed) -> None:
    """Looked at after each sample: what is kept from one look to the next must not differ."""
    made, samples = SETS[0], samples_of(points)
    engine = Engine(made)
    for one in shuffled(samples, made.lateness_s, random.Random(seed)):
        engine.observe([one])
        list(engine.views(one.at_ns))
    for key, one in made.rules.items():
        track = Track()
        for each in samples:
            track = fold(one, track, each)
        seen = engine.view("osaka-01", key, track.at_ns or 0)
        assert (seen.phase, seen.since_ns) == (track.phase, track.since_ns)


@given(st.lists(st.tuples(st.integers(0, 100), VALUES), max_size=60), st.integers(0, 6))
def test_alert_fires_only_after_its_condition_was_seen_to_hold_long_enough(points, for_s) -> None:
    made = rules(rule(for_s=float(for_s)))
    samples = samples_of([(t, value, ()) for t, value in points])
    engine, said = run(made, samples)
    for _, change in said:
        if change.turn is Turn.FIRED:
            held_ns = change.at_ns - for_s * NS_PER_S
            held = [s for s in samples if held_ns <= s.at_ns <= change.at_ns]
            assert all(s.value is not None and s.value > 70 for s in held)
    assert engine.counts.late == 0


@given(st.lists(st.tuples(st.integers(0, 100), VALUES, MODES), max_size=60))
def test_what_fires_shows_a_value_that_it_fires_for_not_one_that_is_well_again(points) -> None:
    one = rule(clear=60.0, keep_firing_for_s=6.0)
    track = Track()
    for each in samples_of(points):
        track = fold(one, track, each)
        if track.phase is Phase.FIRING:
            assert track.value is not None
            assert track.value > 60.0


def test_state_of_another_version_or_none_is_refused() -> None:
    for text in (b"", b"[]", b"{}", b'{"v": 2}', b'{"v": 1}', b'{"v": 1, "tracks": 3}'):
        with pytest.raises(StateError):
            read_lane(text, {})


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_lane_or_are_refused(text) -> None:
    made = SETS[0].rules
    try:
        lane = read_lane(text, made)
    except StateError:
        return
    assert read_lane(write_lane(lane), made) == lane


def test_rule_that_is_gone_is_forgotten_and_a_new_one_begins() -> None:
    engine, _ = run(rules(rule(), rule(alert="test.gone")), [sample(t, 80) for t in range(10)])
    kept = read_lane(write_lane(engine.lanes[("osaka-01", SIGNAL)]), {"rule_0": rule()})
    assert set(kept.tracks) == {"rule_0"}


def test_alert_is_seen_at_once_and_taken_back_by_a_sample_that_came_late() -> None:
    made = rules(rule(for_s=2.0))
    engine, _ = run(made, [sample(0, 80), sample(1, 80), sample(3, 80)])
    assert engine.view("osaka-01", "rule_0", at(3)).phase is Phase.FIRING
    assert engine.observe([sample(2, 50)]) == []
    assert engine.view("osaka-01", "rule_0", at(3)).phase is Phase.PENDING


def test_pending_alert_of_a_silent_robot_is_not_known_and_a_firing_one_goes_on() -> None:
    made = rules(rule(), rule(alert="test.held", for_s=100.0))
    engine, _ = run(made, [sample(0, 80)])
    soon, later = at(10), at(100)
    assert engine.view("osaka-01", "rule_1", soon).phase is Phase.PENDING
    assert engine.view("osaka-01", "rule_1", later).phase is Phase.NO_DATA
    firing = engine.view("osaka-01", "rule_0", later)
    assert firing.phase is Phase.FIRING
    assert not firing.known


def test_time_that_nobody_saw_does_not_count_as_time_the_condition_held() -> None:
    made = rules(rule(for_s=50.0, no_data_after_s=30.0))
    engine, said = run(made, [sample(0, 80), sample(55, 80)])
    assert said == []
    assert engine.view("osaka-01", "rule_0", at(55)).phase is Phase.PENDING

"""A day's records after an outage: no stale alert is told of, and no true one is hidden."""

from collections.abc import Iterator

import pytest

from conf.schema.alerts import Alerts
from fleet.alerts.engine import Engine
from fleet.alerts.fold import Phase
from fleet.alerts.lane import Change, Turn
from fleet.alerts.sample import Sample
from tests.fleet.alerts.made import SIGNAL, at, rule, rules, sample

HOUR = 3600
DAY = 24 * HOUR
EVERY = 10
HOT = range(10 * HOUR, 11 * HOUR)


@pytest.fixture(scope="module")
def made() -> Alerts:
    return rules(rule(for_s=30.0, clear=60.0), rule(alert="test.long", for_s=3600.0))


def before() -> list[Sample]:
    return [sample(t, 40) for t in range(-100, 1, 1)]


def lived(hot: range = HOT) -> list[Sample]:
    """What the robot recorded while it was away."""
    return [sample(t, 80 if t in hot else 40) for t in range(EVERY, DAY, EVERY)]


def interleaved(live: list[Sample], replayed: list[Sample], each: int) -> Iterator[Sample]:
    """The live values come once a second, and some of the old ones between them."""
    rest = iter(replayed)
    for one in live:
        yield one
        yield from (old for _, old in zip(range(each), rest, strict=False))
    yield from rest


def pages(engine: Engine, samples: Iterator[Sample], rule_key: str) -> tuple[list[Change], int]:
    """Changes found, and how often a firing alert was seen that was known to be so by then."""
    changes: list[Change] = []
    told, now_ns = 0, at(DAY)
    for one in samples:
        changes += [change for _, change in engine.observe([one]) if change.rule == rule_key]
        now_ns = max(now_ns, one.at_ns)
        seen = engine.view("osaka-01", rule_key, now_ns)
        told += seen.phase is Phase.FIRING and seen.known
    return changes, told


@pytest.mark.parametrize("each", [1, 50, 10_000])
def test_replay_of_a_day_behind_live_values_tells_nobody_and_is_found(made, each) -> None:
    engine = Engine(made)
    engine.observe(before())
    live = [sample(DAY + t, 40) for t in range(60)]
    changes, told = pages(engine, interleaved(live, lived(), each), "rule_0")
    assert told == 0
    assert [(c.turn, c.past) for c in changes] == [(Turn.FIRED, True), (Turn.ENDED, True)]
    assert changes[0].at_ns == at(HOT.start + 30)
    assert changes[1].at_ns == at(HOT.stop)


def test_replay_of_a_day_before_the_first_live_value_tells_nobody_either(made) -> None:
    engine = Engine(made)
    engine.observe(before())
    live = [sample(DAY + t, 40) for t in range(60)]
    changes, told = pages(engine, iter([*lived(), *live]), "rule_0")
    assert told == 0
    assert [c.turn for c in changes] == [Turn.FIRED, Turn.ENDED]


@pytest.mark.parametrize("each", [0, 1, 50, 10_000])
def test_condition_that_holds_now_is_told_whatever_is_replayed_meanwhile(made, each) -> None:
    engine = Engine(made)
    engine.observe(before())
    live = [sample(DAY + t, 80) for t in range(60)]
    _, told = pages(engine, interleaved(live, lived(), each), "rule_0")
    assert told > 0


def test_condition_that_has_held_through_the_outage_gets_its_true_beginning(made) -> None:
    """Pending for an hour: without the replay it would take another hour to be told."""
    engine = Engine(made)
    engine.observe(before())
    live = [sample(DAY + t, 80) for t in range(120)]
    hot = range(DAY - 2 * HOUR, DAY)
    _, told = pages(engine, interleaved(live, lived(hot), 500), "rule_1")
    assert told > 0
    alone = Engine(made)
    alone.observe(before())
    _, told = pages(alone, iter(live), "rule_1")
    assert told == 0


def test_replay_that_comes_twice_is_found_once(made) -> None:
    engine = Engine(made)
    engine.observe(before())
    live = [sample(DAY + t, 40) for t in range(60)]
    twice = [copy for one in lived() for copy in (one, one)]
    changes, _ = pages(engine, interleaved(live, [*twice, *lived()], 900), "rule_0")
    assert len(changes) == 2


def test_replayed_values_never_overwrite_what_is_known_now(made) -> None:
    engine = Engine(made)
    engine.observe(before())
    engine.observe([sample(DAY + t, 80) for t in range(60)])
    firing = engine.view("osaka-01", "rule_0", at(DAY + 60))
    engine.observe(lived(range(0)))
    assert engine.view("osaka-01", "rule_0", at(DAY + 60)) == firing
    assert firing.phase is Phase.FIRING


def test_what_is_too_late_even_for_the_past_is_counted(made) -> None:
    engine = Engine(made)
    engine.observe(before())
    assert engine.counts.late == 0
    engine.observe([sample(-50, 90)])
    assert engine.counts.late == 1
    assert engine.lanes[("osaka-01", SIGNAL)].past is None

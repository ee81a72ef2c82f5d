"""A day without network or without fleetd, recorded by the robot: found afterwards, and told right.

The records go through the real store, the watch runs its own rounds, only the clock is moved.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema.alerts import Alerts, RobotMode, Signal
from fleet.alerts.recall import (
    COLLISION,
    DRAINED,
    MODES,
    VETO,
    WORKSPACE_UNKNOWN,
    Past,
    is_drained,
)
from fleet.alerts.sample import ns
from fleet.alerts.sources import News
from fleet.robot import Robot
from fleet.settings import FleetSettings
from fleet.store.series import Query
from runtime.shm import Mode, StopReason, Verdict, Workspace
from runtime.telemetry.line import Point, encode_line, encode_tags
from tests.fleet.alerts.test_alertd import World
from tests.fleet.alerts.test_sources import NOW, live

HOUR = 3600
DAY = 24 * HOUR
EVERY = 30  # seconds between two records; a robot makes one a second
TAGS = encode_tags({"robot": "osaka-01", "site": "osaka", "hardware": "sim", "version": "v23"})
HOT = range(10 * HOUR, 11 * HOUR)
PRESSED = range(15 * HOUR, 15 * HOUR + 10 * 60)


def said(backlog: int = 0, **parts: Any) -> dict[str, Any]:
    spool = {"used_bytes": 10, "max_bytes": 1000, "durable": True, "disk_full": False}
    return live(spool={**spool, "records": {"alert": 0, "event": 0, "metric": backlog}}, **parts)


def control(**changes: Any) -> dict[str, Any]:
    usual = {
        "age_ms": 2.0,
        "misses": 3,
        "stop_level": 0,
        "stop_reason": 0,
        "mode": int(Mode.NETWORK_OFFLINE),
        "estop": False,
        "gripper_pressure_kpa": -30.0,
    }
    return {**usual, **changes}


def recorded(first_s: int, last_s: int, hot: range = HOT) -> list[bytes]:
    """What the robot wrote down, seconds after the beginning of the world."""
    lines: list[bytes] = []
    for number, second in enumerate(range(first_s, last_s, EVERY)):
        at_ns = NOW + ns(second)
        temp = 75.0 if second in hot else 40.0
        for measurement, fields in (
            ("control", control(estop=second in PRESSED)),
            ("joint", {"temp0_c": 39.0, "temp1_c": temp}),
        ):
            seq = 2 * number + (measurement == "joint")
            lines.append(encode_line(measurement, TAGS, fields, seq=seq, epoch=1, time_ns=at_ns))
    return lines


@pytest.fixture
def world(settings: FleetSettings) -> Iterator[World]:
    made = World(settings)
    yield made
    made.series.close()
    made.rows.dispose()


def until_judged(world: World, message: dict[str, Any], rounds: int = 120) -> None:
    for _ in range(rounds):
        world.go(1, message)
        if world.watch._recall._done:
            break
    assert world.watch._recall._done, "the past was not read"
    world.go(8, message)


def past(world: World) -> list[tuple[str, float, float]]:
    """Rule, begin and end in seconds, of what was found afterwards."""
    rows = [row for row in world.watch.alerts.history() if row["past"]]
    assert all(row["told_ns"] is None for row in rows)
    found = [(r["rule"], (r["began_ns"] - NOW) / 1e9, (r["ended_ns"] - NOW) / 1e9) for r in rows]
    return sorted(found, key=lambda one: one[1])


def test_day_of_records_after_an_outage_pages_nobody_and_is_in_the_history(world: World) -> None:
    world.go(30, said())
    world.clock.seconds += DAY
    world.go(3, None)
    assert world.fires() == {"silent"}
    later = {"tasks": {"done": 900, "failed": 2, "waiting": 0}}  # it has worked on by itself
    world.go(10, said(backlog=50_000, **later))
    assert world.watch._recall._past is None  # it has hardly begun to send
    world.series.write(recorded(31, DAY + 30))
    told_before = [row for row in world.watch.alerts.history() if row["told_ns"]]
    until_judged(world, said(**later))
    assert world.fires() == set()
    told = [row for row in world.watch.alerts.history() if row["told_ns"]]
    assert [row["rule"] for row in told] == [row["rule"] for row in told_before] == ["silent"]
    (hot, pressed) = past(world)
    assert hot[0] == "motor_hot"
    assert hot[1] == pytest.approx(HOT.start + 5, abs=EVERY + 1)
    assert hot[2] == pytest.approx(HOT.stop + 60, abs=EVERY + 1)
    assert pressed[0] == "estop"
    assert (pressed[1], pressed[2]) == pytest.approx((PRESSED.start, PRESSED.stop), abs=EVERY + 1)


def test_what_holds_now_is_told_at_once_whatever_is_still_to_be_read(world: World) -> None:
    world.go(30, said())
    world.clock.seconds += DAY
    world.series.write(recorded(31, DAY + 30))
    burning = said(backlog=40_000, control={"joints": [{"temp_c": 80.0}]})
    world.go(8, burning)
    assert "motor_hot" in world.fires()
    burning = said(control={"joints": [{"temp_c": 80.0}]})
    until_judged(world, burning)
    assert "motor_hot" in world.fires()
    assert tuple(rule for rule, *_ in past(world) if rule != "motor_hot") == ("estop",)


def test_time_in_which_no_fleetd_ran_is_judged_by_the_next_one(world: World) -> None:
    world.go(30, said())
    world.clock.seconds += DAY
    world.series.write(recorded(31, DAY + 30))
    world.watch = world.make()
    world.robot = Robot("osaka", "osaka-01", ns(2), ns(15), world.clock.now_ns())
    until_judged(world, said())
    assert world.fires() == set()
    assert [rule for rule, *_ in past(world)] == ["motor_hot", "estop"]


def test_alert_that_ended_while_no_fleetd_ran_is_over_and_one_that_goes_on_fires_on(
    world: World,
) -> None:
    both = {"joints": [{"temp_c": 80.0}], "estop": True}
    world.go(30, said(control=both))
    assert world.fires() == {"motor_hot", "estop"}
    world.clock.seconds += HOUR
    world.series.write(recorded(31, HOUR + 20, hot=range(DAY)))
    world.watch = world.make()
    assert world.fires() == {"motor_hot", "estop"}
    until_judged(world, said(control={"joints": [{"temp_c": 80.0}]}))
    assert world.fires() == {"motor_hot"}
    hot = [row for row in world.watch.alerts.history() if row["rule"] == "motor_hot"]
    assert len(hot) == 1  # one episode, with its true beginning


def test_store_that_is_away_is_asked_again(world: World, monkeypatch) -> None:
    from fleet.store.series import StoreUnavailableError

    world.go(30, said())
    world.clock.seconds += HOUR
    world.series.write(recorded(31, HOUR + 20, hot=range(600, 1200)))
    with monkeypatch.context() as broken:

        def fail(_query: Query) -> list[Point]:
            raise StoreUnavailableError("it is away")

        broken.setattr(world.series, "points", fail)
        world.go(20, said())
        assert world.watch._recall._done == {}
    until_judged(world, said())
    assert [rule for rule, *_ in past(world)] == ["motor_hot"]


def test_robot_that_does_not_say_what_it_holds_is_not_drained() -> None:
    assert is_drained(said())
    assert not is_drained(said(backlog=DRAINED + 1))
    assert not is_drained(live())


def test_numbers_are_those_that_robots_record() -> None:
    assert COLLISION == StopReason.COLLISION
    assert VETO == Verdict.VETO
    assert WORKSPACE_UNKNOWN == Workspace.UNKNOWN
    assert {bit: mode.value for bit, mode in MODES.items()} == {
        int(one): str(one.name).lower() for one in Mode if int(one)
    }


VALUES = st.floats(allow_nan=True) | st.text(max_size=5) | st.booleans() | st.none()
NAMES = st.sampled_from([*control(), "temp0_c", "workspace", "verdict", "used_ratio", "durable"])


@given(
    st.sampled_from(["control", "joint", "people", "safety", "telemetry"]),
    st.dictionaries(NAMES, VALUES, max_size=8),
)
def test_any_record_is_read_or_says_nothing(shipped: Alerts, measurement: str, fields: Any) -> None:
    made = Past("osaka-01", 0, 10, News(shipped))
    for one in made._samples(Point(measurement, {}, fields, 5)):
        assert (one.subject, one.at_ns) == ("osaka-01", 5)


def test_mode_of_the_time_goes_with_every_record_of_it(shipped: Alerts) -> None:
    made = Past("osaka-01", 0, 10, News(shipped))
    points = [
        Point("control", {}, {**control(), "mode": float(Mode.GPU_OFFLINE)}, 3),
        Point("control", {}, {**control(), "mode": 0.0, "stop_level": 2.0}, 6),
        *(Point("joint", {}, {"temp0_c": 40.0}, at_ns) for at_ns in (2, 4, 8)),
    ]
    found = [one for point in points for one in made._samples(point)]
    modes = {one.at_ns: one.modes for one in found if one.signal is Signal.MOTOR_TEMP_C}
    assert modes == {2: set(), 4: {RobotMode.GPU_OFFLINE}, 8: {RobotMode.STOPPED}}

"""What the fleet hears becomes samples; what it does not hear becomes none, and never a zero."""

from typing import Any

import pytest

from conf.schema.alerts import Alerts, RobotMode, Signal
from fleet.alerts.facts import slots_of
from fleet.alerts.sample import FLEET, Sample, ns
from fleet.alerts.sources import (
    FleetFacts,
    Heard,
    RobotSource,
    Running,
    fleet_samples,
    usual_of_kind,
)
from fleet.metrics.measure import Latency
from fleet.metrics.now import FleetNow, Percentiles
from fleet.metrics.query import Tally, Uptime

NOW = ns(1_800_000_000)


def live(**parts: Any) -> dict[str, Any]:
    control = {
        "age_ms": 3.0,
        "stop": {"level": "none", "reason": "none"},
        "estop": False,
        "misses": 0,
        "joints": [{"temp_c": 40.0}],
        "gripper": {"pressure_kpa": -40.0},
    }
    return {
        "wall_ns": NOW,
        "control": control | parts.pop("control", {}),
        "people": {"age_ms": 50.0, "workspace": "clear"},
        "verdict": {"verdict": "ok"},
        "spool": {"used_bytes": 10, "max_bytes": 1000, "durable": True, "disk_full": False},
        "mode": {"modes": ["nominal"]},
        "goal": {"task_id": 1, "phase": "pick", "attempt": 1, "object_id": 3},
        "tasks": {"done": 5, "failed": 0, "waiting": 0},
        "host": {"disk_free_ratio": 0.4},
        **parts,
    }


def table(samples: list[Sample]) -> dict[Signal, Sample]:
    return {one.signal: one for one in samples}


@pytest.fixture
def source(shipped: Alerts) -> RobotSource:
    return RobotSource("osaka-01", shipped)


def test_robot_that_is_heard_is_sampled_at_its_own_time(source: RobotSource) -> None:
    heard = Heard(live(wall_ns=NOW - ns(3)), 0.2, NOW)
    found = table(source.samples(heard, NOW))
    assert found[Signal.MOTOR_TEMP_C].at_ns == NOW - ns(3)
    assert found[Signal.GRIPPER_PRESSURE_RATIO].value == 0.5
    assert found[Signal.DISK_FREE_RATIO].value == 0.4
    assert found[Signal.SILENT_S].at_ns == NOW
    assert found[Signal.STUCK_S].modes == {RobotMode.BUSY}
    assert Signal.FLEET_SUCCESS_RATIO not in found


@pytest.mark.parametrize("wall_ns", [0, NOW * 2, NOW - ns(86_400 * 365), None, True, "x"])
def test_clock_that_is_wrong_by_years_is_not_believed(source: RobotSource, wall_ns: Any) -> None:
    found = table(source.samples(Heard(live(wall_ns=wall_ns), 0.2, NOW), NOW))
    assert found[Signal.MOTOR_TEMP_C].at_ns == NOW


def test_of_a_silent_robot_nothing_is_known_but_its_silence(source: RobotSource) -> None:
    found = table(source.samples(Heard(None, 60.0, NOW), NOW))
    assert set(found) == {Signal.SILENT_S, Signal.NETWORK_DROPS_PER_HOUR}
    assert found[Signal.SILENT_S].value == 60.0


def test_part_that_is_missing_is_not_known_rather_than_well(source: RobotSource) -> None:
    found = table(source.samples(Heard(live(people=None, host=None), 0.2, NOW), NOW))
    assert found[Signal.WORKSPACE_UNKNOWN].value is None
    assert found[Signal.DISK_FREE_RATIO].value is None


def test_robot_that_gets_on_is_not_stuck_and_one_that_does_not_is(source: RobotSource) -> None:
    for second in range(0, 400, 10):
        now_ns = NOW + ns(second)
        goal = {"task_id": 1, "phase": "pick", "attempt": min(second // 50, 4), "object_id": 3}
        heard = Heard(live(goal=goal, wall_ns=now_ns), 0.1, now_ns)
        found = table(source.samples(heard, now_ns))
        if second == 190:
            assert found[Signal.STUCK_S].value == 40.0
    assert found[Signal.STUCK_S].value == 190.0
    idle = {"goal": {"phase": "idle"}, "wall_ns": now_ns + 1}
    found = table(source.samples(Heard(live(**idle), 0.1, now_ns + 1), now_ns + 1))
    assert found[Signal.STUCK_S].value == 0.0
    assert RobotMode.IDLE in found[Signal.STUCK_S].modes


def test_connection_that_was_lost_counts_and_one_that_was_closed_does_not(
    source: RobotSource,
) -> None:
    for second, presence in enumerate(["online", "lost", "lost", "online", "offline", "online"]):
        source.note_presence(presence, NOW + ns(second))
    source.note_presence("lost", NOW + ns(6))
    found = table(source.samples(Heard(None, 1.0, NOW), NOW + ns(7)))
    assert found[Signal.NETWORK_DROPS_PER_HOUR].value == 2.0
    later = table(source.samples(Heard(None, 1.0, NOW), NOW + ns(4000)))
    assert later[Signal.NETWORK_DROPS_PER_HOUR].value == 0.0


def test_what_is_well_and_stays_so_is_passed_on_only_now_and_then(source: RobotSource) -> None:
    counts = []
    for tenth in range(100):
        now_ns = NOW + tenth * 10**8
        counts.append(len(source.samples(Heard(live(wall_ns=now_ns), 0.1, now_ns), now_ns)))
    assert counts[0] > 12
    assert sum(counts) < 8 * counts[0] + 100 * 4
    pressed = live(wall_ns=NOW + ns(11), control={"estop": True})
    found = table(source.samples(Heard(pressed, 0.1, NOW + ns(11)), NOW + ns(11)))
    assert found[Signal.ESTOP].value == 1.0


def test_modes_of_a_robot_are_those_it_says_and_those_the_fleet_gives_it(
    source: RobotSource,
) -> None:
    source.maintenance = True
    said = live(
        mode={"modes": ["gpu_offline", "of_the_future"]},
        control={"stop": {"level": "hold", "reason": "requested"}},
    )
    found = table(source.samples(Heard(said, 0.1, NOW), NOW))
    assert found[Signal.STOP_LEVEL].modes == {
        RobotMode.GPU_OFFLINE,
        RobotMode.STOPPED,
        RobotMode.BUSY,
        RobotMode.MAINTENANCE,
    }


@pytest.mark.parametrize(
    ("charging", "goal", "is_excused"),
    [
        (True, {"phase": "idle"}, True),
        (True, None, True),
        (True, {"phase": "pick"}, False),
        (False, {"phase": "idle"}, False),
        (None, {"phase": "idle"}, False),
    ],
)
def test_robot_that_charges_between_tasks_is_not_stuck_and_one_within_a_task_is(
    source: RobotSource, charging: bool | None, goal: Any, is_excused: bool
) -> None:
    waiting = {"done": 5, "failed": 0, "waiting": 3}
    host = {"disk_free_ratio": 0.4, "charging": charging}
    heard = Heard(live(host=host, goal=goal, tasks=waiting), 0.1, NOW)
    found = table(source.samples(heard, NOW))
    assert (RobotMode.CHARGING in found[Signal.STUCK_S].modes) is is_excused


def facts(**changes: Any) -> FleetFacts:
    now = FleetNow(
        now_ns=NOW,
        window_s=3600.0,
        robots=3,
        tally=changes.pop("tally", Tally(done=80, failed=20, attempts=110, errors=30)),
        throughput_per_min=1.0,
        latencies={kind: Percentiles(9, 100.0, 250.0, 400.0) for kind in Latency},
        failure_modes=(),
        versions=(),
        uptime=Uptime(60, 60),
    )
    base = {
        "now": now,
        "by_robot": {"a": Tally(done=30, failed=10)},
        "missing": {"a": 0, "b": 7},
        "running": {
            "a": Running("orin", "v24", "p1", "A", "A"),
            "b": Running("orin", "v24", "p1", "B", "A"),
            "c": Running("orin", "v23", "p1"),
        },
        "offline": 1,
        "robots": 3,
        "disk_free_ratio": 0.5,
    }
    return FleetFacts(**{**base, **changes})


def values(samples: list[Sample], subject: str) -> dict[Signal, float | None]:
    return {one.signal: one.value for one in samples if one.subject == subject}


def test_books_of_the_fleet_become_samples(shipped: Alerts) -> None:
    samples = fleet_samples(facts(), shipped)
    fleet = values(samples, FLEET)
    assert fleet[Signal.FLEET_SUCCESS_RATIO] == 0.8
    assert fleet[Signal.FLEET_ERROR_RATIO] == 30 / 110
    assert fleet[Signal.FLEET_LATENCY_P95_MS] == 250.0
    assert fleet[Signal.FLEET_OFFLINE_RATIO] == 1 / 3
    assert values(samples, "a") == {
        Signal.SUCCESS_RATIO: 0.75,
        Signal.RECORDS_MISSING: 0.0,
        Signal.SLOT_DRIFT: 0.0,
        Signal.VERSION_DRIFT: 0.0,
    }
    assert values(samples, "b")[Signal.SLOT_DRIFT] == 1.0
    assert values(samples, "b")[Signal.RECORDS_MISSING] == 7.0
    assert values(samples, "c") == {
        Signal.SUCCESS_RATIO: None,  # no task ended
        Signal.RECORDS_MISSING: None,  # it has said nothing of its records
        Signal.SLOT_DRIFT: None,
        Signal.VERSION_DRIFT: 1.0,
    }


def test_few_tasks_and_no_robots_are_no_ratio(shipped: Alerts) -> None:
    few = Tally(done=1, failed=1, attempts=2, errors=1)
    fleet = values(fleet_samples(facts(tally=few, robots=0), shipped), FLEET)
    assert fleet[Signal.FLEET_SUCCESS_RATIO] is None
    assert fleet[Signal.FLEET_OFFLINE_RATIO] is None


def test_half_way_through_a_rollout_nobody_has_drifted() -> None:
    half = {str(i): Running("orin", f"v{23 + i % 2}", "p") for i in range(4)}
    assert usual_of_kind(half) == {}
    assert usual_of_kind({**half, "x": Running("orin", "v24", "p")}) == {"orin": ("v24", "p")}
    other = {"y": Running("thor", "v1", "p")}
    assert usual_of_kind({**half, **other}) == {"thor": ("v1", "p")}


@pytest.mark.parametrize(
    ("fields", "slots"),
    [
        ('{"slot": "A", "slot_expected": "B"}', ("A", "B")),
        ('{"slot": "unstated", "slot_expected": "B"}', (None, "B")),
        ('{"slot": 3}', (None, None)),
        ("[]", (None, None)),
        ("{", (None, None)),
    ],
)
def test_slots_are_those_of_the_boot_or_not_known(fields: str, slots: tuple) -> None:
    assert slots_of(fields) == slots

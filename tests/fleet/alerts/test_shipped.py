"""The shipped rules on what robots say: quiet for one that is well, and named after what is not."""

from typing import Any

import pytest

from conf.schema.alerts import Alerts, Severity
from fleet.alerts.alert import ActiveAlert, worst_first
from fleet.alerts.engine import Engine
from fleet.alerts.fold import Phase
from fleet.alerts.sample import ns
from fleet.alerts.sources import Heard, RobotSource
from tests.fleet.alerts.test_sources import NOW, live


def fired(rules: Alerts, message: dict[str, Any] | None, seconds: int = 20) -> set[str]:
    """The rules that fire after so long; None: the robot says nothing."""
    engine, source = Engine(rules), RobotSource("osaka-01", rules)
    now_ns = NOW
    for second in range(seconds):
        now_ns = NOW + ns(second)
        said = None if message is None else {**message, "wall_ns": now_ns}
        heard = Heard(said, 0.0 if said else second, now_ns, (60.0, 0))
        engine.observe(source.samples(heard, now_ns))
    return {key for _, key, seen in engine.views(now_ns) if seen.phase is Phase.FIRING}


def test_shipped_rules_are_quiet_for_a_healthy_robot(shipped: Alerts) -> None:
    assert fired(shipped, live()) == set()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            {"control": {"stop": {"level": "hold", "reason": "collision"}}},
            {"stop_entered", "collision"},
        ),
        ({"control": {"estop": True}}, {"estop"}),
        ({"control": {"misses": 200}}, {"misses"}),
        ({"control": {"age_ms": 5000.0}}, {"control_silent"}),
        ({"control": {"joints": [{"temp_c": 81.0}, {"temp_c": None}]}}, {"motor_hot"}),
        ({"control": {"gripper": {"pressure_kpa": -78.0}}}, {"gripper_pressure"}),
        ({"verdict": {"verdict": "veto"}}, {"veto"}),
        ({"people": {"workspace": "unknown", "age_ms": 1.0}}, {"perception_unknown"}),
        ({"people": {"workspace": "clear", "age_ms": 9e3}}, {"perception_unknown"}),
        ({"people": None}, {"perception_unknown"}),
        (
            {"spool": {"used_bytes": 900, "max_bytes": 1000, "durable": True, "disk_full": False}},
            {"spool_near_full"},
        ),
        (
            {"spool": {"used_bytes": 9, "max_bytes": 1000, "durable": False, "disk_full": False}},
            {"spool_not_durable"},
        ),
    ],
)
def test_shipped_rules_fire_for_what_they_are_named_after(
    shipped: Alerts, parts: dict[str, Any], expected: set[str]
) -> None:
    assert fired(shipped, live(**parts)) == expected


def test_shipped_rules_for_a_silent_robot_name_the_silence_alone(shipped: Alerts) -> None:
    assert fired(shipped, None) == {"silent"}


def test_what_fires_comes_worst_first() -> None:
    def alert(severity: Severity) -> ActiveAlert:
        return ActiveAlert("k", "n", "osaka-01", "osaka", severity, "s", "r", 0, None)

    mixed = [alert(one) for one in (Severity.WARNING, Severity.CRITICAL, Severity.ALERT)]
    severities = [one.severity for one in worst_first(mixed)]
    assert severities == [Severity.CRITICAL, Severity.ALERT, Severity.WARNING]

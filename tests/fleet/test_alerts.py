"""Alert rules on made-up series: they fire when they should, and only then."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from conf.schema.alerts import Alerts, NoData, Rule, Severity, Signal
from fleet.alerts import NS_PER_S, AlertState, Phase, evaluate, firing, step
from fleet.signals import signals


def rule(**changes: Any) -> Rule:
    base = {
        "alert": "test.value_high",
        "signal": Signal.SPOOL_USED_RATIO,
        "above": 0.8,
        "severity": Severity.WARNING,
        "summary": "s",
        "runbook": "docs/runbooks/spool.md",
    }
    return Rule(**{**base, **changes})


def phases(made: Rule, series: str) -> str:
    """One character a second: 1 the condition holds, 0 it does not, ? not known."""
    state, seen = AlertState(), ""
    for second, character in enumerate(series):
        value = {"1": 1.0, "0": 0.0, "?": None}[character]
        state = step(made, value, state, second * NS_PER_S)
        seen += state.phase.value[0].upper() if state.phase is not Phase.INACTIVE else "."
    return seen


@pytest.mark.parametrize(
    ("changes", "series", "expected"),
    [
        ({}, "001100", "..FF.."),
        ({"for_s": 2}, "0111100", ".PPFF.."),
        ({"for_s": 2}, "0101010", ".P.P.P."),
        ({"keep_firing_for_s": 2}, "0100000", ".FF...."),
        ({"keep_firing_for_s": 3}, "0101000000", ".FFFFF...."),
        ({}, "1??0", "FFF."),
        ({}, "0??1", "...F"),
        ({"no_data": NoData.FIRE}, "0??0", ".FF."),
        ({"no_data": NoData.FIRE, "for_s": 2}, "0???0", ".PPF."),
        ({"keep_firing_for_s": 2}, "10??000", "FFFFF.."),
    ],
)
def test_rule_on_a_series(changes: dict, series: str, expected: str) -> None:
    assert phases(rule(**changes), series) == expected


@given(st.text("01?", max_size=60), st.integers(0, 5), st.integers(0, 5))
def test_alert_fires_only_after_its_condition_held_long_enough(
    series: str, for_s: int, keep_s: int
) -> None:
    seen = phases(rule(for_s=for_s, keep_firing_for_s=keep_s), series)
    for index, phase in enumerate(seen):
        if phase == "F" and (index == 0 or seen[index - 1] != "F"):
            assert "0" not in series[max(0, index - for_s) : index + 1]


@pytest.fixture(scope="module")
def shipped() -> Alerts:
    return compose().config.alerts


def live(**control: Any) -> dict[str, Any]:
    return {
        "control": {
            "age_ms": 3.0,
            "stop": {"level": "none", "reason": "none"},
            "estop": False,
            "misses": 0,
            "joints": [{"temp_c": 40.0}, {"temp_c": None}],
            **control,
        },
        "people": {"age_ms": 50.0, "workspace": "clear", "count": 0},
        "verdict": {"verdict": "ok", "age_ms": 4.0},
        "spool": {"used_bytes": 10, "max_bytes": 1000, "durable": True, "disk_full": False},
    }


def fired(
    rules: Alerts, message: dict | None, seconds: int = 20, silent_s: float = 0.0
) -> set[str]:
    states: dict[str, AlertState] = {}
    for second in range(seconds):
        values = signals(message, silent_s, (60.0, 0))
        states = evaluate(rules, values, states, second * NS_PER_S)
    return {alert.name for alert in firing(rules, states)}


def test_shipped_rules_are_quiet_for_a_healthy_robot(shipped: Alerts) -> None:
    assert fired(shipped, live()) == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"control": {"stop": {"level": "hold", "reason": "collision"}}},
            {"safety.stop_entered", "safety.collision_detected"},
        ),
        ({"control": {"estop": True}}, {"safety.estop_pressed"}),
        ({"control": {"misses": 200}}, {"control.deadline_missed"}),
        ({"control": {"age_ms": 5000.0}}, {"control.state_stale"}),
        ({"control": {"joints": [{"temp_c": 81.0}]}}, {"thermal.motor_hot"}),
        ({"verdict": {"verdict": "veto"}}, {"safety.model_vetoed"}),
        ({"people": {"workspace": "unknown", "age_ms": 1.0}}, {"perception.workspace_unknown"}),
        ({"people": {"workspace": "clear", "age_ms": 9e3}}, {"perception.workspace_unknown"}),
        ({"people": None}, {"perception.workspace_unknown"}),
        (
            {"spool": {"used_bytes": 900, "max_bytes": 1000, "durable": True, "disk_full": False}},
            {"telemetry.spool_near_full"},
        ),
        (
            {"spool": {"used_bytes": 9, "max_bytes": 1000, "durable": False, "disk_full": False}},
            {"telemetry.spool_unavailable"},
        ),
    ],
)
def test_shipped_rules_fire_for_what_they_are_named_after(
    shipped: Alerts, change: dict, expected: set[str]
) -> None:
    message = live()
    for part, fields in change.items():
        if fields is None or part != "control":
            message[part] = fields
        else:
            message[part] |= fields
    assert fired(shipped, message) == expected


def test_shipped_rules_for_a_silent_robot_name_the_silence(shipped: Alerts) -> None:
    assert "telemetry.robot_silent" in fired(shipped, live(), silent_s=60.0)


def test_firing_alerts_come_worst_first(shipped: Alerts) -> None:
    message = live(stop={"level": "hold", "reason": "collision"}, joints=[{"temp_c": 99.0}])
    states: dict[str, AlertState] = {}
    for second in range(20):
        states = evaluate(shipped, signals(message, 0.0), states, second * NS_PER_S)
    severities = [alert.severity for alert in firing(shipped, states)]
    assert severities == sorted(severities, key=list(Severity).index, reverse=True)


def test_every_shipped_rule_has_its_runbook(shipped: Alerts) -> None:
    for made in shipped.rules.values():
        assert Path(made.runbook).is_file(), made.runbook

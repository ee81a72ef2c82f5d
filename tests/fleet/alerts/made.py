"""Rules and samples as the tests of alerts make them."""

from typing import Any

from conf.schema.alerts import Alerts, RobotMode, Rule, Severity, Signal
from fleet.alerts.sample import Sample, ns

START_NS = ns(1_000_000)
SIGNAL = Signal.MOTOR_TEMP_C


def rule(**changes: Any) -> Rule:
    base = {
        "alert": "test.value_high",
        "signal": SIGNAL,
        "above": 70.0,
        "severity": Severity.WARNING,
        "summary": "{subject} has {value:.0f}, above {threshold:.0f}.",
        "runbook": "docs/runbooks/motor_hot.md",
    }
    if "below" in changes:
        base.pop("above")
    return Rule(**{**base, **changes})


def rules(*made: Rule, **changes: Any) -> Alerts:
    table = {f"rule_{index}": one for index, one in enumerate(made)}
    return Alerts(name="test", rules=table, **{"lateness_s": 5.0, "gap_s": 60.0, **changes})


def sample(
    at_s: float,
    value: float | None,
    *modes: RobotMode,
    subject: str = "osaka-01",
    signal: Signal = SIGNAL,
) -> Sample:
    return Sample(subject, signal, START_NS + ns(at_s), value, frozenset(modes))


def at(seconds: float) -> int:
    return START_NS + ns(seconds)

"""Which alerts fire: a pure function of rules, signals, what was before, and the time.

inactive → pending (the condition holds, not yet for long enough) → firing → inactive (it has been
away for as long as the rule keeps firing). Evaluated on live values alone: what is replayed after
an outage never reaches this function.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from conf.schema.alerts import Alerts, NoData, Rule, Severity
from fleet.signals import Values

NS_PER_S = 1_000_000_000


class Phase(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


@dataclass(frozen=True)
class AlertState:
    """Of one rule and one robot."""

    phase: Phase = Phase.INACTIVE
    since_ns: int = 0  # when this phase began
    held_ns: int = 0  # when the condition last held
    value: float | None = None


@dataclass(frozen=True)
class Alert:
    """A rule that fires, as people see it."""

    key: str
    name: str
    severity: Severity
    summary: str
    runbook: str
    since_ns: int
    value: float | None


States = Mapping[str, AlertState]


def evaluate(rules: Alerts, values: Values, before: States, now_ns: int) -> dict[str, AlertState]:
    """The state of every rule now."""
    return {
        key: step(rule, values.get(rule.signal), before.get(key, AlertState()), now_ns)
        for key, rule in rules.rules.items()
    }


def step(rule: Rule, value: float | None, before: AlertState, now_ns: int) -> AlertState:
    holds = _holds(rule, value)
    match before.phase, holds:
        case phase, None:  # not known: nothing changes, and time that passes proves nothing
            return AlertState(phase, before.since_ns, now_ns, before.value)
        case Phase.INACTIVE, True:
            first = AlertState(Phase.PENDING, now_ns, now_ns, value)
            return _fire_if_long_enough(rule, first, value, now_ns)
        case Phase.PENDING, True:
            return _fire_if_long_enough(rule, before, value, now_ns)
        case Phase.FIRING, True:
            return AlertState(Phase.FIRING, before.since_ns, now_ns, value)
        case Phase.FIRING, False if now_ns - before.held_ns < rule.keep_firing_for_s * NS_PER_S:
            return AlertState(Phase.FIRING, before.since_ns, before.held_ns, value)
        case Phase.INACTIVE, False:
            return AlertState(Phase.INACTIVE, before.since_ns, before.held_ns, value)
        case _:
            return AlertState(Phase.INACTIVE, now_ns, before.held_ns, value)


def firing(rules: Alerts, states: States) -> list[Alert]:
    """What fires, the worst and oldest first."""
    order = list(Severity)
    alerts = [
        Alert(
            key=key,
            name=rules.rules[key].alert,
            severity=rules.rules[key].severity,
            summary=rules.rules[key].summary,
            runbook=rules.rules[key].runbook,
            since_ns=state.since_ns,
            value=state.value,
        )
        for key, state in states.items()
        if state.phase is Phase.FIRING
    ]
    return sorted(alerts, key=lambda alert: (-order.index(alert.severity), alert.since_ns))


def _holds(rule: Rule, value: float | None) -> bool | None:
    if value is None:
        return True if rule.no_data is NoData.FIRE else None
    return value > rule.threshold if rule.above is not None else value < rule.threshold


def _fire_if_long_enough(
    rule: Rule, state: AlertState, value: float | None, now_ns: int
) -> AlertState:
    if now_ns - state.since_ns >= rule.for_s * NS_PER_S:
        return AlertState(Phase.FIRING, now_ns, now_ns, value)
    return AlertState(Phase.PENDING, state.since_ns, now_ns, value)

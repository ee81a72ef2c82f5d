"""Alerts on event time: rules and samples in, what fires out.

`Alerts` is what the fleet's process holds. `evaluate` and its like judge live values alone.
"""

from fleet.alerts.alert import ActiveAlert
from fleet.alerts.instant import (
    NS_PER_S,
    Alert,
    AlertState,
    Phase,
    States,
    evaluate,
    firing,
    step,
)
from fleet.alerts.sample import FLEET, Sample
from fleet.alerts.service import Alerts

__all__ = [
    "FLEET",
    "NS_PER_S",
    "ActiveAlert",
    "Alert",
    "AlertState",
    "Alerts",
    "Phase",
    "Sample",
    "States",
    "evaluate",
    "firing",
    "step",
]

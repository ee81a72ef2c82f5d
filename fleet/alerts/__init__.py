"""Alerts on event time: rules and samples in, what fires out."""

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

__all__ = ["NS_PER_S", "Alert", "AlertState", "Phase", "States", "evaluate", "firing", "step"]

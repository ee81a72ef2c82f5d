"""Alerts on event time: rules and samples in, what fires out.

`Alerts` is what the fleet's process holds.
"""

from fleet.alerts.alert import ActiveAlert
from fleet.alerts.sample import FLEET, Sample
from fleet.alerts.service import Alerts

__all__ = ["FLEET", "ActiveAlert", "Alerts", "Sample"]

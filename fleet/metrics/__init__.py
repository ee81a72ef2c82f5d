"""The fleet's numbers: rollups kept by ingest, and pure questions to them.

`snapshot` and `week` are what pages and alert rules read; `query` answers anything narrower.
"""

from fleet.metrics.measure import Latency
from fleet.metrics.now import (
    UPTIME_TARGET_RATIO,
    Day,
    FleetNow,
    Percentiles,
    VersionCount,
    snapshot,
    week,
)
from fleet.metrics.query import (
    Dimension,
    FailureMode,
    Seen,
    Span,
    Tally,
    Uptime,
    Where,
    failure_modes,
    latency,
    robots,
    tally,
    tally_by,
    tally_over_time,
    uptime_by_robot,
)
from fleet.metrics.sketch import RELATIVE_ERROR, Sketch

__all__ = [
    "RELATIVE_ERROR",
    "UPTIME_TARGET_RATIO",
    "Day",
    "Dimension",
    "FailureMode",
    "FleetNow",
    "Latency",
    "Percentiles",
    "Seen",
    "Sketch",
    "Span",
    "Tally",
    "Uptime",
    "VersionCount",
    "Where",
    "failure_modes",
    "latency",
    "robots",
    "snapshot",
    "tally",
    "tally_by",
    "tally_over_time",
    "uptime_by_robot",
    "week",
]

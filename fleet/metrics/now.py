"""The fleet in one record: what a page shows of it and what alert rules look at."""

from dataclasses import dataclass

from sqlalchemy.engine import Engine

from fleet.metrics.measure import Latency
from fleet.metrics.query import (
    FailureMode,
    Seen,
    Span,
    Tally,
    Uptime,
    failure_modes,
    latency,
    latency_over_time,
    robots,
    tally,
    tally_over_time,
    uptime_by_robot,
)
from fleet.metrics.rollup import DAY_S
from fleet.metrics.sketch import Sketch

UPTIME_TARGET_RATIO = 0.999
TREND_DAYS = 7


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds; None while there are no samples."""

    samples: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class VersionCount:
    """`profile` is the hash of the configuration."""

    version: str
    profile: str
    robots: int


@dataclass(frozen=True)
class Day:
    """One day, UTC; `tally` of a day without tasks is all zero and its ratios are None."""

    start_s: int
    tally: Tally
    action: Percentiles


@dataclass(frozen=True)
class FleetNow:
    """The last `window_s`; uptime over the same."""

    now_ns: int
    window_s: float
    robots: int
    tally: Tally
    throughput_per_min: float
    latencies: dict[Latency, Percentiles]
    failure_modes: tuple[FailureMode, ...]
    versions: tuple[VersionCount, ...]
    uptime: Uptime


def snapshot(rows: Engine, now_ns: int, window_s: float = 3600.0) -> FleetNow:
    """A few sums over rollups, whatever the number of events behind them."""
    span = Span.last(window_s, now_ns)
    found, seen = tally(rows, span), robots(rows)
    return FleetNow(
        now_ns=now_ns,
        window_s=window_s,
        robots=len(seen),
        tally=found,
        throughput_per_min=found.ended * 60 / window_s,
        latencies={kind: percentiles(latency(rows, span, kind)) for kind in Latency},
        failure_modes=tuple(failure_modes(rows, span)),
        versions=count_versions(seen),
        uptime=fleet_uptime(rows, span),
    )


def week(rows: Engine, now_ns: int, days: int = TREND_DAYS) -> tuple[Day, ...]:
    """The last days, the oldest first, today included; days without tasks are there too."""
    today_s = now_ns // 10**9 // DAY_S * DAY_S
    span = Span(today_s - (days - 1) * DAY_S, today_s + DAY_S)
    tallies = tally_over_time(rows, span, DAY_S)
    sketches = latency_over_time(rows, span, DAY_S, Latency.ACTION)
    return tuple(
        Day(start_s, tallies.get(start_s, Tally()), percentiles(sketches.get(start_s, Sketch())))
        for start_s in range(span.since_s, span.until_s, DAY_S)
    )


def percentiles(sketch: Sketch) -> Percentiles:
    p50, p95, p99 = (sketch.quantile_ms(ratio) for ratio in (0.5, 0.95, 0.99))
    return Percentiles(sketch.count, p50, p95, p99)


def count_versions(seen: list[Seen]) -> tuple[VersionCount, ...]:
    """The one that most robots run first."""
    counts: dict[tuple[str, str], int] = {}
    for item in seen:
        key = (item.version, item.config_hash)
        counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(VersionCount(version, profile, n) for (version, profile), n in ordered)


def fleet_uptime(rows: Engine, span: Span) -> Uptime:
    each = uptime_by_robot(rows, span).values()
    return Uptime(
        sum(item.up_minutes for item in each), sum(item.expected_minutes for item in each)
    )

"""Questions to the rollups. Spans of time count whole rows: the first may begin a little earlier.

All of them are sums, so that answers for parts add up to the answer for the whole. No samples is
no ratio, never zero.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.metrics.measure import Latency
from fleet.metrics.rollup import DAY_S, HOUR_S, WIDTHS_S
from fleet.metrics.sketch import Sketch
from fleet.metrics.tables import COUNT, FLEET, LATENCY, REASON, SEEN, UPTIME
from fleet.store.rows import read

Z_95 = 1.959964


class Dimension(StrEnum):
    TASK = "task"
    ROBOT = "robot"
    VERSION = "version"
    SITE = "site"


@dataclass(frozen=True)
class Span:
    """Seconds since 1970, by the robots' clocks where those are plausible."""

    since_s: int
    until_s: int

    @classmethod
    def last(cls, seconds: float, now_ns: int) -> "Span":
        now_s = -(-now_ns // 10**9)
        return cls(now_s - math.ceil(seconds), now_s)


@dataclass(frozen=True)
class Where:
    """Only these; None: all."""

    task: str | None = None
    robot: str | None = None
    version: str | None = None
    site: str | None = None


@dataclass(frozen=True)
class Tally:
    """Tasks that ended, and what they took."""

    done: int = 0
    failed: int = 0
    attempts: int = 0
    errors: int = 0
    duration_ms: int = 0

    @property
    def ended(self) -> int:
        return self.done + self.failed

    @property
    def success_ratio(self) -> float | None:
        return self.done / self.ended if self.ended else None

    @property
    def error_ratio(self) -> float | None:
        """Attempts that failed of those made."""
        return self.errors / self.attempts if self.attempts else None

    @property
    def mean_duration_s(self) -> float | None:
        return self.duration_ms / 1000 / self.ended if self.ended else None

    @property
    def success_interval(self) -> tuple[float, float] | None:
        """Wilson's, 95 %: how far few tasks leave the ratio open."""
        if not self.ended:
            return None
        n, p = self.ended, self.done / self.ended
        middle = p + Z_95**2 / (2 * n)
        half = Z_95 * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n * n))
        scale = 1 + Z_95**2 / n
        return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


@dataclass(frozen=True)
class FailureMode:
    task: str
    reason: str
    failed: int


@dataclass(frozen=True)
class Uptime:
    """Minutes in which a robot was up, of those since it was first seen."""

    up_minutes: int
    expected_minutes: int

    @property
    def ratio(self) -> float | None:
        return self.up_minutes / self.expected_minutes if self.expected_minutes else None


@dataclass(frozen=True)
class Seen:
    robot_id: str
    site: str
    hardware: str
    version: str
    config_hash: str
    first_s: int
    heard_s: int
    misdated: int


def tally(rows: Engine, span: Span, where: Where | None = None) -> Tally:
    where = where or Where()
    query = sql.select(*_sums()).where(*_count_rows(span, where, by_robot=False))
    (row,) = read(rows, query)
    return _tally(row)


def tally_by(
    rows: Engine, span: Span, dimension: Dimension, where: Where | None = None
) -> dict[str, Tally]:
    """By name; only what had tasks that ended."""
    where = where or Where()
    by_robot = dimension is Dimension.ROBOT
    column = COUNT.c[dimension.value]
    query = (
        sql.select(column, *_sums())
        .where(*_count_rows(span, where, by_robot=by_robot))
        .group_by(column)
        .order_by(column)
    )
    return {row[0]: _tally(row) for row in read(rows, query)}


def tally_over_time(
    rows: Engine, span: Span, step_s: int, where: Where | None = None
) -> dict[int, Tally]:
    """By the beginning of each step, counted from 1970; steps without tasks are not there."""
    start = (COUNT.c.start_s - COUNT.c.start_s % step_s).label("step")
    query = (
        sql.select(start, *_sums())
        .where(*_count_rows(span, where or Where(), by_robot=False))
        .group_by(start)
        .order_by(start)
    )
    return {int(row.step): _tally(row) for row in read(rows, query)}


def failure_modes(
    rows: Engine, span: Span, where: Where | None = None, most: int = 10
) -> list[FailureMode]:
    """The most frequent first."""
    failed = sql.func.sum(REASON.c.failed)
    query = (
        sql.select(REASON.c.task, REASON.c.reason, failed.label("failed"))
        .where(*_chosen(REASON, span, where or Where(), by_robot=False))
        .group_by(REASON.c.task, REASON.c.reason)
        .order_by(failed.desc(), REASON.c.task, REASON.c.reason)
        .limit(most)
    )
    return [FailureMode(row.task, row.reason, int(row.failed)) for row in read(rows, query)]


def latency(rows: Engine, span: Span, kind: Latency, where: Where | None = None) -> Sketch:
    """Of the fleet, by task, version and site; latencies are not kept robot by robot."""
    where = where or Where()
    query = (
        sql.select(LATENCY.c.slot, sql.func.sum(LATENCY.c.samples))
        .where(LATENCY.c.kind == kind.value, *_within(LATENCY, span))
        .where(*_named(LATENCY, where, ("task", "version", "site")))
        .group_by(LATENCY.c.slot)
    )
    return Sketch({int(slot): int(samples) for slot, samples in read(rows, query)})


def latency_over_time(rows: Engine, span: Span, step_s: int, kind: Latency) -> dict[int, Sketch]:
    start = (LATENCY.c.start_s - LATENCY.c.start_s % step_s).label("step")
    query = (
        sql.select(start, LATENCY.c.slot, sql.func.sum(LATENCY.c.samples))
        .where(LATENCY.c.kind == kind.value, *_within(LATENCY, span))
        .group_by(start, LATENCY.c.slot)
    )
    slots: dict[int, dict[int, int]] = {}
    for step, slot, samples in read(rows, query):
        slots.setdefault(int(step), {})[int(slot)] = int(samples)
    return {step: Sketch(counts) for step, counts in sorted(slots.items())}


def uptime_by_robot(rows: Engine, span: Span, robot: str | None = None) -> dict[str, Uptime]:
    """Whole minutes; a robot's first minutes before it was known are not expected of it."""
    seen = {item.robot_id: item for item in robots(rows, robot)}
    query = sql.select(UPTIME).where(
        UPTIME.c.hour_s > span.since_s - HOUR_S, UPTIME.c.hour_s < span.until_s
    )
    if robot is not None:
        query = query.where(UPTIME.c.robot == robot)
    first, last = -(-span.since_s // 60), span.until_s // 60
    up: dict[str, int] = dict.fromkeys(seen, 0)
    begun: dict[str, int] = {name: -(-item.first_s // 60) for name, item in seen.items()}
    for row in read(rows, query):
        bits = _bits_within(int(row.minutes), int(row.hour_s) // 60, first, last)
        if row.robot in up and bits:
            up[row.robot] += bits.bit_count()
            lowest = int(row.hour_s) // 60 + (bits & -bits).bit_length() - 1
            begun[row.robot] = min(begun[row.robot], lowest)
    return {name: _uptime(up[name], last - max(first, begun[name])) for name in up}


def robots(rows: Engine, robot: str | None = None) -> list[Seen]:
    query = sql.select(SEEN).order_by(SEEN.c.robot)
    if robot is not None:
        query = query.where(SEEN.c.robot == robot)
    return [
        Seen(
            robot_id=row.robot,
            site=row.site,
            hardware=row.hardware,
            version=row.version,
            config_hash=row.config_hash,
            first_s=int(row.first_s),
            heard_s=int(row.heard_s),
            misdated=int(row.misdated),
        )
        for row in read(rows, query)
    ]


def _uptime(up: int, expected: int) -> Uptime:
    return Uptime(min(up, max(0, expected)), max(0, expected))


def _bits_within(bits: int, hour_minute: int, first: int, last: int) -> int:
    low, high = max(0, first - hour_minute), min(60, last - hour_minute)
    return 0 if high <= low else bits & ((1 << high) - (1 << low))


def _count_rows(span: Span, where: Where, *, by_robot: bool) -> list[Any]:
    return _chosen(COUNT, span, where, by_robot=by_robot)


def _chosen(table: sql.Table, span: Span, where: Where, *, by_robot: bool) -> list[Any]:
    """Rows of the fleet, or, where robots matter, rows of robots: each counts everything."""
    of_robots = by_robot or where.robot is not None
    scope = table.c.robot != FLEET if of_robots else table.c.robot == FLEET
    return [
        scope,
        *_within(table, span),
        *_named(table, where, ("task", "robot", "version", "site")),
    ]


def _within(table: sql.Table, span: Span) -> list[Any]:
    start, width = table.c.start_s, table.c.width_s
    near = [width.in_(WIDTHS_S), start > span.since_s - DAY_S, start < span.until_s]  # by the index
    return [*near, start + width > span.since_s]


def _named(table: sql.Table, where: Where, names: tuple[str, ...]) -> list[Any]:
    wanted: Mapping[str, str | None] = where.__dict__
    return [table.c[name] == wanted[name] for name in names if wanted[name] is not None]


def _sums() -> list[Any]:
    names = ("done", "failed", "attempts", "errors", "duration_ms")
    return [sql.func.coalesce(sql.func.sum(COUNT.c[name]), 0).label(name) for name in names]


def _tally(row: Any) -> Tally:
    return Tally(
        int(row.done), int(row.failed), int(row.attempts), int(row.errors), int(row.duration_ms)
    )

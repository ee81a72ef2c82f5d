"""Which journeys there are, the newest first, and one of them whole."""

from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.events import Cursor
from fleet.store.rows import read
from fleet.traces.log import ROBOT
from fleet.traces.tables import TRACE_SPAN
from fleet.traces.tree import Step, Trace, build
from runtime.telemetry.span import Status

SPANS_MAX = 5000  # of one journey
TRACES_OF_TASK_MAX = 20
_T = TRACE_SPAN.c


@dataclass(frozen=True)
class Wanted:
    """Only these; None: all. Times include `since_ns` and not `until_ns`."""

    since_ns: int | None = None
    until_ns: int | None = None
    robot: str | None = None
    site: str | None = None
    version: str | None = None
    task_id: int | None = None
    status: Status | None = None
    longer_ms: float | None = None


@dataclass(frozen=True)
class Journey:
    """A task as its own span tells it; what follows the cursor is older."""

    step: Step
    cursor: Cursor


def journeys(
    rows: Engine, wanted: Wanted, limit: int = 100, after: Cursor | None = None
) -> list[Journey]:
    query = sql.select(TRACE_SPAN).where(_T.parent == "", _T.origin == ROBOT)
    for name in ("robot", "site", "version", "task_id", "status"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(_T[name] == value)
    if wanted.since_ns is not None:
        query = query.where(_T.at_ns >= wanted.since_ns)
    if wanted.until_ns is not None:
        query = query.where(_T.at_ns < wanted.until_ns)
    if wanted.longer_ms is not None:  # one without an end has no length yet
        query = query.where(_T.end_ns - _T.start_ns > round(wanted.longer_ms * 1e6))
    if after is not None:
        older = sql.and_(_T.at_ns == after.at_ns, _T.id < after.id)
        query = query.where(_T.at_ns <= after.at_ns, sql.or_(_T.at_ns < after.at_ns, older))
    query = query.order_by(_T.at_ns.desc(), _T.id.desc()).limit(limit)
    return [Journey(step_of(row), Cursor(int(row.at_ns), int(row.id))) for row in read(rows, query)]


def trace(rows: Engine, robot: str, trace_id: str) -> Trace | None:
    query = sql.select(TRACE_SPAN).where(_T.robot == robot, _T.trace == trace_id).limit(SPANS_MAX)
    steps = [step_of(row) for row in read(rows, query)]
    return build(trace_id, steps) if steps else None


def find_trace(rows: Engine, trace_id: str) -> Trace | None:
    """By its id alone; of two robots that claim one id the first by name."""
    query = sql.select(sql.func.min(_T.robot)).where(_T.trace == trace_id)
    robot = read(rows, query)[0][0]
    return None if robot is None else trace(rows, robot, trace_id)


def traces_of_task(rows: Engine, robot: str, task_id: int) -> list[str]:
    """The newest first. More than one: the robot was set up anew and counts from 1 again."""
    newest = sql.func.max(_T.at_ns)
    query = (
        sql.select(_T.trace)
        .where(_T.robot == robot, _T.task_id == task_id, _T.origin == ROBOT)
        .group_by(_T.trace)
        .order_by(newest.desc(), _T.trace)
        .limit(TRACES_OF_TASK_MAX)
    )
    return [row.trace for row in read(rows, query)]


def robots_of_task(rows: Engine, task_id: int) -> list[str]:
    query = sql.select(_T.robot).where(_T.task_id == task_id).distinct().order_by(_T.robot)
    return [row.robot for row in read(rows, query)]


def step_of(row: Any) -> Step:
    return Step(
        trace_id=row.trace,
        span_id=row.span,
        parent_id=row.parent,
        name=row.name,
        robot=row.robot,
        site=row.site,
        version=row.version,
        source=row.source,
        on_robot=row.origin == ROBOT,
        task_id=int(row.task_id),
        start_ns=int(row.start_ns),
        end_ns=None if row.end_ns is None else int(row.end_ns),
        status=Status(row.status),
        attributes=orjson.loads(row.attributes),
    )

"""`bedplate fleet trace`: one task's journey, or which journeys there are."""

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import orjson
import typer
from sqlalchemy.engine import Engine

from fleet.clock import SystemClock
from fleet.durations import parse_duration
from fleet.metrics.cli import DEFAULT_DIR, REFUSED, AsJson, FleetDir, asked
from fleet.traces.query import (
    Journey,
    Wanted,
    find_trace,
    journeys,
    robots_of_task,
    trace,
    traces_of_task,
)
from fleet.traces.told import as_lines, as_rows, span_words
from fleet.traces.tree import Trace
from fleet.words import several
from runtime.telemetry.span import Status

NOT_FOUND = 1
TRACE_ID_LETTERS = 32


def show_trace(
    task: Annotated[str, typer.Argument(help="Its number on the robot, or its trace id.")],
    robot: Annotated[str | None, typer.Option(help="Which robot, where several have it.")] = None,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """A task from submission to result: every step, how long, and what of it is missing."""
    with asked(fleet_dir) as rows:
        found = _find(rows, task, robot)
        if found is None:
            print(f"nothing has told of task {task}{f' of {robot}' if robot else ''}; either it is"
                  " not sampled (telemetry.traces), still in the robot's spool, or too old",
                  file=sys.stderr)  # fmt: skip
            raise typer.Exit(NOT_FOUND)
        if json:
            _print({"trace_id": found.trace_id, "missing": found.missing,
                    "steps": list(as_rows(found))})  # fmt: skip
            return
        _print_trace(found)


def list_traces(
    robot: Annotated[str | None, typer.Option(help="This robot only.")] = None,
    since: Annotated[str | None, typer.Option(help="How far back: 5m, 1h, 7d; else all.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only tasks that failed.")] = False,
    longer_s: Annotated[
        float | None, typer.Option(min=0, help="Only tasks that took more.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 30,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """Tasks whose journey is known, the newest first."""
    with asked(fleet_dir) as rows:
        now_ns = SystemClock().wall_ns()
        wanted = Wanted(
            since_ns=None if since is None else now_ns - round(parse_duration(since) * 1e9),
            robot=robot,
            status=Status.ERROR if failed else None,
            longer_ms=None if longer_s is None else longer_s * 1000,
        )
        found = journeys(rows, wanted, limit)
        if json:
            _print([_row(item) for item in found])
            return
        for item in found:
            step = item.step
            began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(step.start_ns // 10**9))
            print(f"{began}Z  {step.robot:<16} task {step.task_id:<8} {step.status.value:<6}"
                  f" {span_words(step.lasted_ns):>12}  {step.trace_id}")  # fmt: skip


COMMANDS: dict[str, Callable[..., None]] = {"trace": show_trace, "traces": list_traces}


def _find(rows: Engine, task: str, robot: str | None) -> Trace | None:
    if len(task) == TRACE_ID_LETTERS:
        return find_trace(rows, task) if robot is None else trace(rows, robot, task)
    if not (task.isascii() and task.isdigit() and len(task) < 19):
        print(f"{task!r} is neither a task's number nor a trace id of {TRACE_ID_LETTERS} digits",
              file=sys.stderr)  # fmt: skip
        raise typer.Exit(REFUSED)
    if robot is None:
        having = robots_of_task(rows, int(task))
        if len(having) > 1:
            print(f"task {task} is known of {', '.join(having)}; say which: --robot {having[0]}",
                  file=sys.stderr)  # fmt: skip
            raise typer.Exit(REFUSED)
        robot = having[0] if having else ""
    newest = traces_of_task(rows, robot, int(task))[:1]
    return trace(rows, robot, newest[0]) if newest else None


def _print_trace(found: Trace) -> None:
    step = found.root.step or found.steps[0]
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(step.start_ns // 10**9))
    print(f"{step.robot}, task {step.task_id}, {began}Z, version {step.version}")
    print(f"trace {found.trace_id}")
    for line in as_lines(found):
        print(line)
    if found.missing:
        print(f"not here (marked ?): {several(found.missing, 'step')} of which others speak")


def _row(item: Journey) -> dict[str, Any]:
    step = item.step
    return {
        "trace_id": step.trace_id,
        "robot": step.robot,
        "task_id": step.task_id,
        "site": step.site,
        "version": step.version,
        "start_ns": step.start_ns,
        "end_ns": step.end_ns,
        "status": step.status.value,
        "attributes": dict(step.attributes),
    }


def _print(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

"""Commands over events: ask, follow up on one robot, hand on to other programs."""

import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated

import orjson
import typer

from fleet.clock import SystemClock
from fleet.durations import parse_duration
from fleet.events.export import Format, export
from fleet.events.filter import FilterError, parse_filter
from fleet.events.search import Event, Wanted, every
from fleet.metrics.cli import DEFAULT_DIR, REFUSED, AsJson, FleetDir, asked

LIMIT_MAX = 1_000_000
SHOWN = ("reason", "detail", "latency_ms", "artifact_name", "slot", "modes", "causes")


def events(
    robot: Annotated[str | None, typer.Option(help="This robot only.")] = None,
    since: Annotated[str | None, typer.Option(help="How far back: 5m, 1h, 7d; else all.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to so long ago; else now.")] = None,
    task: Annotated[str | None, typer.Option(help="Tasks of this kind.")] = None,
    task_id: Annotated[int | None, typer.Option(help="This one task.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="task.failed, or task.*")] = None,
    severity: Annotated[str | None, typer.Option(help="info, warning, critical.")] = None,
    where: Annotated[
        str | None, typer.Option(help="An expression: 'latency_ms > 200 and reason ~ slip'.")
    ] = None,
    words: Annotated[str | None, typer.Option(help="Words that must all occur.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX)] = 50,
    form: Annotated[Format | None, typer.Option("--export", help="Lines on stdout.")] = None,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """Events, the newest first: by time, robot, task, type, expression, words; and as an export."""
    with asked(fleet_dir) as rows:
        now_ns = SystemClock().wall_ns()
        try:
            wanted = Wanted(
                since_ns=None if since is None else now_ns - round(parse_duration(since) * 1e9),
                until_ns=None if until is None else now_ns - round(parse_duration(until) * 1e9),
                robot=robot,
                task=task,
                task_id=task_id,
                name=kind,
                severity=severity,
                words=words,
                where=None if where is None else parse_filter(where),
            )
        except FilterError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(REFUSED) from None
        found = islice(every(rows, wanted), limit)
        if form is not None:
            sys.stdout.writelines(export(found, form))
        elif json:
            _print_json(found)
        else:
            _print_lines(found)


def recent_events(
    robot: Annotated[str, typer.Argument(help="Which robot.")],
    since: Annotated[str, typer.Option(help="How far back: 90s, 5m, 1h, 7d.")] = "2h",
    every_kind: Annotated[
        bool, typer.Option("--all", help="Those of each task and action too.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX)] = 50,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """What happened to a robot, beside its everyday work: updates, modes, stops, faults, alerts."""
    with asked(fleet_dir) as rows:
        now_ns = SystemClock().wall_ns()
        since_ns = now_ns - round(parse_duration(since) * 1e9)
        wanted = Wanted(since_ns=since_ns, robot=robot)
        told = (event for event in every(rows, wanted) if every_kind or not is_routine(event))
        found = islice(told, limit)
        if json:
            _print_json(found)
        else:
            _print_lines(found)


COMMANDS: dict[str, Callable[..., None]] = {"events": events, "recent-events": recent_events}

ROUTINE = ("task.", "action.", "perception.looked", "decision.", "feedback.", "recovery.")


def is_routine(event: Event) -> bool:
    return event.name.startswith(ROUTINE)


def _print_json(found: Iterable[Event]) -> None:
    rows = [event.flat() for event in found]
    print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())


def _print_lines(found: Iterable[Event]) -> None:
    for event in found:
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(event.at_ns // 10**9))
        task = "" if event.task_id is None else f" task_id={event.task_id}"
        kind = f" {event.task}" if event.task else ""
        more = "".join(f" {key}={event.fields[key]}" for key in SHOWN if event.fields.get(key))
        late = " (replayed)" if event.replayed else ""
        print(
            f"{clock}Z  {event.robot:<16} {event.severity:<9} {event.name}{kind}{task}{more}{late}"
        )

"""Commands over the fleet's numbers: the words of the runbook, with the same meaning."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from sqlalchemy.engine import Engine

from fleet.clock import SystemClock
from fleet.durations import DurationError, parse_duration
from fleet.metrics.compare import Comparison, Group, TaskChange, compare_versions, groups
from fleet.metrics.loss import losses, total
from fleet.metrics.measure import Latency
from fleet.metrics.now import FleetNow, snapshot
from fleet.metrics.query import Dimension, Span, Tally, Where, tally
from fleet.settings import SettingsError, read_settings
from fleet.store.books import Books
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError
from fleet.words import several

REFUSED = 2
DEFAULT_DIR = Path("var/fleet")

FleetDir = Annotated[
    Path, typer.Option("--fleet-dir", help="Where the fleet side keeps its files.")
]
Since = Annotated[str, typer.Option("--since", help="How far back: 90s, 5m, 1h, 7d.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for other programs.")]


@contextmanager
def asked(fleet_dir: Path) -> Iterator[Engine]:
    """The rows; whatever is wrong with them or with the question is told in words, status 2."""
    try:
        engine = open_rows(read_settings(fleet_dir.absolute()).rows_url)
        try:
            yield engine
        finally:
            engine.dispose()
    except (SettingsError, StoreUnavailableError, DurationError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None


def success_rate(
    by: Annotated[Dimension | None, typer.Option("--by", help="One line for each.")] = None,
    since: Since = "1h",
    task: Annotated[str | None, typer.Option(help="Tasks of this kind only.")] = None,
    robot: Annotated[str | None, typer.Option(help="This robot only.")] = None,
    version: Annotated[str | None, typer.Option(help="This Artifact only.")] = None,
    site: Annotated[str | None, typer.Option(help="This site only.")] = None,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """Tasks done of those that ended. LOW: worse than all others together, beyond chance (95 %)."""
    where = Where(task=task, robot=robot, version=version, site=site)
    with asked(fleet_dir) as rows:
        span = Span.last(parse_duration(since), SystemClock().wall_ns())
        if by is None:
            found = [Group("fleet", tally(rows, span, where), False)]
        else:
            found = groups(rows, span, by, where)
    if json:
        _print([_group(item) for item in found])
        return
    if by is None:
        print(f"{_percent(found[0].tally)}  {_counted(found[0].tally)} in the last {since}")
        return
    if not found:
        print(f"no task has ended in the last {since}")
    for item in found:
        mark = "LOW" if item.is_low else ""
        print(f"{item.name:<24} {_percent(item.tally):>7} {mark:<4}", end="")
        print(f" {_counted(item.tally)}  {item.note}".rstrip())


def compare(
    before: Annotated[str, typer.Argument(help="The Artifact that was.")],
    after: Annotated[str, typer.Argument(help="The Artifact that is asked about.")],
    since: Since = "24h",
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """Two versions beside each other, task by task. LOWER: worse beyond chance (95 %)."""
    with asked(fleet_dir) as rows:
        span = Span.last(parse_duration(since), SystemClock().wall_ns())
        found = compare_versions(rows, span, before, after)
    if json:
        _print(_comparison(found))
        return
    print(f"{'task':<24} {before:>20} {after:>20}")
    for change in found.changes:
        print(f"{change.task:<24} {_cell(change.before):>20} {_cell(change.after):>20}", end="")
        print(f"  {_verdict(change)}".rstrip())
    for side in (found.before, found.after):
        profiles = ", ".join(profile[:12] for profile in side.profiles) or "none now"
        robots = several(len(side.robots), "robot")
        print(f"{side.version}: now on {robots}; profile {profiles}")
        for mode in side.failures:
            print(f"    {mode.failed:>6} × {mode.task} {mode.reason}")


def monitor(
    lasting: Annotated[str, typer.Option("--for", help="How long to go on.")] = "5m",
    every: Annotated[str, typer.Option("--every", help="A line each.")] = "10s",
    since: Since = "5m",
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """The fleet's numbers of the last minutes, again and again, until the time is over."""
    with asked(fleet_dir) as rows:
        window_s, step_s = parse_duration(since), parse_duration(every)
        left_s = parse_duration(lasting)
        while True:
            now = snapshot(rows, SystemClock().wall_ns(), window_s)
            print(orjson.dumps(_now(now)).decode() if json else _line(now), flush=True)
            left_s -= step_s
            if left_s < 0:
                return
            time.sleep(step_s)


def account(
    robot: Annotated[str | None, typer.Option(help="This robot only.")] = None,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """What became of every record each robot ever numbered. Missing ones exit 1."""
    with asked(fleet_dir) as rows:
        books = Books(rows)
        found, poison = losses(books.accounts(robot)), books.poison_count()
    if json:
        _print([dataclasses.asdict(item) for item in found])
    else:
        names = ("sent", "stored", "refused", "thinned", "pending", "missing", "dropped")
        print(f"{'robot':<24}" + "".join(f"{name:>10}" for name in names))
        for item in [*found, dataclasses.replace(total(found), robot_id="all")]:
            print(f"{item.robot_id:<24}" + "".join(f"{getattr(item, n):>10}" for n in names))
        print(f"messages set aside because they made no sense: {poison}")
    raise typer.Exit(1 if any(item.missing for item in found) else 0)


COMMANDS: dict[str, Callable[..., None]] = {
    "success-rate": success_rate,
    "compare-versions": compare,
    "monitor": monitor,
    "account": account,
}


def _percent(found: Tally) -> str:
    ratio = found.success_ratio
    return "unknown" if ratio is None else f"{100 * ratio:.1f}%"


def _counted(found: Tally) -> str:
    interval = found.success_interval
    if interval is None:
        return "no task has ended"
    low, high = interval
    return f"({found.done} of {found.ended}; {100 * low:.0f}–{100 * high:.0f} %)"


def _cell(found: Tally) -> str:
    return f"{_percent(found)} of {found.ended}" if found.ended else "no task"


def _verdict(change: TaskChange) -> str:
    return "LOWER" if change.is_lower else "HIGHER" if change.is_higher else ""


def _line(now: FleetNow) -> str:
    action = now.latencies[Latency.ACTION].p95_ms
    p95 = "unknown" if action is None else f"{action:.0f} ms"
    clock = time.strftime("%H:%M:%S", time.gmtime(now.now_ns // 10**9))
    mode = now.failure_modes[0] if now.failure_modes else None
    top = "" if mode is None else f"  top failure: {mode.task} {mode.reason} × {mode.failed}"
    return (
        f"{clock}Z success {_percent(now.tally)}  done {now.tally.done} failed {now.tally.failed}"
        f"  {now.throughput_per_min:.1f} tasks/min  action p95 {p95}{top}"
    )


def _group(item: Group) -> dict[str, Any]:
    return {"name": item.name, **_numbers(item.tally), "is_low": item.is_low, "note": item.note}


def _numbers(found: Tally) -> dict[str, Any]:
    return {
        "done": found.done,
        "failed": found.failed,
        "ended": found.ended,
        "success_ratio": found.success_ratio,
        "interval": found.success_interval,
        "error_ratio": found.error_ratio,
        "mean_duration_s": found.mean_duration_s,
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "tasks": [
            {
                "task": change.task,
                "before": _numbers(change.before),
                "after": _numbers(change.after),
                "is_lower": change.is_lower,
                "is_higher": change.is_higher,
            }
            for change in found.changes
        ],
        "sides": [
            {
                "version": side.version,
                "robots": side.robots,
                "profiles": side.profiles,
                "failures": [dataclasses.asdict(mode) for mode in side.failures],
            }
            for side in (found.before, found.after)
        ],
    }


def _now(now: FleetNow) -> dict[str, Any]:
    return {
        "now_ns": now.now_ns,
        "window_s": now.window_s,
        **_numbers(now.tally),
        "throughput_per_min": now.throughput_per_min,
        "latencies": {kind.value: dataclasses.asdict(p) for kind, p in now.latencies.items()},
        "failure_modes": [dataclasses.asdict(mode) for mode in now.failure_modes],
        "uptime_ratio": now.uptime.ratio,
    }


def _print(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

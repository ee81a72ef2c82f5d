"""`bedplate fleet load`: robots that are not there, over the real broker."""

import resource
import signal
import sys
import time
from typing import Annotated

import typer

from fleet.clock import SystemClock
from fleet.durations import DurationError, parse_duration
from fleet.load.plan import TASKS, Bad, Plan
from fleet.metrics.cli import DEFAULT_DIR, REFUSED, FleetDir
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.words import several

FILES_EACH = 4  # descriptors that one robot may need
DRAIN_S = 120.0


def load(
    robots: Annotated[int, typer.Option(min=1, max=5000, help="How many.")] = 100,
    lasting: Annotated[
        str | None, typer.Option("--for", help="How long: 90s, 5m; else until Ctrl-C.")
    ] = None,
    history: Annotated[
        str | None, typer.Option(help="Come back from so long an outage: 1h.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same story.")] = 1,
    version: Annotated[str, typer.Option(help="Artifact they run.")] = "v23",
    bad_version: Annotated[str | None, typer.Option(help="Artifact some of them got.")] = None,
    bad_robots: Annotated[str, typer.Option(help="Which: first-last.")] = "21-40",
    bad_since: Annotated[str, typer.Option(help="How long ago they got it.")] = "2h",
    task: Annotated[str, typer.Option(help="The task it is worse at.")] = "insert",
    success: Annotated[float, typer.Option(min=0, max=1, help="And how often it succeeds.")] = 0.62,
    task_period: Annotated[str, typer.Option(help="From one task to the next.")] = "30s",
    metric_period: Annotated[str, typer.Option(help="From one row of metrics to the next.")] = "1s",
    samples: Annotated[int, typer.Option(min=1, max=100, help="Rows in that time.")] = 1,
    traces: Annotated[
        float, typer.Option(min=0, max=1, help="Share of tasks whose journey they tell.")
    ] = 0.1,
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Simulated robots: real frames and acknowledgements over MQTT and TLS, made-up contents.

    When the time is over they send what they hold; exit 1 if something was not acknowledged.
    """
    try:
        settings = read_settings(fleet_dir.absolute())
        first, last = _span(bad_robots)
        since_ns = SystemClock().wall_ns() - round(parse_duration(bad_since) * 1e9)
        bad = Bad(bad_version, _task(task), success, first, last, since_ns) if bad_version else None
        plan = Plan(
            robots=robots,
            seed=seed,
            version=version,
            task_period_s=parse_duration(task_period),
            metric_period_s=parse_duration(metric_period),
            samples=samples,
            traces_ratio=traces,
            bad=bad,
        )
        history_s = 0.0 if history is None else parse_duration(history)
        lasting_s = None if lasting is None else parse_duration(lasting)
    except (SettingsError, DurationError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    raise typer.Exit(_run(plan, settings, history_s, lasting_s))


def _run(plan: Plan, settings: FleetSettings, history_s: float, lasting_s: float | None) -> int:
    from fleet.load.crowd import Crowd  # the MQTT client, which no other command needs

    _allow_files(plan.robots * FILES_EACH + 100)
    clock = SystemClock()
    crowd = Crowd(plan, settings, clock, history_s=history_s)
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _frame: ended.append(got))
    started = time.monotonic()
    print(several(plan.robots, "robot"), flush=True)
    crowd.run(
        lambda: bool(ended) or (lasting_s is not None and time.monotonic() - started >= lasting_s)
    )
    ended.clear()
    until = time.monotonic() + DRAIN_S
    settled = crowd.settle(lambda: bool(ended) or time.monotonic() > until)
    print(f"{crowd.head} records given numbers, {crowd.held} not acknowledged", flush=True)
    crowd.close()
    return 0 if settled else 1


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not first.isdigit() or not last.isdigit():
        raise ValueError(f"{text!r} is no span of robots; give one such as 21-40")
    return int(first), int(last)


def _task(text: str) -> str:
    known = [name for name, _ in TASKS]
    if text not in known:
        raise ValueError(f"{text!r} is no task of these robots; one of {', '.join(known)} is")
    return text

"""`bedplate drill`: the deployment criteria, each with a verdict and figures."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer

from sim.drills import (
    deadlines,
    offline_hour,
    perception_degrades,
    safety_gpu_gone,
    skill_cache,
    soak,
    telemetry_reconnect,
)
from sim.drills.drill import Drill, DrillOptions, Report, run_drill

DRILLS: tuple[Drill, ...] = (
    offline_hour.DRILL,
    deadlines.DRILL,
    perception_degrades.DRILL,
    skill_cache.DRILL,
    safety_gpu_gone.DRILL,
    telemetry_reconnect.DRILL,
)
SOAK = Drill("soak", "the offline hour on the wall clock, with the real broker", soak.soak)
FAILED = 1
UNKNOWN = 2

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def drill() -> None:
    """Prove that the robot keeps working, and stops, when it should."""


@app.command("list")
def list_drills() -> None:
    """The drills there are."""
    for known in DRILLS:
        print(f"{known.name:22} {known.summary}")


@app.command("run")
def run_drills(
    name: Annotated[str, typer.Argument(help="a drill's name, or `all`")],
    seed: Annotated[int, typer.Option(help="of the simulated shift")] = 1,
    scale: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="share of the full length; 1 proves it")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document")] = False,
    on_wall_clock: Annotated[
        bool, typer.Option("--soak", help="offline_hour on the wall clock, in a live robot")
    ] = False,
) -> None:
    """Run one drill or all; the exit status says whether all passed."""
    chosen = DRILLS if name == "all" else tuple(known for known in DRILLS if known.name == name)
    if on_wall_clock and name == offline_hour.DRILL.name:
        chosen = (SOAK,)
    if not chosen:
        names = ", ".join(known.name for known in DRILLS)
        print(f"drill {name!r} is not known; nothing was run; known: {names}, all", file=sys.stderr)
        raise typer.Exit(UNKNOWN)
    say = _to_stderr if as_json else _indented
    reports = [_run(known, DrillOptions(seed=seed, scale=scale, say=say)) for known in chosen]
    if as_json:
        document = [report.as_dict() for report in reports]
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        for report in reports:
            print(text_of(report))
    if not all(report.passed for report in reports):
        raise typer.Exit(FAILED)


def text_of(report: Report) -> str:
    verdict = "PASSED" if report.passed else "FAILED"
    lines = [f"{verdict}  {report.name}  ({report.wall_s:.1f} s)"]
    for check in report.checks:
        found = f"  [{check.found}]" if check.found else ""
        lines.append(f"  {'ok  ' if check.holds else 'NOT '} {check.text}{found}")
    lines += [f"  {key} = {value}" for key, value in report.figures.items()]
    lines += [f"  note: {note}" for note in report.notes]
    return "\n".join(lines)


def _run(known: Drill, options: DrillOptions) -> Report:
    options.say(f"{known.name}: {known.summary}")
    return run_drill(known, options)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _indented(text: str) -> None:
    print(f"… {text}", flush=True)

"""`bedplate bench`: every figure in one JSON document."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from sim.bench.networks import measure_networks
from sim.bench.robot import measure_robot
from sim.bench.spool import measure_spool
from sim.bench.steps import measure_steps
from sim.supplies import ROOT

app = typer.Typer(rich_markup_mode=None)
PARTS = ("control", "networks", "steps", "spool", "slots", "robot", "page")


@app.command()
def bench(
    only: Annotated[
        list[str] | None, typer.Option(help=f"one of {', '.join(PARTS)}; repeatable")
    ] = None,
    seconds: Annotated[float, typer.Option(help="length of each timed part")] = 30.0,
    output: Annotated[Path | None, typer.Option(help="also write the JSON here")] = None,
) -> None:
    """Measure speed and size; nothing here passes or fails."""
    unknown = sorted(set(only or ()) - set(PARTS))
    if unknown:
        print(f"bench knows {', '.join(PARTS)}; got {', '.join(unknown)}", file=sys.stderr)
        raise typer.Exit(2)
    document: dict[str, object] = {"machine": _machine()}
    for name, measure in _parts(seconds).items():
        if not only or name in only:
            print(f"bench: {name} …", file=sys.stderr, flush=True)
            document[name] = _measured(measure)
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    print(text)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n")


def _parts(seconds: float) -> dict[str, Callable[[], object]]:
    return {
        "control": lambda: _asked("runtime.controld.bench", "--seconds", str(seconds)),
        "networks": lambda: measure_networks(200),
        "steps": lambda: measure_steps(seconds, seed=1),
        "spool": lambda: measure_spool(min(seconds, 10.0), ROOT / "var"),
        "slots": lambda: _asked("ota.bench"),
        "robot": lambda: measure_robot(seconds),
        "page": lambda: _asked("fleet.page.bench"),
    }


def _measured(measure: Callable[[], object]) -> object:
    """One part that cannot be measured here says why; the others still count."""
    try:
        return measure()
    except (OSError, RuntimeError, subprocess.SubprocessError, ValueError) as error:
        return {"not_measured": f"{type(error).__name__}: {error}"}


def _asked(module: str, *words: str) -> object:
    """Another area's own bench, as a program that prints JSON."""
    command = [sys.executable, "-m", module, *words]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr.strip()[-500:])
    return json.loads(ran.stdout)


def _machine() -> dict[str, object]:
    load, _, _ = os.getloadavg()
    return {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(load, 2),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }

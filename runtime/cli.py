"""`bedplate modes`: what the robot may still do, and the units that run it."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from conf.load import compose
from conf.schema.modes import PolicySource
from runtime.processes import PROCESSES
from runtime.units import render_units, robot_place
from runtime.whatif import Row, as_json, whatif

TABLE_WIDTH = 150

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Hardware = Annotated[str | None, typer.Option(help="Board: a file of conf/hardware.")]
Facility = Annotated[str | None, typer.Option(help="Site: a file of conf/facility.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")]


@app.callback()
def modes() -> None:
    """Degradation modes, decided by the code that drives the robot."""


@app.command("whatif")
def print_whatif(
    hardware: Hardware = None, facility: Facility = None, as_json_document: AsJson = False
) -> None:
    """Each thing that can go wrong, the modes it leads to, and what they still allow."""
    rows = whatif(compose(hardware=hardware, facility=facility).config.modes)
    if as_json_document:
        print(orjson.dumps(as_json(rows), option=orjson.OPT_INDENT_2).decode())
        return
    Console(width=max(Console().width, TABLE_WIDTH)).print(_table(rows))


@app.command("units")
def write_units(
    out: Annotated[Path, typer.Argument(help="folder the files are written to")],
    hardware: Hardware = None,
    facility: Facility = None,
) -> None:
    """Write the systemd units, users and folders of a robot with this profile."""
    config = compose(hardware=hardware, facility=facility).config
    for name, text in render_units(PROCESSES, config, robot_place(config.robot_id)).items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        print(target)


def _table(rows: list[Row]) -> Table:
    table = Table(
        "what if",
        "modes",
        "after",
        "skills",
        "levels",
        "motion",
        "Hz",
        "margin",
        "speed",
        "human",
        box=SIMPLE,
    )
    for row in rows:
        able, acts = row.effects.capabilities, row.effects.behaviour
        moving = acts.policy_source is not PolicySource.NONE
        table.add_row(
            row.scenario,
            " + ".join(row.modes) + (f" ({', '.join(row.causes)})" if row.causes else ""),
            f"{row.settled_after_ms / 1000:.1f} s",
            able.skill_execution.value,
            _levels(able.perception_level_max, stereo=acts.stereo),
            acts.policy_source.value,
            f"{acts.policy_rate_hz}/{acts.perception_rate_hz}",
            f"× {acts.margin_multiplier:g}",
            f"× {acts.speed_scale:g}" if moving else "stands",
            "asked" if acts.request_human else "",
        )
    return table


def _levels(level_max: int, *, stereo: bool) -> str:
    if stereo:
        return "stereo"
    return "1" if level_max == 1 else f"1–{level_max}"

"""`bedplate run`: one robot in a simulated cell, with its fleet side."""

import sys
from typing import Annotated

import typer

from conf.mistake import ConfigError
from conf.schema.telemetry import Store
from sim.launch import LaunchError
from sim.run import RunOptions, run

app = typer.Typer(rich_markup_mode=None)
REFUSED = 2


@app.command()
def start(
    facility: Annotated[str | None, typer.Option(help="Site: a file of conf/facility.")] = None,
    hardware: Annotated[str | None, typer.Option(help="Board: a file of conf/hardware.")] = None,
    store: Annotated[Store | None, typer.Option(help="Series store of the fleet side.")] = None,
    scenario: Annotated[str, typer.Option(help="A file of sim/scenarios.")] = "picking",
    seconds: Annotated[float | None, typer.Option(help="End after this time.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the page; the next free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page, at a terminal.")] = True,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="group=option or path.to.setting=value; repeatable."),
    ] = None,
) -> None:
    """Run one robot until Ctrl-C; the page's address is printed."""
    options = RunOptions(
        facility=facility,
        hardware=hardware,
        store=None if store is None else store.value,
        scenario=scenario,
        seconds=seconds,
        port=port,
        browser=browser,
        overrides=tuple(overrides or ()),
    )
    try:
        code = run(options)
    except (ConfigError, LaunchError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    raise typer.Exit(code)

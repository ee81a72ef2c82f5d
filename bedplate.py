"""The front door: `bedplate COMMAND …` hands over to the area that owns the command.

An area's cli.py is imported when its command is used, so that `bedplate config check` needs neither
a simulator nor a fleet side to be installed.
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import typer

INTRO: Final = """One directory of YAML becomes everything under a robot fleet.

\b
Start here:
  bedplate config show    what the default robot is, and which file says so
  bedplate config check   whether every facility fits every board
  bedplate run            that robot, at work in a simulated cell
"""


@dataclass(frozen=True)
class Area:
    """A command, the module whose `app` answers it, and a line for the overview."""

    command: str
    module: str
    summary: str


AREAS: Final = (
    Area("config", "conf.cli", "Show, check, compare and compile configurations."),
    Area("run", "sim.cli", "Run one robot in a simulated cell, with its fleet side."),
    Area("drill", "sim.drills.cli", "Prove the deployment criteria, one drill each."),
    Area("modes", "runtime.cli", "What the robot may still do when something is missing."),
    Area("rt", "runtime.acceptance.cli", "Whether this machine holds its deadlines."),
    Area("skills", "runtime.skills.cli", "Make, sign and inspect skills."),
    Area("image", "image.cli", "Build a disk image; show, flash, boot and verify it."),
    Area("kernel", "rt_kernel.cli", "Build the real-time kernel; compare a running one."),
    Area("ota", "ota.cli", "Make, send, install and judge updates."),
    Area("fleet", "fleet.cli", "The server side: store, ingest, certificates, page."),
    Area("alerts", "fleet.alerts.cli", "Check and try alert rules, and look at what they say."),
    Area("bench", "sim.bench.cli", "Measure speed and size, with peers in the same run."),
)


def build_app(arguments: list[str]) -> typer.Typer:
    """The application with the wanted area in it, or else with an overview of all."""
    app = typer.Typer(
        name="bedplate",
        help=INTRO,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    word = next((word for word in arguments if not word.startswith("-")), None)
    wanted = [area for area in AREAS if area.command == word]
    for area in wanted:
        _mount(app, area)
    # Whether an area is here is told by importing what it lies in, so only for the overview.
    for area in () if wanted else AREAS:
        if _is_here(area):
            app.command(area.command, help=area.summary)(_nothing)
    app.callback()(_nothing)
    return app


def _nothing() -> None:
    """Only named in the overview."""


def _is_here(area: Area) -> bool:
    """A robot's image carries neither simulator nor fleet side; their commands are not listed."""
    try:
        return find_spec(area.module) is not None
    except ModuleNotFoundError:
        return False


def _mount(app: typer.Typer, area: Area) -> None:
    try:
        inner: typer.Typer = import_module(area.module).app
    except ModuleNotFoundError as error:
        raise SystemExit(_missing(area, error)) from error
    single = len(inner.registered_commands) == 1 and inner.registered_callback is None
    if single and not inner.registered_groups:
        callback = inner.registered_commands[0].callback
        if callback is not None:
            app.command(area.command, help=area.summary)(callback)
            return
    app.add_typer(inner, name=area.command, help=area.summary, no_args_is_help=True)


def _missing(area: Area, error: ModuleNotFoundError) -> str:
    return (
        f"bedplate {area.command}  needs the Python module {error.name}, which is not installed\n"
        "  because each machine installs only the groups it uses (runtime, fleet, sim)\n"
        "  try  uv sync --group sim --group fleet --group runtime"
    )


def main() -> None:
    build_app(sys.argv[1:])()


if __name__ == "__main__":
    main()

"""`bedplate ota`, the robot's part: how it stands, and installing from a file."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ota.install import install_file
from ota.looking import run_program
from ota.refusal import OtaRefusedError
from ota.status import as_lines, read_status
from runtime.paths import Paths

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
REFUSED = 2


@app.command()
def status(
    run_dir: Annotated[Path, typer.Option(help="On a robot.")] = Path("/run/bedplate"),
    data_dir: Annotated[Path, typer.Option(help="On a robot.")] = Path("/data/bedplate"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """On a robot: slot, Artifact, what the commit gate found, attempts, what is on trial."""
    found = read_status(Paths(run_dir, data_dir), run_program)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        print("\n".join(as_lines(found)))


@app.command()
def install(
    file: Annotated[Path, typer.Argument(help="A .mender file on this robot.")],
    run_dir: Annotated[Path, typer.Option(help="On a robot.")] = Path("/run/bedplate"),
    data_dir: Annotated[Path, typer.Option(help="On a robot.")] = Path("/data/bedplate"),
    reboot: Annotated[bool, typer.Option(help="Restart at once where one is needed.")] = True,
) -> None:
    """On a robot, as root: install from a file. The commit gate decides, and then commits."""
    paths = Paths(run_dir, data_dir)
    try:
        code = install_file(file, paths.ota, reboot=reboot, room_mib=_room_mib(paths))
    except OtaRefusedError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    raise typer.Exit(code)


def _room_mib(paths: Paths) -> int:
    """What the commit gate will want; 0 where no profile says it, and the gate alone judges."""
    from conf.profile import ProfileError, read_profile  # `status` need not wait for its schema

    try:
        return read_profile(paths.profile).ota.gate.disk_free_min_mib
    except ProfileError:
        return 0

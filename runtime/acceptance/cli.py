"""`bedplate rt accept`: does this machine hold its deadlines, as its profile declares them?"""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from conf.load import compose
from conf.mistake import ConfigError
from conf.profile import ProfileError, read_profile
from conf.schema import Config
from runtime.acceptance.judge import Verdict, conclude, judge
from runtime.acceptance.measure import AcceptanceError, measure, prepare
from runtime.acceptance.report import as_document, as_text

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
ROBOT_PROFILE = Path("/run/bedplate/profile.json")
ROBOT_FOLDER = Path("/data/bedplate/acceptance")
EXIT = {Verdict.PASSED: 0, Verdict.FAILED: 1, Verdict.UNKNOWN: 3}
REFUSED = 2


@app.callback()
def rt() -> None:
    """Real time: what this machine holds."""


@app.command()
def accept(
    profile: Annotated[
        Path | None, typer.Option(help=f"A robot's profile; on a robot {ROBOT_PROFILE}.")
    ] = None,
    hardware: Annotated[str | None, typer.Option(help="Board: a file of conf/hardware.")] = None,
    facility: Annotated[str | None, typer.Option(help="Site: a file of conf/facility.")] = None,
    cycles: Annotated[
        int | None, typer.Option(help="At most so many cycles in each part: a look, no sign-off.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the JSON is kept.")] = None,
) -> None:
    """Run controld and cyclictest in turns, quiet and under load; print and keep the verdict.

    Stop the robot first: two control loops on one CPU are in each other's way. No motor is driven.
    Ends with 0 passed, 1 failed, 3 unknown, 2 refused.
    """
    try:
        config = _config(profile, hardware, facility)
        with prepare(config) as bench:
            parts = measure(bench, _say, cycles)
    except (ConfigError, ProfileError, AcceptanceError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    findings = judge(config.hardware.acceptance, parts, shortened_to=cycles)
    print(as_text(parts, findings))
    if cycles is not None:
        print(f"shortened to {cycles} cycles: a look, not the acceptance that the profile declares")
    document = as_document(config, platform.release(), parts, findings, cycles)
    print(f"kept in {_keep(document, out or _folder(config))}")
    raise typer.Exit(EXIT[conclude(findings)])


def _say(text: str) -> None:
    print(text, flush=True)


def _config(profile: Path | None, hardware: str | None, facility: str | None) -> Config:
    """The robot's own profile where there is one, unless a board is named."""
    if profile is None and hardware is None and ROBOT_PROFILE.is_file():
        profile = ROBOT_PROFILE
    if profile is not None:
        return read_profile(profile)
    return compose(hardware=hardware, facility=facility).config


def _folder(config: Config) -> Path:
    """Beside the robot's data where there is a robot, else below the present folder."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = ROBOT_FOLDER if ROBOT_FOLDER.parent.is_dir() else Path("var/acceptance")
    return folder / f"{config.hardware.name}-{stamp}.json"


def _keep(document: dict[str, object], file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    partial.replace(file)
    return file

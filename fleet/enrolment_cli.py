"""`bedplate fleet enrol`: invite a robot, see who asks, approve."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import orjson
import typer

from fleet.clock import SystemClock
from fleet.enrolment import EnrolmentError, Enrolments, State, invitation
from fleet.mender import announce, failed
from fleet.pki import Authority
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.words import noun
from ota.mender import MenderError

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
REFUSED = 2
DEFAULT_DIR = Path("var/fleet")
NS_PER_S = 1_000_000_000

FleetDir = Annotated[
    Path, typer.Option("--fleet-dir", help="Where the fleet side keeps its files.")
]
Name = Annotated[str, typer.Argument(help="The robot's name, as it will be in topics.")]


@app.command()
def invite(
    name: Name,
    site: Annotated[str, typer.Option(help="Its site, as in the facility's file.")],
    out: Annotated[Path, typer.Option(help="Where to write what the robot is flashed with.")],
    fleet_url: Annotated[
        str, typer.Option("--fleet-url", help="Where the robot reaches the enrolment port.")
    ] = "",
    broker: Annotated[
        str, typer.Option("--broker", help="HOST:PORT of the MQTT broker, as the robot sees it.")
    ] = "",
    days: Annotated[float, typer.Option(min=0.01, max=365, help="Life of the token.")] = 14.0,
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Make a one-time token for a robot, and the file to flash it with."""
    settings = _settings(fleet_dir)
    url = fleet_url or f"https://127.0.0.1:{settings.enrolment_port}"
    host, _, port = (broker or f"127.0.0.1:{settings.broker_port}").rpartition(":")
    if not host or not port.isdigit() or not url.startswith("https://"):
        _refuse("--broker must be HOST:PORT and --fleet-url https://…: the token travels there")
    authority = Authority(settings.pki)
    try:
        token = Enrolments(settings.root, authority).invite(name, site, _now_s(), days)
        document = invitation(name, site, token, authority.ca.read_text(), url, (host, int(port)))
        _write_secret(out, orjson.dumps(document) + b"\n")
    except (EnrolmentError, ValueError, OSError) as error:
        _refuse(error)
    lasts = f"{days:g} {noun(days, 'day')}"
    typer.echo(f"{out}: invitation of {name}, good once and for {lasts}; keep it as a key")


@app.command("list")
def list_all(fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """Every robot that was invited, and how far it is. Exit 1 while one waits for approval."""
    settings = _settings(fleet_dir)
    rows = Enrolments(settings.root, Authority(settings.pki)).all()
    typer.echo(f"{'robot':<24} {'site':<16} {'state':<9} {'key':<16} since")
    for row in rows:
        since = datetime.fromtimestamp(row.changed_s, UTC).strftime("%Y-%m-%d %H:%M")
        typer.echo(
            f"{row.robot_id:<24} {row.site:<16} {row.state:<9} {row.key_sha256[:16]:<16} {since}"
        )
    raise typer.Exit(1 if any(row.state is State.ASKED for row in rows) else 0)


@app.command()
def approve(name: Name, fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """Say that the robot that asked under this name is ours: its certificate is issued, and where
    this fleet has a Mender server, it will be let in there. Twice is once."""
    settings = _settings(fleet_dir)
    try:
        book = Enrolments(settings.root, Authority(settings.pki))
        row = book.approve(name, _now_s())
    except (EnrolmentError, OSError) as error:
        _refuse(error)
    typer.echo(f"{row.robot_id}: certified, key {row.key_sha256[:16]}")
    try:
        updates = announce(settings, book, name)
    except MenderError as error:
        _refuse(failed(name, error))
    if updates:
        typer.echo(f"{row.robot_id}: updates: {updates}")


@app.command()
def forget(name: Name, fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """Let the name be given again. A certificate that was issued stays good until it ends."""
    settings = _settings(fleet_dir)
    if not Enrolments(settings.root, Authority(settings.pki)).forget(name):
        _refuse(f"{name} was never invited; bedplate fleet enrol list shows who was")
    typer.echo(f"{name}: forgotten")


def _settings(fleet_dir: Path) -> FleetSettings:
    try:
        return read_settings(fleet_dir.absolute())
    except SettingsError as error:
        _refuse(error)


def _now_s() -> int:
    return SystemClock().wall_ns() // NS_PER_S


def _write_secret(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    partial.replace(path)


def _refuse(error: object) -> NoReturn:
    typer.echo(error, err=True)
    raise typer.Exit(REFUSED) from None

"""`bedplate fleet`: prepare and serve the server side, and ask its books."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer

from conf.load import compose
from conf.mistake import ConfigError
from conf.profile import read_profile
from fleet.alerts.alertmanager import AlertmanagerError
from fleet.broker import BrokerError
from fleet.enrolment_cli import app as enrolment_app
from fleet.events.cli import COMMANDS as EVENT_COMMANDS
from fleet.incidents.cli import app as incident_app
from fleet.influxd import InfluxdError
from fleet.load.cli import load
from fleet.metrics.cli import COMMANDS as METRIC_COMMANDS
from fleet.people.cli import app as people_app
from fleet.postgresd import PostgresError
from fleet.prepare import LocalRobot, prepare
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.store.books import Books
from fleet.store.series import StoreUnavailableError
from fleet.traces.cli import COMMANDS as TRACE_COMMANDS

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(incident_app, name="incident", help="What is wrong, what was done, its end.")
app.add_typer(enrolment_app, name="enrol", help="Invite a robot, see who asks, approve.")
app.add_typer(people_app, name="people", help="Accounts, passwords, tokens, and who did what.")
for _name, _command in {
    **METRIC_COMMANDS, **EVENT_COMMANDS, **TRACE_COMMANDS, "load": load
}.items():  # fmt: skip
    app.command(_name)(_command)
REFUSED = 2

FleetDir = Annotated[
    Path, typer.Option("--fleet-dir", help="Where the fleet side keeps its files.")
]
RobotId = Annotated[
    str | None, typer.Option("--robot", help="One robot; else all, or the only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for other programs.")]
DEFAULT_DIR = Path("var/fleet")


@app.command("prepare")
def prepare_side(
    run_dir: Annotated[Path, typer.Option("--run-dir", help="The robot's run folder.")],
    data_dir: Annotated[Path, typer.Option("--data-dir", help="The robot's data folder.")],
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Certificates, broker files and settings for a robot on this machine; prints what to start."""
    profile = run_dir / "profile.json"
    try:
        config = read_profile(profile) if profile.exists() else compose().config
        local = LocalRobot(data_dir / "pki", run_dir / "agent.sock", run_dir / "faults.sock")
        made = prepare(config, fleet_dir, local)
    except (ConfigError, BrokerError, InfluxdError, PostgresError, AlertmanagerError,
            OSError) as error:  # fmt: skip
        _refuse(error)
    servers = {"influxd": made.influxd, "postgresd": made.postgresd}
    servers["alertmanager"] = made.alertmanager
    commands = {"broker": made.broker, **servers, "ingestd": made.ingestd}
    _print({**commands, "fleetd": made.fleetd, "page": made.page_url})


@app.command()
def serve(fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """Serve the page, until Ctrl-C."""
    import asyncio

    from fleet import fleetd

    try:
        asyncio.run(fleetd.serve(read_settings(fleet_dir.absolute())))
    except (SettingsError, StoreUnavailableError, OSError) as error:
        _refuse(error)


@app.command()
def up(fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """The whole fleet side in the foreground: real servers where installed, else embedded ones."""
    import signal

    from fleet.up import Side, UpError

    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _frame: ended.append(got))
    side: Side | None = None
    try:
        side = Side(fleet_dir)
        guest = side.start()
        settings = side.made.settings
        rows = "SQLite" if settings.postgres is None else "PostgreSQL"
        print(f"series in {settings.store.value}, rows in {rows}; logs in {settings.root}")
        if guest.password is not None:
            print(f"first account: {guest.name}, password {guest.password} (shown this once)")
        print(f"page, signed in: {guest.link(side.made.page_url)}", flush=True)
        side.run(lambda: bool(ended))
    except (ConfigError, BrokerError, InfluxdError, PostgresError, AlertmanagerError, UpError,
            StoreUnavailableError, OSError) as error:  # fmt: skip
        _refuse(error)
    finally:
        if side is not None:
            side.end()


@app.command()
def ingest(
    fleet_dir: FleetDir = DEFAULT_DIR,
    name: Annotated[str, typer.Option(help="Unlike that of every other ingester.")] = "1",
) -> None:
    """Take frames from the broker into the store, until Ctrl-C."""
    from fleet.ingestd import Ingester

    try:
        ingester = Ingester(read_settings(fleet_dir.absolute()), name)
    except (SettingsError, StoreUnavailableError, OSError) as error:
        _refuse(error)
    try:
        ingester.run()
    except KeyboardInterrupt:
        ingester.end()


@app.command()
def accounting(
    robot: RobotId = None, fleet_dir: FleetDir = DEFAULT_DIR, json: AsJson = False
) -> None:
    """What became of every record: stored, refused, thinned, pending, missing. Missing exits 1."""
    settings = _settings(fleet_dir)
    try:
        books = Books(settings.books_url)
        accounts = books.accounts(robot)
        books.close()
    except StoreUnavailableError as error:
        _refuse(error)
    if json:
        _print([dataclasses.asdict(account) for account in accounts])
    else:
        print(f"{'robot':<20} {'head':>9} {'stored':>9} {'refused':>8} {'thinned':>8}", end="")
        print(f" {'pending':>8} {'missing':>8}")
        for item in accounts:
            print(f"{item.robot_id:<20} {item.head:>9} {item.stored:>9} {item.refused:>8}", end="")
            print(f" {item.thinned:>8} {item.pending:>8} {item.missing:>8}")
    raise typer.Exit(1 if any(account.missing for account in accounts) else 0)


@app.command()
def poison(fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """Messages that could not be understood, with the reason, as JSON."""
    settings = _settings(fleet_dir)
    try:
        books = Books(settings.books_url)
        rows = books.poison()
        books.close()
    except StoreUnavailableError as error:
        _refuse(error)
    _print([{**row, "payload": row["payload"].hex()} for row in rows])


def _settings(fleet_dir: Path) -> FleetSettings:
    try:
        return read_settings(fleet_dir.absolute())
    except SettingsError as error:
        _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    print(error, file=sys.stderr)
    raise typer.Exit(REFUSED) from None


def _print(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

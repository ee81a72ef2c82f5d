"""`bedplate fleet people`: accounts, passwords, tokens, and who did what."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import orjson
import typer
from sqlalchemy.engine import Engine

from fleet.clock import SystemClock
from fleet.people.accounts import Accounts, PeopleError
from fleet.people.audit import Audit, Entry
from fleet.people.keys import LINK_LIFE_S, Keys
from fleet.people.passwords import random_password
from fleet.people.roles import Role
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
REFUSED = 2
DEFAULT_DIR = Path("var/fleet")

FleetDir = Annotated[
    Path, typer.Option("--fleet-dir", help="Where the fleet side keeps its files.")
]
Name = Annotated[str, typer.Argument(help="The account's name.")]
RoleOption = Annotated[Role, typer.Option(help="What it may do; each role includes those before.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for other programs.")]


@app.command()
def add(
    name: Name,
    role: RoleOption = Role.VIEWER,
    password_stdin: FromStdin = False,
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Make an account. Without --password-stdin its password is made here and shown once."""
    password = _password(password_stdin)
    with _people(fleet_dir, "people.add", f"{name} as {role.value}") as (rows, _settings):
        Accounts(rows, SystemClock()).add(name, role, password)
    typer.echo(f"{name}: may come in as {role.value}")
    _show_once(password, password_stdin)


@app.command("list")
def list_all(fleet_dir: FleetDir = DEFAULT_DIR, json: AsJson = False) -> None:
    """Every account, with its role."""
    with _people(fleet_dir) as (rows, _settings):
        people = Accounts(rows, SystemClock()).all()
    if json:
        typer.echo(orjson.dumps([person.__dict__ for person in people]).decode())
        return
    typer.echo(f"{'name':<24} {'role':<10} {'state':<9} since")
    for person in people:
        state = "disabled" if person.disabled else "active"
        typer.echo(f"{person.name:<24} {person.role.value:<10} {state:<9} {_day(person.created_s)}")


@app.command()
def disable(name: Name, fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """Let nobody in under this name: its sessions end within seconds, its tokens for ever."""
    with _people(fleet_dir, "people.disable", name) as (rows, _settings):
        Accounts(rows, SystemClock()).set_disabled(name, disabled=True)
    typer.echo(f"{name}: disabled")


@app.command()
def enable(name: Name, fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """Let a disabled account in again, with the password it had."""
    with _people(fleet_dir, "people.enable", name) as (rows, _settings):
        Accounts(rows, SystemClock()).set_disabled(name, disabled=False)
    typer.echo(f"{name}: active")


@app.command()
def role(
    name: Name, new: Annotated[Role, typer.Argument()], fleet_dir: FleetDir = DEFAULT_DIR
) -> None:
    """Give an account another role; its open sessions end."""
    with _people(fleet_dir, "people.role", f"{name} as {new.value}") as (rows, _settings):
        Accounts(rows, SystemClock()).set_role(name, new)
    typer.echo(f"{name}: {new.value}")


@app.command()
def password(
    name: Name, password_stdin: FromStdin = False, fleet_dir: FleetDir = DEFAULT_DIR
) -> None:
    """Set a new password; its open sessions end."""
    new = _password(password_stdin)
    with _people(fleet_dir, "people.password", name) as (rows, _settings):
        Accounts(rows, SystemClock()).set_password(name, new)
    typer.echo(f"{name}: has a new password")
    _show_once(new, password_stdin)


@app.command()
def link(name: Name, fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """A link that signs in once, for a quarter of an hour."""
    with _people(fleet_dir, "people.link", name) as (rows, settings):
        Accounts(rows, SystemClock()).get(name)
        key = Keys(rows, SystemClock()).make_link(name)
    typer.echo(f"http://{settings.page_host}:{settings.page_port}/sign-in?key={key}")
    typer.echo(f"good once, for {LINK_LIFE_S // 60} minutes", err=True)


@app.command()
def token(
    name: Name,
    role: RoleOption = Role.VIEWER,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[float, typer.Option(min=0.01, max=366, help="Its life.")] = 90.0,
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Make an API token, shown this once: Authorization: Bearer …"""
    with _people(fleet_dir, "people.token", f"{name} as {role.value}") as (rows, _settings):
        made, secret = Keys(rows, SystemClock()).make_token(name, label, role, days)
    typer.echo(secret)
    typer.echo(
        f"token {made.id} of {name} as {role.value}, until {_day(made.expires_s)};"
        " it is kept nowhere in clear",
        err=True,
    )


@app.command()
def tokens(name: Annotated[str | None, typer.Argument()] = None, fleet_dir: FleetDir = DEFAULT_DIR):
    """Tokens that were made, without their secrets."""
    with _people(fleet_dir) as (rows, _settings):
        found = Keys(rows, SystemClock()).tokens(name)
    typer.echo(f"{'id':<10} {'person':<20} {'role':<10} {'until':<12} {'used':<12} label")
    for one in found:
        used = "never" if one.used_s is None else _day(one.used_s)
        until = _day(one.expires_s)
        typer.echo(
            f"{one.id:<10} {one.person:<20} {one.role.value:<10} {until:<12} {used:<12} {one.label}"
        )


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, as `tokens` lists it.")],
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """End a token."""
    with _people(fleet_dir, "people.revoke", token_id) as (rows, _settings):
        if not Keys(rows, SystemClock()).revoke(token_id):
            raise PeopleError(f"there is no token {token_id!r}")
    typer.echo(f"token {token_id}: revoked")


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    who: Annotated[str | None, typer.Option(help="One person's.")] = None,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """Who did what, when, from where, and what came of it; newest first."""
    with _people(fleet_dir) as (rows, _settings):
        entries = Audit(rows, SystemClock()).entries(limit, who=who)
    for entry in entries:
        if json:
            typer.echo(orjson.dumps(entry.__dict__).decode())
            continue
        when = datetime.fromtimestamp(entry.at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(
            f"{when}  {entry.who:<16} {entry.via:<12} {entry.address:<16}"
            f" {entry.outcome:<14} {entry.action} {entry.target}"
        )


@contextmanager
def _people(
    fleet_dir: Path, action: str = "", target: str = ""
) -> Iterator[tuple[Engine, FleetSettings]]:
    """The rows of people; a change is noted with what came of it."""
    rows: Engine | None = None
    outcome = "refused"
    try:
        settings = read_settings(fleet_dir.absolute())
        rows = open_rows(settings.rows_url)
        yield rows, settings
        outcome = "ok"
    except (SettingsError, StoreUnavailableError, PeopleError) as error:
        _refuse(error)
    finally:
        if rows is not None:
            if action:
                _note(rows, Entry(_me(), "cli", "local", action, target, outcome))
            rows.dispose()


def _note(rows: Engine, entry: Entry) -> None:
    try:
        Audit(rows, SystemClock()).note(entry)
    except StoreUnavailableError as error:
        typer.echo(f"not in the audit: {error}", err=True)


def _me() -> str:
    """The account of this machine, not of the fleet: whoever has its files needs no password."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


def _password(from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\n") if from_stdin else random_password()


def _show_once(password: str, given: bool) -> None:
    if not given:
        typer.echo(f"its password, shown this once: {password}")


def _day(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")


def _refuse(error: object) -> NoReturn:
    typer.echo(error, err=True)
    raise typer.Exit(REFUSED) from None

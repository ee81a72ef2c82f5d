"""`bedplate fleet incident …`: what is wrong just now, what was done, and its end."""

import getpass
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer

from fleet.clock import SystemClock
from fleet.incidents.book import IncidentBook
from fleet.incidents.decide import reasons_to_stay_open
from fleet.incidents.export import export, lasted, time_of
from fleet.incidents.fold import Folded, fold
from fleet.incidents.model import Entry, Incident, Kind
from fleet.incidents.runbook import RunbookError, shown
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
REFUSED = 2
FAILED = 1
DEFAULT_DIR = Path("var/fleet")

FleetDir = Annotated[
    Path, typer.Option("--fleet-dir", help="Where the fleet side keeps its files.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for other programs.")]
Who = Annotated[str, typer.Option("--who", help="In whose name; else that of this account.")]
Number = Annotated[int, typer.Argument(help="Number of the incident, as `list` shows it.", min=1)]


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """Incidents that are not closed, newest first."""
    _, book = _open(fleet_dir)
    found = _tried(book.newest if everything else book.open_ones)
    if json:
        _print([_brief(one) for one in found])
        return
    if not found:
        print("no incident yet" if everything else "no incident is open")
    for one in found:
        row = f"{one.incident_id:>5}  {one.state.value:<10} {one.severity:<9}"
        print(f"{row} {time_of(one.opened_ns)}  {one.title}")


@app.command()
def show(incident: Number, fleet_dir: FleetDir = DEFAULT_DIR, json: AsJson = False) -> None:
    """One incident: alerts, steps with their commands, timeline."""
    settings, book = _open(fleet_dir)
    found = _find(book, incident)
    if json:
        _print({**asdict(found), "state": found.state.value})
        return
    print(f"{found.incident_id}  {found.title}\n   {found.state.value}, {found.severity}")
    print(f"   opened {time_of(found.opened_ns)} by {found.opened_by}; {lasted(found)}\n")
    for step in found.steps:
        done = "" if step.done_ns is None else f"   {step.done_by}, {time_of(step.done_ns)}"
        mark = " " if not step.is_settled else "x" if step.needed else "-"
        print(f"   [{mark}] {step.number}. {step.text}{done}")
        for command in step.commands:
            print(f"         $ {shown(command, found.subject)}")
    print()
    for entry in fold(found.timeline):
        if isinstance(entry, Folded):
            print(f"   …  {entry.text} (--json has them all)")
        else:
            print(f"   {time_of(entry.at_ns)}  {entry.kind.value:<8} {entry.who}: {entry.text}")
    _say_why_open(settings, found)


@app.command("open")
def open_(
    title: Annotated[str, typer.Argument(help="What is wrong, in one line.")],
    subject: Annotated[str, typer.Option(help="A robot, or the whole fleet.")] = "fleet",
    site: Annotated[str, typer.Option(help="Where.")] = "",
    runbook: Annotated[
        str, typer.Option(help="A page of docs/runbooks, as docs/runbooks/stuck.md.")
    ] = "",
    who: Who = "",
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """Open an incident by hand; what changed lately is written into it."""
    from fleet.incidents.watch import Incidents
    from fleet.ingestd import open_store

    settings = _settings(fleet_dir)
    try:
        rows = open_rows(settings.rows_url, kept=False)
        incidents = Incidents(settings.alerts, rows, open_store(settings))
        made = incidents.open_by_hand(
            title, who or getpass.getuser(), _now(), subject=subject, site=site, runbook=runbook
        )
    except (StoreUnavailableError, RunbookError, OSError) as error:
        _refuse(str(error))
    _print({"incident": made}) if json else print(f"incident {made} is open")


@app.command()
def note(
    incident: Number,
    text: Annotated[str, typer.Argument(help="What you saw, did or think.")],
    who: Who = "",
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Write a line into the timeline."""
    _, book = _open(fleet_dir)
    found = _find(book, incident)
    entry = Entry(_now(), Kind.NOTE, who or getpass.getuser(), text)
    _tried(lambda: book.note(found.incident_id, [entry]))


@app.command()
def tick(
    incident: Number,
    step: Annotated[int, typer.Argument(help="Number of the step.", min=1)],
    skip: Annotated[bool, typer.Option("--skip", help="It need not be done here.")] = False,
    who: Who = "",
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Tick off a step of the runbook."""
    _, book = _open(fleet_dir)
    found = _find(book, incident)
    name, now_ns = who or getpass.getuser(), _now()
    if not _tried(lambda: book.tick(found.incident_id, step, name, now_ns, needed=not skip)):
        open_steps = ", ".join(str(one.number) for one in found.steps if not one.is_settled)
        _refuse(
            f"incident {incident} has no open step {step}; open are: {open_steps or 'none'};"
            f" see  bedplate fleet incident show {incident}"
        )


@app.command()
def close(
    incident: Number,
    cause: Annotated[str, typer.Option(help="What it was.")] = "",
    prevention: Annotated[str, typer.Option(help="What keeps it from coming again.")] = "",
    who: Who = "",
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Close it, once it has recovered, its steps are settled, and its note is written."""
    settings, book = _open(fleet_dir)
    found = _find(book, incident)
    now_ns, calm_s = _now(), settings.alerts.calm_s
    reasons = reasons_to_stay_open(found, now_ns, calm_s, cause, prevention)
    if reasons:
        print(f"incident {incident} stays open:", file=sys.stderr)
        for reason in reasons:
            print(f"  {reason}", file=sys.stderr)
        raise typer.Exit(FAILED)
    name = who or getpass.getuser()
    _tried(lambda: book.close(incident, name, now_ns, cause=cause, prevention=prevention))
    print(f"incident {incident} is closed")


@app.command("export")
def export_(
    incident: Number,
    out: Annotated[Path | None, typer.Option(help="A file; else it is printed.")] = None,
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """The whole incident as a Markdown document."""
    _, book = _open(fleet_dir)
    text = export(_find(book, incident))
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        _refuse(f"{out}: cannot be written ({error.strerror}); name another file by --out")


def _say_why_open(settings: FleetSettings, found: Incident) -> None:
    if found.closed_ns is not None:
        return
    reasons = reasons_to_stay_open(found, _now(), settings.alerts.calm_s, "said", "said")
    print("\nbefore it can be closed:" if reasons else "\nit can be closed: --cause, --prevention")
    for reason in reasons:
        print(f"   {reason}")


def _brief(one: Incident) -> dict[str, Any]:
    fields = asdict(one)
    for name in ("members", "steps", "timeline"):
        fields.pop(name)
    return {**fields, "state": one.state.value, "firing": len(one.firing)}


def _open(fleet_dir: Path) -> tuple[FleetSettings, IncidentBook]:
    settings = _settings(fleet_dir)
    return settings, IncidentBook(_tried(lambda: open_rows(settings.rows_url, kept=False)))


def _find(book: IncidentBook, incident: int) -> Incident:
    found = _tried(lambda: book.find(incident))
    if found is None:
        _refuse(f"there is no incident {incident}; see  bedplate fleet incident list --all")
    return found


def _settings(fleet_dir: Path) -> FleetSettings:
    try:
        return read_settings(fleet_dir.absolute())
    except SettingsError as error:
        _refuse(str(error))


def _tried(act: Any) -> Any:
    try:
        return act()
    except StoreUnavailableError as error:
        _refuse(str(error))


def _now() -> int:
    return SystemClock().wall_ns()


def _refuse(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise typer.Exit(REFUSED)


def _print(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

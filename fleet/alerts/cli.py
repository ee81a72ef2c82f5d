"""`bedplate alerts …`: check and try the rules, and look at what they say."""

import getpass
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer

from conf.load import Composed, compose, options_of
from conf.mistake import ConfigError, Mistake
from conf.schema.alerts import SIGNALS, Rule
from conf.schema.notify import Label
from fleet.alerts.alert import worst_first
from fleet.alerts.alertmanager import Alertmanager, AlertmanagerError
from fleet.alerts.book import AlertRows
from fleet.alerts.exam import run_tests
from fleet.alerts.inspect import inspect, mistake_of
from fleet.clock import SystemClock
from fleet.durations import DurationError, parse_duration
from fleet.incidents.export import time_of
from fleet.incidents.runbook import RunbookError, read_runbook
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError
from fleet.words import several

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
REFUSED = 2
FAILED = 1

Facility = Annotated[
    str | None, typer.Option(help="A file of conf/facility, which may change the rules.")
]
FleetDir = Annotated[
    Path, typer.Option("--fleet-dir", help="Where the fleet side keeps its files.")
]
DEFAULT_DIR = Path("var/fleet")
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for other programs.")]


@app.command()
def check(facility: Facility = None, json: AsJson = False) -> None:
    """Rules, tests, runbooks and their commands; without --facility for every one of them."""
    found: dict[str, list[Mistake]] = {}
    for name in [facility] if facility else options_of("facility"):
        composed = _compose(name, json=json)
        found[name] = list(inspect(composed.config.alerts, composed.origins))
    if json:
        _print({name: [_plain(one) for one in mistakes] for name, mistakes in found.items()})
    for name, mistakes in found.items() if not json else ():
        for mistake in mistakes:
            print(f"{mistake}\n", file=sys.stderr)
        print(f"{name:<20} {several(len(mistakes), 'problem') if mistakes else 'fits'}")
    if any(found.values()):
        raise typer.Exit(REFUSED)


@app.command("test")
def try_rules(
    which: Annotated[str | None, typer.Argument(help="A test or a rule; without it, all.")] = None,
    facility: Facility = None,
    json: AsJson = False,
) -> None:
    """Run the tests that stand beside the rules. Ends with status 1 if one goes otherwise."""
    composed = _compose(facility, json=json)
    alerts = composed.config.alerts
    results = list(run_tests(alerts, which))
    if not results:
        _refuse(f"no test and no rule is called {which!r}; see  bedplate alerts list")
    failed = [found for _, found in results if found is not None]
    if json:
        _print([{"test": key, "passed": found is None} for key, found in results])
    else:
        for found in failed:
            rule = alerts.tests[found.test].rule
            print(f"{mistake_of(found, composed.origins, rule)}\n", file=sys.stderr)
        print(f"{len(results) - len(failed)} of {len(results)} tests passed")
    if failed:
        raise typer.Exit(FAILED)


@app.command("list")
def list_(facility: Facility = None, json: AsJson = False) -> None:
    """Every rule on one line."""
    rules = _compose(facility, json=json).config.alerts.rules
    if json:
        _print({key: _row(rule) for key, rule in rules.items()})
        return
    for key, rule in rules.items():
        print(f"{key:<20} {rule.severity.value:<9} {_condition(rule):<52} {rule.alert}")


@app.command()
def show(key: str, facility: Facility = None, json: AsJson = False) -> None:
    """One rule: where each value stands, its tests, its runbook."""
    composed = _compose(facility, json=json)
    alerts = composed.config.alerts
    rule = alerts.rules.get(key)
    if rule is None:
        _refuse(f"no rule is called {key!r}; there are {', '.join(alerts.rules)}")
    tests = [name for name, one in alerts.tests.items() if one.rule == key]
    if json:
        _print({**_row(rule), "tests": tests})
        return
    print(f"{rule.alert}  ({rule.severity.value})\n  {_condition(rule)}\n  {rule.summary}")
    print(f"  {rule.signal.value}: {SIGNALS[rule.signal].meaning}\n")
    for name, value in _row(rule).items():
        origin = composed.origins.get(("alerts", "rules", key, name), "default of the schema")
        print(f"  {name:<18} {value!s:<40} {origin}")
    print(f"\ntests: {', '.join(tests)}\n\n{rule.runbook}")
    try:
        for step in read_runbook(rule.runbook).steps:
            print(f"  {step.number}. {step.text}")
            for command in step.commands:
                print(f"       $ {command}")
    except RunbookError as error:
        _refuse(str(error))


@app.command()
def active(fleet_dir: FleetDir = DEFAULT_DIR, json: AsJson = False) -> None:
    """What fires just now, the worst first."""
    settings = _settings(fleet_dir)
    try:
        rows = open_rows(settings.rows_url, kept=False)
        found = worst_first(AlertRows(rows, settings.alerts).open_episodes())
    except StoreUnavailableError as error:
        _refuse(str(error))
    if json:
        _print([asdict(one) for one in found])
        return
    if not found:
        print("nothing fires")
    for one in found:
        print(f"{one.severity.value:<9} {one.subject:<16} {one.summary}  {one.runbook}")


@app.command()
def history(
    since: Annotated[str, typer.Option(help="How far back, as 24h or 7d.")] = "24h",
    subject: Annotated[str | None, typer.Option(help="A robot, or fleet.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 200,
    fleet_dir: FleetDir = DEFAULT_DIR,
    json: AsJson = False,
) -> None:
    """What has fired, newest first; also what was found in records that came afterwards."""
    settings = _settings(fleet_dir)
    try:
        since_ns = SystemClock().wall_ns() - round(parse_duration(since) * 1e9)
        book = AlertRows(open_rows(settings.rows_url, kept=False), settings.alerts)
        found = book.history(subject, since_ns, limit)
    except (StoreUnavailableError, DurationError) as error:
        _refuse(str(error))
    if json:
        _print(found)
        return
    if not found:
        print(f"nothing fired in the last {since}")
    for row in found:
        times = f"{time_of(row['began_ns'])} – {time_of(row['ended_ns'])}"
        late = "  (found afterwards)" if row["past"] else ""
        print(f"{times}  {row['severity']:<9} {row['subject']:<16} {row['summary']}{late}")


@app.command()
def silence(
    match: Annotated[
        list[str], typer.Argument(help="label=value: subject, rule, alertname, site, severity.")
    ],
    why: Annotated[str, typer.Option(help="Why nobody need be told.")],
    hours: Annotated[float, typer.Option(min=0.1, max=720)] = 2.0,
    who: Annotated[str, typer.Option("--who", help="In whose name.")] = "",
    fleet_dir: FleetDir = DEFAULT_DIR,
) -> None:
    """Have Alertmanager tell nobody of what matches, for some hours; prints the silence's id."""
    matchers = dict(_pair(word) for word in match)
    now_ns, name = SystemClock().wall_ns(), who or getpass.getuser()
    _asked(fleet_dir, lambda client: print(client.silence(matchers, hours, name, why, now_ns)))


@app.command()
def silences(fleet_dir: FleetDir = DEFAULT_DIR, json: AsJson = False) -> None:
    """Silences that hold."""
    found = _asked(fleet_dir, lambda client: client.silences())
    if json:
        _print([asdict(one) for one in found])
        return
    if not found:
        print("no silence holds")
    for one in found:
        what = " ".join(f"{name}={value}" for name, value in one.matchers.items())
        print(f"{one.silence_id}  {what}  until {one.until}  {one.author}: {one.comment}")


@app.command()
def unsilence(silence_id: str, fleet_dir: FleetDir = DEFAULT_DIR) -> None:
    """End a silence."""
    _asked(fleet_dir, lambda client: client.end_silence(silence_id))


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    known = [label.value for label in Label]
    if not equals or not value or name not in known:
        _refuse(f"{word!r} is no label=value; labels are {', '.join(known)}")
    return name, value


def _asked(fleet_dir: Path, act: Callable[[Alertmanager], Any]) -> Any:
    settings = _settings(fleet_dir)
    notify = settings.alerts.notify
    if not notify.alertmanager:
        _refuse(
            "this fleet has no Alertmanager, which keeps the silences;"
            " set alerts.notify.alertmanager: true"
        )
    client = Alertmanager(notify, settings.page_url)
    try:
        return act(client)
    except AlertmanagerError as error:
        _refuse(str(error))
    finally:
        client.close()


def _settings(fleet_dir: Path) -> FleetSettings:
    try:
        return read_settings(fleet_dir.absolute())
    except SettingsError as error:
        _refuse(str(error))


def _condition(rule: Rule) -> str:
    side, back = ("above", "below") if rule.above is not None else ("below", "above")
    text = f"{rule.signal.value} {side} {rule.threshold:g}"
    if rule.for_s:
        text += f" for {rule.for_s:g} s"
    if rule.clear is not None:
        text += f", until {back} {rule.clear:g}"
    return text


def _row(rule: Rule) -> dict[str, Any]:
    return rule.model_dump(mode="json")


def _compose(facility: str | None, *, json: bool) -> Composed:
    try:
        return compose(facility=facility)
    except ConfigError as error:
        if json:
            _print([_plain(mistake) for mistake in error.mistakes])
        else:
            print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None


def _plain(mistake: Mistake) -> dict[str, str]:
    return {
        "origin": str(mistake.origin),
        "path": mistake.path,
        "got": mistake.got,
        "allowed": mistake.allowed,
        "because": mistake.because,
        "try": mistake.suggestion,
    }


def _refuse(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise typer.Exit(REFUSED)


def _print(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())

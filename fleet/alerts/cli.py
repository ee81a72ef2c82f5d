"""`bedplate alerts …`: check and try the rules, and look at what they say."""

import sys
from typing import Annotated, Any, NoReturn

import orjson
import typer

from conf.load import Composed, compose, options_of
from conf.mistake import ConfigError, Mistake
from conf.schema.alerts import SIGNALS, Rule
from fleet.alerts.exam import run_tests
from fleet.alerts.inspect import inspect, mistake_of
from fleet.incidents.runbook import RunbookError, read_runbook

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
REFUSED = 2
FAILED = 1

Facility = Annotated[
    str | None, typer.Option(help="A file of conf/facility, which may change the rules.")
]
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
        print(f"{name:<20} {f'{len(mistakes)} problems' if mistakes else 'fits'}")
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

"""Whether a set of rules can be relied on: its runbooks, their commands, its tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from conf.mistake import Mistake, Origin
from conf.plain import Path as KeyPath
from conf.schema.alerts import Alerts
from fleet.alerts.exam import Difference, run_tests
from fleet.incidents.runbook import ROOT, RunbookError, argv_of, read_runbook


def inspect(alerts: Alerts, origins: dict[KeyPath, Origin], root: Path = ROOT) -> Iterator[Mistake]:
    yield from _runbooks(alerts, origins, root)
    for key, difference in run_tests(alerts):
        if difference is not None:
            yield mistake_of(difference, origins, alerts.tests[key].rule)


def mistake_of(found: Difference, origins: dict[KeyPath, Origin], rule: str) -> Mistake:
    """A test that went otherwise, in the shape of a mistake in a file."""
    value = "no sample" if found.value is None else f"{found.value:g}"
    return Mistake(
        place(origins, ("alerts", "tests", found.test, "expect")),
        f"alerts.tests.{found.test}",
        f"{found.got} at step {found.step} ({found.at_s:g} s, {value})",
        f"{found.expected}, as the test says",
        f"either the rule {rule} is wrong, or what is expected of it",
        f"expect: {found.run}   if that is what is meant",
    )


def _runbooks(alerts: Alerts, origins: dict[KeyPath, Origin], root: Path) -> Iterator[Mistake]:
    for key, rule in alerts.rules.items():
        where = place(origins, ("alerts", "rules", key, "runbook"))
        path = f"alerts.rules.{key}.runbook"
        try:
            runbook = read_runbook(rule.runbook, root)
        except RunbookError as error:
            reason = " ".join(str(error).split())
            because = "an alert that does not say what to do wakes somebody for nothing"
            yield Mistake(where, path, reason, "a page of numbered steps", because, "write it")
            continue
        for step in runbook.steps:
            for command in step.commands:
                problem = refusal_of(command)
                if problem:
                    yield Mistake(
                        where,
                        path,
                        f"step {step.number}: {command!r}: {problem}",
                        "commands that there are",
                        "whoever follows it would be stopped by a mistake of ours",
                        f"mend it in {rule.runbook}",
                    )


def refusal_of(command: str) -> str:
    """Why a command of a runbook would be refused before it does anything; empty: it would not."""
    from bedplate import build_app  # the front door knows all areas, and they must not know it

    try:
        words = argv_of(command, "osaka-01")
        here: Any = typer.main.get_command(build_app(words))
        context: Any = None
        while True:
            context = here.make_context(here.name or "bedplate", list(words), parent=context)
            if not hasattr(here, "resolve_command"):  # no group of commands: the command itself
                return ""
            rest = [*context._protected_args, *context.args]
            _, here, words = here.resolve_command(context, rest)
    except RunbookError as error:
        return str(error)
    except typer.Exit:
        return "asks for help instead of doing anything"
    except Exception as error:
        said = getattr(error, "format_message", None)
        if said is None:  # what the parser refuses has a text for people; anything else is not ours
            raise
        return str(said())


def place(origins: dict[KeyPath, Origin], path: KeyPath) -> Origin:
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return origins[path[:length]]
    return Origin("conf/alerts")

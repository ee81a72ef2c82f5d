"""A runbook is a page of docs/runbooks: a title, numbered steps, commands that begin with `$`."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
STEP: Final = re.compile(r"(\d{1,3})\. +(\S.*)")
PLACEHOLDERS: Final = ("ROBOT",)
PAGE_MAX_BYTES: Final = 200_000


class RunbookError(ValueError):
    """A page whose steps cannot be followed; the text says where and why."""


@dataclass(frozen=True)
class Step:
    """Commands may hold ROBOT, which stands for the robot the incident is about."""

    number: int
    text: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Runbook:
    """`intro`: the paragraphs between the title and the first step."""

    title: str
    intro: tuple[str, ...]
    steps: tuple[Step, ...]


def read_runbook(name: str, root: Path = ROOT) -> Runbook:
    """`name` as rules give it: docs/runbooks/….md; RunbookError, also when there is none."""
    try:
        text = (root / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunbookError(
            f"{name}\n  got a page that cannot be read ({error})\n"
            "  because an alert without a runbook says that something is wrong and not what to do\n"
            "  try  write the page: a title, and numbered steps"
        ) from error
    return parse_runbook(text, name)


def parse_runbook(text: str, name: str = "the runbook") -> Runbook:
    if len(text) > PAGE_MAX_BYTES:
        raise RunbookError(f"{name}: more than {PAGE_MAX_BYTES} characters is no runbook")
    lines = text.splitlines()
    starts = (at for at, line in enumerate(lines) if STEP.fullmatch(line.rstrip()))
    first = next(starts, len(lines))
    title, intro = _head(lines[:first])
    return _whole(Runbook(title, intro, _steps(lines[first:], first, name)), name)


def _head(lines: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    titles = [line[2:].strip() for line in lines if line.startswith("# ")]
    words = [line.strip() for line in lines if not line.startswith("# ")]
    paragraphs = " ".join(word or "\n" for word in words).split("\n")
    intro = tuple(words.strip() for words in paragraphs if words.strip())
    return (titles[0] if titles else ""), intro


def _steps(lines: Sequence[str], first: int, name: str) -> tuple[Step, ...]:
    """What is indented under a step belongs to it; `first` lines of the page came before."""
    steps = list[Step]()
    inside = False
    for number, line in enumerate(lines, first + 1):
        if (found := STEP.fullmatch(line.rstrip())) is not None:
            _in_order(int(found[1]), len(steps) + 1, f"{name}:{number}")
            steps.append(Step(int(found[1]), found[2], ()))
            inside = True
        elif inside and line.strip() and line[0] in " \t":
            steps.append(_with(steps.pop(), line.strip()))
        elif line.strip():
            inside = False
    return tuple(steps)


def _with(step: Step, words: str) -> Step:
    if words.startswith("$ "):
        return replace(step, commands=(*step.commands, words[2:].strip()))
    return replace(step, text=f"{step.text} {words}")


def argv_of(command: str, robot_id: str | None) -> list[str]:
    """The words of a command for one robot; RunbookError when it is not one of ours."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RunbookError(f"{command!r}: {error}") from error
    if len(words) < 2 or words[0] != "bedplate":
        raise RunbookError(f"{command!r} is not a command of ours: it must begin with `bedplate`")
    return [robot_id if word in PLACEHOLDERS and robot_id else word for word in words[1:]]


def shown(command: str, robot_id: str | None) -> str:
    return re.sub(r"\bROBOT\b", robot_id, command) if robot_id else command


def _in_order(number: int, expected: int, where: str) -> None:
    if number != expected:
        raise RunbookError(
            f"{where}\n  got step {number}, must be step {expected}\n"
            "  because who ticks off steps has to know that none is left out\n"
            f"  try  {expected}. …"
        )


def _whole(made: Runbook, name: str) -> Runbook:
    if not made.title or not made.steps:
        raise RunbookError(
            f"{name}\n  got {'no numbered step' if made.title else 'no title'}\n"
            "  because nobody could follow it at night\n"
            "  try  # What is wrong, then  1. What to do first"
        )
    return made

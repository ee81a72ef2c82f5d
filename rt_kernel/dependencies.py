"""Why Kconfig did not grant an option: its conditions, held against what came out.

Reads the tree's Kconfig files as far as that question needs: `config` and `menuconfig` entries with
their `depends on`, and the `if`, `menu` and `choice` blocks around them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from rt_kernel.kconfig import OFF, Lost

Read = Callable[[str], str | None]
"""The text of a Kconfig file by its path in the tree, or None."""

_TOKEN: Final = re.compile(r'\s*(\|\||&&|!=|<=|>=|[()!<>=]|"[^"]*"|\$\([^)]*\)|[A-Za-z0-9_.\-]+)')
_OPENS: Final = ("if", "menu", "choice")
_ENDS: Final = ("endif", "endmenu", "endchoice")
_ENTRY: Final = ("config", "menuconfig")
_MARKS: Final = ("", ")", "=", "!=", "&&", "||", "<", ">", "<=", ">=")
_DEPTH_MOST: Final = 40  # files that include each other, as in the deepest tree three times over


@dataclass
class _Place:
    """Where the reading is: the conditions around it, and the entry it is in."""

    around: list[tuple[str, ...]] = field(default_factory=list)
    entry: str | None = None
    heads_block: bool = False  # right below `menu` or `choice`, whose conditions come here


@dataclass
class Options:
    """Each option with the conditions of each place that declares it."""

    places: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)

    def declare(self, option: str, around: list[tuple[str, ...]]) -> None:
        self.places.setdefault(option, []).append(tuple(c for block in around for c in block))

    def add_condition(self, option: str, condition: str) -> None:
        self.places[option][-1] += (condition,)


def read_options(read: Read, top: str, arch: str) -> Options:
    """Everything that the tree declares, from its top file on."""
    options = Options()
    _read_file(read, top, arch, options, _Place(), 0)
    return options


def _read_file(
    read: Read, path: str, arch: str, options: Options, place: _Place, depth: int
) -> None:
    text = read(path.replace("$(SRCARCH)", arch))
    if text is None or depth > _DEPTH_MOST:
        return
    for line in _logical_lines(text):
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "source":
            _read_file(read, rest.strip('"'), arch, options, place, depth + 1)
        else:
            _take_line(word, rest, options, place)


def _take_line(word: str, rest: str, options: Options, place: _Place) -> None:
    if word == "depends" and rest.startswith("on "):
        condition = _uncommented(rest[3:])
        if place.entry is not None:
            options.add_condition(place.entry, condition)
        elif place.heads_block:
            place.around[-1] += (condition,)
    elif word in (*_ENTRY, *_OPENS, *_ENDS, "comment"):
        place.entry = rest if word in _ENTRY else None
        place.heads_block = word in ("menu", "choice")
        if place.entry is not None:
            options.declare(place.entry, place.around)
        elif word in _OPENS:
            place.around.append((_uncommented(rest),) if word == "if" else ())
        elif word in _ENDS and place.around:
            place.around.pop()


def _uncommented(expression: str) -> str:
    return expression.partition("#")[0].strip()


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with their continuations joined and help texts left out."""
    help_indent: int | None = None
    in_help = False
    pending = ""
    for raw in text.expandtabs(8).splitlines():
        stripped = raw.strip()
        if in_help:
            indent = len(raw) - len(raw.lstrip())
            if not stripped:
                continue
            help_indent = indent if help_indent is None else help_indent
            if indent >= help_indent > 0:
                continue
            in_help = False
        if stripped in ("help", "---help---"):
            in_help, help_indent = True, None
        elif stripped.endswith("\\"):
            pending += stripped[:-1] + " "
        elif stripped or pending:
            yield " ".join((pending + stripped).split())
            pending = ""


def split_terms(expression: str) -> tuple[str, ...]:
    """The parts of an expression that must all hold: it is cut at each `&&` outside brackets."""
    parts, depth, begun = [], 0, 0
    for token in _TOKEN.finditer(expression):
        depth += {"(": 1, ")": -1}.get(token[1], 0)
        if token[1] == "&&" and depth == 0:
            parts.append(expression[begun : token.start()])
            begun = token.end()
    parts.append(expression[begun:])
    terms = [part.strip() for part in parts]
    if len(terms) == 1 and _is_bracketed(terms[0]):
        return split_terms(terms[0][1:-1])
    return tuple(term for term in terms if term)


def _is_bracketed(term: str) -> bool:
    """One pair of brackets around the whole of it."""
    if not (term.startswith("(") and term.endswith(")")):
        return False
    depth = 0
    for position, letter in enumerate(term):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and position < len(term) - 1:
            return False
    return True


def holds(expression: str, config: dict[str, str]) -> bool | None:
    """Whether an expression of options is true; None where it cannot be told.

    Modules are not built, so that an option is on or off and nothing between.
    """
    tokens = [match[1] for match in _TOKEN.finditer(expression)]
    if "".join(tokens) != re.sub(r"\s+", "", expression) and '"' not in expression:
        return None
    reading = _Reading(tokens, config)
    value = reading.either()
    return value if reading.at == len(tokens) else None


@dataclass
class _Reading:
    tokens: list[str]
    config: dict[str, str]
    at: int = 0

    def _next(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""

    def _sees(self, *wanted: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at] in wanted

    def either(self) -> bool | None:
        value = self.both()
        while self._sees("||"):
            self.at += 1
            other = self.both()
            value = True if value or other else None if None in (value, other) else False
        return value

    def both(self) -> bool | None:
        value = self.single()
        while self._sees("&&"):
            self.at += 1
            other = self.single()
            known_false = value is False or other is False
            value = False if known_false else None if None in (value, other) else True
        return value

    def single(self) -> bool | None:
        word = self._next()
        if word == "!":
            value = self.single()
            return None if value is None else not value
        if word == "(":
            value = self.either()
            return value if self._next() == ")" else None
        if self._sees("=", "!="):
            equal = self._next() == "="
            return (self._value(word) == self._value(self._next())) is equal
        if self._sees("<", ">", "<=", ">=") or word.startswith("$"):
            self.at = len(self.tokens)
            return None
        return None if word in _MARKS else self._value(word) in ("y", "m")

    def _value(self, word: str) -> str:
        return word.strip('"') if word in ("y", "n", "m") else self._option(word)

    def _option(self, word: str) -> str:
        return word.strip('"') if word.startswith('"') else self.config.get(word, OFF)


def explain(lost: Lost, options: Options, config: dict[str, str]) -> Lost:
    """The same finding with the conditions that do not hold."""
    places = options.places.get(lost.request.option)
    if not places:
        return replace(lost, unmet=("another name: no file of this kernel declares it",))
    unmet = [_unmet(place, config) for place in places]
    return replace(lost, unmet=min(unmet, key=len))


def _unmet(conditions: tuple[str, ...], config: dict[str, str]) -> tuple[str, ...]:
    terms = [term for condition in conditions for term in split_terms(condition)]
    return tuple(dict.fromkeys(term for term in terms if holds(term, config) is False))


def explain_all(lost: tuple[Lost, ...], tree: Path, config: dict[str, str]) -> tuple[Lost, ...]:
    """Reads the tree, which takes a second or two: only where something was lost."""

    def read(path: str) -> str | None:
        file = tree / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None

    options = read_options(read, "Kconfig", "arm64")
    return tuple(explain(item, options, config) for item in lost)

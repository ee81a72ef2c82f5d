"""A small language for events: `latency_ms > 200 and not (name = task.done or reason ~ slip)`.

A comparison with a field that an event has not, or that is of another kind, is neither true nor
false, and `not` does not make it true: missing is not zero. An event is found where the whole is
true. Nothing is ever evaluated but what is written here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from runtime.telemetry.client import Value

TEXT_MAX = 1000
DEPTH_MAX = 40
Truth = bool | None
Fields = Mapping[str, Value | None]


class FilterError(ValueError):
    """Where the expression goes wrong, and what would be right there."""


class Compare(StrEnum):
    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    CONTAINS = "~"


@dataclass(frozen=True)
class Comparison:
    field: str
    compare: Compare
    value: Value

    def holds(self, fields: Fields) -> Truth:
        found = fields.get(self.field)
        if found is None or _kind(found) is not _kind(self.value):
            return None
        return _compared(found, self.compare, self.value)


@dataclass(frozen=True)
class Not:
    part: "Filter"

    def holds(self, fields: Fields) -> Truth:
        truth = self.part.holds(fields)
        return None if truth is None else not truth


@dataclass(frozen=True)
class All:
    parts: "tuple[Filter, ...]"

    def holds(self, fields: Fields) -> Truth:
        truths = [part.holds(fields) for part in self.parts]
        return False if False in truths else None if None in truths else True


@dataclass(frozen=True)
class Any:
    parts: "tuple[Filter, ...]"

    def holds(self, fields: Fields) -> Truth:
        truths = [part.holds(fields) for part in self.parts]
        return True if True in truths else None if None in truths else False


Filter = Comparison | Not | All | Any

_TOKEN = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))
    |(?P<compare>==|!=|<=|>=|[=<>~])
    |"(?P<quoted>(?:[^"\\]|\\.)*)"
    |(?P<word>[^\s()=<>~!"]+))""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_JOINS = ("and", "or", "not")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_filter(text: str) -> Filter:
    if len(text) > TEXT_MAX:
        raise FilterError(f"an expression may have {TEXT_MAX} characters, this has {len(text)}")
    parser = _Parser(text, _tokens(text))
    made = parser.either(0)
    if parser.left:
        raise parser.wrong("`and`, `or` or the end")
    return made


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise FilterError(_pointed(text, at, "a field, a comparison or a bracket"))
        kind = match.lastgroup
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent; `depth` keeps it from going deeper than the stack."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text = text
        self.left = tokens

    def either(self, depth: int) -> Filter:
        parts = [self._both(depth)]
        while self._take("word", "or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def wrong(self, wanted: str) -> FilterError:
        at = self.left[0].at if self.left else len(self._text)
        return FilterError(_pointed(self._text, at, wanted))

    def _both(self, depth: int) -> Filter:
        parts = [self._one(depth)]
        while self._take("word", "and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, depth: int) -> Filter:
        if depth >= DEPTH_MAX:
            raise self.wrong(f"no more than {DEPTH_MAX} brackets and `not` inside each other")
        if self._take("word", "not"):
            return Not(self._one(depth + 1))
        if self._take("open"):
            inner = self.either(depth + 1)
            if not self._take("close"):
                raise self.wrong("`)`")
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        if not self._is_field():
            raise self.wrong("the name of a field")
        field = self.left.pop(0)
        compare = self._take("compare")
        if compare is None:
            raise self.wrong("one of " + " ".join(Compare))
        made = Compare("=" if compare.text == "==" else compare.text)
        quoted = self._take("quoted")
        if quoted is not None:
            return Comparison(field.text, made, re.sub(r"\\(.)", r"\1", quoted.text))
        word = self._take("word")
        if word is None:
            raise self.wrong("a value")
        return Comparison(field.text, made, _value(word.text))

    def _is_field(self) -> bool:
        if not self.left or self.left[0].kind != "word":
            return False
        name = self.left[0].text
        return name not in _JOINS and _FIELD.fullmatch(name) is not None

    def _take(self, kind: str, text: str | None = None) -> _Token | None:
        if self.left and self.left[0].kind == kind and text in (None, self.left[0].text):
            return self.left.pop(0)
        return None


def _value(word: str) -> Value:
    if word in ("true", "false"):
        return word == "true"
    return float(word) if _NUMBER.fullmatch(word) else word


def _kind(value: Value) -> type:
    return bool if isinstance(value, bool) else str if isinstance(value, str) else float


def _compared(found: Value, compare: Compare, value: Value) -> Truth:
    if isinstance(found, str) and isinstance(value, str):
        if compare is Compare.CONTAINS:
            return value.lower() in found.lower()
        return _ordered(found, compare, value)
    if isinstance(found, str) or isinstance(value, str):
        return None
    return _ordered(float(found), compare, float(value))


def _ordered(found: str | float, compare: Compare, value: str | float) -> Truth:
    match compare:
        case Compare.EQUAL:
            return found == value
        case Compare.UNEQUAL:
            return found != value
        case Compare.LESS:
            return found < value  # type: ignore[operator]
        case Compare.AT_MOST:
            return found <= value  # type: ignore[operator]
        case Compare.MORE:
            return found > value  # type: ignore[operator]
        case Compare.AT_LEAST:
            return found >= value  # type: ignore[operator]
        case Compare.CONTAINS:
            return None
    assert_never(compare)


def _pointed(text: str, at: int, wanted: str) -> str:
    shown = text.replace("\n", " ").replace("\t", " ")
    return (
        f"at character {at + 1}: {wanted} is expected\n  {shown}\n  {' ' * at}^\n"
        "for example: latency_ms > 200 and not (name = task.done or reason ~ slip)"
    )

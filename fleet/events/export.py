"""Events as lines for other programs."""

import csv
import io
from collections.abc import Iterable, Iterator
from enum import StrEnum

import orjson

from fleet.events.search import Event

COLUMNS = (
    "time_ns", "robot", "site", "version", "name", "severity", "source", "task", "task_id",
    "replayed", "fields",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


def export(events: Iterable[Event], form: Format) -> Iterator[str]:
    """One line each, with its end; CSV begins with the names of its columns."""
    match form:
        case Format.JSONL:
            return (orjson.dumps(event.flat()).decode() + "\n" for event in events)
        case Format.CSV:
            return _csv(events)


def _csv(events: Iterable[Event]) -> Iterator[str]:
    yield _line(COLUMNS)
    for event in events:
        flat = {**event.flat(), "task_id": event.task_id}
        fields = orjson.dumps(event.fields).decode()
        yield _line([*(_cell(flat[name]) for name in COLUMNS[:-1]), fields])


def _cell(value: object) -> str:
    """A table program must not take a robot's text for a formula of its own."""
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA) else text


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()

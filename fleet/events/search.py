"""Which events there are, the newest first, a page at a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.events.filter import Filter
from fleet.events.tables import EVENT_LOG, WORDS, words_of
from fleet.store.rows import read
from runtime.telemetry.client import Value

CHUNK_ROWS = 1000
LOOKED_AT_MAX = 500_000  # rows read for one question, with an expression that few events fit


@dataclass(frozen=True)
class Cursor:
    """The last event that was given: what follows is older."""

    at_ns: int
    id: int

    def __str__(self) -> str:
        return f"{self.at_ns}-{self.id}"


_CURSOR = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")


def read_cursor(text: str) -> Cursor | None:
    """What `str` made of one; None for anything else, and for numbers that no row can have."""
    match = _CURSOR.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) >= 2**63:
        return None
    return Cursor(int(match[1]), int(match[2]))


@dataclass(frozen=True)
class Wanted:
    """Only these; None: all. Times include `since_ns` and not `until_ns`."""

    since_ns: int | None = None
    until_ns: int | None = None
    robot: str | None = None
    site: str | None = None
    version: str | None = None
    task: str | None = None
    task_id: int | None = None
    name: str | None = None  # of the event; `task.*` for all that begin so
    severity: str | None = None
    words: str | None = None  # all of them, anywhere
    where: Filter | None = None


@dataclass(frozen=True)
class Event:
    id: int
    at_ns: int
    clock_ns: int
    robot: str
    site: str
    version: str
    name: str
    severity: str
    source: str
    task: str
    task_id: int | None
    replayed: bool
    fields: dict[str, Value]

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.at_ns, self.id)

    def flat(self) -> dict[str, Value | None]:
        """Everything under one name each, as expressions and exports see it."""
        return {
            **self.fields,
            "time_ns": self.at_ns,
            "robot": self.robot,
            "site": self.site,
            "version": self.version,
            "name": self.name,
            "severity": self.severity,
            "source": self.source,
            "replayed": self.replayed,
            "task": self.task or None,
        }


def find(
    rows: Engine, wanted: Wanted, limit: int = 100, after: Cursor | None = None
) -> list[Event]:
    found: list[Event] = []
    for event in every(rows, wanted, after, chunk=CHUNK_ROWS if wanted.where else limit):
        found.append(event)
        if len(found) >= limit:
            break
    return found


def every(
    rows: Engine, wanted: Wanted, after: Cursor | None = None, chunk: int = CHUNK_ROWS
) -> Iterator[Event]:
    """All that fit, read in pieces: an export needs no memory for them."""
    looked_at = 0
    while looked_at < LOOKED_AT_MAX or wanted.where is None:
        page = read(rows, _query(rows.dialect.name, wanted, after).limit(chunk))
        for row in page:
            event = _event(row)
            after = event.cursor
            if wanted.where is None or wanted.where.holds(event.flat()):
                yield event
        looked_at += len(page)
        if len(page) < chunk:
            return


def _query(dialect: str, wanted: Wanted, after: Cursor | None) -> Any:
    table = EVENT_LOG.c
    query = sql.select(EVENT_LOG).order_by(table.at_ns.desc(), table.id.desc())
    for name in ("robot", "site", "version", "task", "task_id", "severity"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(table[name] == value)
    if wanted.since_ns is not None:
        query = query.where(table.at_ns >= wanted.since_ns)
    if wanted.until_ns is not None:
        query = query.where(table.at_ns < wanted.until_ns)
    if after is not None:
        older = sql.and_(table.at_ns == after.at_ns, table.id < after.id)
        query = query.where(table.at_ns <= after.at_ns, sql.or_(table.at_ns < after.at_ns, older))
    if wanted.name is not None:
        start = wanted.name.removesuffix("*")
        exact = table.name == wanted.name
        query = query.where(
            exact if start == wanted.name else table.name.startswith(start, autoescape=True)
        )
    return query if wanted.words is None else query.where(_with_words(dialect, wanted.words))


def _with_words(dialect: str, text: str) -> Any:
    """Words only: nothing of either database's own search language gets through."""
    found = words_of(text).split()
    if not found:
        return sql.true()
    if dialect == "postgresql":
        return sql.literal_column("found").op("@@")(
            sql.func.plainto_tsquery("simple", " ".join(found))
        )
    terms = " ".join(f'"{word}"' for word in found)
    ids = sql.text(f"SELECT rowid FROM {WORDS} WHERE {WORDS} MATCH :terms").bindparams(terms=terms)
    return EVENT_LOG.c.id.in_(ids.columns(sql.column("rowid")).scalar_subquery())


def _event(row: Any) -> Event:
    return Event(
        id=int(row.id),
        at_ns=int(row.at_ns),
        clock_ns=int(row.clock_ns),
        robot=row.robot,
        site=row.site,
        version=row.version,
        name=row.name,
        severity=row.severity,
        source=row.source,
        task=row.task,
        task_id=None if row.task_id is None else int(row.task_id),
        replayed=bool(row.replayed),
        fields=orjson.loads(row.fields),
    )

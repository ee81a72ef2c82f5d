"""A batch into the books: the same few statements, however many robots and frames it is of.

Ranges join with those already booked, so that the table stays as small as the losses. What lies
near the batch's numbers is read in one question, joined here, and only what changed is written.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Connection

from fleet.store.rows import insert, storable
from fleet.store.tables import PROVENANCE, REFUSED, SETTLED, Outcome
from runtime.telemetry.ranges import SeqSet, fold

REFUSED_KEPT = 10_000
LINE_BYTES = 4096

Spool = tuple[str, int]  # robot, epoch
Key = tuple[str, int, str]  # robot, epoch, outcome

_WANTED = {
    "sqlite": """
SELECT json_extract(value, '$[0]') AS robot, json_extract(value, '$[1]') AS epoch,
  json_extract(value, '$[2]') AS outcome, json_extract(value, '$[3]') AS low,
  json_extract(value, '$[4]') AS high
FROM json_each(:wanted)""",
    "postgresql": """
SELECT w ->> 0 AS robot, (w ->> 1)::bigint AS epoch, w ->> 2 AS outcome, (w ->> 3)::bigint AS low,
  (w ->> 4)::bigint AS high
FROM json_array_elements(CAST(:wanted AS json)) AS w""",
}
# Ranges do not overlap: of those that begin at or before `low` only the last can reach it.
_NEAR = """
WITH wanted AS MATERIALIZED ({wanted})
SELECT s.robot, s.epoch, s.outcome, s.first, s.last FROM wanted AS w JOIN settled AS s
ON s.robot = w.robot AND s.epoch = w.epoch AND s.outcome = w.outcome
AND s.first <= w.high AND s.last >= w.low AND s.first >= coalesce(
  (SELECT max(p.first) FROM settled AS p WHERE p.robot = w.robot AND p.epoch = w.epoch
   AND p.outcome = w.outcome AND p.first <= w.low), w.low)"""


@dataclass
class Settlement:
    """What one frame came to, or several of one spool that share no number."""

    robot_id: str
    epoch: int
    config_hash: str
    artifact_name: str
    stored: SeqSet = field(default_factory=SeqSet)
    refused: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    thinned: SeqSet = field(default_factory=SeqSet)
    replayed: SeqSet = field(default_factory=SeqSet)

    @property
    def spool(self) -> Spool:
        return self.robot_id, self.epoch

    @property
    def outcomes(self) -> dict[Outcome, SeqSet]:
        """Those that there are."""
        found = {
            Outcome.STORED: self.stored,
            Outcome.REFUSED: SeqSet(fold(sorted(self.refused))),
            Outcome.THINNED: self.thinned,
            Outcome.REPLAYED: self.replayed,
        }
        return {outcome: numbers for outcome, numbers in found.items() if numbers}


def settle(connection: Connection, items: Sequence[Settlement]) -> list[SeqSet]:
    """Of each, in turn, which numbers are stored for the first time. The caller has the locks."""
    near = _Near(connection, items)
    fresh = [near.book(item) for item in items]
    near.write(connection)
    _note_refused(connection, items)
    _note_provenance(connection, items)
    return fresh


def have(connection: Connection, asked: Sequence[tuple[str, int, SeqSet]]) -> list[bool]:
    """Of each spool's numbers, whether all are stored."""
    items = [Settlement(robot, epoch, "", "", stored=numbers) for robot, epoch, numbers in asked]
    near = _Near(connection, items)
    return [not near.not_stored(item, item.stored) for item in items]


class _Near:
    """The ranges that a batch may touch: as they are booked, and as they will be."""

    def __init__(self, connection: Connection, items: Sequence[Settlement]) -> None:
        self._booked: defaultdict[Key, dict[int, int]] = defaultdict(dict)
        wanted = _windows(items)
        if wanted:
            asked = {"wanted": orjson.dumps(wanted).decode()}
            for robot, epoch, outcome, first, last in connection.execute(_near(connection), asked):
                self._booked[robot, epoch, outcome][first] = last
        self._now = {key: SeqSet(ranges.items()) for key, ranges in self._booked.items()}

    def book(self, item: Settlement) -> SeqSet:
        """A record that came live and is sent again did not come late."""
        numbers = item.outcomes
        fresh = self.not_stored(item, item.stored)
        if item.replayed:
            numbers[Outcome.REPLAYED] = self.not_stored(item, item.replayed)
        for outcome, some in numbers.items():
            if some:
                self._now.setdefault((*item.spool, outcome.value), SeqSet()).update(some)
        return fresh

    def not_stored(self, item: Settlement, numbers: SeqSet) -> SeqSet:
        known, span = self._now.get((*item.spool, Outcome.STORED.value)), numbers.span
        if known is None or span is None or not known.meets(*span):
            return numbers
        return numbers.minus(known.within(*span))

    def write(self, connection: Connection) -> None:
        gone: list[dict[str, Any]] = []
        new: list[dict[str, Any]] = []
        for key, ranges in self._now.items():
            before, after = self._booked.get(key, {}), dict(ranges)
            gone += [_row(key, first) for first in before if first not in after]
            new += [
                {**_row(key, first), "last": last}
                for first, last in after.items()
                if before.get(first) != last
            ]
        if gone:
            connection.execute(_GONE, gone)
        if new:
            connection.execute(_put_settled(connection.dialect.name), new)


def _windows(items: Iterable[Settlement]) -> list[tuple[str, int, str, int, int]]:
    """Where to look: the span of each item's numbers, and what it would touch on either side."""
    spans: defaultdict[Key, SeqSet] = defaultdict(SeqSet)
    for item in items:
        for outcome, numbers in item.outcomes.items():
            if (span := numbers.span) is not None:
                spans[*item.spool, outcome.value].add(span[0] - 1, span[1] + 1)
                if outcome is Outcome.REPLAYED:  # those that were stored before do not count
                    spans[*item.spool, Outcome.STORED.value].add(span[0] - 1, span[1] + 1)
    return [(*key, low, high) for key, span in spans.items() for low, high in span]


def _row(key: Key, first: int) -> dict[str, Any]:
    return {"robot": key[0], "epoch": key[1], "outcome": key[2], "first": first}


_GONE = sql.delete(SETTLED).where(
    *(column == sql.bindparam(column.name) for column in SETTLED.primary_key)
)


@lru_cache
def _near_text(dialect: str) -> sql.TextClause:
    return sql.text(_NEAR.format(wanted=_WANTED[dialect]))


def _near(connection: Connection) -> sql.TextClause:
    return _near_text(connection.dialect.name)


@lru_cache
def _put_settled(dialect: str) -> Any:
    statement = insert(dialect, SETTLED)
    changes = {"last": statement.excluded.last}
    return statement.on_conflict_do_update(index_elements=SETTLED.primary_key, set_=changes)


@lru_cache
def _put_refused(dialect: str) -> Any:
    statement = insert(dialect, REFUSED)
    changes = {"reason": statement.excluded.reason, "line": statement.excluded.line}
    return statement.on_conflict_do_update(index_elements=REFUSED.primary_key, set_=changes)


@lru_cache
def _widen_provenance(dialect: str) -> Any:
    statement, now = insert(dialect, PROVENANCE), PROVENANCE.c
    new = statement.excluded
    changes = {
        "first": sql.case((new.first < now.first, new.first), else_=now.first),
        "last": sql.case((new.last > now.last, new.last), else_=now.last),
    }
    return statement.on_conflict_do_update(index_elements=PROVENANCE.primary_key, set_=changes)


def _note_refused(connection: Connection, items: Iterable[Settlement]) -> None:
    rows = [
        {
            "robot": item.robot_id,
            "epoch": item.epoch,
            "seq": seq,
            "reason": storable(reason)[:1000],
            "line": storable(line.decode(errors="replace"))[:LINE_BYTES],
        }
        for item in items
        for seq, (reason, line) in item.refused.items()
    ]
    if not rows:
        return
    connection.execute(_put_refused(connection.dialect.name), rows)
    there = connection.execute(sql.select(sql.func.count()).select_from(REFUSED)).scalar_one()
    if there > REFUSED_KEPT:  # whoever is refused now makes room
        keys = [REFUSED.c.robot, REFUSED.c.epoch, REFUSED.c.seq]
        robots = sorted({row["robot"] for row in rows})
        oldest = sql.select(*keys).where(REFUSED.c.robot.in_(robots)).order_by(*keys[1:])
        surplus = oldest.limit(there - REFUSED_KEPT)
        connection.execute(sql.delete(REFUSED).where(sql.tuple_(*keys).in_(surplus)))


def _note_provenance(connection: Connection, items: Iterable[Settlement]) -> None:
    """In order of their keys, as every batch does it."""
    spans: defaultdict[tuple[str, int, str, str], SeqSet] = defaultdict(SeqSet)
    for item in items:
        if (span := item.stored.span) is not None:
            spans[*item.spool, item.config_hash, item.artifact_name].add(*span)
    rows: list[dict[str, Any]] = []
    for (robot, epoch, config_hash, artifact_name), seen in sorted(spans.items(), key=_first):
        span = seen.span
        assert span is not None
        row = {"robot": robot, "epoch": epoch, "config_hash": config_hash}
        rows.append({**row, "artifact_name": artifact_name, "first": span[0], "last": span[1]})
    if rows:
        connection.execute(_widen_provenance(connection.dialect.name), rows)


def _first(item: tuple[Any, Any]) -> Any:
    return item[0]

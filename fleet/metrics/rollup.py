"""Sums of a batch, and how they join those that are stored: each record counts exactly once.

The caller gives only records that the books had not settled before, and writes in the transaction
that settles them: a crash undoes both, a resend adds nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, assert_never

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from fleet.metrics.measure import Alive, Measure, TaskEnd, Took
from fleet.metrics.sketch import slot_of
from fleet.metrics.tables import COUNT, FLEET, LATENCY, REASON, SEEN, UPTIME
from fleet.store.rows import insert as insert_into

FLEET_WIDTH_S = 60
ROBOT_WIDTH_S = 300
HOUR_S = 3600
DAY_S = 86_400
WIDTHS_S = (FLEET_WIDTH_S, ROBOT_WIDTH_S, HOUR_S, DAY_S)
EARLY_NS = 300 * 10**9
LATE_NS = 35 * 86_400 * 10**9

Key = tuple[int | str, ...]


@dataclass(frozen=True)
class Origin:
    """Whose records these are."""

    robot: str
    site: str
    hardware: str
    version: str
    config_hash: str
    replayed: bool


class Sums:
    """Of one batch. `arrived_ns` is the fleet's clock: it stands in for a time that cannot be."""

    def __init__(self, arrived_ns: int) -> None:
        self._arrived_ns = arrived_ns
        self._counts: defaultdict[Key, Counter[str]] = defaultdict(Counter)
        self._reasons: Counter[Key] = Counter()
        self._latencies: Counter[Key] = Counter()
        self._minutes: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._seen: dict[str, tuple[int, Origin]] = {}
        self._misdated: Counter[str] = Counter()

    def note_frame(self, origin: Origin, newest_ns: int) -> None:
        """The newest record of a robot says what it runs, live or late, in any order."""
        at_ns = plausible_ns(newest_ns, self._arrived_ns)
        known = self._seen.get(origin.robot)
        if known is None or at_ns >= known[0]:
            self._seen[origin.robot] = (at_ns, origin)

    def add(self, origin: Origin, at_ns: int, found: Iterable[Measure]) -> None:
        likely_ns = plausible_ns(at_ns, self._arrived_ns)
        if likely_ns != at_ns:
            self._misdated[origin.robot] += 1
        at_s = likely_ns // 10**9
        for measure in found:
            match measure:
                case Took():
                    self._add_latency(origin, at_s, measure)
                case TaskEnd():
                    self._add_task(origin, at_s, measure)
                case Alive():
                    hour_s = at_s - at_s % HOUR_S
                    self._minutes[origin.robot, hour_s] |= 1 << (at_s - hour_s) // 60
                case _:
                    assert_never(measure)

    def write(self, connection: Connection) -> None:
        """Rows in order of their keys, so that no two ingesters wait for each other in a ring."""
        self._note_seen(connection)
        add_up(connection, COUNT, _rows(COUNT, self._counts))
        add_up(connection, REASON, _rows(REASON, _single("failed", self._reasons)))
        add_up(connection, LATENCY, _rows(LATENCY, _single("samples", self._latencies)))
        minutes = [
            {"robot": robot, "hour_s": hour_s, "minutes": bits}
            for (robot, hour_s), bits in sorted(self._minutes.items())
        ]
        if minutes:
            connection.execute(_uptime(connection.dialect.name), minutes)

    def _add_task(self, origin: Origin, at_s: int, end: TaskEnd) -> None:
        for robot, width_s in ((FLEET, FLEET_WIDTH_S), (origin.robot, ROBOT_WIDTH_S)):
            start_s = at_s - at_s % width_s
            key = (width_s, start_s, robot, origin.site, origin.version, end.task)
            self._counts[key].update(
                done=int(end.done),
                failed=int(not end.done),
                attempts=end.attempts,
                errors=end.errors,
                duration_ms=round(end.duration_ms or 0.0),
            )
            if not end.done:
                self._reasons[(*key, end.reason)] += 1

    def _add_latency(self, origin: Origin, at_s: int, took: Took) -> None:
        slot = slot_of(took.milliseconds)
        if slot is None:
            return
        start_s = at_s - at_s % FLEET_WIDTH_S
        key = (FLEET_WIDTH_S, start_s, origin.site, origin.version, took.task, took.kind.value)
        self._latencies[(*key, slot)] += 1

    def _note_seen(self, connection: Connection) -> None:
        heard_s = self._arrived_ns // 10**9
        rows = [
            {
                "robot": robot,
                "site": origin.site,
                "hardware": origin.hardware,
                "version": origin.version,
                "config_hash": origin.config_hash,
                "first_s": heard_s,
                "heard_s": heard_s,
                "misdated": self._misdated[robot],
                "newest_ns": at_ns,
            }
            for robot, (at_ns, origin) in sorted(self._seen.items())
        ]
        if rows:
            connection.execute(_seen(connection.dialect.name), rows)


def plausible_ns(at_ns: int, arrived_ns: int) -> int:
    """The robot's time; the fleet's where a clock must be wrong, since no record is so late."""
    return at_ns if arrived_ns - LATE_NS <= at_ns <= arrived_ns + EARLY_NS else arrived_ns


def insert(connection: Connection, table: sql.Table) -> "sqlite.Insert | postgresql.Insert":
    return insert_into(connection.dialect.name, table)


def add_up(connection: Connection, table: sql.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(_adding(connection.dialect.name, table), rows)


# Made once each: a statement costs more to put together than to run.
@lru_cache
def _adding(dialect: str, table: sql.Table) -> Any:
    return summing(insert_into(dialect, table), table)


@lru_cache
def _uptime(dialect: str) -> Any:
    statement = insert_into(dialect, UPTIME)
    either = UPTIME.c.minutes.op("|")(statement.excluded.minutes)
    same = ["robot", "hour_s"]
    return statement.on_conflict_do_update(index_elements=same, set_={"minutes": either})


@lru_cache
def _seen(dialect: str) -> Any:
    statement = insert_into(dialect, SEEN)
    new = statement.excluded
    is_newer = new.newest_ns >= SEEN.c.newest_ns
    changes: dict[str, Any] = {
        name: sql.case((is_newer, new[name]), else_=SEEN.c[name])
        for name in ("site", "hardware", "version", "config_hash", "newest_ns")
    }
    changes["heard_s"] = new.heard_s
    changes["misdated"] = SEEN.c.misdated + new.misdated
    return statement.on_conflict_do_update(index_elements=["robot"], set_=changes)


def summing(statement: Any, table: sql.Table) -> Any:
    keys = [column.name for column in table.primary_key]
    sums = {
        column.name: column + statement.excluded[column.name]
        for column in table.c
        if not column.primary_key
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=sums)


def _single(name: str, counts: Mapping[Key, int]) -> dict[Key, dict[str, int]]:
    return {key: {name: count} for key, count in counts.items()}


def _rows(table: sql.Table, sums: Mapping[Key, Mapping[str, int]]) -> list[dict[str, Any]]:
    names = [column.name for column in table.primary_key]
    return [{**dict(zip(names, key, strict=True)), **sums[key]} for key in sorted(sums)]

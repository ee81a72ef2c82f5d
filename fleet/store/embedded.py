"""Series in SQLite: the default, for a fleet that runs without a database server.

It answers as InfluxDB would: equal points merge field by field, the type of a field is fixed by its
first point and a conflict is refused for good, and a write that returned is on the disk.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from fleet.store.series import Query, StoreUnavailableError
from runtime.telemetry.client import Value
from runtime.telemetry.line import LineError, Point, decode_line

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, measurement TEXT NOT NULL, robot TEXT NOT NULL, tags TEXT NOT NULL,
  UNIQUE (measurement, tags));
CREATE TABLE IF NOT EXISTS point (
  series INTEGER NOT NULL REFERENCES series, time INTEGER NOT NULL, fields TEXT NOT NULL,
  PRIMARY KEY (series, time)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS field (
  measurement TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
  PRIMARY KEY (measurement, name)) WITHOUT ROWID;
"""
_UPSERT = """
INSERT INTO point VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET fields = json_patch(fields, excluded.fields)
"""
NS_PER_DAY = 86_400_000_000_000


class EmbeddedStore:
    """One writer at a time; readers do not wait for it."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str], int] = {}
        self._types: dict[tuple[str, str], str] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=10.0, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            if not read_only:
                self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(
                f"{path}: the series store cannot be opened ({error}); robots keep their records"
            ) from error

    def write(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        refused: dict[int, str] = {}
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for index, line in enumerate(lines):
                    reason = self._write_line(line)
                    if reason is not None:
                        refused[index] = reason
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                raise StoreUnavailableError(
                    f"the series store took nothing of {len(lines)} points ({error})"
                ) from error
        return refused

    def points(self, query: Query) -> list[Point]:
        conditions, values = ["measurement = ?"], [query.measurement]
        arguments: list[str | int] = [*values]
        for text, value in (
            ("robot = ?", query.robot_id),
            ("time >= ?", query.since_ns),
            ("time <= ?", query.until_ns),
        ):
            if value is not None:
                conditions.append(text)
                arguments.append(value)
        order = "DESC" if query.newest_first else "ASC"
        statement = (
            "SELECT measurement, tags, fields, time FROM point JOIN series ON series.id = series"
            f" WHERE {' AND '.join(conditions)} ORDER BY time {order} LIMIT ?"
        )
        with self._lock:
            try:
                rows = self._db.execute(statement, (*arguments, query.limit)).fetchall()
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"the series store cannot be read ({error})") from error
        return [
            Point(measurement, orjson.loads(tags), orjson.loads(fields), time)
            for measurement, tags, fields, time in rows
        ]

    def expire(self, now_ns: int, days: float) -> int:
        """Deletes points older than the retention; returns how many."""
        with self._lock:
            oldest_ns = now_ns - round(days * NS_PER_DAY)
            return self._db.execute("DELETE FROM point WHERE time < ?", (oldest_ns,)).rowcount

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _write_line(self, line: bytes) -> str | None:
        try:
            point = decode_line(line)
        except LineError as error:
            return str(error)
        reason = self._check_types(point)
        if reason is not None:
            return reason
        fields = orjson.dumps(point.fields).decode()
        self._db.execute(_UPSERT, (self._series_id(point), point.time_ns, fields))
        return None

    def _check_types(self, point: Point) -> str | None:
        for name, value in point.fields.items():
            wanted, got = self._type_of(point.measurement, name, value), type_name(value)
            if wanted != got:
                return f"field {name} of {point.measurement} is {wanted}, got {got}"
        return None

    def _type_of(self, measurement: str, name: str, value: Value) -> str:
        key = (measurement, name)
        if key not in self._types:
            row = (*key, type_name(value))
            self._db.execute("INSERT OR IGNORE INTO field VALUES (?, ?, ?)", row)
            query = "SELECT type FROM field WHERE measurement = ? AND name = ?"
            self._types[key] = self._db.execute(query, key).fetchone()[0]
        return self._types[key]

    def _series_id(self, point: Point) -> int:
        tags = orjson.dumps(point.tags, option=orjson.OPT_SORT_KEYS).decode()
        key = (point.measurement, tags)
        if key not in self._series:
            row = (point.measurement, point.tags.get("robot", ""), tags)
            self._db.execute(
                "INSERT OR IGNORE INTO series (measurement, robot, tags) VALUES (?, ?, ?)", row
            )
            query = "SELECT id FROM series WHERE measurement = ? AND tags = ?"
            self._series[key] = self._db.execute(query, key).fetchone()[0]
        return self._series[key]

    def _roll_back(self) -> None:
        """What was learned within the failed transaction is not true any more."""
        self._series.clear()
        self._types.clear()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def type_name(value: Value) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return "integer" if isinstance(value, int) else "float"
